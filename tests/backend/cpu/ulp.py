"""Errors in units in the last place: f32 results against f64 references, over bit patterns."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from dlc.program import Kernel, Parameter
from tests.backend.cpu.prelude_native import Native, loop_kernel

# The largest error of each f32 function over every bit pattern, in ULP, that the tests accept.
BOUNDS = {"exp": 1.1, "exp2": 1.0, "expm1": 1.75, "log": 1.0, "log2": 1.5, "log1p": 1.75, "tanh":
          1.75, "sigmoid": 1.75, "softplus": 2.0, "rsqrt": 1.5, "sin": 1.75, "cos": 1.75, "erf":
          1.25, "erfinv": 1.0, "tan": 1.0, "asin": 1.0, "acos": 1.0, "atan": 1.0, "sinh": 1.0,
          "cosh": 1.0, "asinh": 1.0, "acosh": 1.0, "atanh": 1.0, "log10": 1.0, "cbrt": 1.0,
          "erfc": 1.0, "erfcx": 1.0, "lgamma": 1.0, "i0e": 1.0, "i1e": 1.0,
          "digamma": 2.5}  # next to roots below 0 the reference itself is 2 off

# |got - ref| over the spacing of f32 at ref. Infinite where only one is NaN, where the signs
# differ (also of zeros), or where an infinity stands for a value that rounds to a finite f32.
_ERROR_TEXT = """def ulp_error(got, ref, error, n, chunk):
    for i in range(n):
        g = f64(got[i])
        r = ref[i]
        size = abs(r)
        exponent = (bitcast_i64(size) >> 52) - i64(1023)
        exponent = min(max(exponent, i64(-126)), i64(127))
        inverse = bitcast_f64((i64(1023 + 23) - exponent) << 52)
        infinity = bitcast_f64(i64(0x7FF0000000000000))
        beyond = size >= f64(3.4028235677973366e38)
        both = (abs(g) == infinity) & beyond
        d = select(both, f64(0.0), abs(g - r) * inverse)
        d = select((abs(g) == infinity) & (size < f64(3.4028235677973366e38)), infinity, d)
        d = select((bitcast_i64(g) ^ bitcast_i64(r)) < i64(0), infinity, d)
        d = select((g != g) | (r != r), infinity, d)
        error[i] = f32(select((g != g) & (r != r), f64(0.0), d))
"""
_ERROR = Kernel("ulp_error", (
    Parameter("got", "f32", "pointer"), Parameter("ref", "f64", "pointer"),
    Parameter("error", "f32", "pointer"), Parameter("n", "i64", "scalar")), _ERROR_TEXT)


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


# Over pointers: once a Toolchain is made, Numba in this process knows no arrays. Compiled when
# first called, as every process that collects tests imports this file.
def _erf(x: Any, y: Any, n: int) -> None:
    for i in range(n):
        a = abs(x[i])
        if a < 6e-5:
            y[i] = x[i] * 1.1283791670955126 * (1.0 - x[i] * x[i] / 3.0)
        else:
            y[i] = math.erf(x[i]) if not a > 6.0 else math.copysign(1.0, x[i])


def _erfinv(x: Any, y: Any, n: int) -> None:
    """Halley's iteration on erf, or on erfc where x is near 1."""
    for i in range(n):
        a = abs(x[i])
        if a < 6e-5:
            y[i] = x[i] * 0.886226925452758 * (1.0 + x[i] * x[i] * 0.2617993877991494)
        elif not a < 1.0:
            y[i] = x[i] * np.inf if a == 1.0 else np.nan
        else:
            z = math.sqrt(-math.log1p(-a * a)) * 0.93
            for _ in range(6):
                f = math.erf(z) - a if a < 0.5 else (1.0 - a) - math.erfc(z)
                step = f / (1.1283791670955126 * math.exp(-z * z))
                z -= step / (1.0 + z * step)
            y[i] = math.copysign(z, x[i])


def _erfcx(x: Any, y: Any, n: int) -> None:
    """e**(x**2) erfc(x): the square of an f32 is exact in f64; from 12 on a series."""
    for i in range(n):
        a = x[i]
        if a > 12.0:
            z = 0.5 / (a * a)
            s = 1.0 - z * (1.0 - 3.0 * z * (1.0 - 5.0 * z * (1.0 - 7.0 * z * (1.0 - 9.0 * z))))
            y[i] = s * 0.5641895835477563 / a
        else:
            y[i] = math.exp(a * a) * math.erfc(a)


def _erfc(x: Any, y: Any, n: int) -> None:
    for i in range(n):
        y[i] = math.erfc(x[i])


def _lgamma(x: Any, y: Any, n: int) -> None:
    for i in range(n):
        a = x[i]
        y[i] = np.inf if a <= 0 and a == math.floor(a) else math.lgamma(a)


def _digamma(x: Any, y: Any, n: int) -> None:
    """Recurrence to 12 and the asymptotic series; Taylor's series about the positive root."""
    for i in range(n):
        a = x[i]
        d = (a - 1.4616321449683622) - 9.549995429965697e-17
        if abs(d) < 1e-3:
            y[i] = d * (0.9676722454476212 - d * (0.4427631689835921 - d * (
                0.258499760955651 - d * (0.16394270544240652 - d * 0.10782405069126237))))
            continue
        if a < 0.0:
            a = 1.0 - a
        total = 0.0
        while a < 12.0:
            total -= 1.0 / a
            a += 1.0
        z = 1.0 / (a * a)
        tail = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (
            1 / 132 - z * (691 / 32760 - z / 12))))))
        total += math.log(a) - 0.5 / a - tail
        if x[i] < 0.0:
            r = x[i] - np.rint(x[i])
            total = np.nan if r == 0.0 else total - math.pi / math.tan(math.pi * r)
        y[i] = total if a < np.inf else (np.nan if x[i] < 0.0 else a)


@numba.njit(error_model="numpy")  # type: ignore[misc]
def _bessel(a: float, order: int) -> float:
    """e**-a I_order(a): the power series up to 18, then the asymptotic one."""
    if a < 18.0:
        z, term, total = a * a * 0.25, 1.0, 1.0
        for k in range(1, 60):
            term *= z / (k * (k + order))
            total += term
            if term < 1e-19 * total:
                break
        return total * math.exp(-a) * (0.5 * a if order == 1 else 1.0)
    term, total = 1.0, 1.0
    for k in range(1, 18):
        term *= -(4.0 * order * order - (2.0 * k - 1.0) ** 2) / (8.0 * k * a)
        total += term
        if abs(term) < 1e-19:
            break
    return total / math.sqrt(2.0 * math.pi * a)


def _i0e(x: Any, y: Any, n: int) -> None:
    for i in range(n):
        y[i] = _bessel(abs(x[i]), 0)


def _i1e(x: Any, y: Any, n: int) -> None:
    for i in range(n):
        y[i] = math.copysign(_bessel(abs(x[i]), 1), x[i])


@cache
def _compiled(kernel: Any) -> Any:
    """`kernel` as a function of two addresses and a length."""
    native = numba.cfunc("void(CPointer(f8), CPointer(f8), i8)", error_model="numpy")(kernel)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    return native, kind(native.address)


def _filled(kernel: Any) -> Callable[[Any], Any]:
    def reference(x: Any) -> Any:
        x = np.ascontiguousarray(x, np.float64)
        y = np.empty_like(x)
        _compiled(kernel)[1](x.ctypes.data, y.ctypes.data, x.size)
        return y
    return reference


REFERENCES: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "log": np.log, "log2": np.log2,
    "log1p": np.log1p, "tanh": np.tanh, "sigmoid": _sigmoid, "softplus": _softplus,
    "sin": np.sin, "cos": np.cos,
    "rsqrt": lambda x: 1.0 / np.sqrt(x), "erf": _filled(_erf), "erfinv": _filled(_erfinv),
    "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh,
    "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "log10": np.log10, "cbrt": np.cbrt, "erfc": _filled(_erfc), "erfcx": _filled(_erfcx),
    "lgamma": _filled(_lgamma), "digamma": _filled(_digamma), "i0e": _filled(_i0e),
    "i1e": _filled(_i1e)}


@cache
def _natives(name: str) -> tuple[Native, Native]:
    return Native(loop_kernel(f"{name}_f32")), Native(_ERROR)


def worst(name: str, patterns: np.ndarray) -> tuple[float, int]:
    """(largest ULP error, its bit pattern) of `name`_f32 over an array of u32 bit patterns."""
    function, measure = _natives(name)
    x, n = patterns.view(np.float32), len(patterns)
    got, error = np.empty(n, np.float32), np.empty(n, np.float32)
    function(x, got, n)
    with np.errstate(all="ignore"):
        reference = np.ascontiguousarray(REFERENCES[name](x.astype(np.float64)))
    measure(got, reference, error, n)
    at = int(error.argmax())
    return float(error[at]), int(patterns[at])
