"""Rearranging by views alone, with NumPy's names: stack, split, roll, tile, repeat, moveaxis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ops.convert import (
    as_node,
    as_nodes,
    broadcast_shape,
    broadcast_to,
    common_type,
    whole_numbers,
)
from dlc.ops.reduce import Axes, axis_of
from dlc.ops.view import concat, flip, narrow, reshape, transpose


def axes_in(x: Node, axis: int | Sequence[int], rank: int, what: str) -> tuple[int, ...]:
    """`axis` as non-negative axes of an array of `rank`, in the given order.

    Raises DlcError for an axis out of range or named twice.
    """
    given = whole_numbers(axis, f"{what}({describe(x)}): axis")
    found = tuple(a + rank if -rank <= a < 0 else a for a in given)
    if any(not 0 <= a < rank for a in found):
        raise DlcError(f"{what}({describe(x)}): axis {axis}", here(),
                       f"axes are {-rank} .. {rank - 1}")
    if len(set(found)) != len(found):
        raise DlcError(f"{what}({describe(x)}): {axis} names one axis twice", here())
    return found


# --- axes -----------------------------------------------------------------------------------------


def expand_dims(x: Any, axis: int | Sequence[int]) -> Node:
    """x with axes of size 1 at the positions `axis` of the result."""
    node = as_node(x)
    rank = node.ndim + len(whole_numbers(axis, f"expand_dims({describe(node)}): axis"))
    new = axes_in(node, axis, rank, "expand_dims")
    old = iter(node.shape)
    return reshape(node, tuple(1 if a in new else next(old) for a in range(rank)))


def squeeze(x: Any, axis: Axes = None) -> Node:
    """x without its axes `axis`, all of size 1 (None: without every axis of size 1)."""
    node = as_node(x)
    if axis is None:
        return reshape(node, tuple(d for d in node.shape if d != 1))
    gone = axes_in(node, axis, node.ndim, "squeeze")
    for a in gone:
        if node.shape[a] != 1:
            raise DlcError(f"squeeze({describe(node)}): axis {a} has size {int(node.shape[a])}",
                           here(), "only axes of size 1 can be dropped")
    return reshape(node, tuple(d for a, d in enumerate(node.shape) if a not in gone))


def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Node:
    """x with the axes `source` moved to the positions `destination`; the others keep their order.
    """
    node = as_node(x)
    old = axes_in(node, source, node.ndim, "moveaxis")
    new = axes_in(node, destination, node.ndim, "moveaxis")
    if len(old) != len(new):
        raise DlcError(f"moveaxis({describe(node)}): {len(old)} axes to {len(new)} places", here())
    order = [a for a in range(node.ndim) if a not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return transpose(node, order)


def swapaxes(x: Any, first: int, second: int) -> Node:
    """x with two axes exchanged."""
    node = as_node(x)
    a, b = axis_of(node, first, "swapaxes"), axis_of(node, second, "swapaxes")
    order = list(range(node.ndim))
    order[a], order[b] = b, a
    return transpose(node, order)


def ravel(x: Any) -> Node:
    """x as one axis, row-major."""
    return reshape(as_node(x), (-1,)) if as_node(x).type.size else reshape(x, (0,))


def rot90(x: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Node:
    """x rotated by k quarter turns in the plane of two axes, from the first towards the second."""
    node = as_node(x)
    found = axes_in(node, axes, node.ndim, "rot90")
    if len(found) != 2:
        raise DlcError(f"rot90({describe(node)}): axes {tuple(axes)}", here(), "a plane has two")
    a, b = found
    if k % 4 == 0:
        return node
    if k % 4 == 2:
        return flip(node, found)
    return swapaxes(flip(node, b), a, b) if k % 4 == 1 else flip(swapaxes(node, a, b), b)


def atleast_nd(x: Any, rank: int) -> Node:
    """x with axes of size 1 before its own until it has `rank`."""
    node = as_node(x)
    return reshape(node, (*(1,) * (rank - node.ndim), *node.shape))


def broadcast_arrays(*xs: Any) -> list[Node]:
    """All arrays broadcast to a common shape by NumPy's rule; dtypes are unchanged."""
    nodes = as_nodes(*xs)
    shape = broadcast_shape("broadcast_arrays", nodes)
    return [broadcast_to(n, shape) for n in nodes]


# --- joining and cutting --------------------------------------------------------------------------


def stack(xs: Sequence[Any], axis: int = 0) -> Node:
    """Arrays of one shape along a new axis; dtypes are promoted."""
    nodes = as_nodes(*xs)
    if not nodes:
        raise DlcError("stack of no arrays", here(), "give at least one")
    for other in nodes[1:]:
        if tuple(other.shape) != tuple(nodes[0].shape):
            raise DlcError(f"stack of {describe(nodes[0])} and {describe(other)}", here(),
                           "shapes must be equal; concat joins along an axis that exists")
    at = axes_in(nodes[0], axis, nodes[0].ndim + 1, "stack")
    if len(at) != 1:
        raise DlcError(f"stack({describe(nodes[0])}): axis {axis}", here(), "one new axis")
    return concat([expand_dims(n, at) for n in common_type("stack", *nodes)], at[0])


def unstack(x: Any, axis: int = 0) -> list[Node]:
    """The slices of x along `axis`, with that axis removed."""
    node = as_node(x)
    axis = axis_of(node, axis, "unstack")
    return [squeeze(narrow(node, axis, i, 1), axis) for i in range(int(node.shape[axis]))]


def split(x: Any, sections: int | Sequence[int], axis: int = 0) -> list[Node]:
    """x split along `axis`: into `sections` equal parts, or into parts of the listed sizes.

    Raises DlcError if the parts do not add up to the axis (array_split takes any count).
    """
    node = as_node(x)
    axis = axis_of(node, axis, "split")
    size = int(node.shape[axis])
    given = whole_numbers(sections, f"split({describe(node)}): sections")
    if isinstance(sections, (int, np.integer)):
        if sections < 1 or size % sections:
            raise DlcError(f"split({describe(node)}): {size} along axis {axis} into {sections} "
                           "equal parts", here(), "give the sizes of the parts")
        sizes = [size // sections] * sections
    else:
        sizes = [int(n) for n in given]
        if min(sizes, default=0) < 0 or sum(sizes) != size:
            raise DlcError(f"split({describe(node)}): parts {sizes} along axis {axis}", here(),
                           f"they must add up to {size}")
    return _cut(node, axis, sizes)


def array_split(x: Any, count: int, axis: int = 0) -> list[Node]:
    """x split along `axis` into `count` parts; the first ones are longer by one if necessary."""
    node = as_node(x)
    axis = axis_of(node, axis, "array_split")
    if count < 1:
        raise DlcError(f"array_split({describe(node)}): {count} parts", here(), "at least 1")
    whole, more = divmod(int(node.shape[axis]), count)
    return _cut(node, axis, [whole + (i < more) for i in range(count)])


def _cut(x: Node, axis: int, sizes: Sequence[int]) -> list[Node]:
    starts = np.cumsum([0, *sizes])
    return [narrow(x, axis, int(start), n) for start, n in zip(starts, sizes, strict=False)]


def roll(x: Any, shift: int | Sequence[int], axis: Axes = None) -> Node:
    """x with its elements moved cyclically by `shift` along `axis` (None: as a flat array)."""
    node = as_node(x)
    shifts = whole_numbers(shift, f"roll({describe(node)}): shift")
    if axis is None:
        return reshape(_rolled(ravel(node), 0, sum(shifts)), node.shape)
    given = whole_numbers(axis, f"roll({describe(node)}): axis")
    axes = tuple(a + node.ndim if -node.ndim <= a < 0 else a for a in given)
    shifts *= len(axes) if isinstance(shift, (int, np.integer)) else 1
    if len(shifts) != len(axes) or any(not 0 <= a < node.ndim for a in axes):
        raise DlcError(f"roll({describe(node)}): shift {shift} along axis {axis}", here(),
                       f"one shift for each axis; axes are 0 .. {node.ndim - 1}")
    for a, steps in zip(axes, shifts, strict=True):
        node = _rolled(node, a, steps)
    return node


def _rolled(x: Node, axis: int, shift: int) -> Node:
    size = int(x.shape[axis])
    by = shift % size if size else 0
    if by == 0:
        return x
    return concat([narrow(x, axis, size - by, by), narrow(x, axis, 0, size - by)], axis)


def tile(x: Any, reps: int | Sequence[int]) -> Node:
    """x repeated as a whole `reps` times along each axis, counted from the last."""
    node = as_node(x)
    times = whole_numbers(reps, f"tile({describe(node)}): reps")
    if min(times, default=0) < 0:
        raise DlcError(f"tile({describe(node)}): {times}", here(), "counts are 0, 1, 2, ...")
    rank = max(node.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    node = atleast_nd(node, rank)
    pairs = [n for t, d in zip(times, node.shape, strict=True) for n in (t, d)]
    apart = reshape(node, tuple(n for d in node.shape for n in (1, d)))
    return reshape(broadcast_to(apart, pairs),
                   tuple(t * int(d) for t, d in zip(times, node.shape, strict=True)))


def repeat(x: Any, repeats: int | Sequence[int], axis: int | None = None) -> Node:
    """Each element of x repeated `repeats` times along `axis` (None: x is flattened first).

    `repeats` may be one count per element; counts are Python numbers, since shapes depend on them.
    """
    from dlc.ops.gather import take

    node = as_node(x)
    if axis is None:
        node, axis = ravel(node), 0
    axis = axis_of(node, axis, "repeat")
    size = int(node.shape[axis])
    counts = whole_numbers(repeats, f"repeat({describe(node)}): counts")
    if len(counts) not in (1, size) or min(counts, default=0) < 0:
        raise DlcError(f"repeat({describe(node)}): counts {counts}", here(),
                       f"one count, or {size} for axis {axis}, each 0, 1, 2, ...")
    if len(set(counts)) > 1:
        return take(node, np.repeat(np.arange(size, dtype=np.int32), counts), axis)
    apart = expand_dims(node, axis + 1)
    count = counts[0] if counts else 1
    wide = broadcast_to(apart, (*node.shape[:axis + 1], count, *node.shape[axis + 1:]))
    return reshape(wide, (*node.shape[:axis], size * count, *node.shape[axis + 1:]))


# --- blocks ---------------------------------------------------------------------------------------


def unfold(x: Any, axis: int, size: int, step: int = 1) -> Node:
    """Windows of `size` along `axis`, every `step`, in a new last axis (torch's Tensor.unfold)."""
    from dlc.ops.window import window

    node = as_node(x)
    axis = axis_of(node, axis, "unfold")
    windows = window(moveaxis(node, axis, -1), (size,), (step,))
    return moveaxis(windows, -2, axis)


def im2col(x: Any, size: Sequence[int], stride: int | Sequence[int] = 1,
           padding: int | Sequence[int] = 0, dilation: int | Sequence[int] = 1) -> Node:
    """Windows of an image batch as columns: [N, C, S...] -> [N, C * prod(size), windows].

    As torch.nn.functional.unfold; Chellapilla et al. 2006.
    """
    from dlc.ops.view import pad
    from dlc.ops.window import window

    node, rank = as_node(x), len(size)
    stride, padding, dilation = (_each(v, rank) for v in (stride, padding, dilation))
    lead = (0,) * (node.ndim - rank)
    windows = window(pad(node, (*lead, *padding), (*lead, *padding)), size, stride, dilation)
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    count = math.prod(windows.shape[2:2 + rank])
    return reshape(transpose(windows, order),
                   (node.shape[0], int(node.shape[1]) * math.prod(size), count))


def col2im(columns: Any, extent: Sequence[int], size: Sequence[int],
           stride: int | Sequence[int] = 1, padding: int | Sequence[int] = 0,
           dilation: int | Sequence[int] = 1) -> Node:
    """The transpose of im2col: columns [N, C * prod(size), windows] add up to [N, C, extent...].

    As torch.nn.functional.fold. Raises DlcError if the columns do not match the windows.
    """
    from dlc.ir.graph import make
    from dlc.ops.view import slice_
    from dlc.ops.window import FOLD, window_count

    node, rank = as_node(columns), len(size)
    stride, padding, dilation = (_each(v, rank) for v in (stride, padding, dilation))
    padded = tuple(int(d) + 2 * p for d, p in zip(extent, padding, strict=True))
    counts = tuple(window_count(*v) for v in zip(padded, size, stride, dilation, strict=True))
    block = math.prod(size)
    if node.ndim != 3 or int(node.shape[1]) % block or int(node.shape[2]) != math.prod(counts):
        raise DlcError(f"col2im({describe(node)}): windows {tuple(size)} of {tuple(extent)}",
                       here(), f"columns are [N, C * {block}, {math.prod(counts)}]")
    lead = (node.shape[0], int(node.shape[1]) // block)
    apart = reshape(node, (*lead, *size, *counts))
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    whole = make(FOLD, (transpose(apart, order),), extent=padded, size=tuple(size),
                 stride=stride, dilation=dilation)
    low = (0, 0, *padding)
    return slice_(whole, low, tuple(a + int(d) for a, d in zip(low, (*lead, *extent),
                                                               strict=True)))


def _each(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def pixel_shuffle(x: Any, factor: int) -> Node:
    """[..., C * r * r, H, W] -> [..., C, H * r, W * r] (Shi et al. 2016, eq. 4)."""
    node = as_node(x)
    channels = _channels(node, factor, "pixel_shuffle", 2)
    *lead, _, high, wide = map(int, node.shape)
    apart = reshape(node, (*lead, channels, factor, factor, high, wide))
    n = len(lead)
    order = (*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return reshape(transpose(apart, order), (*lead, channels, high * factor, wide * factor))


def pixel_unshuffle(x: Any, factor: int) -> Node:
    """[..., C, H * r, W * r] -> [..., C * r * r, H, W]: the inverse of pixel_shuffle."""
    node = as_node(x)
    channels = _channels(node, factor, "pixel_unshuffle", 0)
    *lead, _, high, wide = map(int, node.shape)
    if high % factor or wide % factor:
        raise DlcError(f"pixel_unshuffle({describe(node)}): blocks of {factor}", here(),
                       "the last two sizes must be multiples of it")
    high, wide, n = high // factor, wide // factor, len(lead)
    apart = reshape(node, (*lead, channels, high, factor, wide, factor))
    order = (*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return reshape(transpose(apart, order), (*lead, channels * factor * factor, high, wide))


def _channels(x: Node, factor: int, what: str, power: int) -> int:
    """The channels of x over factor ** power."""
    whole = isinstance(factor, (int, np.integer)) and not isinstance(factor, bool)
    if not whole or factor < 1 or x.ndim < 3 or int(x.shape[-3]) % factor ** power:
        multiple = " with C a multiple of the factor's square" if power else ""
        raise DlcError(f"{what}({describe(x)}): factor {factor!r}", here(),
                       f"takes [..., C, H, W]{multiple}, and a whole number from 1")
    return int(int(x.shape[-3]) // int(factor) ** power)


