"""ONNX's pooling: maximum with places, average, Lp norms, global, and the inverses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import i64
from dlc.onnx.call import Call, Results, array, converts
from dlc.onnx.contract import Pads, pads_of, per_axis
from dlc.onnx.shape import edged
from dlc.ops.convert import widened


@dataclass(frozen=True)
class Windows:
    """Where the windows of a pool lie: `pads` as given, `reached` so that the last one fits."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads
    reached: Pads
    counts: tuple[int, ...]

    def of(self, x: Node, fill: float) -> Node:
        """[N, C, S...] as [N, C, counts..., size...]; what lies outside is `fill`."""
        low, high = zip(*self.reached, strict=True)
        padded = edged(x, (0, 0, *low), (0, 0, *high), fill)
        return dlc.window(padded, self.size, self.stride, self.dilation)

    @property
    def taps(self) -> tuple[int, ...]:
        """The axes of a window's elements."""
        return tuple(range(-len(self.size), 0))


def windows(call: Call, x: Node) -> Windows:
    """The windows of a pooling operator. Raises DlcError where none fits."""
    n = x.ndim - 2
    if n < 1:
        raise DlcError(f"{x.type} is not [N, C, S...]")
    size, stride = per_axis(call, "kernel_shape", n), per_axis(call, "strides", n)
    dilation = per_axis(call, "dilations", n)
    sizes = list(map(int, x.shape[2:]))
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    pads = pads_of(call, sizes, reach, stride)
    if any(min(p) < 0 for p in pads):
        raise DlcError(f"pads {pads}")
    counts = [count(d, r, s, p, call.flag("ceil_mode"))
              for d, r, s, p in zip(sizes, reach, stride, pads, strict=True)]
    if min(counts) < 1:
        raise DlcError(f"windows of {size} do not fit into {x.type} with pads {pads}")
    reached = tuple((low, (c - 1) * s + r - d - low) for c, s, r, d, (low, _) in zip(
        counts, stride, reach, sizes, pads, strict=True))
    return Windows(size, stride, dilation, pads, reached, tuple(counts))


def count(size: int, reach: int, stride: int, pads: tuple[int, int], up: bool) -> int:
    """How many windows there are; rounded up, a last one that starts in the padding is left out."""
    room = size + pads[0] + pads[1] - reach
    found = (-(-room // stride) if up else room // stride) + 1
    return found - (up and (found - 1) * stride >= size + pads[0])


@converts("MaxPool")
def max_pool(call: Call) -> Results:
    """The places are row-major in the whole array, or column-major in each image."""
    x = call.x()
    at = windows(call, x)
    lowest = -math.inf if x.dtype.is_float else float(np.iinfo(x.dtype.numpy).min)
    found = at.of(x, lowest)
    y = dlc.max(found, at.taps, ties="first")
    return (y, places(call, x, found, at)) if call.wants(1) else y


def places(call: Call, x: Node, found: Node, at: Windows) -> Node:
    """i64 positions of the maxima in x."""
    tap = dlc.cast(dlc.argmax(found, at.taps), i64)
    shape, sizes = tuple(tap.shape), tuple(map(int, x.shape[2:]))
    steps = np.cumprod([1, *sizes[:0:-1]])[::-1] if not call.flag("storage_order") else (
        np.cumprod([1, *sizes[:-1]]))
    inner = np.cumprod([1, *at.size[:0:-1]])[::-1]
    total = dlc.iota(shape, 0, i64) * (int(x.shape[1]) * math.prod(sizes))
    total = total + dlc.iota(shape, 1, i64) * math.prod(sizes)
    for a in range(len(sizes)):
        within = tap // int(inner[a]) % at.size[a]
        start = dlc.iota(shape, 2 + a, i64) * at.stride[a] - at.reached[a][0]
        total = total + (start + within * at.dilation[a]) * int(steps[a])
    return total


@converts("AveragePool")
def average_pool(call: Call) -> Results:
    """Over the elements of a window that lie in x, or also those in its declared padding."""
    x = call.x()
    at = windows(call, x)
    total = dlc.sum(at.of(widened(x), 0.0), at.taps)
    call.walk.knows.spend(math.prod(at.counts) * max(at.size), "the divisors of a pool")
    counts = array(divisors(x, at, call.flag("count_include_pad")), total.dtype)
    return dlc.cast(total / counts, x.dtype)


def divisors(x: Node, at: Windows, with_padding: bool) -> np.ndarray:
    """How many elements of each window count, [counts...]."""
    result = np.ones((), int)
    for a, size in enumerate(x.shape[2:]):
        low, high = at.pads[a] if with_padding else (0, 0)
        start = np.arange(at.counts[a])[:, None] * at.stride[a] - at.reached[a][0]
        read = start + np.arange(at.size[a]) * at.dilation[a]
        inside = ((read >= -low) & (read < int(size) + high)).sum(1)
        result = result[..., None] * inside
    return result


@converts("LpPool")
def lp_pool(call: Call) -> Results:
    x, p = call.x(), call.integer("p", 2)
    at = windows(call, x)
    return dlc.cast(root(dlc.sum(raised(at.of(widened(x), 0.0), p), at.taps), p), x.dtype)


def raised(x: Node, p: int) -> Node:
    """|x| ** p"""
    return {1: dlc.abs(x), 2: x * x}.get(p, dlc.power(dlc.abs(x), float(p)))


def root(x: Node, p: int) -> Node:
    return {1: x, 2: dlc.sqrt(x)}.get(p, dlc.power(x, 1.0 / p))


@converts("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def whole(call: Call) -> Results:
    x, p = call.x(), call.integer("p", 2)
    axes = tuple(range(2, x.ndim))
    if call.name == "GlobalLpPool":
        return dlc.cast(root(dlc.sum(raised(widened(x), p), axes, True), p), x.dtype)
    return (dlc.mean if call.name == "GlobalAveragePool" else dlc.max)(x, axes, True)


@converts("MaxUnpool")
def max_unpool(call: Call) -> Results:
    """Zeros with each element at the place that MaxPool found it at."""
    x, index = call.x(0), call.x(1)
    n = x.ndim - 2
    size, stride = per_axis(call, "kernel_shape", n), per_axis(call, "strides", n)
    low = call.integers("pads") or (0,) * (2 * n)
    usual = [(int(d) - 1) * s + k - low[a] - low[a + n]
             for a, (d, s, k) in enumerate(zip(x.shape[2:], stride, size, strict=True))]
    shape = [int(d) for d in x.shape[:2]] + usual
    wanted = call.known_ints(2) or shape
    if len(wanted) != x.ndim or min(wanted) < 1:
        raise DlcError(f"output_shape {wanted} of {x.type}")
    place = replaced(index, shape, wanted)
    zeros = dlc.broadcast_to(array(0, x.dtype), (math.prod(wanted),))
    flat = dlc.scatter(zeros, dlc.reshape(place, (-1,)), dlc.reshape(x, (-1,)))
    return dlc.reshape(flat, tuple(wanted))


def replaced(index: Node, old: Sequence[int], new: Sequence[int]) -> Node:
    """Row-major places in the shape `old` as places in `new`."""
    if list(old) == list(new):
        return index
    total, step_old, step_new = None, 1, 1
    for a in reversed(range(len(old))):
        term = index // step_old % old[a] * step_new
        total = term if total is None else total + term
        step_old, step_new = step_old * old[a], step_new * new[a]
    assert total is not None
    return total


@converts("Col2Im")
def col2im(call: Call) -> Results:
    """Columns [N, C * taps, L] added up into images [N, C, S...]."""
    x, sizes, block = call.x(), call.known_ints(1) or [], call.known_ints(2) or []
    n = len(sizes)
    if x.ndim != 3 or len(block) != n or n < 1 or min(sizes) < 1 or min(block) < 1:
        raise DlcError(f"columns {x.type} for an image {sizes} of blocks {block}")
    stride, dilation = per_axis(call, "strides", n), per_axis(call, "dilations", n)
    low = call.integers("pads") or (0,) * (2 * n)
    extents = [d + low[a] + low[a + n] for a, d in enumerate(sizes)]
    counts = [(e - (k - 1) * d - 1) // s + 1
              for e, k, d, s in zip(extents, block, dilation, stride, strict=True)]
    channels = int(x.shape[1]) // math.prod(block)
    parts = dlc.reshape(x, (int(x.shape[0]), channels, *block, *counts))
    order = (0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n))
    y = fold(dlc.transpose(parts, order), extents, stride, dilation)
    return y[(slice(None), slice(None), *(
        slice(low[a], low[a] + d) for a, d in enumerate(sizes)))]


def fold(x: Node, extents: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Node:
    """Overlapping windows [..., counts..., size...] added up: the transpose of dlc.window."""
    from dlc.ir.graph import make
    from dlc.ops.window import FOLD

    n = len(extents)
    return make(FOLD, (x,), extent=tuple(extents), size=tuple(map(int, x.shape[-n:])),
                stride=tuple(stride), dilation=tuple(dilation))
