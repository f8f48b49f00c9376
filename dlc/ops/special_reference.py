"""Special functions in NumPy, f64: what the evaluator takes them to mean.

Written apart from the kernels' polynomials: recurrences, asymptotic series (Abramowitz and Stegun,
6.1.41, 6.3.18, 6.4.11, 9.7.1), Halley's iteration, the trapezoid rule on a period, which converges
faster than any power. Every function takes and returns f64 arrays and raises no warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# B_2k for k = 1 .. 10
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510,
             43867 / 798, -174611 / 330)
STEPS = 16  # recurrences run to 16 and beyond before a series is used


def in_f64(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` on f64 copies of the operands, without NumPy's warnings."""
    def eval_(*operands: Any, **attrs: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*(np.asarray(x, np.float64) for x in operands), **attrs)

    return eval_


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    try:
        return math.lgamma(x)
    except OverflowError:
        return math.inf


lgamma: Callable[..., Any] = in_f64(np.vectorize(_lgamma, otypes=[np.float64]))
erf: Callable[..., Any] = in_f64(np.vectorize(math.erf, otypes=[np.float64]))
erfc: Callable[..., Any] = in_f64(np.vectorize(math.erfc, otypes=[np.float64]))


@in_f64
def erfcx(x: Floats) -> Floats:
    """e**(x**2) erfc(x); from 26 on the asymptotic series. What x * x rounds off is a factor of its
    own: e**(x**2) would be off by x**2 units without it."""
    z = 1 / (2 * x * x)
    series = np.ones_like(x)
    for k in range(12, 0, -1):
        series = 1 - (2 * k - 1) * z * series
    near = np.where(np.abs(x) < 27, x, 0.0)
    high = near * (2.0**27 + 1) - (near * (2.0**27 + 1) - near)  # Dekker 1971: an exact square
    low, square = near - high, near * near
    rest = ((high * high - square) + 2 * high * low) + low * low
    found = np.where(x > 26, series / (x * math.sqrt(math.pi)),
                     np.exp(square) * (1 + rest) * erfc(x))
    return np.where(x < -26.9, np.exp(x * x) * 2, found)


@in_f64
def erfinv(x: Floats) -> Floats:
    """The inverse of erf: Halley's iteration, on erfc where x is near 1."""
    a = np.abs(x)
    y = np.sqrt(-np.log1p(-a * a)) * 0.93
    for _ in range(8):
        f = np.where(a < 0.5, erf(y) - a, (1 - a) - erfc(y))
        step = f / (2 / math.sqrt(math.pi) * np.exp(-y * y))
        y = np.where(f == 0, y, y - step / (1 + y * step))
    y = np.where(a < 1e-9, a * math.sqrt(math.pi) / 2, y)
    return np.copysign(np.where(a < 1, y, np.where(a == 1, np.inf, np.nan)), x)


@in_f64
def digamma(x: Floats) -> Floats:
    """The derivative of ln gamma; below 0 by reflection, NaN at negative integers."""
    negative = x < 0
    a = np.where(negative, 1 - x, x)
    total = np.zeros_like(a)
    for _ in range(STEPS):
        small = a < STEPS
        total = total - np.where(small, 1 / np.where(small, a, 1.0), 0.0)
        a = np.where(small, a + 1, a)
    z = 1 / (a * a)
    series = sum(b / (2 * k) * z**k for k, b in enumerate(BERNOULLI, 1))
    y = total + np.log(a) - 0.5 / a - series
    turn = np.pi / np.tan(np.pi * (x - np.rint(x)))
    y = np.where(negative, y - turn, y)
    return np.where(negative & (np.rint(x) == x), np.nan, np.where(x == np.inf, x, y))


def cotangent_derivative(n: int) -> list[int]:
    """Coefficients of P with (d/dx)**n cot(pi x) = pi**n P(cot(pi x)), from the constant up."""
    p = [0, 1]
    for _ in range(n):
        slope = [i * c for i, c in enumerate(p)][1:]
        p = [-((slope[i] if i < len(slope) else 0) + (slope[i - 2] if i >= 2 else 0))
             for i in range(len(slope) + 2)]
    return p


@in_f64
def polygamma(x: Floats, *, n: int) -> Floats:
    """The n-th derivative of digamma, n >= 1: (-1)**(n + 1) n! zeta(n + 1, x)."""
    negative = x < 0
    a = np.where(negative, 1 - x, x)
    y = (-1) ** (n + 1) * math.factorial(n) * hurwitz_zeta(n + 1, a)
    c = 1 / np.tan(np.pi * (x - np.rint(x)))
    turn = np.pi ** (n + 1) * sum(v * c**i for i, v in enumerate(cotangent_derivative(n)) if v)
    y = np.where(negative, (-1) ** n * y - turn, y)
    pole = (x <= 0) & (np.rint(x) == x)
    return np.where(pole, np.inf if n % 2 else np.nan, y)


def hurwitz_zeta(s: int, q: Floats) -> Floats:
    """The sum of (q + k)**-s over k >= 0, q > 0: terms, then Euler and Maclaurin's series."""
    total = sum((q + k) ** -float(s) for k in range(STEPS))
    a = q + STEPS
    total = total + a ** (1.0 - s) / (s - 1) + 0.5 * a ** -float(s)
    rising = float(s)
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * rising * a ** (1.0 - s - 2 * k)
        rising *= (s + 2 * k - 1) * (s + 2 * k)
    return np.asarray(total)


def _bessel(x: Floats, order: int) -> Floats:
    """e**-|x| I_order(x): the integral over half a period, from 100 on the series in 1 / x."""
    a = np.abs(x)
    near = np.where(a < 100, a, 0.0)
    nodes = 128
    total = np.zeros_like(a)
    for i in range(nodes + 1):
        angle = math.pi * i / nodes
        weight = (0.5 if i in (0, nodes) else 1.0) * math.cos(order * angle) / nodes
        total = total + weight * np.exp(near * (math.cos(angle) - 1))
    series = term = np.ones_like(a)
    far = np.where(a < 100, 100.0, a)
    for k in range(1, 12):
        term = -term * (4 * order * order - (2 * k - 1) ** 2) / (8 * k * far)
        series = series + term
    y = np.where(a < 100, total, series / np.sqrt(2 * math.pi * far))
    y = np.where(np.isnan(a), a, y)
    return np.copysign(y, x) if order % 2 else y


@in_f64
def i0e(x: Floats) -> Floats:
    """e**-|x| I0(x)."""
    return _bessel(x, 0)


@in_f64
def i1e(x: Floats) -> Floats:
    """e**-|x| I1(x); by its power series up to 8, where the integral cancels."""
    near = np.where(np.abs(x) < 8, x, 0.0)
    series = np.ones_like(near)
    for k in range(40, 0, -1):
        series = 1 + near * near / 4 / (k * (k + 1)) * series
    return np.where(np.abs(x) < 8, near / 2 * series * np.exp(-np.abs(near)), _bessel(x, 1))
