"""Reading arrays between their elements: grid samples, regions of interest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import i64
from dlc.onnx.call import Call, Results, chosen, converts

Fold = Callable[[Node, int], Node]


def read_at(x: Node, places: Sequence[Node], batch: int, fold: Fold | None = None) -> Node:
    """x [B..., C, S...] at whole positions [B..., P...] an axis: [B..., C, P...].

    Positions outside give 0, or are brought inside by `fold(position, size)`.
    """
    sizes = [int(d) for d in x.shape[batch + 1:]]
    flat, inside = None, None
    for at, size in zip(places, sizes, strict=True):
        whole = dlc.cast(at, i64)
        if fold is None:
            fits = (whole >= 0) & (whole < size)
            inside = fits if inside is None else inside & fits
            whole = dlc.clip(whole, 0, size - 1)
        flat = whole if flat is None else flat * size + whole
    assert flat is not None
    lead = tuple(x.shape[:batch])
    # [B..., C, S] -> [B..., S, C]: the positions of a batch entry serve all of its channels
    order = (*range(batch), batch + 1, batch)
    rows = dlc.transpose(dlc.reshape(x, (*lead, x.shape[batch], math.prod(sizes))), order)
    read = dlc.take(rows, flat, batch, batch)
    if inside is not None:
        read = dlc.where(inside[..., None], read, 0.0)
    back = (*range(batch), read.ndim - 1, *range(batch, read.ndim - 1))
    return dlc.transpose(read, back)


def read_linear(x: Node, places: Sequence[Node], batch: int, fold: Fold | None = None,
                largest: bool = False) -> Node:
    """As `read_at`, at positions between elements: linear in every axis.

    `largest` takes the largest of the weighted elements instead of their sum.
    """
    low = [dlc.floor(p) for p in places]
    total = None
    for corner in itertools.product((0, 1), repeat=len(places)):
        weight = None
        for p, q, c in zip(places, low, corner, strict=True):
            part = p - q if c else 1.0 - (p - q)
            weight = part if weight is None else weight * part
        assert weight is not None
        at = [q + float(c) for q, c in zip(low, corner, strict=True)]
        at = [fold(q, int(d)) for q, d in zip(at, x.shape[batch + 1:], strict=True)] if fold else at
        term = read_at(x, at, batch, fold) * expanded(weight, batch)
        if total is not None:
            term = dlc.maximum(total, term) if largest else total + term
        total = term
    assert total is not None
    return total


def expanded(weight: Node, batch: int) -> Node:
    """[B..., P...] beside [B..., C, P...]."""
    return dlc.reshape(weight, (*weight.shape[:batch], 1, *weight.shape[batch:]))


def read_cubic(x: Node, places: Sequence[Node], batch: int, fold: Fold | None = None) -> Node:
    """As `read_linear` with Keys' kernel (a = -0.75) over four elements an axis."""
    low = [dlc.floor(p) for p in places]
    total = None
    for taps in itertools.product((-1, 0, 1, 2), repeat=len(places)):
        weight = None
        for p, q, t in zip(places, low, taps, strict=True):
            part = cubic(dlc.abs(p - q - float(t)), t in (0, 1))
            weight = part if weight is None else weight * part
        assert weight is not None
        at = [q + float(t) for q, t in zip(low, taps, strict=True)]
        at = [fold(q, int(d)) for q, d in zip(at, x.shape[batch + 1:], strict=True)] if fold else at
        term = read_at(x, at, batch, fold) * expanded(weight, batch)
        total = term if total is None else total + term
    assert total is not None
    return total


def cubic(d: Node, near: bool, a: float = -0.75) -> Node:
    """Keys' kernel at the distance d: below 1 if `near`, else from 1 to 2."""
    if near:
        return ((a + 2) * d - (a + 3)) * d * d + 1.0
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a


# --- grid samples ---------------------------------------------------------------------------------


@converts("GridSample")
def grid_sample(call: Call) -> Results:
    """x [N, C, S...] at grid [N, P..., axes], whose last axis counts the axes from the last one."""
    x, grid = call.x(0), call.x(1)
    n = x.ndim - 2
    if grid.ndim != x.ndim or int(grid.shape[-1]) != n:
        raise DlcError(f"the grid {grid.type} for {x.type}")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(call.text("mode"), call.text("mode"))
    read = {"linear": read_linear, "cubic": read_cubic, "nearest": read_nearest}[
        chosen("mode", mode, ("linear", "cubic", "nearest"))]
    padding = chosen("padding_mode", call.text("padding_mode"), ("zeros", "border", "reflection"))
    corners = call.flag("align_corners")
    places = [position(grid[..., n - 1 - a], int(x.shape[2 + a]), corners) for a in range(n)]
    fold = {"zeros": None, "border": clamped, "reflection": reflected(corners)}[padding]
    return read(x, places, 1, fold)


def read_nearest(x: Node, places: Sequence[Node], batch: int, fold: Fold | None = None) -> Node:
    """As `read_at`, at the nearest elements; halves go to the even one."""
    at = [dlc.round(p) for p in places]
    at = [fold(q, int(d)) for q, d in zip(at, x.shape[batch + 1:], strict=True)] if fold else at
    return read_at(x, at, batch, fold)


def position(g: Node, size: int, corners: bool) -> Node:
    """-1 .. 1 as a position: of the outer elements' middles, or of their outer edges."""
    return (g + 1.0) * ((size - 1) / 2) if corners else ((g + 1.0) * size - 1.0) * 0.5


def clamped(at: Node, size: int) -> Node:
    return dlc.clip(at, 0.0, float(size - 1))


def reflected(corners: bool) -> Fold:
    """Mirrored at the outer elements' middles, or at their outer edges, as often as it takes."""
    def fold(at: Node, size: int) -> Node:
        low, span = (0.0, size - 1.0) if corners else (-0.5, float(size))
        if span == 0:
            return at * 0.0
        rest = (at - low) % (2 * span)
        return dlc.clip(dlc.where(rest > span, 2 * span - rest, rest) + low, 0.0, size - 1.0)

    return fold


# --- regions of interest --------------------------------------------------------------------------


@converts("RoiAlign")
def roi_align(call: Call) -> Results:
    """He et al. 2017, section 3: each bin averages, or takes the largest of, linear samples."""
    x, rois, owner = call.x(0), call.x(1), call.x(2)
    height, width = call.integer("output_height", 1), call.integer("output_width", 1)
    samples, half = call.integer("sampling_ratio"), 0.5
    if samples < 1:
        raise DlcError("sampling_ratio 0 takes as many samples as the region is large",
                       None, "dlc's shapes are known before it runs: give a number")
    shifted = call.opset < 16 or call.text("coordinate_transformation_mode") == "output_half_pixel"
    box = rois * call.number("spatial_scale", 1.0) - (0.0 if shifted else half)
    rows = spread(box[:, 1], box[:, 3], height, samples, shifted)
    cols = spread(box[:, 0], box[:, 2], width, samples, shifted)
    count = int(rois.shape[0])
    shape = (count, height * samples, width * samples)
    places = [dlc.broadcast_to(rows[:, :, None], shape), dlc.broadcast_to(cols[:, None, :], shape)]
    sizes = [int(d) for d in x.shape[2:]]
    outside = None
    for at, size in zip(places, sizes, strict=True):
        far = (at < -1.0) | (at > float(size))
        outside = far if outside is None else outside | far
    places = [clamped(at, size) for at, size in zip(places, sizes, strict=True)]
    mode = chosen("mode", call.text("mode", "avg"), ("avg", "max"))
    read = read_linear(dlc.take(x, owner, 0), places, 1, clamped, mode == "max")
    assert outside is not None
    read = dlc.where(expanded(outside, 1), 0.0, read)
    bins = dlc.reshape(read, (count, x.shape[1], height, samples, width, samples))
    return (dlc.mean if mode == "avg" else dlc.max)(bins, (3, 5))


def spread(low: Node, high: Node, bins: int, samples: int, at_least_one: bool) -> Node:
    """Sample positions [regions, bins * samples] between `low` and `high`."""
    length = high - low
    length = dlc.maximum(length, 1.0) if at_least_one else length
    steps = (dlc.cast(dlc.iota((1, bins * samples), 1, i64), low.dtype) + 0.5) / (bins * samples)
    return low[:, None] + steps * length[:, None]


