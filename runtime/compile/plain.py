"""Plain-Python bodies of the primitives, on NumPy scalars and flat arrays."""

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
    if issubclass(kind, np.floating):
        return kind  # type: ignore[no-any-return]
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    words = high - low + 1

    def to_int(x: Any) -> Any:
        if isinstance(x, (float, np.floating)):
            return kind(0 if math.isnan(x) else _saturate(x, low, high))
        wrapped = int(x) & (words - 1)
        return kind(wrapped - words if wrapped > high else wrapped)
    return to_int


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


def _reduce(*bounds: int, into: object, by: object = None) -> range:
    return range(*bounds)


# Of kernels over parallel axes, before they are cut, and of CUDA's: all rounds one after the other,
# the threads of a region last to first.
UNCUT = {"parallel": range, "threads": lambda count: range(count - 1, -1, -1), "vector": range,
         "reduce": _reduce, "shared_bool": LOCALS["u8"],
         **{f"shared_{name}": local for name, local in LOCALS.items()}}
VIEWS = {f"{word}view_{name}": _view(kind, bool(word)) for word in ("", "const_")
         for name, kind in {**_NUMPY, "bool": np.bool_}.items()}


def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c rounded once, in the operands' type."""
    x, y, z = float(a), float(b), float(c)
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        return a * b + c if math.isinf(a) or math.isinf(b) or math.isnan(a + b) else type(a)(c)
    if isinstance(a, np.float32):
        # f64 holds the product; rounding the sum to odd leaves the second rounding as the only one
        return np.float32(_to_odd(x * y, z))
    if x == 0 or y == 0:
        return a * b + c
    if FAR < abs(x) < 1 / FAR and FAR < abs(y) < 1 / FAR and (
            FAR * FAR < abs(z) < 1 / FAR / FAR or z == 0):
        return np.float64(_fma_f64(x, y, z))
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        return a * b + c  # the sign of a zero result follows the rounded operations
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.inf if exact > 0 else -math.inf)


FAR = 2.0**-450  # between it and its inverse no part of a * b + c overflows or gets lost below


def _fma_f64(a: float, b: float, c: float) -> float:
    """The f64 nearest to a * b + c: a product and two sums without error, of which the low parts
    are rounded to odd (Boldo and Melquiond 2008)."""
    product, low = _exact_product(a, b)
    upper, lower = _exact_sum(c, low)
    total, rest = _exact_sum(product, upper)
    return total + _to_odd(rest, lower)


def _exact_sum(a: float, b: float) -> tuple[float, float]:
    """a + b rounded, and what that lost (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _exact_product(a: float, b: float) -> tuple[float, float]:
    """a * b rounded, and what that lost (Dekker 1971, of halves by Veltkamp)."""
    product, far_a, far_b = a * b, a * 134217729.0, b * 134217729.0  # 2^27 + 1
    a1, b1 = far_a - (far_a - a), far_b - (far_b - b)
    a2, b2 = a - a1, b - b1
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _to_odd(a: float, b: float) -> float:
    """a + b rounded to odd: where it is not exact, to the neighbour whose last bit is 1."""
    total, lost = _exact_sum(a, b)
    if lost and not np.float64(total).view(np.int64) & 1:
        total = math.nextafter(total, math.inf if lost > 0 else -math.inf)
    return total


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
