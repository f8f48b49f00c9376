"""Contractions: sums of products of two operands. Batched matmul and N-dimensional convolution."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.access import Access, Condition, Contraction, Divides, Index, Piece, Residue, Within
from dlc.ir.graph import Kind, Node, Op, OpError, describe, make
from dlc.ir.registry import register
from dlc.ir.types import Type
from dlc.ops import batch_rules
from dlc.ops.convert import as_nodes, broadcast_to, factors
from dlc.ops.samples import spread
from dlc.ops.varying import present
from dlc.ops.view import flip, reshape, transpose

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
    _matmul_contraction, _sample_matmul, (0, 1), "matrix product of the last two axes, batched",
    batch=batch_rules.matmul, precision="low"))


def matmul(a: Any, b: Any) -> Node:
    """NumPy's matmul: 1-d operands are row and column vectors, batch dimensions broadcast.

    For bool and integers of 8 and 16 bits the result is i32. Raises DlcError for scalars, and for
    inner dimensions that differ.
    """
    x, y = as_nodes(a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise DlcError(f"matmul({describe(x)}, {describe(y)}): an operand is a scalar", here(),
                       "use * to scale")
    x, y = factors("matmul", x, y)
    x, before = present(x, (x.ndim - 1,), 0), x
    if x is before:
        y = present(y, (max(0, y.ndim - 2),), 0)
    left = reshape(x, (1, *x.shape)) if x.ndim == 1 else x
    right = reshape(y, (*y.shape, 1)) if y.ndim == 1 else y
    out = _matmul_stacks(left, right)
    if x.ndim == 1:
        out = reshape(out, (*out.shape[:-2], out.shape[-1]))
    return reshape(out, out.shape[:-1]) if y.ndim == 1 else out


def _matmul_stacks(x: Node, y: Node) -> Node:
    """Equal ranks by broadcasting; a stack times one matrix is a single, taller product."""
    if not x.dtype.is_float and x.shape[-1] == y.shape[-2]:
        return _integer_product(x, y)
    if y.ndim == 2 and x.ndim > 2:
        flat = make(MATMUL, (reshape(x, (math.prod(x.shape[:-1]), x.shape[-1])), y))
        return reshape(flat, (*x.shape[:-1], y.shape[-1]))
    lead = _broadcast_lead(x, y)
    return make(MATMUL, (broadcast_to(x, (*lead, *x.shape[-2:])),
                         broadcast_to(y, (*lead, *y.shape[-2:]))))


def _integer_product(x: Node, y: Node) -> Node:
    """Tiles multiply floats; integers take the sum of products, with the sum's dtype."""
    from dlc.ops.reduce import sum_

    lead, rows, columns = _broadcast_lead(x, y), x.shape[-2], y.shape[-1]
    whole = (*lead, rows, columns, x.shape[-1])
    a = broadcast_to(reshape(x, (*x.shape[:-1], 1, x.shape[-1])), whole)
    turned = swap(y)
    b = broadcast_to(reshape(turned, (*y.shape[:-2], 1, *turned.shape[-2:])), whole)
    return sum_(a * b, len(whole) - 1)


def _broadcast_lead(x: Node, y: Node) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(tuple(x.shape[:-2]), tuple(y.shape[:-2]))
    except ValueError:
        raise DlcError(f"matmul({describe(x)}, {describe(y)}): batch dimensions do not broadcast",
                       here()) from None


# --- convolution ----------------------------------------------------------------------------------
#
# x [N, (G,) C, S...] and w [(G,) O, C, K...] give y [N, (G,) O, S'...]. The optional group axis G
# is a batch axis of the contraction; with it the operator is closed under differentiation.


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


@dataclass(frozen=True)
class _Along:
    """How x is read along a spatial axis: (out * by_out + inner * by_inner + first) / gap, where
    that is whole; w at inner * tap_step + tap_first."""

    by_out: int
    by_inner: int
    first: int
    gap: int
    extent: int
    taps: int
    tap_step: int = 1
    tap_first: int = 0

    def position(self, out: Any, inner: Any) -> tuple[Any, list[Condition]]:
        """The index into x, and when it is one."""
        at = out * self.by_out + inner * self.by_inner + self.first
        if self.gap == 1:
            return at, [Within(at, 0, self.extent)]
        inside = Within(at, 0, (self.extent - 1) * self.gap + 1)
        return at // self.gap, [inside, Divides(at, self.gap)]

    def residues(self) -> Iterator[_Along]:
        """One for each residue of `out` by the number of residues: those reads without a gap."""
        count = self.gap // math.gcd(self.by_out, self.gap)
        step = self.gap // math.gcd(self.by_inner, self.gap)
        for out in range(count):
            start = self.first + out * self.by_out
            tap = next((t for t in range(step) if (start + t * self.by_inner) % self.gap == 0),
                       self.taps)
            yield _Along(self.by_out * count // self.gap, self.by_inner * step // self.gap,
                         (start + tap * self.by_inner) // self.gap, 1, self.extent,
                         max(0, -(-(self.taps - tap) // step)), step, tap)


MOST_RESIDUES = 32  # of a convolution: each is a launch's kernel of its own


def _conv_contraction(y: Node) -> Contraction:
    x, w = y.args
    attrs, lead = y.attrs, 3 if y.attrs["grouped"] else 2
    axes = [_Along(stride, hole, -low, gap, int(x.shape[lead + a]), int(w.shape[lead + a]))
            for a, (stride, hole, (low, _), gap) in enumerate(zip(
                attrs["stride"], attrs["rhs_dilation"], attrs["padding"], attrs["lhs_dilation"],
                strict=True))]
    split = [list(axis.residues()) for axis in axes]
    count = math.prod(map(len, split))
    residues = itertools.product(*map(range, map(len, split))) if 1 < count <= MOST_RESIDUES else ()
    return _conv_reads(y, axes, tuple(_conv_residue(y, split, at) for at in residues))


def _conv_residue(y: Node, split: Sequence[Sequence[_Along]], at: Sequence[int]) -> Residue:
    """The outputs whose spatial indices are at[a] modulo the number of residues along a."""
    lead = y.ndim - len(split)
    steps = [len(axis) for axis in split]
    sizes = [max(0, -(-(int(d) - p) // s))
             for d, p, s in zip(y.shape[lead:], at, steps, strict=True)]
    chosen = [axis[p] for axis, p in zip(split, at, strict=True)]

    def place(out: Index) -> Index:
        moved = (o * s + p for o, s, p in zip(out[lead:], steps, at, strict=True))
        return (*out[:lead], *moved)

    return Residue((*map(int, y.shape[:lead]), *sizes), _conv_reads(y, chosen), place)


def _conv_reads(y: Node, axes: Sequence[_Along], residues: tuple[Residue, ...] = ()) -> Contraction:
    grouped, w = y.attrs["grouped"], y.args[1]
    lead = 3 if grouped else 2
    group = (1,) if grouped else ()

    def read_x(out: Index, inner: Index) -> Access:
        read = [axis.position(o, i) for axis, o, i in zip(axes, out[lead:], inner[1:],
                                                          strict=True)]
        head = (out[0], *(out[g] for g in group), inner[0])
        conditions = tuple(c for _, found in read for c in found)
        return Access((Piece(0, (*head, *(at for at, _ in read)), conditions),))

    def read_w(out: Index, inner: Index) -> Access:
        taps = (i * axis.tap_step + axis.tap_first
                for axis, i in zip(axes, inner[1:], strict=True))
        return Access((Piece(1, (*(out[g] for g in group), out[lead - 1], inner[0], *taps)),))

    # rows are the output channels: the kernel is the left operand of the product
    spatial = tuple(range(lead, y.ndim))
    extents = (int(w.shape[lead - 1]), *(axis.taps for axis in axes))
    return Contraction(extents, group, (lead - 1,), (0, *spatial), read_w, read_x, residues)


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
    "[N, G, C, S...] with [G, O, C, K...]", defaults=_usual_conv, batch=batch_rules.conv,
    precision="low"))
