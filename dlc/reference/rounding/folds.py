"""Reductions, contractions, gathers, scatters and cumulative folds on intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from dlc.ir.access import Contraction
from dlc.ir.graph import Kind, Node
from dlc.ops.reduce import ARGMAX
from dlc.reference.rounding.interval import Array, Interval, gamma, multilinear, rounded, wide


def view(node: Node, operands: Sequence[Interval]) -> Interval:
    """An index map: nothing is computed."""
    mid, low, high = (wide(node.op.eval(*ends, **node.attrs)) for ends in (
        [x.mid for x in operands], [x.low for x in operands], [x.high for x in operands]))
    return Interval(mid, mid, mid) if all(x.certain for x in operands) else Interval(
        mid, low, high)


def reduce(node: Node, operands: Sequence[Interval]) -> Interval:
    """A reduction over axes, or a fold of windows."""
    (x,), name = operands, node.op.name
    if name == "fold":
        return multilinear(_of(node), [x], math.prod(map(int, node.attrs["size"])), node.dtype)
    axes = node.attrs["axes"]
    n = math.prod(int(node.args[0].shape[a]) for a in axes)
    if name in ("sum", "prod"):
        return multilinear(_of(node), [x], max(n - (name == "sum"), 0), node.dtype)
    free = np.any(x.free, axis=axes)
    if name in ("max", "min"):
        return x.map(_of(node)).freed(free)
    if name == "logsumexp":
        spread = _spread(x.mid, axes)
        return _logarithm(node, x, n, spread).freed(free)
    return _position(node, x, axes).freed(free)


def _of(node: Node) -> Any:
    """What the node's operator means: floats in f64, integers wrapped to the node's dtype."""
    def meaning(*args: Any) -> Array:
        value = wide(node.op.eval(*args, **node.attrs)).reshape(tuple(map(int, node.type.shape)))
        return value if node.dtype.is_float else value.astype(node.dtype.numpy)

    return meaning


def _spread(x: Array, axes: tuple[int, ...]) -> Array:
    """The mean distance from the maximum, each element weighted by its share in the sum of
    exponentials: by how much rounding x - max changes the logarithm."""
    away = np.nan_to_num(np.max(x, axis=axes, keepdims=True, initial=-np.inf) - x, nan=0.0,
                         posinf=0.0)
    share = np.exp(-away)
    total: Array = np.sum(share * away, axis=axes) / np.maximum(np.sum(share, axis=axes), 1.0)
    return total


def _logarithm(node: Node, x: Interval, n: int, spread: Any) -> Interval:
    """log(sum(exp)): monotone; the sum may be rescaled by a rounded exponential at every term."""
    found = x.map(_of(node))
    return rounded(found, node.dtype, 4, gamma(6 * n + 8, node.dtype) + 2 * gamma(
        1, node.dtype) * spread)


def _position(node: Node, x: Interval, axes: tuple[int, ...]) -> Interval:
    """argmax and argmin: free where rounding decides which element wins."""
    mid = _of(node)(x.mid)
    if x.certain:
        return Interval(mid, mid, mid)
    if node.op is ARGMAX:
        candidates = x.high >= np.max(x.low, axis=axes, keepdims=True)
    else:
        candidates = x.low <= np.min(x.high, axis=axes, keepdims=True)
    return Interval(mid, mid, mid).freed(np.sum(candidates, axis=axes) != 1)


def contract(node: Node, operands: Sequence[Interval]) -> Interval:
    """A sum of products."""
    return multilinear(_of(node), operands, products(node), node.dtype)


def products(node: Node) -> int:
    """The most products that one element of a contraction is a sum of."""
    whole = node.op.emit(node)
    parts: list[Contraction] = [p.contraction for p in whole.residues] or [whole]
    return max(math.prod(p.extents) for p in parts)


def gather(node: Node, operands: Sequence[Interval]) -> Interval:
    """Elements at computed places."""
    x, index = operands
    f = _of(node)
    if index.certain:
        return x.map(partial(_swapped, f, index.mid))
    ends = [x.map(partial(_swapped, f, at)) for at in (index.mid, index.low, index.high)]
    low = np.minimum.reduce([e.low for e in ends])
    high = np.maximum.reduce([e.high for e in ends])
    free = np.logical_or.reduce([e.free for e in ends])
    far = bool(np.any(index.free) or np.any(index.high - index.low > 1))
    return Interval(ends[0].mid, low, high).freed(np.broadcast_to(far, low.shape) | free)


def _swapped(f: Any, index: Array, part: Array) -> Any:
    return f(part, index)


def scatter(node: Node, operands: Sequence[Interval]) -> Interval:
    """Updates at computed places: added, or one of them."""
    index, *values = operands
    f = _of(node)
    mid = f(*(x.mid for x in operands))
    if not index.certain:
        return Interval(mid, mid, mid).freed(np.ones(mid.shape, bool))
    if (node.attrs.get("fold") or node.op.fold) != "add":
        low = f(index.mid, *(x.low for x in values))
        high = f(index.mid, *(x.high for x in values))
        free = f(index.mid, *(x.free.astype(x.mid.dtype) for x in values)) != 0
        return Interval(mid, low, high).freed(free | (low > high))
    ones = [np.ones_like(values[0].mid), *(np.ones_like(x.mid) for x in values[1:])]
    count = wide(f(index.mid, *ones))
    return multilinear(lambda *parts: f(index.mid, *parts), values, count, node.dtype)


# --- along an axis --------------------------------------------------------------------------------


def cumulative(node: Node, operands: Sequence[Interval]) -> Interval:
    """Cumulative sums, products, logarithms of sums, and the linear recurrence."""
    n, name = int(node.shape[node.attrs["axis"]]), node.op.name
    if name == "logcumsumexp":
        x = operands[0]
        height = np.max(np.abs(np.nan_to_num(x.mid, posinf=0, neginf=0)), initial=0.0)
        return _logarithm(node, x, n, height).freed(np.broadcast_to(
            np.any(x.free), x.mid.shape))
    steps = 2 * n if name == "linear_recurrence" else n
    return multilinear(_of(node), operands, steps, node.dtype)


def argsort(node: Node, operands: Sequence[Interval]) -> Interval:
    """Positions in order: free where two neighbours' intervals meet."""
    (x,) = operands
    mid = _of(node)(x.mid)
    found = Interval(mid, mid, mid)
    if x.certain:
        return found
    axis = node.attrs["axis"]
    whole = np.argsort(x.mid, axis=axis, kind="stable")
    low, high = (np.take_along_axis(part, whole, axis) for part in (x.low, x.high))
    meets = np.take(np.maximum.accumulate(high, axis), range(high.shape[axis] - 1), axis) >= (
        np.take(low, range(1, low.shape[axis]), axis))
    pad = [(0, 0)] * meets.ndim
    pad[axis] = (0, 1)
    before = np.pad(meets, pad)
    pad[axis] = (1, 0)
    free = before | np.pad(meets, pad) | np.any(x.free, axis=axis, keepdims=True)
    if node.attrs.get("descending"):
        free = np.flip(free, axis)
    return found.freed(np.take(free, range(mid.shape[axis]), axis))


def position_so_far(node: Node, operands: Sequence[Interval]) -> Interval:
    """cumargmax: exact where what it compares is, else free."""
    mid = _of(node)(operands[0].mid)
    return Interval(mid, mid, mid).freed(np.full(mid.shape, not operands[0].certain))


def searchsorted(node: Node, operands: Sequence[Interval]) -> Interval:
    """A count: it grows with the value and falls as the edges grow."""
    edges, x = operands
    mid, low, high = (_of(node)(a, b) for a, b in (
        (edges.mid, x.mid), (edges.high, x.low), (edges.low, x.high)))
    free = x.free | bool(np.any(edges.free))
    return Interval(mid, low, high).freed(np.broadcast_to(free, mid.shape))


def by_kind(node: Node) -> Any:
    """The rule for a node, None where there is none."""
    named = {"argsort": argsort, "searchsorted": searchsorted, "cumargmax": position_so_far,
             "cumsum": cumulative, "cumprod": cumulative,
             "logcumsumexp": cumulative, "linear_recurrence": cumulative}
    kinds = {Kind.VIEW: view, Kind.REDUCE: reduce, Kind.FOLD: reduce, Kind.CONTRACT: contract,
             Kind.GATHER: gather, Kind.SCATTER: scatter}
    return named.get(node.op.name) or kinds.get(node.op.kind)
