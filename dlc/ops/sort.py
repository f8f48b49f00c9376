"""Order: a stable argsort as a routine; sort, top_k, median and quantile are compositions of it.

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
from dlc.ops.convert import as_node, cast
from dlc.ops.gather import take_along_axis
from dlc.ops.reduce import Axes, any_, axes_of, axis_of
from dlc.ops.routine import Routine, Workspace, filled, kernel_dtype
from dlc.ops.samples import spread
from dlc.types import Type, bool_, f32, i32, u8

# Runs of 8 by insertion, then merges of twice the width between the two halves of a workspace:
# stable, and what is compared moves along with its place, so that every pass reads in order.
_ARGSORT = """
def argsort(x, order, keys, places, chunk):
    home = chunk * $space
    for row in range(chunk * $rows, min((chunk + 1) * $rows, $total)):
        base = idiv(row, $inner) * $whole + imod(row, $inner)
        for i in range($n):
            key = x[base + i * $inner]
            at = home + i
            while at > home + i - (i & 7) and $goes_before:
                keys[at] = keys[at - 1]
                places[at] = places[at - 1]
                at -= 1
            keys[at] = key
            places[at] = i32(i)
        source = home
        target = home + $n
        width = 8
        while width < $n:
            low = 0
            while low < $n:
                middle = min(low + width, $n)
                high = min(middle + width, $n)
                a = source + low
                b = source + middle
                for at in range(target + low, target + high):
                    left = a < source + middle
                    if left and b < source + high:
                        left = not $right_first
                    if left:
                        keys[at] = keys[a]
                        places[at] = places[a]
                        a += 1
                    else:
                        keys[at] = keys[b]
                        places[at] = places[b]
                        b += 1
                low = high
            old = source
            source = target
            target = old
            width *= 2
        for i in range($n):
            order[base + i * $inner] = places[source + i]
"""
_CHUNKS = 64  # at most: each has a workspace of two rows


def _precedes(a: str, b: str, type_: Type, descending: bool) -> str:
    """Source of: `a` stands before `b` whatever their places; NaN is the largest."""
    low, high = (b, a) if descending else (a, b)
    if not type_.dtype.is_float:
        return f"({low} < {high})"
    return f"({low} < {high} or ({high} != {high} and {low} == {low}))"


def _infer_argsort(x: Type, *, axis: int, descending: bool) -> Type:
    if not 0 <= axis < x.ndim:
        raise OpError(f"axis {axis} of {x.describe()}", f"axes are 0 .. {x.ndim - 1}")
    if x.dtype is bool_:
        raise OpError("bool has no kernel form", "cast to u8 first")
    if not isinstance(descending, bool):
        raise OpError(f"descending={descending!r}", "True or False")
    return x.with_(dtype=i32, layout=None)


def _eval_argsort(x: Any, *, axis: int, descending: bool) -> Any:
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # the order of the negated ranks: equal elements have equal ranks and keep their places
    ordered = np.sort(x, axis)
    moved, sorted_ = np.moveaxis(x, axis, -1), np.moveaxis(ordered, axis, -1)
    rank = np.empty(moved.shape, np.int64)
    for at in np.ndindex(moved.shape[:-1]):
        rank[at] = np.searchsorted(sorted_[at], moved[at])
    return np.moveaxis(np.argsort(-rank, -1, kind="stable"), -1, axis)


def _emit_argsort(y: Node) -> Routine:
    x, axis, descending = y.args[0].type, y.attrs["axis"], y.attrs["descending"]
    n, inner = int(x.shape[axis]), math.prod(map(int, x.shape[axis + 1:]))
    total = math.prod(map(int, x.shape[:axis])) * inner
    rows = -(-total // _CHUNKS)
    kind = x.with_(dtype=f32) if kernel_dtype(x) == "f32" else x
    text = filled(
        _ARGSORT, n=n, inner=inner, whole=n * inner, total=total, rows=rows, space=2 * n,
        goes_before=_precedes("key", "keys[at - 1]", x, descending),
        right_first=_precedes("keys[b]", "keys[a]", x, descending))
    return Routine(text, -(-total // max(rows, 1)),
                   (Workspace(kind.dtype, 2 * n), Workspace(i32, 2 * n)))


def _sample_argsort() -> Iterator[Any]:
    rng = np.random.default_rng(41)
    for shape, axis, descending in (((7,), 0, False), ((3, 1), 1, True), ((4, 37), 1, True),
                                    ((2, 19, 3), 1, False), ((70, 9), 0, True)):
        yield (spread(rng, shape, -3, 3),), {"axis": axis, "descending": descending}
    ties = rng.integers(-2, 3, (5, 33))
    yield (ties.astype(np.int32),), {"axis": 1, "descending": True}
    yield (ties.astype(np.uint8),), {"axis": 0, "descending": False}
    special = np.array([1, np.nan, -np.inf, np.nan, np.inf, 0, -0.0, 1, -1, np.nan], np.float32)
    for descending in (False, True):
        yield (special,), {"axis": 0, "descending": descending}


ARGSORT = register(Op(
    "argsort", Kind.ROUTINE, _infer_argsort, _eval_argsort, None, _emit_argsort, _sample_argsort,
    (), "the indices that sort along an axis, stable; NaN is the largest", gradient="none",
    defaults=lambda x, **_: {"axis": x.ndim - 1, "descending": False}))


def argsort(x: Any, axis: int = -1, descending: bool = False) -> Node:
    """i32 indices that sort x along `axis`; equal elements keep their order (stable).

    NaN is larger than every number. Raises DlcError for a bad axis. No gradient.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "argsort")
    node = cast(node, u8) if node.dtype is bool_ else node
    return make(ARGSORT, (node,), axis=axis, descending=descending)


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
    from dlc.ops.view import narrow

    order = narrow(argsort(node, axis, descending=largest), axis, 0, k)
    return take_along_axis(node, order, axis, mode="clip"), order


def quantile(x: Any, q: float | Sequence[float], axis: Axes = None, keepdims: bool = False,
             method: str = "linear") -> Node:
    """The q-th quantiles of x over `axis` (None: all), interpolated as numpy.quantile does.

    q in 0 .. 1; several give a new first axis. method: "linear", "lower", "higher", "midpoint",
    "nearest". Where an element is NaN the result is NaN.
    """
    from dlc.ops.rearrange import stack

    node = as_node(x)
    node = node if node.dtype.is_float else cast(node, f32)
    wanted = [float(v) for v in ([q] if isinstance(q, (int, float)) else q)]
    if not all(0 <= v <= 1 for v in wanted):
        raise DlcError(f"quantile({describe(node)}): q = {q}", here(), "q is 0 .. 1")
    ordered, spoiled, shape = _sorted_last(node, axis, keepdims)
    found = [_between(ordered, spoiled, v, method, shape) for v in wanted]
    return found[0] if isinstance(q, (int, float)) else stack(found, 0)


def median(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """The middle of x over `axis` (None: all): of an even number the mean of the two."""
    return quantile(x, 0.5, axis, keepdims)


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
    if method not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise DlcError(f"quantile: method {method!r}", here(),
                       "linear, lower, higher, midpoint or nearest")
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
    before = "not " + _precedes("value", "edge", x, False) if y.attrs["right"] else (
        _precedes("edge", "value", x, False))
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
    from dlc.ops.convert import common_type

    if side not in ("left", "right"):
        raise DlcError(f"searchsorted: side {side!r}", here(), '"left" or "right"')
    known, values = common_type("searchsorted", as_node(edges), as_node(x))
    return make(SEARCHSORTED, (known, values), right=side == "right")
