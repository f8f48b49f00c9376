"""Sample operands for the generated tests: each function gives what `Op.samples` wants.

A sample is (arrays, attrs). Arrays are small, seeded, and cover the edge shapes: scalar, one
element, a prime length, several axes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Sample = tuple[tuple[Any, ...], dict[str, Any]]
Samples = Callable[[], Iterator[Sample]]
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (7,), (3, 5), (2, 3, 17))


def spread(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Any:
    """f32 values in low .. high, apart from each other and from integers (kinks lie there)."""
    values = rng.uniform(low, high, shape)
    away = np.where(np.abs(values - np.rint(values)) < 0.05, values + 0.1, values)
    return np.asarray(away, np.float32)


def unary(low: float = -3.0, high: float = 3.0, attrs: dict[str, Any] | None = None,
          special: bool = False) -> Samples:
    """One operand in low .. high; `special` adds NaN and infinities."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(1)
        for shape in SHAPES:
            yield (spread(rng, shape, low, high),), dict(attrs or {})
        if special:
            yield (np.array([np.nan, np.inf, -np.inf, 0, 1], np.float32),), dict(attrs or {})

    return samples


def binary(low: float = -3.0, high: float = 3.0, nonzero: bool = False, ties: bool = False,
           kinks: bool = False) -> Samples:
    """Two operands of one shape; `nonzero` keeps the second from 0, `ties` makes some equal."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(2)
        for shape in SHAPES:
            a, b = spread(rng, shape, low, high), spread(rng, shape, low, high)
            if nonzero:
                b = np.asarray(np.where(np.abs(b) < 0.3, b + 1.0, b), np.float32)
            if kinks:
                a = np.asarray(b * (np.rint(a) + 0.4), np.float32)
            if ties:
                a = np.asarray(np.where(rng.random(shape) < 0.3, b, a), np.float32)
            yield (a, b), {}

    return samples


def ternary() -> Samples:
    """A bool condition and two values."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(3)
        for shape in SHAPES:
            a, b = spread(rng, shape, -3, 3), spread(rng, shape, -3, 3)
            yield (np.asarray(rng.random(shape) < 0.5), a, b), {}

    return samples


def integers(shift: bool = False) -> Samples:
    """Two integer operands, over i32 and u32; `shift` makes the second a bit position."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(4)
        for shape in SHAPES:
            for kind in (np.int32, np.uint32):
                info = np.iinfo(kind)
                a = rng.integers(info.min, info.max, shape, kind, endpoint=True)
                b = rng.integers(0, 40 if shift else info.max, shape, kind)
                yield (np.asarray(a, kind), np.asarray(b, kind)), {}

    return samples


def predicates() -> Samples:
    """One bool operand."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(5)
        for shape in SHAPES:
            yield (np.asarray(rng.random(shape) < 0.5),), {}

    return samples


def over_axes(**attrs: Any) -> Samples:
    """One operand and every kind of `axes`: last, first, middle, several, all."""
    def samples() -> Iterator[Sample]:
        rng = np.random.default_rng(6)
        for shape, axes in (((7,), (0,)), ((3, 5), (1,)), ((3, 5), (0,)), ((2, 3, 17), (1,)),
                            ((2, 3, 17), (0, 2)), ((4, 33), (0, 1))):
            yield (spread(rng, shape, -2.0, 2.0),), {"axes": axes, **attrs}

    return samples
