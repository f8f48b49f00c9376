"""Intervals over arrays: the value in f64, and the bounds of a kernel's result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.ir.types import DType, accumulator

Array = np.ndarray[Any, Any]
# unit roundoff, the smallest positive number, and up to where whole numbers are exact
UNIT = {"f64": 2.0**-53, "f32": 2.0**-24, "f16": 2.0**-11, "bf16": 2.0**-8}
TINY = {"f64": 2.0**-1074, "f32": 2.0**-149, "f16": 2.0**-24, "bf16": 2.0**-133}
WHOLE = {name: 1 / unit for name, unit in UNIT.items()}


@dataclass(frozen=True, eq=False)
class Interval:
    """`mid` is the value (floats in f64), `low` and `high` the ends. low > high: free, anything
    may be there, NaN as well. All three NaN: the value is NaN for certain."""

    mid: Array
    low: Array
    high: Array

    @staticmethod
    def exact(value: Any) -> Interval:
        """A value that is known to the bit."""
        array = wide(value)
        return Interval(array, array, array)

    @property
    def free(self) -> Array:
        found: Array = self.low > self.high
        return found

    @property
    def certain(self) -> bool:
        """Whether every element is known to the bit."""
        return self.low is self.high or bool(np.array_equal(
            self.low, self.high, equal_nan=self.mid.dtype.kind == "f"))

    @property
    def radius(self) -> Array:
        """How far the ends are from the value; infinite where it is free."""
        if self.certain:
            return np.zeros_like(self.mid)
        reach = np.maximum(self.high - self.mid, self.mid - self.low)
        return np.where(self.free, np.inf, np.where(np.isnan(reach), 0.0, reach))

    def map(self, f: Callable[[Any], Any]) -> Interval:
        """An index map, applied to all three."""
        mid = np.asarray(f(self.mid))
        if self.certain:
            return Interval(mid, mid, mid)
        return Interval(mid, np.asarray(f(self.low)), np.asarray(f(self.high)))

    def freed(self, where: Any) -> Interval:
        """The same with free elements where `where` is."""
        if not np.any(where):
            return self
        top, bottom = (np.inf, -np.inf) if self.mid.dtype.kind == "f" else (1, 0)
        return Interval(self.mid, np.where(where, np.asarray(top, self.mid.dtype), self.low),
                        np.where(where, np.asarray(bottom, self.mid.dtype), self.high))


def wide(value: Any) -> Array:
    """`value` as an array, floats in f64."""
    data = np.asarray(value)
    return data if data.dtype.kind in "iub" else data.astype(np.float64)


def nearest(x: Array, dtype: DType) -> Array:
    """`x` rounded to `dtype`, in f64."""
    if dtype.name == "f64":
        return x
    rounded: Array = x.astype(dtype.numpy).astype(np.float64)
    return rounded


def rounded(x: Interval, dtype: DType, units: float = 1.0, more: Any = 0.0) -> Interval:
    """The interval when the value is computed with an error of `units` unit roundoffs of it (1: it
    is rounded correctly) and `more`, an absolute error."""
    if x.mid.dtype.kind != "f":
        return x
    if dtype.name == "f64":  # the reference rounds as the kernel does
        units *= 2
    if dtype.name == "f64" or units > 1:
        by = units * UNIT[dtype.name]
        more = more + np.maximum(abs(_finite(x.low)), abs(_finite(x.high))) * by + (
            TINY[dtype.name] * units)
    low, high = x.low - more, x.high + more
    low, high = np.minimum(low, nearest(low, dtype)), np.maximum(high, nearest(high, dtype))
    return Interval(x.mid, np.where(x.free, x.low, low), np.where(x.free, x.high, high)).freed(
        np.isnan(low) & ~np.isnan(x.mid))


def _finite(x: Array) -> Array:
    return np.where(np.isfinite(x), x, 0.0)


def gamma(n: Any, dtype: DType) -> Any:
    """The relative error of n roundings in a row, in any order, in the dtype in which `dtype`
    accumulates; with those of the reference, which sums in f64."""
    unit = UNIT[accumulator(dtype).name] + UNIT["f64"]
    n = np.asarray(n, np.float64)
    return np.where(n * unit < 0.5, n * unit / (1 - np.minimum(n * unit, 0.5)), np.inf)


def multilinear(f: Callable[..., Any], operands: Sequence[Interval], n: Any,
                dtype: DType) -> Interval:
    """A sum of `n` products of the operands: f is linear in each, with signs that are all plus."""
    mid = wide(f(*[x.mid for x in operands]))
    if mid.dtype.kind != "f":
        low, high = (wide(f(*ends)) for ends in ([x.low for x in operands],
                                                 [x.high for x in operands]))
        return Interval(mid, low, high)
    certain = all(x.certain for x in operands)
    size = wide(f(*[abs(x.mid) + x.radius for x in operands]))
    spread = 0.0 if certain else np.maximum(size - f(*[abs(x.mid) for x in operands]), 0.0)
    reach = spread * (1 + gamma(n, dtype)) + gamma(n, dtype) * size + (
        n * TINY[accumulator(dtype).name])
    if certain and all(is_whole(x.mid) for x in operands):
        reach = np.where(size <= WHOLE[accumulator(dtype).name], 0.0, reach)
    known = np.isfinite(reach)
    reach = np.where(known, reach, 0.0)
    return rounded(Interval(mid, mid - reach, mid + reach), dtype).freed(~known)


def is_whole(x: Array) -> bool:
    """Whether all elements are whole numbers."""
    return bool(np.all(x == np.rint(x)))


def outside(found: Interval, got: Any) -> Array:
    """Which elements of `got`, a kernel's result, lie outside of the interval."""
    value = wide(got)
    inside = (found.low <= value) & (value <= found.high)
    if value.dtype.kind == "f":
        inside = inside | (np.isnan(value) & np.isnan(found.mid))
    wrong: Array = ~(inside | found.free)
    return wrong
