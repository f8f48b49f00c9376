"""Integer ranges, one for each row of an iteration space: the values of the checkers.

A row is one combination of loop values that a checker tells apart. Bounds are Python numbers where
all rows agree, else arrays with an entry for each row; they are f64, exact below 2**53, so that an
unknown bound can be an infinity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HUGE = 2.0**63  # what a negative word is, taken as unsigned
Bound = Any  # a Python number, or an f64 array [rows]
WORDS = {"i8": (-(2**7), 2**7 - 1), "i16": (-(2**15), 2**15 - 1), "i32": (-(2**31), 2**31 - 1),
         "i64": (-(2**63), 2**63 - 1), "u8": (0, 2**8 - 1), "u16": (0, 2**16 - 1),
         "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1), "bool": (0, 255)}


@dataclass(eq=False)
class Space:
    """Rows, and for each the row of the `outer` space that it refines (none for the outermost)."""

    rows: int
    outer: Space | None = None
    up: Any = None
    _maps: dict[int, Any] = field(default_factory=dict)

    def above(self, space: Space) -> Any:
        """The row of `space`, an outer one, for each row of this."""
        found = self._maps.get(id(space))
        if found is None:
            found, at = self.up, self.outer
            while at is not space:
                assert at is not None
                found, at = at.up[found], at.outer
            self._maps[id(space)] = found
        return found

    def kept(self, mask: Any) -> Space:
        """The rows where `mask` holds; this space itself where it holds everywhere."""
        if isinstance(mask, np.ndarray) and mask.ndim:
            if mask.all():
                return self
            rows = np.flatnonzero(mask)
            return Space(len(rows), self, rows)
        return self if mask else Space(0, self, np.zeros(0, np.int64))


@dataclass(eq=False, slots=True)
class Range:
    """lo .. hi in each row of `space`; one known number where both are the same object."""

    lo: Bound
    hi: Bound
    space: Space | None = None

    @property
    def exact(self) -> bool:
        if self.lo is self.hi:
            return True
        return not isinstance(self.lo, np.ndarray) and not isinstance(self.hi, np.ndarray) and (
            self.lo == self.hi)

    def within(self, space: Space) -> Range:
        """The same value in the rows of an inner space."""
        if self.space is None or self.space is space:
            return self
        up = space.above(self.space)
        lo = self.lo[up] if isinstance(self.lo, np.ndarray) else self.lo
        if self.lo is self.hi:
            return Range(lo, lo, space)
        return Range(lo, self.hi[up] if isinstance(self.hi, np.ndarray) else self.hi, space)


def number(value: float) -> Range:
    """One known number."""
    return Range(value, value)


def between(lo: Bound, hi: Bound, space: Space) -> Range:
    """lo .. hi, in the rows of `space` where they are arrays."""
    apart = isinstance(lo, np.ndarray) or isinstance(hi, np.ndarray)
    return Range(lo, hi, space if apart else None)


UNKNOWN = Range(-math.inf, math.inf)


def word(dtype: str) -> Range:
    """Any value of an integer dtype."""
    return Range(*WORDS[dtype])


def least(a: Bound, b: Bound) -> Bound:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.minimum(a, b)
    return a if a <= b else b


def most(a: Bound, b: Bound) -> Bound:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.maximum(a, b)
    return a if a >= b else b


def lowest(a: Bound) -> float:
    """The smallest over all rows."""
    return float(a.min()) if isinstance(a, np.ndarray) else float(a)


def highest(a: Bound) -> float:
    """The largest over all rows."""
    return float(a.max()) if isinstance(a, np.ndarray) else float(a)


def times(a: Bound, b: Bound) -> Bound:
    """a * b with 0 * infinity = 0."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        with np.errstate(invalid="ignore"):
            return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, np.multiply(a, b))
    return 0 if a == 0 or b == 0 else a * b


def add(a: Range, b: Range, space: Space) -> Range:
    lo = a.lo + b.lo
    return between(lo, lo if a.exact and b.exact else a.hi + b.hi, space)


def subtract(a: Range, b: Range, space: Space) -> Range:
    lo = a.lo - b.hi
    return between(lo, lo if a.exact and b.exact else a.hi - b.lo, space)


def multiply(a: Range, b: Range, space: Space) -> Range:
    if not b.exact:
        a, b = b, a
    if b.exact and not isinstance(b.lo, np.ndarray):
        return scaled(a, b.lo, space)
    if a.exact and b.exact:
        lo = a.lo * b.lo
        return between(lo, lo, space)
    ends4 = [times(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    lo, hi = ends4[0], ends4[0]
    for end in ends4[1:]:
        lo, hi = least(lo, end), most(hi, end)
    return between(lo, hi, space)


def scaled(a: Range, by: float, space: Space) -> Range:
    """a times a number."""
    if a.exact:
        lo = a.lo * by
        return between(lo, lo, space)
    ends = (times(a.lo, by), times(a.hi, by))
    return between(*(ends if by >= 0 else ends[::-1]), space)


def quotient(a: Range, b: Range, space: Space) -> Range:
    """a // b of unsigned words: a negative `a` is a huge number."""
    if not b.exact or isinstance(b.lo, np.ndarray) or b.lo <= 0:
        return between(0, most(a.hi, HUGE if lowest(a.lo) < 0 else 0), space)
    ends = [a.lo] if a.exact else [a.lo, a.hi]
    found = [np.where(e < 0, HUGE, np.floor(e / b.lo)) if isinstance(e, np.ndarray) else
             HUGE if e < 0 else e // b.lo if abs(e) < math.inf else math.inf for e in ends]
    if a.exact:
        return between(found[0], found[0], space)
    low, high = (f if isinstance(f, np.ndarray) else float(f) for f in found)
    low = np.where(np.asarray(a.lo) < 0, 0.0, low) if isinstance(a.lo, np.ndarray) else (
        0.0 if a.lo < 0 else low)
    negative = lowest(a.lo) < 0
    return between(low, most(high, HUGE) if negative else high, space)


def remainder(a: Range, b: Range, space: Space) -> Range:
    """a % b of unsigned words."""
    if not b.exact or isinstance(b.lo, np.ndarray) or b.lo <= 0:
        return between(0, most(b.hi - 1, 0) if lowest(b.lo) > 0 else HUGE, space)
    by = b.lo
    if a.exact and lowest(a.lo) >= 0:
        lo = np.remainder(a.lo, by) if isinstance(a.lo, np.ndarray) else a.lo % by
        return between(lo, lo, space)
    if lowest(a.lo) < 0 or highest(a.hi) == math.inf:
        return Range(0, by - 1)
    first, last = np.floor_divide(a.lo, by), np.floor_divide(a.hi, by)
    if isinstance(first, np.ndarray) or isinstance(last, np.ndarray):
        same = first == last
        return between(np.where(same, a.lo - first * by, 0.0),
                       np.where(same, a.hi - last * by, by - 1.0), space)
    return Range(a.lo - first * by, a.hi - last * by) if first == last else Range(0, by - 1)


def smaller(a: Range, b: Range, space: Space) -> Range:
    lo = least(a.lo, b.lo)
    return between(lo, lo if a.exact and b.exact else least(a.hi, b.hi), space)


def larger(a: Range, b: Range, space: Space) -> Range:
    lo = most(a.lo, b.lo)
    return between(lo, lo if a.exact and b.exact else most(a.hi, b.hi), space)


def join(a: Range, b: Range, space: Space) -> Range:
    """Either of both."""
    if a is b:
        return a
    return between(least(a.lo, b.lo), most(a.hi, b.hi), space)


def masked(a: Range, b: Range, space: Space) -> Range:
    """a & b; known where a mask of ones is not negative."""
    for mask in (b, a):
        if mask.exact and not isinstance(mask.lo, np.ndarray) and mask.lo >= 0:
            other = a if mask is b else b
            if other.exact and not isinstance(other.lo, np.ndarray):
                return number(int(other.lo) & int(mask.lo))
            if other.exact and mask.lo & (mask.lo + 1) == 0:
                lo = np.remainder(other.lo, mask.lo + 1)
                return between(lo, lo, space)
            return Range(0, mask.lo)
    return UNKNOWN


def cast(a: Range, dtype: str) -> Range:
    """The value as a word of `dtype`: itself where it fits, else any; what is unknown stays so."""
    low, high = WORDS[dtype]
    if lowest(a.lo) == -math.inf or highest(a.hi) == math.inf:
        return UNKNOWN
    return a if lowest(a.lo) >= low and highest(a.hi) <= high else Range(low, high)
