"""Elementwise operators on intervals: their values at the ends, and their own rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Node
from dlc.reference.rounding.interval import UNIT, Array, Interval, is_whole, rounded, wide

# one of the operands, or a whole number: nothing is rounded
EXACT = {"neg", "abs", "sign", "floor", "ceil", "round", "trunc", "maximum", "minimum", "copysign",
         "stop_gradient", "floordiv", "fmod", "nextafter", "bitcast"}
BASIC = {"add", "sub", "mul", "div", "sqrt", "cast", "ldexp"}  # rounded correctly
# Unit roundoffs by dtype: twice the largest error in units in the last place, docs/design/math.md.
FUNCTIONS = {"f32": 4.0, "f64": 10.0, "f16": 2.0, "bf16": 2.0}
LESS_EXACT = {("pow", "f64"): 128.0, ("polygamma", "f64"): 64.0}
# Functions with an extremum at 0, and those with one elsewhere: the largest second derivative there
EVEN = {"abs", "cosh", "pow", "hypot", "i0e"}
CURVED = {"sin": 1.0, "cos": 1.0, "i1e": 1.0, "lgamma": 2.0}
# Differences in f64, whose error is relative to their terms (f32 takes them in f64, rounded once)
DIFFERENCES = {"logaddexp", "lgamma", "digamma"}


def elementwise(node: Node, operands: Sequence[Interval]) -> Interval:
    """The interval of an elementwise node."""
    name = node.op.name
    if name == "where":
        return _where(*operands)
    found = _between(node, operands)
    free = _poles(name, operands)
    for x in operands:
        free = free | x.free
    found = found.freed(np.broadcast_to(free, found.mid.shape))
    if found.mid.dtype.kind != "f" or name in EXACT:
        return found
    if name in ("add", "sub", "mul") and is_whole(found.mid) and all(
            x.certain and is_whole(x.mid) for x in operands):
        return _whole(found, node)
    return rounded(found, node.dtype, _units(node), _absolute(name, node, operands))


def _units(node: Node) -> float:
    if node.op.name in BASIC:
        return 1.0
    kind = node.dtype.name
    return LESS_EXACT.get((node.op.name, kind), FUNCTIONS[kind])


def _whole(found: Interval, node: Node) -> Interval:
    """Whole numbers from whole numbers: exact as far as the dtype holds them."""
    if node.dtype.name != "f64":
        return rounded(found, node.dtype)
    wider = rounded(found, node.dtype)
    exact = abs(found.mid) <= 2.0**53
    return Interval(found.mid, np.where(exact, found.low, wider.low),
                    np.where(exact, found.high, wider.high))


def _absolute(name: str, node: Node, operands: Sequence[Interval]) -> Any:
    """Errors that do not shrink with the result."""
    more: Any = 0.0
    if name in DIFFERENCES and node.dtype.name == "f64":
        terms = sum(abs(np.nan_to_num(x.mid, posinf=0, neginf=0)) for x in operands) + 4
        more = 8 * UNIT[node.dtype.name] * terms
    if name in CURVED:
        # beyond first order: an extremum between the ends
        reach = operands[0].radius
        more = more + CURVED[name] * np.where(np.isfinite(reach), reach, 0.0) ** 2
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
    if node.op.name == "bitcast":
        return Interval(mid, mid, mid).freed(operands[0].low != operands[0].high)
    low, high, nan = mid, mid, _nan(mid)
    some, every = nan, nan
    for corner in itertools.product(*(_ends(node.op.name, x) for x in operands)):
        value = f(*corner)
        low, high = np.fmin(low, value), np.fmax(high, value)
        some, every = some | _nan(value), every & _nan(value)
    return Interval(mid, low, high).freed(some & ~every)


def _ends(name: str, x: Interval) -> list[Array]:
    if x.certain:
        return [x.mid]
    ends = [x.low, x.high]
    if name in EVEN:
        zero = np.zeros_like(x.mid)
        ends.append(np.minimum(np.maximum(zero, x.low), x.high))
    return ends


def meaning(node: Node) -> Callable[..., Array]:
    """The operator in f64; what depends on a dtype's bits, in the operands' dtypes."""
    def narrow(*args: Any) -> Array:
        given = [a.astype(n.dtype.numpy) for a, n in zip(args, node.args, strict=True)]
        return wide(node.op.eval(*given, **node.attrs))

    def plain(*args: Any) -> Array:
        if node.op.name == "cast" and node.dtype.is_float:
            return np.asarray(args[0], np.float64)
        value = wide(node.op.eval(*args, **node.attrs))
        return value if node.dtype.is_float else value.astype(node.dtype.numpy)

    return narrow if node.op.name in ("nextafter", "bitcast") else plain


def _poles(name: str, operands: Sequence[Interval]) -> Any:
    """Where an uncertain operand reaches over a pole or a jump."""
    if all(x.certain for x in operands):
        return False
    x, y = operands[0], operands[-1]
    if name in ("div", "rem", "floordiv", "fmod"):
        crossing = (y.low <= 0) & (y.high >= 0) & (y.low < y.high)
        return crossing | (_turns(x, y) if name in ("rem", "fmod") else False)
    if name == "pow":
        return (x.low <= 0) & (x.high >= 0) & (x.low < x.high) & (y.low <= 0)
    if name == "tan":
        return np.floor(x.low / np.pi + 0.5) != np.floor(x.high / np.pi + 0.5)
    if name in ("lgamma", "digamma", "polygamma"):
        return (y.low <= 0) & (y.low < y.high) & (np.floor(y.low) != np.floor(y.high))
    return False


def _turns(x: Interval, y: Interval) -> Array:
    """Whether x / y passes a whole number: the remainder jumps."""
    corners = [np.floor(a / b) for a in (x.low, x.high) for b in (y.low, y.high)]
    found: Array = np.min(corners, axis=0) != np.max(corners, axis=0)
    return found
