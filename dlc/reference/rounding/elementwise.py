"""Elementwise operators on intervals: their values at the ends, and their own rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Node
from dlc.reference.rounding.interval import UNIT, Array, Interval, is_whole, rounded, wide


def elementwise(node: Node, operands: Sequence[Interval]) -> Interval:
    """The interval of an elementwise node."""
    how = node.op.rounding
    if how.chooses:
        return _where(*operands)
    found = _between(node, operands)
    certain = all(x.certain for x in operands)
    free = False if certain or how.jumps is None else how.jumps(*operands)
    for x in operands:
        free = free | x.free
    found = found.freed(np.broadcast_to(free, found.mid.shape))
    if found.mid.dtype.kind != "f" or how.exact:
        return found
    if how.whole and is_whole(found.mid) and all(
            x.certain and is_whole(x.mid) for x in operands):
        return _whole(found, node)
    return rounded(found, node.dtype, how.units[node.dtype.name], _absolute(node, operands))


def _whole(found: Interval, node: Node) -> Interval:
    """Whole numbers from whole numbers: exact as far as the dtype holds them."""
    if node.dtype.name != "f64":
        return rounded(found, node.dtype)
    wider = rounded(found, node.dtype)
    exact = abs(found.mid) <= 2.0**53
    return Interval(found.mid, np.where(exact, found.low, wider.low),
                    np.where(exact, found.high, wider.high))


def _absolute(node: Node, operands: Sequence[Interval]) -> Any:
    """Errors that do not shrink with the result."""
    more: Any = 0.0
    if node.op.rounding.terms and node.dtype.name == "f64":
        terms = sum(abs(np.nan_to_num(x.mid, posinf=0, neginf=0)) for x in operands) + 4
        more = 8 * UNIT[node.dtype.name] * terms
    if node.op.rounding.curvature:
        # beyond first order: an extremum between the ends
        reach = operands[0].radius
        bent = np.where(np.isfinite(reach), reach, 0.0) ** 2
        more = more + node.op.rounding.curvature * bent
    return more


def _where(chosen: Interval, a: Interval, b: Interval) -> Interval:
    """Both arms where the condition is not known."""
    mid = np.where(chosen.mid, a.mid, b.mid)
    if chosen.certain and a.certain and b.certain:
        return Interval(mid, mid, mid)
    first = chosen.high.astype(bool) | chosen.free
    second = ~chosen.low.astype(bool) | chosen.free
    both = first & second
    low = np.where(both, np.fmin(a.low, b.low), np.where(first, a.low, b.low))
    high = np.where(both, np.fmax(a.high, b.high), np.where(first, a.high, b.high))
    mixed = both & (_nan(a.mid) != _nan(b.mid))
    free = (first & a.free) | (second & b.free) | mixed
    return Interval(mid, low, high).freed(free)


def _nan(x: Array) -> Array:
    found: Array = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    return found


def _between(node: Node, operands: Sequence[Interval]) -> Interval:
    """The smallest and largest of what the operator gives at the operands' ends."""
    f = meaning(node)
    mid = f(*[x.mid for x in operands])
    if all(x.certain for x in operands):
        return Interval(mid, mid, mid)
    low, high, nan = mid, mid, _nan(mid)
    some, every = nan, nan
    for corner in itertools.product(*(_ends(node, x) for x in operands)):
        value = f(*corner)
        low, high = np.fmin(low, value), np.fmax(high, value)
        some, every = some | _nan(value), every & _nan(value)
    return Interval(mid, low, high).freed(some & ~every)


def _ends(node: Node, x: Interval) -> list[Array]:
    if x.certain:
        return [x.mid]
    ends = [x.low, x.high]
    if node.op.rounding.even:
        zero = np.zeros_like(x.mid)
        ends.append(np.minimum(np.maximum(zero, x.low), x.high))
    return ends


def meaning(node: Node) -> Callable[..., Array]:
    """The operator in f64; what depends on a dtype's bits, in the operands' dtypes."""
    how = node.op.rounding

    def narrow(*args: Any) -> Array:
        given = [a.astype(n.dtype.numpy) for a, n in zip(args, node.args, strict=True)]
        return wide(node.op.eval(*given, **node.attrs))

    def plain(*args: Any) -> Array:
        if how.wide is not None and node.dtype.is_float:
            return np.asarray(how.wide(*args, **node.attrs), np.float64)
        value = wide(node.op.eval(*args, **node.attrs))
        return value if node.dtype.is_float else value.astype(node.dtype.numpy)

    return narrow if how.bits else plain
