"""What rules may call in their conditions and attributes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.ir.graph import Node
from dlc.ir.types import (
    DType,
    bf16,
    bool_,
    f16,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    sum_dtype,
    u8,
    u16,
    u32,
    u64,
)
from dlc.ops import leaf

Shape = Sequence[int]

# dtypes that hold every value of another
_WIDER: dict[DType, tuple[DType, ...]] = {
    bool_: (i8, u8, i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64),
    i8: (i16, i32, i64, f16, bf16, f32, f64),
    u8: (i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64),
    i16: (i32, i64, f32, f64),
    u16: (i32, u32, i64, u64, f32, f64),
    i32: (i64, f64),
    u32: (i64, u64, f64),
    f16: (f32, f64),
    bf16: (f32, f64),
    f32: (f64,),
}


def is_constant(x: Node) -> bool:
    """Whether x is one number throughout."""
    return x.op is leaf.CONSTANT


def power_of_two(value: float) -> bool:
    """Whether `value` is a power of two or its negative: products with it round nowhere."""
    return math.isfinite(value) and value != 0 and abs(math.frexp(value)[0]) == 0.5


def fits(value: float, dtype: DType) -> bool:
    """Whether `dtype` holds `value` exactly."""
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return float(value).is_integer() and int(info.min) <= value <= int(info.max)
    with np.errstate(all="ignore"):
        return math.isfinite(value) and float(dtype.numpy.type(value)) == value


def wrapped(value: int, dtype: DType) -> int:
    """`value` as integers of `dtype` wrap around."""
    bits = dtype.bytes * 8
    value %= 1 << bits
    return value - (1 << bits) if dtype.category == "int" and value >> (bits - 1) else value


def lossless(source: DType, middle: DType, target: DType) -> bool:
    """Whether a cast through `middle` gives what the direct cast gives, for every value."""
    if middle is source:
        return True
    if middle not in _WIDER.get(source, ()):
        return False
    # float to integer saturates where integer to integer wraps
    saturates = middle.is_float and target.is_integer and not source.is_float
    return not saturates or target is source or target in _WIDER.get(source, ())


def moves_only_ones(shape: Shape, axes: Sequence[int]) -> bool:
    """Whether a transpose leaves the order of all axes longer than 1."""
    kept = [a for a in axes if shape[a] != 1]
    return kept == sorted(kept)


def odd_axes(p: Sequence[int], q: Sequence[int]) -> tuple[int, ...]:
    """The axes in one of p and q, not in both."""
    return tuple(sorted(set(p) ^ set(q)))


def slice_start(p: Shape, step: Shape, q: Shape) -> tuple[int, ...]:
    """Where slice q.. of a slice that starts at p with `step` starts."""
    return tuple(a + s * b for a, s, b in zip(p, step, q, strict=True))


def slice_stop(start: Shape, step: Shape, shape: Shape) -> tuple[int, ...]:
    """The end of a slice that takes `shape` elements from `start` with `step`."""
    return tuple(a + (n - 1) * s + 1 if n else a
                 for a, s, n in zip(start, step, map(int, shape), strict=True))


def product(p: Shape, q: Shape) -> tuple[int, ...]:
    """Products, axis by axis."""
    return tuple(a * b for a, b in zip(p, q, strict=True))


def plus(p: Shape, q: Shape) -> tuple[int, ...]:
    """Sums, axis by axis."""
    return tuple(a + b for a, b in zip(p, q, strict=True))


def minus(p: Shape, q: Shape) -> tuple[int, ...]:
    """Differences, axis by axis."""
    return tuple(a - b for a, b in zip(p, q, strict=True))


def inside(start: Shape, stop: Shape, low: Shape, shape: Shape) -> bool:
    """Whether start .. stop touches only the `shape` elements that begin at `low`."""
    return all(b >= a >= lo and b <= lo + d
               for a, b, lo, d in zip(start, stop, low, shape, strict=True))


def same_value(a: float, b: float) -> bool:
    """Whether two numbers are one, bit for bit (NaN is NaN)."""
    return float(a).hex() == float(b).hex()


def all_ones(shape: Shape, axes: Sequence[int]) -> bool:
    """Whether every axis in `axes` has one element."""
    return all(shape[a] == 1 for a in axes)


def merged_axes(p: Sequence[int], q: Sequence[int], rank: int) -> tuple[int, ...]:
    """The axes of an array of `rank` that go when p go first and then q of what is left."""
    left = [a for a in range(rank) if a not in p]
    return tuple(sorted((*p, *(left[a] for a in q))))


def only_repeated(shape: Shape, wide: Shape, axes: Sequence[int]) -> bool:
    """Whether a broadcast from `shape` to `wide` repeats along every axis in `axes`."""
    skip = len(wide) - len(shape)
    return all(a < skip or shape[a - skip] == 1 for a in axes)


def kept_dims(shape: Shape, wide: Shape, axes: Sequence[int]) -> tuple[int, ...]:
    """`shape` without those of its axes that stand under `axes` of `wide`."""
    skip = len(wide) - len(shape)
    return tuple(int(d) for a, d in enumerate(shape) if a + skip not in axes)


def count(shape: Shape, axes: Sequence[int]) -> int:
    """How many elements `axes` of `shape` hold."""
    return math.prod(int(shape[a]) for a in axes)


NAMES: dict[str, Any] = {f.__name__: f for f in (
    all_ones, count, fits, inside, is_constant, kept_dims, lossless, merged_axes, minus,
    moves_only_ones, odd_axes, only_repeated, plus, power_of_two, product, same_value,
    slice_start, slice_stop, sum_dtype, wrapped)}
