"""Products with names, as NumPy has them: outer, inner, dot, tensordot, kron, cross, multi_dot.

All have the dtype of a sum of their operands' promoted dtype: i32 of bool and integers of 8 and 16
bits, as einsum and @.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array.einsum import LETTERS, Term, arranged, contract_pair, einsum
from dlc.ops.convert import as_nodes, factors
from dlc.ops.elementwise import mul
from dlc.ops.view import concat, reshape, slice_


def outer(a: Any, b: Any) -> Node:
    """a [M...] and b [N...], flattened, to [M, N] of all products."""
    x, y = (reshape(n, (-1,)) for n in factors("outer", a, b))
    return mul(reshape(x, (x.shape[0], 1)), reshape(y, (1, y.shape[0])))


def inner(a: Any, b: Any) -> Node:
    """Sums of products over the last axes: [M..., K] and [N..., K] give [M..., N...]."""
    x, y = factors("inner", a, b)
    if x.ndim == 0 or y.ndim == 0:
        return mul(x, y)
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)), "inner")


def dot(a: Any, b: Any) -> Node:
    """NumPy's dot: over the last axis of a and the last but one of b; scalars scale."""
    x, y = factors("dot", a, b)
    if x.ndim == 0 or y.ndim == 0:
        return mul(x, y)
    return tensordot(x, y, ((x.ndim - 1,), (max(0, y.ndim - 2),)), "dot")


def vdot(a: Any, b: Any) -> Node:
    """The sum of products of all elements, in row-major order: a scalar."""
    x, y = (reshape(n, (-1,)) for n in factors("vdot", a, b))
    return tensordot(x, y, ((0,), (0,)), "vdot")


def tensordot(a: Any, b: Any, axes: Any = 2, what: str = "tensordot") -> Node:
    """Sums of products over pairs of axes: the other axes of a, then those of b.

    `axes` is their number (the last of a with the first of b, in order), or (axes of a, axes of b).
    Raises DlcError for axes that do not exist or differ in size.
    """
    x, y = factors(what, a, b)
    left, right = _dot_axes(what, x, y, axes)
    for i, j in zip(left, right, strict=True):
        if x.shape[i] != y.shape[j]:
            raise DlcError(f"{what}({describe(x)}, {describe(y)}): axis {i} of the first is "
                           f"{int(x.shape[i])}, axis {j} of the second {int(y.shape[j])}", here(),
                           "axes that are summed together have one size")
    free_x = [i for i in range(x.ndim) if i not in left]
    free_y = [j for j in range(y.ndim) if j not in right]
    labels = {("x", i): str(n) for n, i in enumerate((*left, *free_x))}
    labels |= {("y", j): labels["x", i] for i, j in zip(left, right, strict=True)}
    labels |= {("y", j): str(x.ndim + n) for n, j in enumerate(free_y)}
    first = Term(x, tuple(labels["x", i] for i in range(x.ndim)))
    second = Term(y, tuple(labels["y", j] for j in range(y.ndim)))
    out = [labels["x", i] for i in free_x] + [labels["y", j] for j in free_y]
    sizes = {s: int(d) for t in (first, second) for s, d in zip(t.labels, t.node.shape,
                                                                strict=True)}
    return arranged(contract_pair(first, second, set(out), sizes), out, sizes)


def _dot_axes(what: str, x: Node, y: Node, axes: Any) -> tuple[list[int], list[int]]:
    """The summed axes of x and of y, non-negative."""
    pair = (tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))) if isinstance(
        axes, int) and not isinstance(axes, bool) else axes
    try:
        listed = [(p,) if isinstance(p, int) else tuple(int(i) for i in p) for p in pair]
        left, right = listed
    except (TypeError, ValueError):
        raise DlcError(f"{what}({describe(x)}, {describe(y)}): axes={axes!r}", here(),
                       "a number of axes, or (axes of a, axes of b)") from None
    found = []
    for node, chosen in ((x, left), (y, right)):
        at = [i + node.ndim if -node.ndim <= i < 0 else i for i in chosen]
        if any(not 0 <= i < node.ndim for i in at) or len(set(at)) != len(at):
            raise DlcError(f"{what}: axes {chosen} of {describe(node)}", here(),
                           f"its axes are 0 .. {node.ndim - 1}, each once")
        found.append(at)
    if len(found[0]) != len(found[1]):
        raise DlcError(f"{what}: {len(found[0])} axes of the first operand, {len(found[1])} of the "
                       "second", here(), "they are summed in pairs")
    return found[0], found[1]


def kron(a: Any, b: Any) -> Node:
    """The Kronecker product: along each axis, blocks of b scaled by the elements of a."""
    x, y = factors("kron", a, b)
    n = max(x.ndim, y.ndim)
    x = reshape(x, (*(1,) * (n - x.ndim), *x.shape))
    y = reshape(y, (*(1,) * (n - y.ndim), *y.shape))
    wide = mul(reshape(x, tuple(d for s in x.shape for d in (s, 1))),
               reshape(y, tuple(d for s in y.shape for d in (1, s))))
    return reshape(wide, tuple(int(d) * int(e) for d, e in zip(x.shape, y.shape, strict=True)))


def cross(a: Any, b: Any, axis: int = -1) -> Node:
    """The vector product along `axis`, of size 3 in both operands, which broadcast.

    Raises DlcError for an axis of another size.
    """
    x, y = factors("cross", a, b)
    for node in (x, y):
        if not -node.ndim <= axis < node.ndim or node.shape[axis] != 3:
            raise DlcError(f"cross({describe(x)}, {describe(y)}): axis {axis} is not of size 3 in "
                           "both", here(), "a vector product is of three components")
    return mul(_rolled(x, axis, 1), _rolled(y, axis, 2)) - mul(_rolled(x, axis, 2),
                                                               _rolled(y, axis, 1))


def _rolled(x: Node, axis: int, by: int) -> Node:
    """Component i + by in place i, of three."""
    at = axis % x.ndim
    low = [0] * x.ndim
    low[at] = by
    high = [int(d) for d in x.shape]
    high[at] = by
    return concat([slice_(x, low, tuple(map(int, x.shape))), slice_(x, [0] * x.ndim, high)], at)


def bilinear(a: Any, b: Any, weight: Any, bias: Any = None) -> Node:
    """a [..., I] and b [..., J] with weight [O, I, J] (and bias [O]) to [..., O]: a W b."""
    x, y, w, *more = as_nodes(a, b, weight, *(() if bias is None else (bias,)))
    if w.ndim != 3:
        raise DlcError(f"bilinear: the weight is {describe(w)}", here(), "it is [O, I, J]")
    out = einsum("...i,oij,...j->...o", x, w, y)
    return out + more[0] if more else out


def multi_dot(arrays: Sequence[Any]) -> Node:
    """The product of matrices in the cheapest order (Cormen et al., chapter 14.2); the first may be
    a row vector, the last a column vector."""
    nodes = as_nodes(*arrays)
    if len(nodes) < 2 or any(n.ndim != 2 for n in nodes[1:-1]) or any(
            n.ndim not in (1, 2) for n in (nodes[0], nodes[-1])):
        shown = ", ".join(describe(n) for n in nodes)
        raise DlcError(f"multi_dot({shown})", here(),
                       "at least two matrices; the first and the last may be vectors")
    first = 1 if nodes[0].ndim == 1 else 0
    words = [LETTERS[i:i + 2] for i in range(len(nodes))]
    words[0] = words[0][first:]
    words[-1] = words[-1][:nodes[-1].ndim]
    out = (words[0][0] if not first else "") + (words[-1][1] if nodes[-1].ndim == 2 else "")
    return einsum(f"{','.join(words)}->{out}", *nodes)
