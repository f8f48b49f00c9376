"""Order: sort, top_k, median and quantile as compositions of argsort; positions in sorted arrays.

NaN counts as larger than every number, as it does in max: ascending it comes last, descending
first. Values are gathered through the permutation, so gradients of any order follow from gather.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.graph import Kind, Node, Op, OpError, describe, make
from dlc.ops import register
from dlc.ops.argsort import ARGSORT, precedes
from dlc.ops.convert import as_node, as_nodes, cast, common_type
from dlc.ops.elementwise import and_, not_
from dlc.ops.gather import note_check, take, take_along_axis
from dlc.ops.reduce import Axes, any_, axes_of, axis_of
from dlc.ops.routine import Routine, filled
from dlc.ops.samples import spread
from dlc.types import Type, bool_, f32, i32, u8


def argsort(x: Any, axis: int = -1, descending: bool = False) -> Node:
    """i32 indices that sort x along `axis`; equal elements keep their order (stable).

    NaN is larger than every number. Raises DlcError for a bad axis. No gradient.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "argsort")
    return _first(node, axis, descending, int(node.shape[axis]))


def _first(x: Node, axis: int, descending: bool, count: int) -> Node:
    """The first `count` indices of the order along `axis`."""
    plain = cast(x, u8) if x.dtype is bool_ else x
    return make(ARGSORT, (plain,), axis=axis, descending=descending, count=count)


def sort(x: Any, axis: int = -1, descending: bool = False) -> Node:
    """x in ascending (or descending) order along `axis`; NaN is larger than every number.

    The gradient goes back through the permutation.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "sort")
    return take_along_axis(node, argsort(node, axis, descending), axis, mode="clip")


def top_k(x: Any, k: int, axis: int = -1, largest: bool = True) -> tuple[Node, Node]:
    """(values, i32 indices) of the k largest (or smallest) along `axis`, in order.

    x [..., N, ...] gives two [..., k, ...]. Of equal elements the first come first. Raises DlcError
    for k outside 0 .. N.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "top_k")
    size = int(node.shape[axis])
    if not isinstance(k, int) or isinstance(k, bool) or not 0 <= k <= size:
        raise DlcError(f"top_k({describe(node)}): k = {k!r} of {size} along axis {axis}", here(),
                       f"k is a whole number, 0 .. {size}")
    order = _first(node, axis, largest, k)
    return take_along_axis(node, order, axis, mode="clip"), order


METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(x: Any, q: Any, axis: Axes = None, keepdims: bool = False,
             method: str = "linear") -> Node:
    """The q-th quantiles of x over `axis` (None: all), interpolated as numpy.quantile does.

    q in 0 .. 1; several, or a graph value [k], give a new first axis. A computed q outside stops
    the step. method: "linear", "lower", "higher", "midpoint", "nearest". Where an element is NaN
    the result is NaN.
    """
    from dlc.ops.rearrange import stack

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
    from dlc.ops import elementwise as e
    from dlc.ops.rearrange import moveaxis
    from dlc.ops.view import reshape

    if q.ndim > 1 or not q.dtype.is_float:
        raise DlcError(f"quantile({describe(x)}): q is {describe(q)}", here(), "floats [] or [k]")
    note_check(any_(not_(and_(q >= 0, q <= 1))), f"quantile: {describe(q)} is not within 0 .. 1")
    ordered, spoiled, shape = _sorted_last(x, axis, keepdims)
    at = cast(reshape(q, (q.type.size,)), x.dtype) * (int(ordered.shape[-1]) - 1)
    low = e.floor(at)
    part = {"linear": at - low, "lower": at * 0.0, "higher": e.ceil(at - low),
            "midpoint": e.ceil(at - low) * 0.5, "nearest": e.round_(at) - low}[method]
    place = cast(low, i32)
    first, second = (take(ordered, p, -1, mode="clip") for p in (place, place + 1))
    value = e.where(part > 0, first + (second - first) * part, first)
    value = moveaxis(e.where(reshape(spoiled, (*spoiled.shape, 1)), math.nan, value), -1, 0)
    return reshape(value, (*q.shape, *shape))


def median(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """The middle of x over `axis` (None: all): of an even number the mean of the two."""
    return quantile(x, 0.5, axis, keepdims)


def mode(x: Any, axis: int = -1) -> Node:
    """The most frequent element of x along `axis`; of several the smallest."""
    from dlc.ops.rearrange import moveaxis
    from dlc.ops.reduce import argmax
    from dlc.ops.view import reshape

    node = as_node(x)
    ordered = sort(moveaxis(node, axis_of(node, axis, "mode"), -1))
    count = searchsorted(ordered, ordered, "right") - searchsorted(ordered, ordered)
    place = argmax(count, -1, keepdims=True)
    return reshape(take_along_axis(ordered, place, mode="clip"), tuple(ordered.shape[:-1]))


def _sorted_last(x: Node, axis: Axes, keepdims: bool) -> tuple[Node, Node, tuple[int, ...]]:
    """x sorted over `axis` in one last axis; where it holds a NaN; the result's shape."""
    from dlc.ops.view import reshape, transpose

    axes = axes_of(x, axis)
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
    from dlc.ops.elementwise import where
    from dlc.ops.view import narrow, reshape

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


_CHUNKS = 64


# --- positions in sorted arrays -------------------------------------------------------------------

_SEARCH = """
def searchsorted(edges, x, place, chunk):
    for i in range(chunk * $per, min((chunk + 1) * $per, $total)):
        value = x[i]
        base = idiv(i, $each) * $n
        low = 0
        high = $n
        while low < high:
            middle = idiv(low + high, 2)
            edge = edges[base + middle]
            if $left:
                low = middle + 1
            else:
                high = middle
        place[i] = i32(low)
"""


def _infer_search(edges: Type, x: Type, *, right: bool) -> Type:
    lead = edges.ndim - 1
    if lead < 0 or edges.dtype is not x.dtype or x.dtype is bool_:
        raise OpError(f"{x.describe()} in {edges.describe()}", "both of one dtype, not bool")
    if not isinstance(right, bool):
        raise OpError(f"right={right!r}", "True or False")
    if (lead and tuple(edges.shape[:-1]) != tuple(x.shape[:lead])) or x.ndim < lead:
        raise OpError(f"{x.describe()} in {edges.describe()}",
                      "the edges' axes before the last one must be the first of the values'")
    return x.with_(dtype=i32, layout=None)


def _eval_search(edges: Any, x: Any, *, right: bool) -> Any:
    out = np.empty(x.shape, np.int32)
    for at in np.ndindex(edges.shape[:-1]):
        out[at] = np.searchsorted(edges[at], x[at], "right" if right else "left")
    return out


def _emit_search(y: Node) -> Routine:
    edges, x = y.args[0].type, y.args[1].type
    total = int(x.size)
    rows = math.prod(map(int, edges.shape[:-1]))
    per = max(1024, -(-total // _CHUNKS))
    before = "not " + precedes("value", "edge", x, False) if y.attrs["right"] else (
        precedes("edge", "value", x, False))
    text = filled(_SEARCH, per=per, total=total, each=max(1, total // max(rows, 1)),
                  n=int(edges.shape[-1]), left=before)
    return Routine(text, max(1, -(-total // per)))


def _sample_search() -> Iterator[Any]:
    rng = np.random.default_rng(42)
    edges = np.array([-1, -1, 0, 2.5, 2.5, 7], np.float32)
    x = np.array([[-2, -1, 0, 1], [2.5, 7, 8, np.nan]], np.float32)
    for right in (False, True):
        yield (edges, x), {"right": right}
    rows = np.sort(rng.integers(0, 20, (3, 9)), -1).astype(np.int32)
    yield (rows, rng.integers(-2, 22, (3, 2, 5)).astype(np.int32)), {"right": True}
    yield (np.sort(spread(rng, (33,), -2, 2)), spread(rng, (3000,), -3, 3)), {"right": False}


def _batch_search(node: Node, args: Sequence[Node], mapped: tuple[bool, ...], size: int) -> Node:
    from dlc.ops.batch_rules import along_examples

    if node.args[0].ndim == 1 and not mapped[0]:
        return make(SEARCHSORTED, args, **node.attrs)
    return make(SEARCHSORTED, [along_examples(a, size, m) for a, m in
                               zip(args, mapped, strict=True)], **node.attrs)


SEARCHSORTED: Op = register(Op(
    "searchsorted", Kind.ROUTINE, _infer_search, _eval_search, None, _emit_search, _sample_search,
    (), "how many of the sorted edges lie below each value (right: not above it)",
    gradient="none", batch=_batch_search, defaults=lambda *types, **_: {"right": False}))


def searchsorted(edges: Any, x: Any, side: str = "left") -> Node:
    """i32 positions at which x [B..., ...] would stand in the sorted edges [B..., N].

    side: "left" counts edges < x, "right" edges <= x. NaN is larger than every number.
    """
    if side not in ("left", "right"):
        raise DlcError(f"searchsorted: side {side!r}", here(), '"left" or "right"')
    known, values = common_type("searchsorted", *as_nodes(edges, x))
    return make(SEARCHSORTED, (known, values), right=side == "right")
