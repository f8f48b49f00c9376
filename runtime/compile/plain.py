"""Plain-Python bodies of the primitives: what each means, on NumPy scalars and flat arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

_NUMPY = {"f32": np.float32, "f64": np.float64, "i8": np.int8, "u8": np.uint8, "i16": np.int16,
          "u16": np.uint16, "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64}


class Pointer:
    """A kernel's pointer: `array`, which is flat, seen from element `offset` on.

    An index may be negative where elements lie before the pointer, as rows do that are walked
    backwards. Raises IndexError for an access outside of `array`, where the native kernel would
    read or write past it.
    """

    __slots__ = ("array", "offset")

    def __init__(self, array: Any, offset: int = 0) -> None:
        self.array, self.offset = array, offset

    def __getitem__(self, key: Any) -> Any:
        return self.array[self._place(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[self._place(key)] = value

    def _place(self, key: Any) -> Any:
        """An index or a slice from `start` to `stop`, in the array."""
        if not isinstance(key, slice):
            at = self.offset + key
            if not 0 <= at < len(self.array):
                raise IndexError(f"index {at} lies outside a buffer of {len(self.array)} elements")
            return at
        start, stop = self.offset + (key.start or 0), self.offset + key.stop
        if start < stop and not 0 <= start <= stop <= len(self.array):
            raise IndexError(f"elements {start} to {stop} lie outside a buffer of "
                             f"{len(self.array)} elements")
        return slice(start, max(start, stop))


def _cast(kind: Any) -> Callable[[Any], Any]:
    def to_float(x: Any) -> Any:
        return kind(x)

    def to_int(x: Any) -> Any:
        info = np.iinfo(kind)
        if isinstance(x, (float, np.floating)):
            return kind(0 if math.isnan(x) else _saturate(x, int(info.min), int(info.max)))
        wrapped = int(x) & ((1 << info.bits) - 1)
        return kind(wrapped - (1 << info.bits) if wrapped > info.max else wrapped)
    return to_float if issubclass(kind, np.floating) else to_int


def _saturate(x: Any, low: int, high: int) -> int:
    if math.isinf(x):
        return high if x > 0 else low
    return max(low, min(high, int(float(x))))


def _bitcast(kind: Any) -> Callable[[Any], Any]:
    def body(x: Any) -> Any:
        return x.view(kind)
    return body


def _local(kind: Any) -> Callable[[int], Pointer]:
    """A buffer whose contents are undefined: NaN or a conspicuous integer shows a missed store."""
    def body(n: int) -> Pointer:
        return Pointer(np.full(n, np.nan if issubclass(kind, np.floating) else 113, kind))
    return body


def _view(kind: Any, readonly: bool) -> Callable[..., Any]:
    """A C-contiguous array over a buffer: what a user's function takes."""
    def body(buffer: Pointer, *sizes: int) -> Any:
        flat = buffer[:math.prod(map(int, sizes))]
        found = flat.view(kind).reshape(tuple(map(int, sizes)))
        found.setflags(write=not readonly)
        return found
    return body


CASTS = {name: _cast(kind) for name, kind in _NUMPY.items()}
BITCASTS = {name: _bitcast(kind) for name, kind in _NUMPY.items()}
LOCALS = {name: _local(kind) for name, kind in _NUMPY.items()}


def _reduce(*bounds: int, into: object) -> range:
    return range(*bounds)


# Of kernels over parallel axes, before they are cut: all rounds one after the other.
UNCUT = {"parallel": range, "vector": range, "reduce": _reduce, "shared_bool": LOCALS["u8"],
         **{f"shared_{name}": local for name, local in LOCALS.items()}}
VIEWS = {f"{word}view_{name}": _view(kind, bool(word)) for word in ("", "const_")
         for name, kind in {**_NUMPY, "bool": np.bool_}.items()}


def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c rounded once, in the operands' type."""
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c if math.isinf(a) or math.isinf(b) or math.isnan(a + b) else type(a)(c)
    if isinstance(a, np.float32):
        return _fma_f32(float(a), float(b), float(c))
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return a * b + c  # the sign of a zero result follows the rounded operations
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.inf if exact > 0 else -math.inf)


def _fma_f32(a: float, b: float, c: float) -> Any:
    """The f32 nearest to a * b + c of three f32: f64 holds the product, and the sum is rounded to
    odd, so that the second rounding is the only one that counts (Boldo and Melquiond 2008)."""
    product = a * b
    total = product + c
    part = total - product
    lost = (product - (total - part)) + (c - part)  # Knuth's sum of two numbers is exact
    if lost and not np.float64(total).view(np.int64) & 1:
        total = math.nextafter(total, math.inf if lost > 0 else -math.inf)
    return np.float32(total)


def add(a: Any, b: Any) -> Any:
    return a + b


def multiply(a: Any, b: Any) -> Any:
    return a * b


def minimum(a: Any, b: Any) -> Any:
    """The smaller; NaN if either is NaN; -0 below +0."""
    if a == b and isinstance(a, np.floating):
        return a if np.signbit(a) else b
    return np.minimum(a, b)


def maximum(a: Any, b: Any) -> Any:
    """The larger; NaN if either is NaN; -0 below +0."""
    if a == b and isinstance(a, np.floating):
        return b if np.signbit(a) else a
    return np.maximum(a, b)


copysign, sqrt, floor, ceil = np.copysign, np.sqrt, np.floor, np.ceil
rint, trunc, absolute = np.rint, np.trunc, np.abs


def idiv(a: Any, b: Any) -> Any:
    return a // b


def imod(a: Any, b: Any) -> Any:
    return a % b


def mulhi_u32(a: Any, b: Any) -> Any:
    """The high 32 bits of the 64-bit product of two u32."""
    return np.uint32(int(a) * int(b) >> 32)


def select(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


def at(buffer: Any, offset: Any) -> Pointer:
    """The buffer, a Pointer or a flat array, from element `offset` on."""
    array, start = (buffer.array, buffer.offset) if isinstance(buffer, Pointer) else (buffer, 0)
    return Pointer(array, start + int(offset))


def f16_to_f32(half: Any) -> Any:
    return np.float32(np.uint16(half).view(np.float16))


def f32_to_f16(x: Any) -> Any:
    return np.float16(x).view(np.uint16)


def bf16_to_f32(half: Any) -> Any:
    return np.uint32(int(half) << 16).view(np.float32)


def f32_to_bf16(x: Any) -> Any:
    """Round to nearest even; NaN keeps its high bits and becomes quiet."""
    word = int(np.float32(x).view(np.uint32))
    if math.isnan(x):
        return np.uint16(word >> 16 | 0x40)
    return np.uint16((word + 0x7FFF + (word >> 16 & 1)) >> 16)
