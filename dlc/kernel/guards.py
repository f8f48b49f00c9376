"""Conditions on indices as source: less than what the ranges of their variables say already."""

from __future__ import annotations

import math

from dlc.kernel.index import Sum
from dlc.ops.access import Divides, Within


def within(value: Sum, c: Within) -> str:
    """Source of low <= value < high without what the range of value already says."""
    if value.high < c.low or value.low >= c.high:
        return "False"
    words = []
    if value.low < c.low:
        words.append(f"{value.text()} >= {c.low}")
    if value.high >= c.high:
        words.append(f"{value.text()} < {c.high}")
    return " and ".join(words)


def divides(value: Sum, c: Divides) -> str:
    """Source of value % by == 0; a guard before it keeps value non-negative."""
    if value.const % c.by == 0 and all(n % c.by == 0 for _, n in value.terms):
        return ""
    if not value.terms:
        return "False"
    if math.gcd(*(n for _, n in value.terms), c.by) > 1 and (
            value.const % math.gcd(*(n for _, n in value.terms), c.by)):
        return "False"
    return f"imod({value.text()}, {c.by}) == 0"
