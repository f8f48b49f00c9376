"""Eigenvalues and singular values by Jacobi rotations: records, batched over leading axes.

Vectors are known up to their sign; here the component of largest magnitude is positive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type, f64
from dlc.ops import leaf, tuples
from dlc.ops.contract import matmul, swap
from dlc.ops.elementwise import eq, where
from dlc.ops.linalg_qr import tall
from dlc.ops.matrix import diagonal_only, lower_gradient, positions, square, without_nan
from dlc.ops.routine import Routine, Workspace, batch_count, filled, kernel_dtype
from dlc.ops.view import reshape

# One-sided Jacobi (Hestenes 1958): rotates the columns of a matrix, which are the rows of w so that
# loops walk along memory, until they are orthogonal; v takes the same rotations.
_SWEEPS = """
    for sweep in range(60):
        turned = 0
        for p in range($n):
            for q in range(p + 1, $n):
                x = base + p * $m
                y = base + q * $m
                alpha = 0.0
                beta = 0.0
                gamma = 0.0
                for i in range($m):
                    alpha = radd(alpha, w[x + i] * w[x + i])
                    beta = radd(beta, w[y + i] * w[y + i])
                    gamma = radd(gamma, w[x + i] * w[y + i])
                if abs(gamma) > 1e-15 * sqrt(alpha * beta):
                    turned = 1
                    zeta = (beta - alpha) / (2.0 * gamma)
                    t = copysign(1.0, zeta) / (abs(zeta) + sqrt(zeta * zeta + 1.0))
                    c = 1.0 / sqrt(t * t + 1.0)
                    d = t * c
                    for i in range($m):
                        one = w[x + i]
                        two = w[y + i]
                        w[x + i] = c * one - d * two
                        w[y + i] = d * one + c * two
                    for i in range($n):
                        one = v[turn + p * $n + i]
                        two = v[turn + q * $n + i]
                        v[turn + p * $n + i] = c * one - d * two
                        v[turn + q * $n + i] = d * one + c * two
        if turned == 0:
            break
""".strip("\n")
# The eigenvalues of a symmetric a are the singular values of a + shift, which is positive, less the
# shift.
_EIGH = """
def eigh(a, values, vectors, w, v, item):
    base = item * ($n * $n)
    turn = base
    shift = 0.0
    for i in range($n):
        for j in range(i + 1):
            w[base + i * $n + j] = f64(a[base + i * $n + j])
            w[base + j * $n + i] = f64(a[base + i * $n + j])
        for j in range($n):
            v[base + i * $n + j] = 1.0 if i == j else 0.0
    for i in range($n):
        total = 0.0
        for j in range($n):
            total += abs(w[base + i * $n + j])
        shift = maximum(shift, total)
    for i in range($n):
        w[base + i * ($n + 1)] += shift
$sweeps
    for i in range($n):
        least = i
        low = inf
        for j in range(i, $n):
            norm = 0.0
            for k in range($n):
                norm = radd(norm, w[base + j * $n + k] * w[base + j * $n + k])
            if norm < low:
                least = j
                low = norm
        top = 0.0
        for k in range($n):
            x = w[base + i * $n + k]
            w[base + i * $n + k] = w[base + least * $n + k]
            w[base + least * $n + k] = x
            x = v[base + i * $n + k]
            v[base + i * $n + k] = v[base + least * $n + k]
            v[base + least * $n + k] = x
            if abs(v[base + i * $n + k]) > abs(top):
                top = v[base + i * $n + k]
        sign = copysign(1.0, top) + (shift - shift)
        values[item * $n + i] = $T(sqrt(low) - shift)
        for k in range($n):
            vectors[base + k * $n + i] = $T(sign * v[base + i * $n + k])
"""


def _infer_eigh(a: Type) -> TupleType:
    square(a)
    return TupleType((a.with_(shape=a.shape[:-1], layout=None), a.with_(layout=None)))


def signs_of(vectors: Any) -> Any:
    """The sign of the largest component of each column [..., 1, n]; the first among equals."""
    if vectors.shape[-2] == 0:
        return np.ones((*vectors.shape[:-2], 1, vectors.shape[-1]))
    at = np.argmax(np.abs(vectors), axis=-2, keepdims=True)
    return np.copysign(1.0, np.take_along_axis(vectors, at, axis=-2))


def _eval_eigh(a: Any) -> Any:
    a, spoilt = without_nan(a)
    values, vectors = np.linalg.eigh(a)
    return (np.where(spoilt[..., 0], np.nan, values),
            np.where(spoilt, np.nan, vectors * signs_of(vectors)))


def _emit_eigh(y: Node) -> Routine:
    a = y.args[0]
    n, batch = int(a.shape[-1]), batch_count(a.shape, 2)
    spaces = (Workspace(f64, n * n), Workspace(f64, n * n))
    text = filled(_EIGH, n=n, T=kernel_dtype(a.type), sweeps=filled(_SWEEPS, m=n, n=n))
    return Routine(text, {"item": batch}, spaces, flops=batch * 40 * n ** 3)


def _apart(x: Node) -> Node:
    """1 / (x_j - x_i) at [..., i, j], 0 on the diagonal; x [..., n]."""
    n = int(x.shape[-1])
    gap = reshape(x, (*x.shape[:-1], 1, n)) - reshape(x, (*x.shape, 1))
    same = eq(*positions(gap))
    return where(same, 0.0, 1.0 / where(same, 1.0, gap))


def _on_diagonal(x: Node) -> Node:
    """Matrices [..., n, n] with x [..., n] on the diagonal."""
    n = int(x.shape[-1])
    wide = reshape(x, (*x.shape, 1)) + leaf.constant(
        0.0, x.type.with_(shape=(*x.shape, n), layout=None))
    return diagonal_only(wide)


def _pull_eigh(node: Node, given: Mapping[int, Node]) -> Sequence[Node | None]:
    """a' = v (diag(w') + F o (v^T v')) v^T, F_ij = 1 / (w_j - w_i) (Giles 2008, 3.1)."""
    w, v = tuples.item(node, 0), tuples.item(node, 1)
    inner = _on_diagonal(given[0]) if 0 in given else None
    if 1 in given:
        turned = _apart(w) * matmul(swap(v), given[1])
        inner = turned if inner is None else inner + turned
    assert inner is not None
    return (lower_gradient(matmul(matmul(v, inner), swap(v))),)


def _sample_eigh() -> Iterator[Any]:
    rng = np.random.default_rng(36)
    for shape in ((1, 1), (3, 3), (2, 1, 5, 5)):
        x = 0.4 * rng.uniform(-1, 1, shape)
        yield ((x + np.swapaxes(x, -1, -2) + np.diag(
            np.arange(shape[-1]) * 1.5 - 1)).astype(np.float32),), {}


EIGH = register(Op(
    "eigh", Kind.ROUTINE, _infer_eigh, _eval_eigh, None, _emit_eigh, _sample_eigh,
    doc="(values ascending, vectors in columns) of symmetric matrices, of which the lower triangle "
    "is read; Jacobi in f64; the gradient of vectors needs distinct values", pull=_pull_eigh))


# --- singular values ------------------------------------------------------------------------------

_SVD = """
def svd(a, u, values, vh, w, v, item):
    base = item * ($m * $n)
    turn = item * ($n * $n)
    poison = 0.0
    for i in range($m):
        for j in range($n):
            w[base + j * $m + i] = f64(a[base + i * $n + j])
            poison += w[base + j * $m + i] - w[base + j * $m + i]
    for i in range($n):
        for j in range($n):
            v[turn + i * $n + j] = 1.0 if i == j else 0.0
$sweeps
    largest = 0.0
    for j in range($n):
        best = -1.0
        at = j
        for p in range(j, $n):
            norm = 0.0
            for i in range($m):
                norm = radd(norm, w[base + p * $m + i] * w[base + p * $m + i])
            if norm > best:
                best = norm
                at = p
        for i in range($m):
            one = w[base + j * $m + i]
            w[base + j * $m + i] = w[base + at * $m + i]
            w[base + at * $m + i] = one
        for i in range($n):
            one = v[turn + j * $n + i]
            v[turn + j * $n + i] = v[turn + at * $n + i]
            v[turn + at * $n + i] = one
        sigma = sqrt(best) + poison if best >= 0.0 else poison
        largest = sigma if j == 0 else largest
        values[item * $n + j] = $T(sigma)
        if sigma > 1e-15 * largest:
            for i in range($m):
                w[base + j * $m + i] /= sigma
        elif sigma == sigma:
            $complete
        top = 0.0
        for i in range($m):
            if abs(w[base + j * $m + i]) > abs(top):
                top = w[base + j * $m + i]
        sign = copysign(1.0, top)
        for i in range($m):
            u[base + i * $n + j] = $T(sign * w[base + j * $m + i] + poison)
        for i in range($n):
            vh[turn + j * $n + i] = $T(sign * v[turn + j * $n + i] + poison)
"""
# A column without length is any unit vector orthogonal to those before: of the axes, the one that
# they span least, orthogonalized twice.
_COMPLETE = """
            axis = 0
            least = 2.0
            for i in range($m):
                spanned = 0.0
                for p in range(j):
                    spanned += w[base + p * $m + i] * w[base + p * $m + i]
                if spanned < least:
                    least = spanned
                    axis = i
            for i in range($m):
                w[base + j * $m + i] = 1.0 if i == axis else 0.0
            for again in range(2):
                for p in range(j):
                    dot = 0.0
                    for i in range($m):
                        dot += w[base + p * $m + i] * w[base + j * $m + i]
                    for i in range($m):
                        w[base + j * $m + i] -= dot * w[base + p * $m + i]
                norm = 0.0
                for i in range($m):
                    norm += w[base + j * $m + i] * w[base + j * $m + i]
                for i in range($m):
                    w[base + j * $m + i] /= sqrt(norm)""".strip()


def _infer_svd(a: Type) -> TupleType:
    _, n = tall(a)
    lead = a.shape[:-2]
    return TupleType((a.with_(layout=None), a.with_(shape=(*lead, n), layout=None),
                      a.with_(shape=(*lead, n, n), layout=None)))


def _eval_svd(a: Any) -> Any:
    a, spoilt = without_nan(a)
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    sign = signs_of(u)
    return (np.where(spoilt, np.nan, u * sign), np.where(spoilt[..., 0], np.nan, s),
            np.where(spoilt, np.nan, vh * np.swapaxes(sign, -1, -2)))


def _emit_svd(y: Node) -> Routine:
    a = y.args[0]
    (m, n), batch = tall(a.type), batch_count(a.shape, 2)
    text = filled(_SVD, m=m, n=n, T=kernel_dtype(a.type), complete=filled(_COMPLETE, m=m),
                  sweeps=filled(_SWEEPS, m=m, n=n))
    return Routine(text, {"item": batch}, (Workspace(f64, m * n), Workspace(f64, n * n)),
                   flops=batch * 30 * m * n * n)


def _pull_svd(node: Node, given: Mapping[int, Node]) -> Sequence[Node | None]:
    """a' = u (J s + s K + diag(s')) v^T + (1 - u u^T) u' s^-1 v^T, J = G o (u^T u' - u'^T u), K
    likewise of v, G_ij = 1 / (s_j^2 - s_i^2) (Townsend 2016)."""
    u, s, vh = (tuples.item(node, i) for i in range(3))
    n = int(s.shape[-1])
    rows, columns = reshape(s, (*s.shape, 1)), reshape(s, (*s.shape[:-1], 1, n))
    inner = _on_diagonal(given[1]) if 1 in given else None
    if 0 in given or 2 in given:
        apart = _apart(s * s)
    if 0 in given:
        mixed = apart * matmul(swap(u), given[0])
        part = (mixed + swap(mixed)) * columns
        inner = part if inner is None else inner + part
    if 2 in given:
        mixed = apart * matmul(vh, swap(given[2]))
        part = rows * (mixed + swap(mixed))
        inner = part if inner is None else inner + part
    assert inner is not None
    left = matmul(u, inner)
    if 0 in given and int(u.shape[-2]) > n:
        scaled = given[0] / columns
        left = left + scaled - matmul(u, matmul(swap(u), scaled))
    return (matmul(left, vh),)


def _sample_svd() -> Iterator[Any]:
    rng = np.random.default_rng(37)
    for shape in ((1, 1), (4, 3), (3, 3), (2, 5, 2)):
        x = 0.3 * rng.uniform(-1, 1, shape)
        n = shape[-1]
        x[..., :n, :] += np.diag(np.arange(n, 0, -1) * 1.5)
        yield (x.astype(np.float32),), {}


SVD = register(Op(
    "svd", Kind.ROUTINE, _infer_svd, _eval_svd, None, _emit_svd, _sample_svd,
    doc="(u [m, n], s descending, v^T [n, n]) of matrices with m >= n; one-sided Jacobi in f64; "
    "the gradient of vectors needs distinct values", pull=_pull_svd))


def eigh_of(a: Node) -> tuple[Node, Node]:
    """(values, vectors) of the symmetric matrices whose lower triangles a [..., n, n] holds."""
    node = make(EIGH, (a,))
    return tuples.item(node, 0), tuples.item(node, 1)


def svd_of(a: Node) -> tuple[Node, Node, Node]:
    """(u [..., m, k], s [..., k], v^T [..., k, n]) of a [..., m, n], k = min(m, n)."""
    tall_one = int(a.shape[-2]) >= int(a.shape[-1])
    node = make(SVD, (a if tall_one else swap(a),))
    u, s, vh = (tuples.item(node, i) for i in range(3))
    return (u, s, vh) if tall_one else (swap(vh), s, swap(u))
