"""Contractions: sums of products of two operands. Batched matmul and N-dimensional convolution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.graph import Kind, Node, Op, OpError, describe, make
from dlc.ops import register
from dlc.ops.access import Access, Condition, Contraction, Divides, Index, Piece, Within
from dlc.ops.convert import as_node, broadcast_to, cast
from dlc.ops.samples import spread
from dlc.ops.view import flip, reshape, transpose
from dlc.types import Type, accumulator, promote

# --- matmul ---------------------------------------------------------------------------------------


def _infer_matmul(a: Type, b: Type) -> Type:
    if a.ndim < 2 or a.ndim != b.ndim:
        raise OpError(f"{a.describe()} and {b.describe()} are no two stacks of matrices")
    if a.dtype is not b.dtype or not a.dtype.is_float:
        raise OpError(f"needs two floats of one dtype, not {a.dtype} and {b.dtype}")
    if tuple(a.shape[:-2]) != tuple(b.shape[:-2]):
        raise OpError(f"batch dimensions differ: {a.describe()} and {b.describe()}")
    if a.shape[-1] != b.shape[-2]:
        raise OpError(
            f"inner dimensions differ: {int(a.shape[-1])} columns of {a.describe()} against "
            f"{int(b.shape[-2])} rows of {b.describe()}",
            f"the second operand needs shape [{int(a.shape[-1])}, {int(b.shape[-1])}]")
    return a.with_(shape=(*a.shape[:-1], b.shape[-1]), layout=None)


def _eval_matmul(a: Any, b: Any) -> Any:
    # f64 makes the reference exact to f32's rounding whatever the order
    return np.matmul(a.astype(np.float64), b.astype(np.float64))


def swap(x: Node) -> Node:
    """x with its last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _matmul_contraction(y: Node) -> Contraction:
    r = y.ndim
    return Contraction(
        (int(y.args[0].shape[-1]),), tuple(range(r - 2)), (r - 2,), (r - 1,),
        lambda out, inner: Access((Piece(0, (*out[:-1], inner[0])),)),
        lambda out, inner: Access((Piece(1, (*out[:-2], inner[0], out[-1])),)))


def _sample_matmul() -> Iterator[Any]:
    rng = np.random.default_rng(11)
    for lead, m, k, n in (((), 3, 4, 5), ((), 1, 7, 1), ((2,), 3, 2, 4), ((), 33, 65, 34)):
        yield (spread(rng, (*lead, m, k), -2, 2), spread(rng, (*lead, k, n), -2, 2)), {}


MATMUL: Op = register(Op(
    "matmul", Kind.CONTRACT, _infer_matmul, _eval_matmul,
    lambda g, y, a, b: (make(MATMUL, (g, swap(b))), make(MATMUL, (swap(a), g))),
    _matmul_contraction, _sample_matmul, (0, 1), "matrix product of the last two axes, batched"))


def matmul(a: Any, b: Any) -> Node:
    """NumPy's matmul: 1-d operands are row and column vectors, batch dimensions broadcast."""
    x, y = as_node(a), as_node(b)
    if x.ndim == 0 or y.ndim == 0:
        raise DlcError(f"matmul({describe(x)}, {describe(y)}): an operand is a scalar", here(),
                       "use * to scale")
    kind = promote(x.dtype, y.dtype)
    x, y = cast(x, kind), cast(y, kind)
    left = reshape(x, (1, *x.shape)) if x.ndim == 1 else x
    right = reshape(y, (*y.shape, 1)) if y.ndim == 1 else y
    out = _matmul_stacks(left, right)
    if x.ndim == 1:
        out = reshape(out, (*out.shape[:-2], out.shape[-1]))
    return reshape(out, out.shape[:-1]) if y.ndim == 1 else out


def _matmul_stacks(x: Node, y: Node) -> Node:
    """Equal ranks by broadcasting; a stack times one matrix is a single, taller product."""
    if y.ndim == 2 and x.ndim > 2:
        flat = make(MATMUL, (reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y))
        return reshape(flat, (*x.shape[:-1], y.shape[-1]))
    lead = _broadcast_lead(x, y)
    return make(MATMUL, (broadcast_to(x, (*lead, *x.shape[-2:])),
                         broadcast_to(y, (*lead, *y.shape[-2:]))))


def _broadcast_lead(x: Node, y: Node) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    except ValueError:
        raise DlcError(f"matmul({describe(x)}, {describe(y)}): batch dimensions do not broadcast",
                       here()) from None


# --- convolution ----------------------------------------------------------------------------------
#
# x [N, (G,) C, S...] and w [(G,) O, C, K...] give y [N, (G,) O, S'...]. The optional group axis G
# is
# a batch axis of the contraction; with it the operator is closed under differentiation.


def _conv_sizes(x: Type, w: Type, grouped: bool, attrs: dict[str, Any]) -> list[tuple[int, int]]:
    """(dilated input, output) size per spatial axis. Raises OpError when a window does not fit."""
    lead = 3 if grouped else 2
    sizes = []
    lengths = [len(attrs[k]) for k in ("stride", "padding", "lhs_dilation", "rhs_dilation")]
    if set(lengths) != {x.ndim - lead}:
        raise OpError(f"{lengths} entries of stride, padding and dilations",
                      f"one for each of {x.ndim - lead} spatial axes")
    for a in range(x.ndim - lead):
        s, (lo, hi) = attrs["stride"][a], attrs["padding"][a]
        ld, rd = attrs["lhs_dilation"][a], attrs["rhs_dilation"][a]
        if min(s, ld, rd) < 1:
            raise OpError(f"spatial axis {a}: stride {s}, dilation {rd}", "both must be at least 1")
        dilated = max(0, (int(x.shape[lead + a]) - 1) * ld + 1)
        window = (int(w.shape[lead + a]) - 1) * rd + 1
        if int(w.shape[lead + a]) < 1 or dilated + lo + hi < window:
            raise OpError(f"spatial axis {a}: a kernel of {window} does not fit into "
                          f"{dilated} + padding {lo} + {hi}", "pad more or take a smaller kernel")
        sizes.append((dilated, (dilated + lo + hi - window) // s + 1))
    return sizes


def _infer_conv(x: Type, w: Type, *, grouped: bool, **attrs: Any) -> Type:
    lead = 3 if grouped else 2
    if x.ndim != w.ndim or x.ndim <= lead:
        raise OpError(f"input {x.describe()} and kernel {w.describe()} differ in rank",
                      "input [N, C, S...] takes a kernel [O, C, K...]")
    if x.dtype is not w.dtype or not x.dtype.is_float:
        raise OpError(f"needs two floats of one dtype, not {x.dtype} and {w.dtype}")
    if x.shape[lead - 1] != w.shape[lead - 1] or (grouped and x.shape[1] != w.shape[0]):
        raise OpError(f"input {x.describe()} has {int(x.shape[lead - 1])} channels, kernel "
                      f"{w.describe()} takes {int(w.shape[lead - 1])}")
    sizes = [n for _, n in _conv_sizes(x, w, grouped, attrs)]
    head = (x.shape[0], *((x.shape[1],) if grouped else ()), w.shape[lead - 2])
    return x.with_(shape=(*head, *sizes), layout=None)


def _eval_conv(x: Any, w: Any, *, grouped: bool, stride: Any, padding: Any, lhs_dilation: Any,
               rhs_dilation: Any) -> Any:
    if not grouped:
        x, w = x[:, None], w[None]
    n = len(stride)
    dilated: Any = np.zeros((*x.shape[:3], *((d - 1) * ld + 1 + max(lo, 0) + max(hi, 0) for d, ld, (
        lo, hi) in zip(x.shape[3:], lhs_dilation, padding, strict=True))), np.float64)
    dilated[(..., *(slice(max(lo, 0), max(lo, 0) + (d - 1) * ld + 1, ld) for d, ld, (lo, _) in zip(
        x.shape[3:], lhs_dilation, padding, strict=True)))] = x
    cut = tuple(slice(max(-lo, 0), dilated.shape[3 + a] - max(-hi, 0))
                for a, (lo, hi) in enumerate(padding))
    from dlc.ops.window import _eval_window

    windows = _eval_window(dilated[(..., *cut)], size=w.shape[3:], stride=stride,
                           dilation=rhs_dilation)
    spatial, taps = "uvw"[:n], "xyz"[:n]
    y = np.einsum(f"ngc{spatial}{taps},goc{taps}->ngo{spatial}", windows, w.astype(np.float64),
                  optimize=True)
    return y if grouped else y[:, 0]


def _usual_conv(x: Type, w: Type, *, grouped: bool = False, **_: Any) -> dict[str, Any]:
    n = x.ndim - (3 if grouped else 2)
    ones = (1,) * n
    return {"grouped": False, "stride": ones, "padding": ((0, 0),) * n, "lhs_dilation": ones,
            "rhs_dilation": ones}


def _conv_contraction(y: Node) -> Contraction:
    x, w = y.args
    grouped, attrs = y.attrs["grouped"], y.attrs
    lead = 3 if grouped else 2
    n = x.ndim - lead
    group = (1,) if grouped else ()

    def read_x(out: Index, inner: Index) -> Access:
        source: list[Any] = []
        conditions: list[Condition] = []
        for a in range(n):
            at = (out[lead + a] * attrs["stride"][a] + inner[1 + a] * attrs["rhs_dilation"][a]
                  - attrs["padding"][a][0])
            gap, d = attrs["lhs_dilation"][a], int(x.shape[lead + a])
            if gap > 1:
                conditions += [Divides(at, gap), Within(at, 0, (d - 1) * gap + 1)]
                at = at // gap
            elif attrs["padding"][a] != (0, 0):
                conditions.append(Within(at, 0, d))
            source.append(at)
        head = (out[0], *(out[g] for g in group), inner[0])
        return Access((Piece(0, (*head, *source), tuple(conditions)),))

    def read_w(out: Index, inner: Index) -> Access:
        return Access((Piece(1, (*(out[g] for g in group), out[lead - 1], *inner)),))

    # rows are the output channels: the kernel is the left operand of the product
    spatial = tuple(range(lead, y.ndim))
    return Contraction(tuple(map(int, w.shape[lead - 1:])), group, (lead - 1,), (0, *spatial),
                       read_w, read_x)


def _grad_conv(g: Node, y: Node, x: Node, w: Node) -> tuple[Node, Node]:
    """Both gradients are convolutions again, with strides and dilations exchanged."""
    at, grouped = y.attrs, y.attrs["grouped"]
    lead = 3 if grouped else 2
    n = x.ndim - lead
    spatial = range(n)
    dil = [(int(x.shape[lead + a]) - 1) * at["lhs_dilation"][a] + 1 for a in spatial]
    win = [(int(w.shape[lead + a]) - 1) * at["rhs_dilation"][a] + 1 for a in spatial]
    out = [(int(y.shape[lead + a]) - 1) * at["stride"][a] + 1 for a in spatial]
    low = [at["padding"][a][0] for a in spatial]
    for_x = tuple((win[a] - 1 - low[a], dil[a] + low[a] - out[a]) for a in spatial)
    for_w = tuple((low[a], out[a] - dil[a] + win[a] - low[a] - 1) for a in spatial)
    sp = tuple(range(lead, y.ndim))
    gr = (1,) if grouped else ()
    turned = transpose(flip(w, sp), (*((0, 2, 1) if grouped else (1, 0)), *sp))
    dx = make(CONV, (g, turned), grouped=grouped, stride=at["lhs_dilation"], padding=for_x,
              lhs_dilation=at["stride"], rhs_dilation=at["rhs_dilation"])
    xt = transpose(x, (lead - 1, *gr, 0, *sp))
    gt = transpose(g, ((1, 2, 0) if grouped else (1, 0)) + sp)
    dw = make(CONV, (xt, gt), grouped=grouped, stride=at["rhs_dilation"], padding=for_w,
              lhs_dilation=at["lhs_dilation"], rhs_dilation=at["stride"])
    return dx, transpose(dw, ((1, 2, 0) if grouped else (1, 0)) + sp)


def _sample_conv() -> Iterator[Any]:
    rng = np.random.default_rng(12)

    def case(x: Any, w: Any, stride: Any, padding: Any, ld: Any, rd: Any, grouped: bool) -> Any:
        return (spread(rng, x, -2, 2), spread(rng, w, -2, 2)), {
            "stride": stride, "padding": padding, "lhs_dilation": ld, "rhs_dilation": rd,
            "grouped": grouped}

    yield case((2, 3, 6, 5), (4, 3, 3, 2), (1, 1), ((1, 1), (0, 1)), (1, 1), (1, 1), False)
    yield case((2, 2, 7, 8), (3, 2, 3, 3), (2, 3), ((2, 1), (1, 2)), (1, 1), (1, 2), False)
    yield case((1, 2, 4, 4), (3, 2, 2, 2), (1, 1), ((1, 1), (1, 1)), (2, 3), (1, 1), False)
    yield case((2, 2, 3, 5), (2, 4, 3, 2), (1,), ((1, 0),), (1,), (1,), True)


CONV = register(Op(
    "conv", Kind.CONTRACT, _infer_conv, _eval_conv, _grad_conv, _conv_contraction, _sample_conv,
    (0, 1), "cross-correlation of [N, C, S...] with [O, C, K...]; with a group axis: "
    "[N, G, C, S...] with [G, O, C, K...]", defaults=_usual_conv))


def per_axis(value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """One number per spatial axis; an int stands for all."""
    return (value,) * n if isinstance(value, int) else tuple(value)


def conv_padding(padding: Any, x: Node, w: Node, stride: Sequence[int],
                 dilation: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(low, high) per spatial axis from an int, ints, pairs, "valid" or "same"."""
    n = x.ndim - 2
    if padding == "valid":
        return ((0, 0),) * n
    if padding == "same":
        total = [max(0, (-(-int(x.shape[2 + a]) // stride[a]) - 1) * stride[a]
                     + (int(w.shape[2 + a]) - 1) * dilation[a] + 1 - int(x.shape[2 + a]))
                 for a in range(n)]
        return tuple((t // 2, t - t // 2) for t in total)
    if isinstance(padding, int):
        return ((padding, padding),) * n
    return tuple((p, p) if isinstance(p, int) else (int(p[0]), int(p[1])) for p in padding)


def conv(x: Any, w: Any, stride: int | Sequence[int] = 1, padding: Any = 0,
         dilation: int | Sequence[int] = 1, groups: int = 1) -> Node:
    """Cross-correlation of x [N, C, S...] with w [O, C/groups, K...]: [N, O, S'...].

    `padding` is an int, one int or (low, high) per axis, "same" or "valid". Raises DlcError when
    channels do not divide into groups or the kernel does not fit.
    """
    a, b = as_node(x), as_node(w)
    n = a.ndim - 2
    if groups < 1 or b.ndim != a.ndim or a.shape[1] % groups or b.shape[0] % groups:
        raise DlcError(f"conv({describe(a)}, {describe(b)}): groups={groups} does not divide the "
                       f"channels, or ranks differ", here(),
                       "input [N, C, S...], kernel [O, C, K...]")
    attrs: dict[str, Any] = {"stride": per_axis(stride, n), "lhs_dilation": (1,) * n,
             "rhs_dilation": per_axis(dilation, n)}
    attrs["padding"] = conv_padding(padding, a, b, attrs["stride"], attrs["rhs_dilation"])
    if groups == 1:
        return make(CONV, (a, b), grouped=False, **attrs)
    a = reshape(a, (a.shape[0], groups, a.shape[1] // groups, *a.shape[2:]))
    b = reshape(b, (groups, b.shape[0] // groups, *b.shape[1:]))
    y = make(CONV, (a, b), grouped=True, **attrs)
    return reshape(y, (y.shape[0], y.shape[1] * y.shape[2], *y.shape[3:]))


def exclusive_products(x: Node, axes: tuple[int, ...]) -> Node:
    """For each element, the product of all others over `axes`."""
    from dlc.ops.elementwise import where
    from dlc.ops.leaf import iota
    from dlc.ops.reduce import kept_axes, prod

    kept = kept_axes(x.ndim, axes)
    flat = reshape(transpose(x, (*kept, *axes)), (*(x.shape[a] for a in kept), -1))
    n = int(flat.shape[-1])
    square = (*flat.shape[:-1], n, n)
    same = iota(square, flat.ndim - 1) == iota(square, flat.ndim)
    wide = broadcast_to(reshape(flat, (*flat.shape[:-1], 1, n)), square)
    others = prod(where(same, 1.0, wide), -1)
    back = reshape(others, tuple(x.shape[a] for a in (*kept, *axes)))
    return transpose(back, tuple(int(i) for i in np.argsort((*kept, *axes))))


def accumulate_dtype(y: Node) -> Any:
    """The dtype in which a contraction adds up."""
    return accumulator(y.dtype)
