"""Cholesky and triangular systems: records, batched over leading axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import Type
from dlc.ops.contract import matmul, swap
from dlc.ops.elementwise import neg
from dlc.ops.matrix import floating, half_diagonal, lower_gradient, square, triangle
from dlc.ops.routine import Routine, batch_count, filled, kernel_dtype

_CHOLESKY = """
def cholesky(a, l, item):
    base = item * ($n * $n)
    for i in range($n):
        row = base + i * $n
        for j in range(i):
            other = base + j * $n
            done = $T(0.0)
            for k in range(j):
                done = radd(done, l[row + k] * l[other + k])
            l[row + j] = (a[row + j] - done) / l[other + j]
        done = $T(0.0)
        for k in range(i):
            done = radd(done, l[row + k] * l[row + k])
        square = a[row + i] - done
        l[row + i] = sqrt(square if square > $T(0.0) else $T(-1.0))
        for j in range(i + 1, $n):
            l[row + j] = $T(0.0)
"""


def _infer_cholesky(a: Type) -> Type:
    square(a)
    return a.with_(layout=None)


def _eval_cholesky(a: Any) -> Any:
    """NaN in the whole of a matrix's factor below the first pivot that is not positive."""
    wide = np.asarray(a, np.float64)
    found = np.zeros_like(wide)
    for i in range(wide.shape[-1]):
        for j in range(i + 1):
            rest = wide[..., i, j] - np.sum(found[..., i, :j] * found[..., j, :j], -1)
            found[..., i, j] = np.sqrt(np.where(rest > 0, rest, np.nan)) if i == j else (
                rest / found[..., j, j])
    return found


def _emit_cholesky(y: Node) -> Routine:
    n, batch = int(y.shape[-1]), batch_count(y.shape, 2)
    return Routine(filled(_CHOLESKY, n=n, T=kernel_dtype(y.type)), {"item": batch},
                   flops=batch * n ** 3 // 3)


def _grad_cholesky(g: Node, y: Node, a: Node) -> tuple[Node]:
    """S = L^-T Phi(L^T g) L^-1 (Murray 2016, eq. 9; Giles 2008, 2.2.3), for the lower triangle."""
    p = half_diagonal(matmul(swap(y), g))
    s = solve_triangle(y, swap(solve_triangle(y, p, trans=True)), trans=True)
    return (lower_gradient(s),)


def positive(rng: np.random.Generator, *shape: int) -> Any:
    """Symmetric positive definite f32 matrices, well conditioned."""
    x = rng.uniform(-1, 1, shape)
    n = shape[-1]
    return (x @ np.swapaxes(x, -1, -2) / n + np.eye(n)).astype(np.float32)


def _sample_cholesky() -> Iterator[Any]:
    rng = np.random.default_rng(31)
    for shape in ((1, 1), (3, 3), (2, 1, 5, 5), (7, 7)):
        yield (positive(rng, *shape),), {}


CHOLESKY = register(Op(
    "cholesky", Kind.ROUTINE, _infer_cholesky, _eval_cholesky, _grad_cholesky, _emit_cholesky,
    _sample_cholesky, doc="lower L with L L^T = a; reads the lower triangle of a; NaN from the "
    "first pivot on that is not positive"))


# --- triangular systems ---------------------------------------------------------------------------

# A position solves a block of columns of b, so that few big systems use all threads.
_TRIANGLE = """
def triangular_solve(a, b, x, item, block):
    first = block * $width
    last = min(first + $width, $k)
    base = item * ($n * $n)
    top = item * ($n * $k)
    for step in range($n):
        i = $row
        for c in range(first, last):
            x[top + i * $k + c] = b[top + i * $k + c]
        for other in range(step):
            j = $other
            factor = $element
            for c in range(first, last):
                x[top + i * $k + c] -= factor * x[top + j * $k + c]
$divide
"""
_DIVIDE = """        pivot = a[base + i * ($n + 1)]
        for c in range(first, last):
            x[top + i * $k + c] /= pivot"""
_WIDTH = 64  # columns of a block


def _infer_triangle(a: Type, b: Type, *, lower: bool, trans: bool, unit: bool) -> Type:
    n = square(a, "triangle")
    floating(a, b)
    for word in (lower, trans, unit):
        if not isinstance(word, bool):
            raise OpError(f"{word!r} is not a bool", "lower, trans and unit are True or False")
    same_lead(a, b)
    if int(b.shape[-2]) != n:
        raise OpError(f"{b.describe()} as right sides of {a.describe()}", f"they need {n} rows")
    return b.with_(layout=None)


def same_lead(a: Type, b: Type) -> None:
    """Raise OpError unless both have the same axes before the last two."""
    if b.ndim < 2 or tuple(a.shape[:-2]) != tuple(b.shape[:-2]):
        raise OpError(f"leading axes of {a.describe()} and {b.describe()} differ")


def _eval_triangle(a: Any, b: Any, *, lower: bool, trans: bool, unit: bool) -> Any:
    wide, x = np.asarray(a, np.float64), np.array(b, np.float64)
    wide = np.swapaxes(wide, -1, -2) if trans else wide
    n = wide.shape[-1]
    order = range(n) if lower is not trans else range(n - 1, -1, -1)
    done: list[int] = []
    for i in order:
        x[..., i, :] -= np.einsum("...j,...jk->...k", wide[..., i, done], x[..., done, :])
        if not unit:
            x[..., i, :] /= wide[..., i, i, None]
        done.append(i)
    return x


def _emit_triangle(y: Node) -> Routine:
    n, k, batch = int(y.shape[-2]), int(y.shape[-1]), batch_count(y.shape, 2)
    forward = y.attrs["lower"] is not y.attrs["trans"]
    blocks = -(-k // _WIDTH)
    words = {"n": n, "k": k, "width": _WIDTH,
             "row": "step" if forward else f"{n - 1} - step",
             "other": "other" if forward else f"{n - 1} - other",
             "element": f"a[base + j * {n} + i]" if y.attrs["trans"] else f"a[base + i * {n} + j]"}
    divide = "" if y.attrs["unit"] else filled(_DIVIDE, **words)
    return Routine(filled(_TRIANGLE, divide=divide, **words),
                   {"item": batch, "block": blocks},
                   flops=batch * n * n * k)


def _grad_triangle(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """b' = op(a)^-T g and a' = -b' y^T, within the triangle (Giles 2008, 2.2.4)."""
    lower, trans, unit = (y.attrs[k] for k in ("lower", "trans", "unit"))
    below = make(TRIANGULAR_SOLVE, (a, g), lower=lower, trans=not trans, unit=unit)
    outer = matmul(y, swap(below)) if trans else matmul(below, swap(y))
    return triangle(neg(outer), lower, diagonal=not unit), below


def _sample_triangle() -> Iterator[Any]:
    rng = np.random.default_rng(32)
    for shape, k in (((1, 1), 1), ((3, 3), 2), ((5, 5), 70), ((2, 1, 4, 4), 3)):
        a = rng.uniform(-1, 1, shape) / shape[-1] + 1.5 * np.eye(shape[-1])
        b = rng.uniform(-1, 1, (*shape[:-1], k)).astype(np.float32)
        for lower, trans, unit in ((True, False, False), (False, False, True),
                                   (True, True, True), (False, True, False)):
            yield (a.astype(np.float32), b), {"lower": lower, "trans": trans, "unit": unit}


TRIANGULAR_SOLVE = register(Op(
    "triangular_solve", Kind.ROUTINE, _infer_triangle, _eval_triangle, _grad_triangle,
    _emit_triangle, _sample_triangle, (1,),
    "x with a x = b, or a^T x = b (trans), for the lower or upper triangle of a; unit: its "
    "diagonal counts as ones", defaults=lambda *types, **_: {
        "lower": True, "trans": False, "unit": False}))


def solve_triangle(a: Node, b: Node, lower: bool = True, trans: bool = False,
                   unit: bool = False) -> Node:
    """x [..., n, k] with op(a) x = b for the triangle of a [..., n, n]."""
    return make(TRIANGULAR_SOLVE, (a, b), lower=lower, trans=trans, unit=unit)
