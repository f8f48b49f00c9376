"""Pooling over windows of the last axes: maxima, means, norms; adaptive, global, and unpooling.

Every one is a composition: windows are a view, the reduction over them is one kernel, and where
windows overlap their gradients add up (`fold`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import accumulator, f32
from dlc.lang.array.convolution import (
    Pads,
    PerAxis,
    numbers_for_varying,
    over_windows,
    per_axis,
    reach,
    whole_numbers,
    window_pads,
)
from dlc.lang.array.linear_maps import along
from dlc.ops.convert import as_node, broadcast_to, cast, in_accumulator
from dlc.ops.elementwise import abs_, clip, maximum, power, sqrt, where
from dlc.ops.gather import SCATTER_ADD, checked_index
from dlc.ops.leaf import constant, iota
from dlc.ops.reduce import argmax, lowest, max_, mean, sum_
from dlc.ops.varying import is_varying, present
from dlc.ops.view import pad, reshape, transpose
from dlc.ops.window import window


class Pool:
    """The windows of one pooling: sizes, steps and padding per spatial axis, all checked.

    `counts` is how many windows there are, `high` the padding after the end with what rounding up
    (`ceil_mode`) adds to it. Raises DlcError for numbers that fit no pooling.
    """

    def __init__(self, what: str, x: Any, size: PerAxis, stride: PerAxis | None = None,
                 padding: Any = 0, dilation: PerAxis = 1, ceil_mode: bool = False) -> None:
        self.x = as_node(x)
        n = spatial_axes(what, self.x, size)
        self.what, self.n = what, n
        self.extents = tuple(map(int, self.x.shape[self.x.ndim - n:]))
        self.size, self.stride, self.dilation = whole_numbers(
            what, n, 1, size=size, stride=size if stride is None else stride, dilation=dilation)
        self.reach = reach(self.size, self.dilation)
        self.pads: Pads = window_pads(what, padding, self.extents, self.reach, self.stride)
        if any(min(p) < 0 for p in self.pads):
            raise DlcError(f"{what}: padding={padding!r} is negative", here(),
                           "a slice cuts: x[..., 1:]")
        numbers_for_varying(what, self.x, n, "ceil_mode" if ceil_mode else padding, self.stride)
        self.counts = tuple(self._count(a, ceil_mode) for a in range(n))
        self.high = tuple(max(hi, (c - 1) * s + r - d - lo) for c, s, r, d, (lo, hi) in zip(
            self.counts, self.stride, self.reach, self.extents, self.pads, strict=True))

    def none_hidden(self) -> Pool:
        """The pool itself; raises DlcError where a window has no element of the input."""
        for a in range(self.n):
            if 0 in self.inside(a):
                raise DlcError(f"{self.what} of {describe(self.x)}: spatial axis {a}: padding "
                               f"{self.pads[a]} hides a whole window of {self.reach[a]}", here(),
                               f"padding is at most {self.reach[a] - 1}, and less for small inputs")
        return self

    def _count(self, a: int, ceil_mode: bool) -> int:
        """How many windows stand along axis `a`."""
        (lo, hi), d, r, s = self.pads[a], self.extents[a], self.reach[a], self.stride[a]
        room = d + lo + hi - r
        if room < 0 and not (ceil_mode and room > -s):
            raise DlcError(f"{self.what} of {describe(self.x)}: spatial axis {a}: a window of {r} "
                           f"does not fit into {d} + padding {lo} + {hi}", here(),
                           "pad more or take a smaller window")
        if not ceil_mode:
            return room // s + 1
        count = -(-room // s) + 1
        # the last window starts inside the input or the padding before it
        return count - 1 if (count - 1) * s >= d + lo else count

    def positions(self, a: int) -> np.ndarray:
        """The coordinates [windows, size] of the windows' elements along axis `a`."""
        starts = np.arange(self.counts[a]) * self.stride[a] - self.pads[a][0]
        return starts[:, None] + np.arange(self.size[a]) * self.dilation[a]

    def inside(self, a: int, padded: bool = False) -> list[int]:
        """How many elements of each window lie in the input (`padded`: or in its padding)."""
        at, (lo, hi) = self.positions(a), self.pads[a]
        low, high = (-lo, self.extents[a] + hi) if padded else (0, self.extents[a])
        return [int(n) for n in ((at >= low) & (at < high)).sum(1)]

    def windows(self, x: Node, fill: float) -> Node:
        """[..., counts..., size...] of x, with `fill` around it."""
        lead = (0,) * (x.ndim - self.n)
        low = (*lead, *(p[0] for p in self.pads))
        there = present(x, tuple(range(x.ndim - self.n, x.ndim)), fill)
        padded = pad(there, low, (*lead, *self.high), fill)
        found = window(padded, self.size, self.stride, self.dilation)
        return over_windows(self.what, found, x, self.n, self.reach, self.stride, self.pads)

    @property
    def axes(self) -> tuple[int, ...]:
        """The window axes of `windows`."""
        return tuple(range(self.x.ndim, self.x.ndim + self.n))


def spatial_axes(what: str, x: Node, size: Any) -> int:
    """How many trailing axes are pooled: as many as `size` has entries; for an int all but two.

    Raises DlcError when x has not that many.
    """
    n = x.ndim - 2 if isinstance(size, int) else len(size)
    if not 1 <= n <= x.ndim:
        raise DlcError(f"{what}({describe(x)}): size {size!r} is for {max(n, 1)} spatial axes",
                       here(), "the input is [batch, channels, sizes...], or give one entry for "
                       "each trailing axis")
    return n


def max_pool(x: Any, size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
             dilation: PerAxis = 1, ceil_mode: bool = False) -> Node:
    """Maxima over windows of the last axes: [..., S...] -> [..., S'...].

    `stride` defaults to `size`; `padding` (which is never the maximum) as in `conv`. `ceil_mode`
    rounds the number of windows up, as PyTorch does. NaN wins. At ties the gradient goes to the
    first element of the window in row-major order. Raises DlcError if no window fits.
    """
    pool = Pool("max_pool", x, size, stride, padding, dilation, ceil_mode).none_hidden()
    y = max_(pool.windows(pool.x, lowest(pool.x.dtype)), pool.axes, ties="first")
    return present(y, tuple(range(y.ndim - pool.n, y.ndim)), 0)


def max_pool_with_indices(x: Any, size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
                          dilation: PerAxis = 1, ceil_mode: bool = False) -> tuple[Node, Node]:
    """(`max_pool`, the i32 positions of its maxima in the flat input plane [S...]); the first at
    ties, like PyTorch's return_indices. `max_unpool` takes them."""
    pool = Pool("max_pool", x, size, stride, padding, dilation, ceil_mode).none_hidden()
    windows = pool.windows(pool.x, lowest(pool.x.dtype))
    return max_(windows, pool.axes, ties="first"), _flat_positions(pool, argmax(windows, pool.axes))


def _flat_positions(pool: Pool, chosen: Node) -> Node:
    """Positions in the input plane of element `chosen` (row-major) of each window."""
    flat: Node = constant(0, chosen.type)
    lead, inner = chosen.ndim - pool.n, chosen
    offsets: list[Node] = []
    for k in reversed(pool.size):
        offsets.insert(0, inner % k)
        inner = inner // k
    for a, (offset, d) in enumerate(zip(offsets, pool.extents, strict=True)):
        start = iota(chosen.shape, lead + a) * pool.stride[a] - pool.pads[a][0]
        # a window of nothing but the lowest value finds it in the padding first
        at = clip(start + offset * pool.dilation[a], 0, d - 1)
        flat = flat * d + at
    return flat


def avg_pool(x: Any, size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
             ceil_mode: bool = False, count_include_pad: bool = True,
             divisor: int | None = None) -> Node:
    """Means over windows of the last axes: [..., S...] -> [..., S'...].

    Padding counts as zeros, or with count_include_pad=False not at all; what `ceil_mode` adds
    beyond it never counts. `divisor` replaces the number of elements. Integers give f32.
    """
    pool = Pool("avg_pool", x, size, stride, padding, 1, ceil_mode).none_hidden()
    if divisor == 0:
        raise DlcError("avg_pool: divisor=0", here(), "it is not 0; None counts the elements")
    node = pool.x if pool.x.dtype.is_float else cast(pool.x, f32)
    if not count_include_pad and any(map(is_varying, node.shape[node.ndim - pool.n:])):
        raise DlcError(f"avg_pool({describe(node)}): count_include_pad=False of rows whose lengths "
                       "differ", here(), "pad with numbers that count, or not at all")
    windows = pool.windows(node, 0.0)
    counts = [pool.inside(a, count_include_pad) for a in range(pool.n)]
    if divisor is None and all(set(c) == {k} for c, k in zip(counts, pool.size, strict=True)):
        divisor = math.prod(pool.size)
    total = sum_(cast(windows, accumulator(node.dtype)), pool.axes)
    if divisor is not None:  # for sums of a few elements a division would take longer than they do
        return cast(total * (1.0 / divisor), node.dtype)
    for a, found in enumerate(counts):
        shape = (len(found), *(1,) * (pool.n - a - 1))
        share = np.asarray(1.0 / np.asarray(found), total.dtype.numpy).reshape(shape)
        total = total * as_node(share)
    return cast(total, node.dtype)


@in_accumulator
def lp_pool(x: Any, p: float, size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
            dilation: PerAxis = 1, ceil_mode: bool = False) -> Node:
    """The p-norm of each window: (sum |x|^p)^(1/p); p >= 1, infinity is the largest |x|.

    Where all elements are 0 the gradient is 0.
    """
    pool = Pool("lp_pool", x, size, stride, padding, dilation, ceil_mode)
    if not p >= 1:
        raise DlcError(f"lp_pool: p={p!r}", here(), "a norm needs p >= 1")
    size_of = abs_(pool.windows(pool.x, 0.0))
    if p == math.inf:
        return max_(size_of, pool.axes, ties="first")
    if p == 1:
        return sum_(size_of, pool.axes)
    total = sum_(size_of * size_of if p == 2 else power(size_of, float(p)), pool.axes)
    some = total > 0
    safe = where(some, total, 1.0)
    return where(some, sqrt(safe) if p == 2 else power(safe, 1.0 / p), 0.0)


# --- adaptive and global --------------------------------------------------------------------------


def bins(size: int, count: int) -> list[tuple[int, int]]:
    """`count` bins that cover `size`: bin i is floor(i size / count) .. ceil((i + 1) size / count),
    as in PyTorch's adaptive pools."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _adaptive(what: str, x: Any, size: Any) -> tuple[Node, tuple[int, ...]]:
    """x and the sizes of the result; None keeps that of x."""
    node = as_node(x)
    n = spatial_axes(what, node, size)
    wanted = per_axis(size, n)
    if any(map(is_varying, node.shape[node.ndim - n:])):
        raise DlcError(f"{what}({describe(node)}): its bins depend on each row's length", here(),
                       "global_avg_pool, or a mean over the axis, counts what is there")
    own = tuple(map(int, node.shape[node.ndim - n:]))
    sizes = tuple(d if w is None else w for w, d in zip(wanted, own, strict=True))
    whole_numbers(what, n, 1, size=sizes)
    if 0 in own:
        raise DlcError(f"{what} of {describe(node)}: a spatial axis is empty", here())
    return node, sizes


def adaptive_avg_pool(x: Any, size: Any) -> Node:
    """Means over bins that cover each of the last axes: [..., S...] -> [..., size...].

    `size` is an int or one per axis, None keeps an axis. Bin i is floor(i S / size) .. ceil((i + 1)
    S / size), so bins overlap if `size` does not divide S. Same meaning as in PyTorch.
    """
    node, sizes = _adaptive("adaptive_avg_pool", x, size)
    own = tuple(map(int, node.shape[node.ndim - len(sizes):]))
    if all(d % s == 0 for d, s in zip(own, sizes, strict=True)):
        return avg_pool(node, tuple(d // s for d, s in zip(own, sizes, strict=True)))
    y = node if node.dtype.is_float else cast(node, f32)
    kind = y.dtype
    for a, (d, s) in enumerate(zip(own, sizes, strict=True)):
        weights = np.zeros((s, d))
        for i, (low, high) in enumerate(bins(d, s)):
            weights[i, low:high] = 1.0 / (high - low)
        y = along(y, node.ndim - len(sizes) + a, weights)
    return cast(y, kind)


def adaptive_max_pool(x: Any, size: Any) -> Node:
    """Maxima over the bins of `adaptive_avg_pool`; at ties the gradient goes to the first."""
    return adaptive_max_pool_with_indices(x, size)[0]


def adaptive_max_pool_with_indices(x: Any, size: Any) -> tuple[Node, Node]:
    """(`adaptive_max_pool`, i32 positions of the maxima in the flat input plane)."""
    node, sizes = _adaptive("adaptive_max_pool", x, size)
    own = tuple(map(int, node.shape[node.ndim - len(sizes):]))
    if all(d % s == 0 for d, s in zip(own, sizes, strict=True)):
        return max_pool_with_indices(node, tuple(d // s for d, s in zip(own, sizes, strict=True)))
    return _max_of_bins(node, sizes, own)


def _max_of_bins(x: Node, sizes: Sequence[int], own: Sequence[int]) -> tuple[Node, Node]:
    """Maxima of bins of several lengths: short ones repeat their last element, which changes no
    maximum and is never the first."""
    from dlc.ops.gather import take

    n, lead = len(sizes), x.ndim - len(sizes)
    places = []
    for a, (d, s) in enumerate(zip(own, sizes, strict=True)):
        found = bins(d, s)
        longest = max(high - low for low, high in found)
        places.append(np.array([[min(low + j, high - 1) for j in range(longest)]
                                for low, high in found], np.int32))
        x = take(x, places[-1], lead + 2 * a)
    order = (*range(lead), *range(lead, lead + 2 * n, 2), *range(lead + 1, lead + 2 * n, 2))
    windows = transpose(x, order)
    axes = tuple(range(lead + n, lead + 2 * n))
    chosen = argmax(windows, axes)
    flat: Node = constant(0, chosen.type)
    widths = [p.shape[1] for p in places]
    for a, (d, table) in enumerate(zip(own, places, strict=True)):
        inner = chosen // math.prod(widths[a + 1:]) % widths[a]
        starts = as_node(table[:, 0].reshape(-1, *(1,) * (n - a - 1)))
        last = as_node(table[:, -1].reshape(-1, *(1,) * (n - a - 1)))
        at = starts + inner
        flat = flat * d + where(at < last, at, last)
    return max_(windows, axes, ties="first"), flat


def global_avg_pool(x: Any, keepdims: bool = True) -> Node:
    """Means over all spatial axes: [N, C, S...] -> [N, C, 1...] (or [N, C])."""
    node = _images("global_avg_pool", x)
    return mean(node, tuple(range(2, node.ndim)), keepdims)


def global_max_pool(x: Any, keepdims: bool = True) -> Node:
    """Maxima over all spatial axes: [N, C, S...] -> [N, C, 1...] (or [N, C]); at ties the gradient
    goes to the first."""
    node = _images("global_max_pool", x)
    return max_(node, tuple(range(2, node.ndim)), keepdims, ties="first")


def _images(what: str, x: Any) -> Node:
    node = as_node(x)
    if node.ndim < 3:
        raise DlcError(f"{what}({describe(node)})", here(), "it takes [batch, channels, sizes...]")
    return node


# --- unpooling ------------------------------------------------------------------------------------


def max_unpool(x: Any, indices: Any, size: PerAxis, stride: PerAxis | None = None,
               padding: PerAxis = 0, output_size: Sequence[int] | None = None) -> Node:
    """The inverse of `max_pool_with_indices`: x [..., S'...] at `indices` of a plane [..., S...] of
    zeros (Zeiler and Fergus 2014).

    S is `output_size`, or (S' - 1) * stride - 2 * padding + size. If windows overlap, several x may
    have the same index: that element gets their mean, which is their common value after a
    `max_pool`. An index outside the plane stops the run after the step.
    """
    what = "max_unpool"
    node, at = as_node(x), as_node(indices)
    n = spatial_axes(what, node, size)
    width, border = whole_numbers(what, n, 1, size=size)[0], whole_numbers(
        what, n, 0, padding=padding)[0]
    (step,) = whole_numbers(what, n, 1, stride=size if stride is None else stride)
    if tuple(at.shape) != tuple(node.shape):
        raise DlcError(f"{what}({describe(node)}, {describe(at)})", here(),
                       "values and indices have one shape")
    lead, inner = node.shape[:node.ndim - n], node.shape[node.ndim - n:]
    plane = tuple(output_size[-n:]) if output_size is not None else tuple(
        (int(d) - 1) * s - 2 * p + k
        for d, s, p, k in zip(inner, step, border, width, strict=True))
    whole_numbers(what, n, 1, output_size=plane)
    total, rows = math.prod(plane), math.prod(map(int, lead))
    flat = reshape(checked_index(at, total, what), (rows, math.prod(inner)))
    values = reshape(node, flat.shape)
    y = make(SCATTER_ADD, (flat, values), shape=(rows, total), axis=1, batch=1)
    if any(k > s for k, s in zip(width, step, strict=True)):
        ones = broadcast_to(constant(1, node.type.with_(shape=(), layout=None)), flat.shape)
        hits = make(SCATTER_ADD, (flat, ones), shape=(rows, total), axis=1, batch=1)
        y = y / maximum(hits, 1.0)
    return reshape(y, (*lead, *plane))
