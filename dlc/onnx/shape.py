"""ONNX's operators that move elements: reshape, transpose, slice, pad, concat, tile and the like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import bool_, i64
from dlc.onnx.call import Call, Results, array, axis_of, chosen, converts


@converts("Shape")
def shape(call: Call) -> Results:
    dims = [int(d) for d in call.x().shape]
    return array(dims[slice(call.integer("start"), call.get("end"))], i64)


@converts("Size")
def size(call: Call) -> Results:
    return array(call.x().type.size, i64)


@converts("Reshape")
def reshape(call: Call) -> Results:
    """0 keeps a dimension (unless allowzero), -1 is what is left."""
    x, wanted = call.x(), call.known_ints(1)
    assert wanted is not None
    if not call.flag("allowzero"):
        if any(d == 0 and i >= x.ndim for i, d in enumerate(wanted)):
            raise DlcError(f"shape {wanted} keeps an axis that {x.type} does not have")
        wanted = [int(x.shape[i]) if d == 0 else d for i, d in enumerate(wanted)]
    rest = [d for d in wanted if d != -1]
    if len(rest) < len(wanted) - 1 or any(d < -1 for d in wanted):
        raise DlcError(f"shape {wanted}", None, "one dimension may be -1")
    count = math.prod(rest)
    if len(rest) < len(wanted):
        if count == 0 or x.type.size % count:
            raise DlcError(f"{x.type} cannot be reshaped to {wanted}")
        wanted = [x.type.size // count if d == -1 else d for d in wanted]
    return dlc.reshape(x, tuple(wanted))


@converts("Flatten")
def flatten(call: Call) -> Results:
    return flattened(call.x(), call.integer("axis", 1))


def flattened(x: Node, axis: int) -> Node:
    """x as a matrix: the axes before `axis`, and the others."""
    if not -x.ndim <= axis <= x.ndim:
        raise DlcError(f"axis {axis} of {x.type}")
    at = axis + x.ndim if axis < 0 else axis
    return dlc.reshape(x, (math.prod(map(int, x.shape[:at])), math.prod(map(int, x.shape[at:]))))


@converts("Transpose")
def transpose(call: Call) -> Results:
    x = call.x()
    axes = call.integers("perm") if "perm" in call.attributes else tuple(reversed(range(x.ndim)))
    return dlc.transpose(x, axes)


@converts("Squeeze")
def squeeze(call: Call) -> Results:
    x = call.x()
    axes = call.axes(1, 13, x.ndim)
    axes = tuple(a for a, d in enumerate(x.shape) if d == 1) if axes is None else axes
    if any(x.shape[a] != 1 for a in axes):
        raise DlcError(f"axes {axes} of {x.type} are not all of size 1")
    return dlc.reshape(x, tuple(d for a, d in enumerate(x.shape) if a not in axes))


@converts("Unsqueeze")
def unsqueeze(call: Call) -> Results:
    x = call.x()
    listed = call.known_ints(1) if call.opset >= 13 else list(call.integers("axes"))
    rank = x.ndim + len(listed or ())
    axes = {axis_of(a, rank) for a in listed or ()}
    if len(axes) != len(listed or ()):
        raise DlcError(f"axes {listed} name one twice")
    dims = iter(x.shape)
    return dlc.reshape(x, tuple(1 if a in axes else next(dims) for a in range(rank)))


@converts("Expand")
def expand(call: Call) -> Results:
    """To the broadcast of both shapes."""
    x, wanted = call.x(), tuple(call.known_ints(1) or ())
    if any(d < 0 for d in wanted):
        raise DlcError(f"shape {wanted}")
    return dlc.broadcast_to(x, broadcast(tuple(map(int, x.shape)), wanted))


def broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcast of two shapes. Raises DlcError when they do not fit."""
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True)
    found = []
    for m, n in pairs:
        if m != n and 1 not in (m, n):
            raise DlcError(f"shapes {a} and {b} do not broadcast")
        found.append(n if m == 1 else m)
    return tuple(found)


@converts("Concat")
def concat(call: Call) -> Results:
    xs = call.nodes()
    return dlc.concat(xs, axis_of(call.integer("axis", 1), xs[0].ndim))


@converts("Split")
def split(call: Call) -> Results:
    """By sizes, or into as many equal parts as there are results, the last one smaller."""
    x, axis = call.x(), axis_of(call.integer("axis"), call.x().ndim)
    total, parts = int(x.shape[axis]), len(call.wanted)
    sizes = call.known_ints(1) if call.opset >= 13 else list(call.integers("split")) or None
    if sizes is None:
        if call.get("num_outputs", parts) != parts:
            raise DlcError(f"num_outputs is {call.get('num_outputs')}, there are {parts} results")
        each = -(-total // parts)
        sizes = [max(0, min(each, total - i * each)) for i in range(parts)]
    if sum(sizes) != total or any(s < 0 for s in sizes) or len(sizes) != parts:
        raise DlcError(f"sizes {sizes} of axis {axis} of {x.type} for {parts} results")
    edges = np.cumsum([0, *sizes]).tolist()
    return tuple(part(x, axis, low, high)
                 for low, high in pairwise(edges))


def part(x: Node, axis: int, low: int, high: int) -> Node:
    """x[low:high] along an axis."""
    key = [slice(None)] * axis + [slice(low, high)]
    return x[tuple(key)]


@converts("Slice")
def slice_(call: Call) -> Results:
    x = call.x()
    if call.opset < 10:
        starts, ends = list(call.integers("starts")), list(call.integers("ends"))
        axes, steps = call.get("axes"), None
    else:
        starts, ends = call.known_ints(1) or [], call.known_ints(2) or []
        axes, steps = call.known_ints(3), call.known_ints(4)
    axes = list(range(len(starts))) if axes is None else [axis_of(int(a), x.ndim) for a in axes]
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(set(axes)) != len(axes):
        raise DlcError(f"starts {starts}, ends {ends}, axes {axes}, steps {steps}")
    key = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == 0:
            raise DlcError(f"step 0 on axis {axis}")
        size_ = int(x.shape[axis])
        # what ends before the first element, counted from the end, takes all of them
        backwards_to_start = step < 0 and end < -size_
        key[axis] = slice(start, None if backwards_to_start else end, step)
    return x[tuple(key)] if key else x


@converts("Pad")
def pad(call: Call) -> Results:
    """Negative pads cut. Before opset 11 pads are attributes."""
    x = call.x()
    mode = chosen("mode", call.text("mode", "constant"), ("constant", "reflect", "edge", "wrap"))
    pads = call.known_ints(1) if call.opset >= 11 else list(call.integers("pads"))
    axes = call.axes(3, 18, x.ndim) if call.has(3) else tuple(range(x.ndim))
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        raise DlcError(f"{len(pads or ())} pads for {len(axes or ())} axes")
    low, high = [0] * x.ndim, [0] * x.ndim
    for i, axis in enumerate(axes):
        low[axis], high[axis] = pads[i], pads[i + len(axes)]
    if mode != "constant":
        return by_index(call, low, high, mode)
    value = call.scalar(2, 0) if call.opset >= 11 else call.number("value", 0.0)
    if x.dtype is bool_:
        return dlc.cast(edged(dlc.cast(x, dlc.i32), low, high, int(value)), bool_)
    return edged(x, low, high, value)


def edged(x: Node, low: Sequence[int], high: Sequence[int], value: float = 0.0) -> Node:
    """x with `low` and `high` elements more of `value` an axis; negative numbers cut."""
    if any(v < 0 for v in (*low, *high)):
        x = x[tuple(slice(max(0, -a), max(0, int(d) + min(0, b)))
                    for a, b, d in zip(low, high, x.shape, strict=True))]
    if any(v > 0 for v in (*low, *high)):
        x = dlc.pad(x, [max(0, v) for v in low], [max(0, v) for v in high], value)
    return x


def by_index(call: Call, low: Sequence[int], high: Sequence[int], mode: str) -> Node:
    """Pads that repeat elements of x: each axis reads at constant places."""
    x = call.x()
    for axis in range(x.ndim):
        before, after = low[axis], high[axis]
        if not before and not after:
            continue
        padded = int(x.shape[axis]) + max(0, before) + max(0, after)
        call.walk.knows.spend(padded, "a padded axis")
        ramp = np.arange(int(x.shape[axis]))[max(0, -before):]
        ramp = ramp[:len(ramp) + min(0, after)]
        places = np.pad(ramp, (max(0, before), max(0, after)), mode=mode)  # type: ignore[call-overload]
        x = dlc.take(x, array(places, i64), axis)
    return x


@converts("Tile")
def tile(call: Call) -> Results:
    x, counts = call.x(), call.known_ints(1)
    if counts is None or len(counts) != x.ndim or any(c < 0 for c in counts):
        raise DlcError(f"repeats {counts} of {x.type}")
    wide = dlc.reshape(x, tuple(v for d in x.shape for v in (1, d)))
    full = tuple(v for c, d in zip(counts, x.shape, strict=True) for v in (c, int(d)))
    return dlc.reshape(dlc.broadcast_to(wide, full),
                       tuple(c * int(d) for c, d in zip(counts, x.shape, strict=True)))


@converts("DepthToSpace")
def depth_to_space(call: Call) -> Results:
    x, b = image(call.x()), call.integer("blocksize")
    n, c, h, w = map(int, x.shape)
    if b < 1 or c % (b * b):
        raise DlcError(f"blocks of {b} of {c} channels")
    if chosen("mode", call.text("mode", "DCR"), ("DCR", "CRD")) == "DCR":
        y = dlc.transpose(dlc.reshape(x, (n, b, b, c // b**2, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        y = dlc.transpose(dlc.reshape(x, (n, c // b**2, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return dlc.reshape(y, (n, c // b**2, h * b, w * b))


@converts("SpaceToDepth")
def space_to_depth(call: Call) -> Results:
    x, b = image(call.x()), call.integer("blocksize")
    n, c, h, w = map(int, x.shape)
    if b < 1 or h % b or w % b:
        raise DlcError(f"blocks of {b} of {h} x {w}")
    blocks = dlc.reshape(x, (n, c, h // b, b, w // b, b))
    mode = chosen("mode", call.text("mode", "DCR"), ("DCR", "CRD"))
    axes = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return dlc.reshape(dlc.transpose(blocks, axes), (n, c * b * b, h // b, w // b))


def image(x: Node) -> Node:
    if x.ndim != 4:
        raise DlcError(f"{x.type} is not [batch, channels, height, width]")
    return x


@converts("Trilu")
def trilu(call: Call) -> Results:
    """The upper or lower triangle of the last two axes."""
    x, k = call.x(), int(call.scalar(1, 0))
    if x.ndim < 2:
        raise DlcError(f"{x.type} has no matrices")
    rows, cols = map(int, x.shape[-2:])
    row, col = dlc.iota((rows, cols), 0, i64), dlc.iota((rows, cols), 1, i64)
    keep = col - row >= k if call.flag("upper", True) else col - row <= k
    return dlc.where(keep, x, dlc.cast(array(0, dlc.i32), x.dtype))


@converts("ReverseSequence")
def reverse_sequence(call: Call) -> Results:
    """The first lengths[b] elements along time in reverse, per batch entry."""
    x, lengths = call.x(), call.x(1)
    time, batch = call.integer("time_axis"), call.integer("batch_axis", 1)
    if {time, batch} != {0, 1} or lengths.ndim != 1:
        raise DlcError(f"time_axis {time} and batch_axis {batch}", None, "one is 0, the other 1")
    x = dlc.transpose(x, (1, 0, *range(2, x.ndim))) if time == 0 else x
    steps = dlc.iota(tuple(x.shape[:2]), 1, i64)
    end = dlc.reshape(lengths, (-1, 1))
    y = dlc.take(x, dlc.where(steps < end, end - 1 - steps, steps), 1, 1)
    return dlc.transpose(y, (1, 0, *range(2, x.ndim))) if time == 0 else y
