"""Plain-Python bodies of the primitives: what each means, on NumPy scalars and flat arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

_NUMPY = {"f32": np.float32, "f64": np.float64, "u8": np.uint8, "u16": np.uint16,
          "i32": np.int32, "u32": np.uint32, "i64": np.int64, "u64": np.uint64}


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


def _local(kind: Any) -> Callable[[int], Any]:
    """A buffer whose contents are undefined: NaN or a conspicuous integer shows a missed store."""
    def body(n: int) -> Any:
        return np.full(n, np.nan if issubclass(kind, np.floating) else 113, kind)
    return body


def _view(kind: Any, readonly: bool) -> Callable[..., Any]:
    """A C-contiguous array over a buffer: what a user's function takes."""
    def body(buffer: Any, *sizes: int) -> Any:
        count = math.prod(map(int, sizes))
        flat = buffer.view(np.ndarray)[:count]
        found = flat.view(kind).reshape(tuple(map(int, sizes)))
        found.setflags(write=not readonly)
        return found
    return body


CASTS = {name: _cast(kind) for name, kind in _NUMPY.items()}
BITCASTS = {name: _bitcast(kind) for name, kind in _NUMPY.items()}
LOCALS = {name: _local(kind) for name, kind in _NUMPY.items()}
VIEWS = {f"{word}view_{name}": _view(kind, bool(word)) for word in ("", "const_")
         for name, kind in {**_NUMPY, "bool": np.bool_}.items()}


def fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c rounded once, in the operands' type."""
    if not all(map(math.isfinite, (a, b, c))):
        return a * b + c if math.isinf(a) or math.isinf(b) or math.isnan(a + b) else type(a)(c)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if exact == 0:
        return a * b + c  # the sign of a zero result follows the rounded operations
    if isinstance(a, np.float32):
        return _round_f32(exact)
    try:
        return np.float64(float(exact))
    except OverflowError:
        return np.float64(math.inf if exact > 0 else -math.inf)


def _round_f32(exact: Fraction) -> Any:
    """The f32 nearest to `exact`; going through f64 needs round-to-odd to round only once."""
    try:
        near = float(exact)
    except OverflowError:
        return np.float32(math.inf if exact > 0 else -math.inf)
    if Fraction(near) != exact and not np.float64(near).view(np.int64) & 1:
        near = math.nextafter(near, math.inf if exact > Fraction(near) else -math.inf)
    return np.float32(near)


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


def at(buffer: Any, offset: Any) -> Any:
    """The buffer from element `offset` on."""
    if not 0 <= offset <= len(buffer):
        raise IndexError(f"offset {offset} lies outside a buffer of {len(buffer)} elements")
    return buffer[int(offset):]


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
