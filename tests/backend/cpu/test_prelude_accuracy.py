"""Accuracy of the prelude: sampled ULP errors, special cases, exact division."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tests.backend.cpu.prelude_native import compiled
from tests.backend.cpu.ulp import BOUNDS, REFERENCES, worst

# Largest errors of the f64 functions in ULP, as sampled; docs/design/math.md lists them.
BOUNDS_F64 = {"exp": 1.0, "exp2": 1.0, "expm1": 2.0, "log": 1.0, "log2": 1.0, "log1p": 1.0,
              "tanh": 3.0, "sigmoid": 2.5, "softplus": 2.5, "rsqrt": 1.5, "sin": 3.0, "cos": 3.0,
              "erf": 4.5,
              "tan": 4.0, "asin": 2.0, "acos": 2.0, "atan": 1.5, "sinh": 3.0, "cosh": 3.0,
              "asinh": 2.0, "acosh": 2.5, "atanh": 2.0, "log10": 1.0, "cbrt": 1.0}
# those that NumPy has no long double of, against 60 digits: special_f64.json holds operand, value,
# and what the value's f64 leaves
BOUNDS_DIGITS = {"sin": 3.0, "cos": 3.0, "tan": 4.0, "sinpi": 2.5, "cospi": 2.5, "erfc": 6.0,
                 "erfcx": 6.0, "erfinv": 6.0, "lgamma": 6.0, "digamma": 5.0, "i0e": 6.0,
                 "i1e": 6.0}
DIGITS = json.loads(Path(__file__).with_name("special_f64.json").read_text())
RANGES = {"exp": (-740, 709), "exp2": (-1070, 1023), "expm1": (-40, 709), "tanh": (-20, 20),
          "sigmoid": (-700, 700), "softplus": (-700, 700), "erf": (-6, 6),
          "sin": (-1e6, 1e6), "cos": (-1e6, 1e6),
          "tan": (-1e6, 1e6), "asin": (-1, 1), "acos": (-1, 1), "atan": (-50, 50),
          "sinh": (-710, 710), "cosh": (-710, 710), "asinh": (-1e9, 1e9), "acosh": (1, 1e9),
          "atanh": (-1, 1), "cbrt": (-1e9, 1e9)}


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", BOUNDS)
def test_f32_sample_of_bit_patterns(name: str) -> None:
    """Every 2048th pattern, all exponents and both signs, from a start of the name's own."""
    start = zlib.crc32(name.encode()) % 2048
    error, pattern = worst(name, np.arange(start, 1 << 32, 2048, dtype=np.uint32))
    assert error <= BOUNDS[name], f"{name}_f32 is off by {error} ULP at 0x{pattern:08x}"


@pytest.mark.parametrize("name", BOUNDS)
def test_f32_edges(name: str) -> None:
    """Zeros, denormals, infinities, NaN, the ends of the range, and neighbours of simple values."""
    centres = np.array([0, 1, 2, 3, 0.5, 0.9, 1 / 3, math.pi, 20, 88.72284, 103.97, 128, 150, 1e-38,
                        1e-45, 3.4e38, np.inf, 9.01, 17.3, 0.34657359, 2.0**62, 1.5e-45],
                       np.float32).view(np.uint32)
    around = (centres[:, None] + np.arange(-40, 41)).ravel()
    patterns = np.concatenate([around, around + 2**31]) % 2**32
    error, pattern = worst(name, patterns.astype(np.uint32))
    assert error <= BOUNDS[name], f"{name}_f32 is off by {error} ULP at 0x{pattern:08x}"


def long_reference(name: str) -> Callable[[Any], Any]:
    """The f64 functions in NumPy's longest float: 64 bits of mantissa where x87 has them."""
    if name == "erf":
        return lambda x: np.array([math.erf(v) for v in x.astype(float)], np.longdouble)
    return REFERENCES[name]


@pytest.mark.parametrize("name", BOUNDS_F64)
def test_f64_sample(name: str, rng: np.random.Generator) -> None:
    low, high = RANGES.get(name, (0, 1e4))
    tiny = 10.0 ** rng.uniform(-300, 0, 4000) * (rng.choice([-1, 1], 4000) if low else 1)
    middle = rng.uniform(max(low, -3), min(high, 3), 20000)
    x = np.concatenate([rng.uniform(low, high, 20000), middle, tiny * (low <= 0) + (low > 0)])
    got, = compiled(f"{name}_f64")(x)
    want = long_reference(name)(x.astype(np.longdouble))
    spacing = np.spacing(np.abs(want.astype(np.float64)))
    error = np.abs(got - want) / spacing
    at = int(error.argmax())
    slack = 1.0 if name == "erf" or np.finfo(np.longdouble).nmant < 60 else 0.0
    assert error[at] <= BOUNDS_F64[name] + slack, f"{error[at]} ULP at {x[at]!r}"
    assert np.isfinite(error).all()


@pytest.mark.parametrize("name", BOUNDS_F64)
def test_f64_special_values(name: str) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 1e300, -1e300, 1.0, -1.0])
    got, = compiled(f"{name}_f64")(x)
    with np.errstate(all="ignore"):
        want = REFERENCES[name](x)
    np.testing.assert_allclose(got, want, rtol=1e-15)
    zeros = got == 0
    np.testing.assert_array_equal(np.signbit(got[zeros]), np.signbit(want[zeros]))


@pytest.mark.parametrize("name", BOUNDS_DIGITS)
def test_f64_against_many_digits(name: str) -> None:
    """Also sine and cosine of numbers up to 1e308, one of them 2**-60 from a multiple of pi/2."""
    x, high, low = (np.array(column) for column in zip(*DIGITS[name], strict=True))
    got, = compiled(f"{name}_f64")(x)
    unit = np.spacing(np.abs(high))
    if name in ("lgamma", "digamma"):  # below 0 a difference of two terms of about this size
        unit = np.where(x < 0, np.spacing(np.maximum(np.abs(high), 4.0)), unit)
    error = np.abs((got - high) - low) / unit
    at = int(error.argmax())
    assert error[at] <= BOUNDS_DIGITS[name], f"{error[at]} ULP at {x[at]!r}"


@pytest.mark.parametrize("kind", [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)], ids=str)
@pytest.mark.parametrize("name", BOUNDS)
def test_halves_are_within_one_unit(name: str, kind: np.dtype) -> None:
    """All 65536 operands of f16 and bf16, computed in f32 and rounded, as kernels do."""
    x = np.arange(1 << 16, dtype=np.uint16).view(kind).astype(np.float32)
    info = ml_dtypes.finfo(kind)
    got, = compiled(f"{name}_f32")(x)
    with np.errstate(all="ignore"):
        got = got.astype(kind).astype(np.float64)
        want = REFERENCES[name](x.astype(np.float64))
        exponent = np.maximum(np.frexp(want)[1] - 1, float(info.minexp))
        error = np.abs(got - want) / 2.0 ** (exponent - float(info.nmant))
    beyond = np.abs(want) >= float(info.max)
    same = (np.isnan(got) & np.isnan(want)) | (got == want)
    same |= beyond & (np.abs(got) >= float(info.max)) & (np.sign(got) == np.sign(want))
    bad = np.flatnonzero(~(same | (error <= 1.0)))
    assert not bad.size, [(x[i], got[i], want[i]) for i in bad[:4]]


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 0.51), (np.float64, 64.0)])
def test_pow_sample(dtype: Any, bound: float, rng: np.random.Generator) -> None:
    """Random bases and exponents over the whole range of results."""
    x = (2.0 ** rng.uniform(-30, 30, 200000)).astype(dtype)
    limit = 126 if dtype is np.float32 else 1020
    y = (rng.uniform(-limit, limit, 200000) / np.log2(x)).astype(dtype)
    got, = compiled(f"pow_f{8 * x.itemsize}")(x, y)
    want = np.power(x.astype(np.longdouble), y.astype(np.longdouble))
    error = np.abs(got.astype(np.longdouble) - want) / np.spacing(np.abs(want.astype(dtype)))
    at = int(error.argmax())
    assert error[at] <= bound, f"{error[at]} ULP at {x[at]!r} ** {y[at]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pow_special_cases(dtype: Any) -> None:
    """C's Annex F, which NumPy follows: zeros, infinities, NaN, negative bases, odd exponents."""
    values = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5,
              -1.5, 1e30, -1e30, 1e-40, 16777217.0, 4503599627370497.0]
    x, y = (a.ravel() for a in np.meshgrid(np.array(values, dtype), np.array(values, dtype)))
    got, = compiled(f"pow_f{8 * x.itemsize}")(x, y)
    with np.errstate(all="ignore"):
        want = np.power(x, y)
    np.testing.assert_allclose(got, want, rtol=1e-6 if dtype is np.float32 else 1e-14)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_remainder_of_floats_is_exact(dtype: Any, rng: np.random.Generator) -> None:
    """a - b floor(a / b) in exact arithmetic, then rounded once; quotients up to 2**200."""
    size = 37 if dtype is np.float32 else 60
    numbers = 10.0 ** rng.uniform(-size / 2, size / 2, (2, 3000))
    a, b = (numbers * rng.choice([-1, 1], numbers.shape)).astype(dtype)
    got, = compiled(f"rem_f{8 * a.itemsize}")(a, b)
    for x, y, value in zip(a, b, got, strict=True):
        exact, divisor = Fraction(float(x)), Fraction(float(y))
        assert value == dtype(float(exact - divisor * math.floor(exact / divisor))), (x, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rem", "floordiv"])
def test_division_of_floats_follows_numpy(name: str, dtype: Any, rng: np.random.Generator) -> None:
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.1, 3.0, -3.0, 1e-40, 7.5, -0.5]
    spread = 10.0 ** rng.uniform(-4, 4, 300) * rng.choice([-1, 1], 300)
    numbers = np.concatenate([special, spread])
    a, b = (v.ravel() for v in np.meshgrid(numbers.astype(dtype), numbers.astype(dtype)))
    got, = compiled(f"{name}_f{8 * a.itemsize}")(a, b)
    with np.errstate(all="ignore"):
        want = {"rem": np.remainder, "floordiv": np.floor_divide}[name](a, b)
    np.testing.assert_array_equal(got, want)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


INTEGER = {"floordiv": np.floor_divide, "rem": np.remainder}


@pytest.mark.parametrize("dtype", ["i32", "i64", "u32", "u8"])
@pytest.mark.parametrize("name", ["floordiv", "rem", "shl", "shr", "sign"])
def test_integers_follow_numpy(name: str, dtype: str, rng: np.random.Generator) -> None:
    """Every pair of edge and random values; division by zero gives 0, nothing traps."""
    kind = np.dtype(f"{dtype[0]}{int(dtype[1:]) // 8}")
    info = np.iinfo(kind)
    edges = (0, 1, 2, 3, 7, 31, 32, 63, 64, -1, -2, info.min, info.max)
    spread = rng.integers(info.min, info.max, 60, kind, endpoint=True)
    values = np.concatenate([np.array([v for v in edges if v >= info.min], kind), spread])
    a, b = (v.ravel() for v in np.meshgrid(values, values))
    got, = compiled(f"{name}_{dtype}")(*((a,) if name == "sign" else (a, b)))
    np.testing.assert_array_equal(got, _integer_reference(name, a, b))


def _integer_reference(name: str, a: np.ndarray, b: np.ndarray) -> Any:
    if name == "sign":
        return np.sign(a)
    with np.errstate(all="ignore"):
        if name in INTEGER:
            return INTEGER[name](a, b)
    bits = a.itemsize * 8
    inside = (b >= 0) & (b < bits)
    places = np.where(inside, b, 0).astype(b.dtype)
    shifted = np.left_shift(a, places) if name == "shl" else np.right_shift(a, places)
    return np.where(inside, shifted, 0)
