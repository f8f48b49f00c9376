"""QR by Householder reflections: the record, batched over leading axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type, f64
from dlc.ops import leaf, tuples
from dlc.ops.contract import matmul, swap
from dlc.ops.linalg_factor import solve_triangle
from dlc.ops.matrix import floating, triangle, without_nan
from dlc.ops.routine import Routine, Workspace, batch_count, filled, kernel_dtype

# Columns lie as rows of w: every inner loop walks along memory. LAPACK's signs: a reflection makes
# the diagonal of R the opposite of the entry's sign, and is none where nothing is to be done.
_QR = """
def qr(a, q, r, w, v, tau, item):
    base = item * ($m * $n)
    poison = 0.0
    for i in range($m):
        for j in range($n):
            w[base + j * $m + i] = f64(a[base + i * $n + j])
            poison += w[base + j * $m + i] - w[base + j * $m + i]
    for j in range($n):
        mine = base + j * $m
        below = 0.0
        for i in range(j + 1, $m):
            below = radd(below, w[mine + i] * w[mine + i])
        alpha = w[mine + j]
        tau[item * $n + j] = 0.0
        if below != 0.0:
            beta = -copysign(sqrt(alpha * alpha + below), alpha)
            tau[item * $n + j] = (beta - alpha) / beta
            for i in range(j + 1, $m):
                w[mine + i] /= alpha - beta
            w[mine + j] = beta
        for c in range(j + 1, $n):
            other = base + c * $m
            dot = w[other + j]
            for i in range(j + 1, $m):
                dot = radd(dot, w[mine + i] * w[other + i])
            dot *= tau[item * $n + j]
            w[other + j] -= dot
            for i in range(j + 1, $m):
                w[other + i] -= dot * w[mine + i]
    for i in range($n):
        for j in range($n):
            entry = w[base + j * $m + i] if i <= j else 0.0
            r[item * ($n * $n) + i * $n + j] = $T(entry + poison)
    for c in range($n):
        for i in range($m):
            v[base + c * $m + i] = 1.0 if i == c else 0.0
    for step in range($n):
        j = $n - 1 - step
        mine = base + j * $m
        for c in range(j, $n):
            other = base + c * $m
            dot = v[other + j]
            for i in range(j + 1, $m):
                dot = radd(dot, w[mine + i] * v[other + i])
            dot *= tau[item * $n + j]
            v[other + j] -= dot
            for i in range(j + 1, $m):
                v[other + i] -= dot * w[mine + i]
    for i in range($m):
        for c in range($n):
            q[base + i * $n + c] = $T(v[base + c * $m + i] + poison)
"""


def tall(a: Type) -> tuple[int, int]:
    """(rows, columns) of the matrices in the last two axes. Raises OpError if they are wide."""
    floating(a)
    if a.ndim < 2 or int(a.shape[-2]) < int(a.shape[-1]):
        raise OpError(f"{a.describe()} has no matrices with as many rows as columns, or more")
    return int(a.shape[-2]), int(a.shape[-1])


def _infer_qr(a: Type) -> TupleType:
    _, n = tall(a)
    return TupleType((a.with_(layout=None), a.with_(shape=(*a.shape[:-2], n, n), layout=None)))


def _eval_qr(a: Any) -> Any:
    a, spoilt = without_nan(a)
    q, r = np.linalg.qr(a)
    return np.where(spoilt, np.nan, q), np.where(spoilt, np.nan, r)


def _emit_qr(y: Node) -> Routine:
    a = y.args[0]
    (m, n), batch = tall(a.type), batch_count(a.shape, 2)
    text = filled(_QR, m=m, n=n, T=kernel_dtype(a.type))
    spaces = (Workspace(f64, m * n), Workspace(f64, m * n), Workspace(f64, n))
    return Routine(text, {"item": batch}, spaces, flops=batch * 4 * m * n * n)


def _pull_qr(node: Node, given: Mapping[int, Node]) -> Sequence[Node | None]:
    """a' = (q' + q copyltu(r r'^T - q'^T q)) r^-T (Walter & Lehmann 2018, eq. 16)."""
    q, r = tuples.item(node, 0), tuples.item(node, 1)
    dq = given.get(0, leaf.constant(0.0, q.type))
    dr = triangle(given.get(1, leaf.constant(0.0, r.type)), lower=False)
    mixed = matmul(r, swap(dr)) - matmul(swap(dq), q)
    low = triangle(mixed) + swap(triangle(mixed, diagonal=False))
    inner = dq + matmul(q, low)
    return (swap(solve_triangle(r, swap(inner), lower=False)),)


def _sample_qr() -> Iterator[Any]:
    rng = np.random.default_rng(35)
    for shape in ((1, 1), (3, 1), (4, 4), (2, 7, 3)):
        x = rng.uniform(-1, 1, shape)
        x[..., :shape[-1], :] += 2 * np.eye(shape[-1])
        yield (x.astype(np.float32),), {}


QR = register(Op(
    "qr", Kind.ROUTINE, _infer_qr, _eval_qr, None, _emit_qr, _sample_qr,
    doc="(q, r) of matrices with m >= n: q [m, n] with orthonormal columns, r [n, n] upper; "
    "Householder in f64", pull=_pull_qr))


def qr_of_tall(a: Node) -> tuple[Node, Node]:
    """(q, r) of a [..., m, n] with m >= n."""
    node = make(QR, (a,))
    return tuples.item(node, 0), tuples.item(node, 1)
