"""Reductions of rows by segment id, and counts: segment_sum, bincount, histogram."""

from __future__ import annotations

from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import Type, accumulator, f32, i32, sum_dtype
from dlc.ops import leaf
from dlc.ops.convert import as_node, cast
from dlc.ops.elementwise import and_, clip, floor, ge, le, maximum, where
from dlc.ops.gather import SCATTER_ADD
from dlc.ops.reduce import highest, lowest
from dlc.ops.scatter import scatter
from dlc.ops.view import reshape


def _segments(x: Any, ids: Any, count: int, mode: str, start: float) -> Node:
    node = as_node(x)
    rest = tuple(node.shape[as_node(ids).ndim:])
    whole = leaf.constant(start, Type(node.dtype, (count, *rest)))
    return scatter(whole, ids, node, mode=mode)


def segment_sum(x: Any, ids: Any, count: int) -> Node:
    """Sums of the rows of x [M, ...] with the same id in ids [M]: [count, ...]; i32 of bool and u8.
    """
    return _segments(_summable(x), ids, count, "add", 0)


def segment_prod(x: Any, ids: Any, count: int) -> Node:
    """Products of the rows of x with the same id; 1 where there is none. i32 of bool and u8."""
    return _segments(_summable(x), ids, count, "mul", 1)


def _summable(x: Any) -> Node:
    node = as_node(x)
    return cast(node, sum_dtype(node.dtype))


def segment_max(x: Any, ids: Any, count: int) -> Node:
    """Maxima of the rows of x with the same id; the dtype's lowest value for an unused id."""
    return _segments(x, ids, count, "max", lowest(as_node(x).dtype))


def segment_min(x: Any, ids: Any, count: int) -> Node:
    """Minima of the rows of x with the same id; the dtype's highest value for an unused id."""
    return _segments(x, ids, count, "min", highest(as_node(x).dtype))


def segment_mean(x: Any, ids: Any, count: int) -> Node:
    """Means of the rows of x with the same id; 0 for an id without rows. f32 for integers, bool."""
    node = as_node(x)
    wide = accumulator(node.dtype) if node.dtype.is_float else f32
    sizes = cast(maximum(bincount(ids, count), 1), wide)
    shape = (count, *(1,) * (node.ndim - as_node(ids).ndim))
    total = segment_sum(cast(node, wide), ids, count) / reshape(sizes, shape)
    return total if not node.dtype.is_float else cast(total, node.dtype)


def bincount(x: Any, length: int, weights: Any = None) -> Node:
    """How often each of 0 .. length-1 occurs in x (i32), or the sums of their weights.

    An element outside is an error: immediately for constants, after the step for data.
    """
    at = reshape(as_node(x), (-1,)) if as_node(x).type.size else reshape(as_node(x), (0,))
    ones = leaf.constant(1, Type(i32, at.shape)) if weights is None else (
        reshape(as_node(weights), at.shape))
    return segment_sum(ones, at, length)


def histogram(x: Any, bins: int, low: float, high: float) -> Node:
    """i32 counts of x in `bins` equal bins of low .. high, the last one closed; NaN and elements
    outside are not counted (numpy.histogram with a range)."""
    node = as_node(x)
    node = node if node.dtype.is_float else cast(node, f32)
    if not isinstance(bins, int) or bins < 1 or not low < high:
        raise DlcError(f"histogram({describe(node)}): {bins} bins of {low} .. {high}", here(),
                       "takes at least one bin, and low < high")
    inside = and_(ge(node, low), le(node, high))
    scaled = floor((where(inside, node, low) - low) * (bins / (high - low)))
    at = clip(cast(scaled, i32), 0, bins - 1)
    flat = reshape(where(inside, at, bins), (int(node.type.size),))
    counts = make(SCATTER_ADD, (flat, leaf.constant(1, Type(i32, flat.shape))),
                  shape=(bins + 1,), axis=0, batch=0)
    return counts[:bins]
