"""Systems by LU with partial pivoting: solve, slogdet; records, batched over leading axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import TupleType, Type, f64
from dlc.ops import leaf
from dlc.ops.contract import matmul, swap
from dlc.ops.elementwise import neg
from dlc.ops.linalg_factor import same_lead
from dlc.ops.matrix import floating, square, without_nan
from dlc.ops.routine import Routine, Workspace, batch_count, filled, kernel_dtype
from dlc.ops.view import reshape

# Elimination of lu [n, n] with `$swap` and `$row` for what goes along with its rows.
_ELIMINATE = """
    for j in range($n):
        pivot = j
        best = abs(lu[base + j * ($n + 1)])
        for i in range(j + 1, $n):
            size = abs(lu[base + i * $n + j])
            if size > best:
                pivot = i
                best = size
        if pivot != j:
            for c in range($n):
                kept = lu[base + j * $n + c]
                lu[base + j * $n + c] = lu[base + pivot * $n + c]
                lu[base + pivot * $n + c] = kept
$swap
        for i in range(j + 1, $n):
            divisor = lu[base + j * ($n + 1)]
            factor = lu[base + i * $n + j] / divisor if divisor != 0.0 else 0.0
            for c in range(j + 1, $n):
                lu[base + i * $n + c] -= factor * lu[base + j * $n + c]
$row
"""
_SOLVE = """
def solve(a, b, x, lu, right, item):
    base = item * ($n * $n)
    top = item * ($n * $k)
    poison = 0.0
    for i in range($n):
        for j in range($n):
            lu[base + i * $n + j] = f64(a[base + $at])
            poison += lu[base + i * $n + j] - lu[base + i * $n + j]
    for i in range($n * $k):
        right[top + i] = f64(b[top + i])
$eliminate
    for step in range($n):
        i = $n - 1 - step
        if lu[base + i * ($n + 1)] == 0.0:
            poison = nan
        for j in range(i + 1, $n):
            factor = lu[base + i * $n + j]
            for c in range($k):
                right[top + i * $k + c] -= factor * right[top + j * $k + c]
        for c in range($k):
            right[top + i * $k + c] /= lu[base + i * ($n + 1)]
    for i in range($n * $k):
        x[top + i] = $T(right[top + i] + poison)
"""
_SWAP_RIGHT = """            for c in range($k):
                kept = right[top + j * $k + c]
                right[top + j * $k + c] = right[top + pivot * $k + c]
                right[top + pivot * $k + c] = kept"""
_ROW_RIGHT = """            for c in range($k):
                right[top + i * $k + c] -= factor * right[top + j * $k + c]"""


def _infer_solve(a: Type, b: Type, *, trans: bool) -> Type:
    n = square(a)
    floating(a, b)
    same_lead(a, b)
    if not isinstance(trans, bool):
        raise OpError(f"trans={trans!r}", "trans is True or False")
    if int(b.shape[-2]) != n:
        raise OpError(f"{b.describe()} as right sides of {a.describe()}", f"they need {n} rows")
    return b.with_(layout=None)


def each(function: Callable[..., Any], failed: Any, *stacks: Any) -> Any:
    """`function` on every matrix of the stacks, and `failed` (a number) where it is singular."""
    lead = stacks[0].shape[:-2]
    found = []
    for at in np.ndindex(*lead):
        try:
            found.append(function(*(s[at].astype(np.float64) for s in stacks)))
        except np.linalg.LinAlgError:
            found.append(np.full(stacks[-1][at].shape, failed))
    return np.array(found).reshape((*lead, *stacks[-1].shape[-2:]))


def _eval_solve(a: Any, b: Any, *, trans: bool) -> Any:
    a, spoilt = without_nan(np.swapaxes(a, -1, -2) if trans else a)
    return np.where(spoilt, np.nan, each(np.linalg.solve, np.nan, a, b))


def _emit_solve(y: Node) -> Routine:
    n, k, batch = int(y.shape[-2]), int(y.shape[-1]), batch_count(y.shape, 2)
    words = {"n": n, "k": k}
    eliminate = filled(_ELIMINATE, swap=filled(_SWAP_RIGHT, **words),
                       row=filled(_ROW_RIGHT, **words), **words)
    at = f"j * {n} + i" if y.attrs["trans"] else f"i * {n} + j"
    text = filled(_SOLVE, eliminate=eliminate, at=at, T=kernel_dtype(y.type), **words)
    return Routine(text, {"item": batch}, (Workspace(f64, n * n), Workspace(f64, n * k)),
                   flops=batch * (2 * n ** 3 // 3 + 2 * n * n * k))


def _grad_solve(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """b' = op(a)^-T g, a' = -b' y^T (Giles 2008, 2.2.3)."""
    trans = y.attrs["trans"]
    below = make(SOLVE, (a, g), trans=not trans)
    outer = matmul(y, swap(below)) if trans else matmul(below, swap(y))
    return neg(outer), below


def regular(rng: np.random.Generator, *shape: int) -> Any:
    """f32 matrices that are well conditioned and whose elimination has to exchange rows."""
    n = shape[-1]
    x = rng.uniform(-1, 1, shape) / n + 1.5 * np.eye(n)
    return np.flip(x, -2).astype(np.float32)


def _sample_solve() -> Iterator[Any]:
    rng = np.random.default_rng(33)
    for shape, k in (((1, 1), 1), ((3, 3), 2), ((2, 1, 5, 5), 4)):
        b = rng.uniform(-1, 1, (*shape[:-1], k)).astype(np.float32)
        yield (regular(rng, *shape), b), {"trans": False}
        yield (regular(rng, *shape), b), {"trans": True}


SOLVE = register(Op(
    "solve", Kind.ROUTINE, _infer_solve, _eval_solve, _grad_solve, _emit_solve, _sample_solve, (1,),
    "x with a x = b (or a^T x = b: trans), by LU with partial pivoting in f64; NaN where a "
    "is singular or not finite", defaults=lambda *types, **_: {"trans": False}))


# --- determinant ----------------------------------------------------------------------------------

_SLOGDET = """
def slogdet(a, sign, logabs, lu, item):
    base = item * ($n * $n)
    for i in range($n * $n):
        lu[base + i] = f64(a[base + i])
    parity = 1.0
$eliminate
    total = 0.0
    for i in range($n):
        d = lu[base + i * ($n + 1)]
        total += log_f64(abs(d))
        if d < 0.0:
            parity = -parity
        if d == 0.0:
            parity = 0.0
        if d != d:
            parity = d
    if parity == 0.0:
        total = -inf
    sign[item] = $T(parity)
    logabs[item] = $T(total)
"""


def _infer_slogdet(a: Type) -> TupleType:
    square(a)
    one = a.with_(shape=a.shape[:-2], layout=None)
    return TupleType((one, one))


def _eval_slogdet(a: Any) -> Any:
    sign, logabs = np.linalg.slogdet(np.asarray(a, np.float64))
    return np.where(np.isnan(logabs), np.nan, sign), logabs


def _emit_slogdet(y: Node) -> Routine:
    a = y.args[0]
    n, batch = int(a.shape[-1]), batch_count(a.shape, 2)
    eliminate = filled(_ELIMINATE, n=n, swap="            parity = -parity", row="")
    text = filled(_SLOGDET, n=n, eliminate=eliminate, T=kernel_dtype(a.type))
    return Routine(text, {"item": batch}, (Workspace(f64, n * n),), flops=batch * 2 * n ** 3 // 3)


def identity_like(a: Node) -> Node:
    """Identity matrices of the shape and dtype of a [..., n, n]."""
    from dlc.ops.matrix import diagonal_only

    return diagonal_only(leaf.constant(1.0, a.type.with_(layout=None)))


def _pull_slogdet(node: Node, given: Mapping[int, Node]) -> Sequence[Node | None]:
    """log|det a|' = a^-T (Giles 2008, 2.2.4); the sign is constant."""
    a = node.args[0]
    if 1 not in given:
        return (None,)
    inverse = make(SOLVE, (a, identity_like(a)), trans=True)
    return (inverse * reshape(given[1], (*a.shape[:-2], 1, 1)),)


def _sample_slogdet() -> Iterator[Any]:
    rng = np.random.default_rng(34)
    for shape in ((1, 1), (4, 4), (2, 3, 5, 5)):
        yield (regular(rng, *shape),), {}


SLOGDET = register(Op(
    "slogdet", Kind.ROUTINE, _infer_slogdet, _eval_slogdet, None, _emit_slogdet, _sample_slogdet,
    doc="(sign, log |det a|), (0, -inf) where a is singular", pull=_pull_slogdet))
