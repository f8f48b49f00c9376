"""Guards on indices: only the bounds that the ranges of their variables do not already imply."""

from __future__ import annotations

import math

from dlc.backend.ir import Compare, Condition
from dlc.backend.ir.index import Remainder, Sum
from dlc.ir.access import Divides, Within


def within(value: Sum, c: Within) -> Condition | None:
    """low <= value < high without what the range of value already says; None: never."""
    if value.high < c.low or value.low >= c.high:
        return None
    low = (compared(value, ">=", c.low),) if value.low < c.low else ()
    return (*low, compared(value, "<", c.high)) if value.high >= c.high else low


def compared(value: Sum, sign: str, bound: int) -> Compare:
    """The comparison with its constant on the right: a condition and its opposite are then made of
    one value, which LLVM has to see to find that one of the two branches is taken."""
    return Compare(value - value.const, sign, bound - value.const)


def divides(value: Sum, c: Divides) -> Condition | None:
    """value % by == 0; a guard before it keeps value non-negative. None: never."""
    if value.const % c.by == 0 and all(n % c.by == 0 for _, n in value.terms):
        return ()
    if not value.terms:
        return None
    common = math.gcd(*(n for _, n in value.terms), c.by)
    if common > 1 and value.const % common:
        return None
    return (Compare(Sum(0, ((Remainder(value, c.by), 1),)), "==", 0),)
