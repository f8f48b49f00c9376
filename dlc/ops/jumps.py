"""Where an interval of operands reaches over a pole or a jump of an elementwise operator."""

from __future__ import annotations

from typing import Any

import numpy as np


def over_zero(x: Any, y: Any) -> Any:
    """x / y: the divisor may be 0."""
    return (y.low <= 0) & (y.high >= 0) & (y.low < y.high)


def over_turns(x: Any, y: Any) -> Any:
    """A remainder, which jumps where x / y passes a whole number."""
    corners = [np.floor(a / b) for a in (x.low, x.high) for b in (y.low, y.high)]
    return over_zero(x, y) | (np.min(corners, axis=0) != np.max(corners, axis=0))


def over_powers(x: Any, y: Any) -> Any:
    """x ** y: infinite at x = 0 for y below 0."""
    return (x.low <= 0) & (x.high >= 0) & (x.low < x.high) & (y.low <= 0)


def over_tangent(x: Any) -> Any:
    """The poles of the tangent."""
    return np.floor(x.low / np.pi + 0.5) != np.floor(x.high / np.pi + 0.5)


def over_gamma(x: Any) -> Any:
    """The poles of the gamma function, at 0, -1, -2 ..."""
    return (x.low <= 0) & (x.low < x.high) & (np.floor(x.low) != np.floor(x.high))


def unknown(x: Any) -> Any:
    """Bits: those of two neighbours have nothing in common."""
    return x.low != x.high
