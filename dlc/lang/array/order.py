"""Order: sort, top_k, quantile, median and mode as compositions of argsort.

NaN counts as larger than every number, as it does in max: ascending it comes last, descending
first. Values are gathered through the permutation, so gradients of any order follow from gather.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import f32, i32
from dlc.lang.array.rearrange import moveaxis, stack
from dlc.ops.argsort import argsort, first_places
from dlc.ops.convert import as_node, as_nodes, cast
from dlc.ops.elementwise import and_, ceil, floor, not_, round_, where
from dlc.ops.gather import note_check, take, take_along_axis
from dlc.ops.reduce import Axes, any_, argmax, axes_of, axis_of
from dlc.ops.searchsorted import searchsorted
from dlc.ops.view import narrow, reshape, transpose


def sort(x: Any, axis: int = -1, descending: bool = False) -> Node:
    """x in ascending (or descending) order along `axis`; NaN is larger than every number.

    The gradient goes back through the permutation.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "sort")
    return take_along_axis(node, argsort(node, axis, descending), axis, mode="clip")


def top_k(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Node, Node]:
    """(values, i32 indices) of the k largest (or smallest) along `axis`, in order.

    For x [..., N, ...] both are [..., k, ...]. Equal elements keep their order. Raises DlcError for
    k outside 0 .. N.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "top_k")
    size = int(node.shape[axis])
    if not isinstance(k, int) or isinstance(k, bool) or not 0 <= k <= size:
        raise DlcError(f"top_k({describe(node)}): k = {k!r} of {size} along axis {axis}", here(),
                       f"k is a whole number, 0 .. {size}")
    order = first_places(node, axis, largest, k)
    return take_along_axis(node, order, axis, mode="clip"), order


METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(x: Any, q: Any, axis: Axes = None, keepdims: bool = False,
             method: str = "linear") -> Node:
    """The q-th quantiles of x over `axis` (None: all), interpolated as numpy.quantile does.

    q is in 0 .. 1; several, or a graph value [k], add a leading axis. A computed q outside stops
    the step. method: "linear", "lower", "higher", "midpoint", "nearest". If an element is NaN, so
    is the result.
    """
    node, *computed = as_nodes(x, q) if isinstance(q, Node) else [as_node(x)]
    node = node if node.dtype.is_float else cast(node, f32)
    if method not in METHODS:
        raise DlcError(f"quantile: method {method!r}", here(), ", ".join(METHODS))
    if computed:
        return _computed(node, computed[0], axis, keepdims, method)
    alone = isinstance(q, (int, float, np.generic)) or (
        isinstance(q, np.ndarray) and q.ndim == 0)
    wanted = [float(v) for v in ([q] if alone else q)]
    if not all(0 <= v <= 1 for v in wanted):
        raise DlcError(f"quantile({describe(node)}): q = {q}", here(), "q is 0 .. 1")
    ordered, spoiled, shape = _sorted_last(node, axis, keepdims)
    found = [_between(ordered, spoiled, v, method, shape) for v in wanted]
    return found[0] if alone else stack(found, 0)


def _computed(x: Node, q: Node, axis: Axes, keepdims: bool, method: str) -> Node:
    """quantile for q [] or [k] that is computed."""
    if q.ndim > 1 or not q.dtype.is_float:
        raise DlcError(f"quantile({describe(x)}): q is {describe(q)}", here(), "floats [] or [k]")
    note_check(any_(not_(and_(q >= 0, q <= 1))), f"quantile: {describe(q)} is not within 0 .. 1")
    ordered, spoiled, shape = _sorted_last(x, axis, keepdims)
    at = cast(reshape(q, (q.type.size,)), x.dtype) * (int(ordered.shape[-1]) - 1)
    low = floor(at)
    part = {"linear": at - low, "lower": at * 0.0, "higher": ceil(at - low),
            "midpoint": ceil(at - low) * 0.5, "nearest": round_(at) - low}[method]
    place = cast(low, i32)
    first, second = (take(ordered, p, -1, mode="clip") for p in (place, place + 1))
    value = where(part > 0, first + (second - first) * part, first)
    value = moveaxis(where(reshape(spoiled, (*spoiled.shape, 1)), math.nan, value), -1, 0)
    return reshape(value, (*q.shape, *shape))


def median(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """The median of x over `axis` (None: all); for an even count the mean of the middle two."""
    return quantile(x, 0.5, axis, keepdims)


def mode(x: Any, axis: int = -1) -> Node:
    """The most frequent element of x along `axis`; the smallest of them if there are several."""
    node = as_node(x)
    ordered = sort(moveaxis(node, axis_of(node, axis, "mode"), -1))
    count = searchsorted(ordered, ordered, "right") - searchsorted(ordered, ordered)
    place = argmax(count, -1, keepdims=True)
    return reshape(take_along_axis(ordered, place, mode="clip"), tuple(ordered.shape[:-1]))


def _sorted_last(x: Node, axis: Axes, keepdims: bool) -> tuple[Node, Node, tuple[int, ...]]:
    """x sorted over `axis` in one last axis; where it holds a NaN; the result's shape."""
    axes = axes_of(x, axis, "quantile")
    kept = tuple(a for a in range(x.ndim) if a not in axes)
    size = math.prod(int(x.shape[a]) for a in axes)
    if size == 0:
        raise DlcError(f"quantile({describe(x)}): no elements over axes {axes}", here())
    flat = reshape(transpose(x, (*kept, *axes)), (*(x.shape[a] for a in kept), size))
    shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape)
                  if keepdims or a not in axes)
    return sort(flat), any_(flat != flat, -1), shape


def _between(ordered: Node, spoiled: Node, q: float, method: str,
             shape: tuple[int, ...]) -> Node:
    """The element at q of the way through `ordered`'s last axis, interpolated by `method`."""
    at = q * (int(ordered.shape[-1]) - 1)
    low, high = math.floor(at), math.ceil(at)
    part = {"linear": at - low, "lower": 0.0, "higher": 1.0, "midpoint": 0.5,
            "nearest": float(round(at) - low)}[method] if high > low else 0.0
    first, second = (narrow(ordered, -1, i, 1) for i in (low, high))
    if part == 0.0:
        value = first
    elif part == 1.0:
        value = second
    else:
        value = first + (second - first) * part
    flat = reshape(value, tuple(ordered.shape[:-1]))
    return reshape(where(spoiled, math.nan, flat), shape)
