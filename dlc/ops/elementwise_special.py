"""Elementwise operators: special functions of the reals, with gradients of every order.

Powers and logarithms of other bases, inverse circular and hyperbolic functions, error functions,
the gamma function's logarithm and derivatives, Bessel functions; kernels: docs/design/math.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.ir.graph import Node, OpError
from dlc.ir.rounding import EVEN, FUNCTIONS, Rounding
from dlc.ir.types import Type, f32, f64
from dlc.ops import special_reference as reference
from dlc.ops.convert import as_node, cast
from dlc.ops.elementwise import (
    _float_function,
    _full,
    const_like,
    div,
    exp,
    float_type,
    isfinite,
    sigmoid,
    sign,
    sqrt,
    where,
)
from dlc.ops.jumps import over_gamma, over_tangent
from dlc.ops.samples import binary, unary
from dlc.ops.special_reference import in_f64

Slope = Callable[[Node, Node], Node]


def _smooth(name: str, doc: str, value: Callable[..., Any], slope: Slope, low: float = -3.0,
            high: float = 3.0, rounding: Rounding | None = None) -> Callable[..., Node]:
    """The DSL's function of a new operator of one operand; slope(x, y) is its derivative."""
    return _float_function(_full(name, doc, in_f64(value), float_type, unary(low, high),
                                 lambda g, y, x: (g * slope(x, y),),
                                 rounding=rounding or Rounding()))


# gradient rules that stand before what they call
sinh: Callable[..., Node]
i1e: Callable[..., Node]

# --- powers and logarithms ------------------------------------------------------------------------

LN2, LN10 = math.log(2), math.log(10)
exp2 = _smooth("exp2", "2 ** x", np.exp2, lambda x, y: y * LN2)
log2 = _smooth("log2", "logarithm to base 2, exact at powers of 2", np.log2,
               lambda x, y: (1 / LN2) / x, 0.1, 5.0)
log10 = _smooth("log10", "logarithm to base 10, exact at powers of 10", np.log10,
                lambda x, y: (1 / LN10) / x, 0.1, 5.0)
cbrt = _smooth("cbrt", "cube root, also of negative x; the derivative at 0 is infinite", np.cbrt,
               lambda x, y: (1 / 3) / (y * y), 0.2, 5.0)


def _both_infinite(x: Node, y: Node) -> Node:
    """x - y, where two equal infinities are 0 apart."""
    apart = isfinite(x) | (x != y)
    return where(apart, x, const_like(x, 0.0)) - where(apart, y, const_like(y, 0.0))


def _grad_logaddexp(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    d = _both_infinite(a, b)
    return g * sigmoid(d), g * sigmoid(-d)


def _emit_logaddexp(k: Any, x: Any, y: Any) -> Any:
    """Beside 0 nothing cancels, and f32 is enough: the general one is computed in f64."""
    if k.is_zero(y):
        return k.call("softplus", x)
    return k.call("softplus", y) if k.is_zero(x) else k.call("logaddexp", x, y)


logaddexp = _float_function(_full(
    "logaddexp", "ln(e ** x + e ** y) without overflow; infinities stay", in_f64(np.logaddexp),
    float_type, binary(), _grad_logaddexp, rounding=Rounding(terms=True), emit=_emit_logaddexp))


def _grad_hypot(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    length = where(y == 0, const_like(y, 1.0), y)
    return g * (a / length), g * (b / length)


hypot = _float_function(_full(
    "hypot", "sqrt(x ** 2 + y ** 2) without overflow; the gradient at (0, 0) is 0",
    in_f64(np.hypot), float_type, binary(nonzero=True), _grad_hypot, rounding=EVEN))

# --- circular and hyperbolic ----------------------------------------------------------------------

tan = _smooth("tan", "tangent (radians)", np.tan, lambda x, y: 1.0 + y * y, -1.2, 1.2,
              Rounding(jumps=over_tangent))
asin = _smooth("asin", "inverse sine; NaN beyond 1", np.arcsin,
               lambda x, y: 1.0 / sqrt((1.0 - x) * (1.0 + x)), -0.9, 0.9)
acos = _smooth("acos", "inverse cosine; NaN beyond 1", np.arccos,
               lambda x, y: -1.0 / sqrt((1.0 - x) * (1.0 + x)), -0.9, 0.9)
atan = _smooth("atan", "inverse tangent", np.arctan, lambda x, y: 1.0 / (1.0 + x * x))


def _grad_atan2(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    """b / (a**2 + b**2) and -a / (a**2 + b**2) by way of the length, which does not overflow."""
    length = hypot(a, b)
    length = where(length == 0, const_like(y, 1.0), length)
    return g * (b / length) / length, -g * (a / length) / length


atan2 = _float_function(_full(
    "atan2", "the angle of (y, x), -pi .. pi: operands y, x; the gradient at (0, 0) is 0",
    in_f64(np.arctan2), float_type, binary(nonzero=True), _grad_atan2))
cosh = _smooth("cosh", "hyperbolic cosine", np.cosh, lambda x, y: sinh(x), rounding=EVEN)
sinh = _smooth("sinh", "hyperbolic sine", np.sinh, lambda x, y: cosh(x))
asinh = _smooth("asinh", "inverse hyperbolic sine", np.arcsinh,
                lambda x, y: 1.0 / hypot(x, const_like(x, 1.0)))
acosh = _smooth("acosh", "inverse hyperbolic cosine; NaN below 1", np.arccosh,
                lambda x, y: 1.0 / (sqrt(x - 1.0) * sqrt(x + 1.0)), 1.3, 5.0)
atanh = _smooth("atanh", "inverse hyperbolic tangent; NaN beyond 1", np.arctanh,
                lambda x, y: 1.0 / ((1.0 - x) * (1.0 + x)), -0.9, 0.9)


# --- error functions ------------------------------------------------------------------------------

ROOT_PI = math.sqrt(math.pi)
erfc = _smooth("erfc", "1 - erf(x) without cancellation", reference.erfc,
               lambda x, y: (-2 / ROOT_PI) * exp(-(x * x)))
erfcx = _smooth("erfcx", "e ** (x * x) * erfc(x), which neither over- nor underflows for x > 0",
                reference.erfcx, lambda x, y: 2.0 * x * y - 2 / ROOT_PI, -1.5, 5.0)
erfinv = _smooth("erfinv", "inverse of erf; infinite at 1 and -1, NaN beyond", reference.erfinv,
                 lambda x, y: (ROOT_PI / 2) * exp(y * y), -0.9, 0.9)

# --- the gamma function ---------------------------------------------------------------------------

LARGEST_ORDER = 30  # factorials and powers of pi beyond leave f32's range
TERMS = 10  # of the sum, before Euler and Maclaurin's series


def _infer_polygamma(x: Type, *, n: int) -> Type:
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= LARGEST_ORDER:
        raise OpError(f"order {n!r}", f"orders are 1 .. {LARGEST_ORDER}; digamma is order 0")
    return float_type(x)


class _Wide:
    """Arithmetic on a kernel's f64 scalars; each result under a name of its own."""

    def __init__(self, k: Any) -> None:
        self.k = k

    def __call__(self, sign_: str, a: Any, b: Any) -> Any:
        a, b = (self.k.number(v, f64) if isinstance(v, float) else v for v in (a, b))
        return self.k.let("t", self.k.binary(sign_, a, b))

    def power(self, a: Any, n: int) -> Any:
        """a ** n, n >= 1, by squaring."""
        result = None
        while n:
            if n & 1:
                result = a if result is None else self("*", result, a)
            n >>= 1
            a = self("*", a, a) if n else a
        return result

    def polynomial(self, x: Any, coefficients: list[float]) -> Any:
        """Horner's rule; coefficients from the constant up."""
        total = self.k.number(coefficients[-1], f64)
        for c in reversed(coefficients[:-1]):
            total = self("+", self("*", total, x), float(c))
        return total


def _emit_polygamma(k: Any, x: Any, *, n: int) -> Any:
    """As special_reference.polygamma, with fewer terms, in f64."""
    w, v = _Wide(k), k.let("x", k.cast(x, f64))
    negative = k.let("below", k.compare("<", v, k.number(0.0, f64)))
    q = k.let("q", k.select(negative, w("-", 1.0, v), v))
    total = w.power(w("/", 1.0, q), n + 1)
    for i in range(1, TERMS):
        total = w("+", total, w.power(w("/", 1.0, w("+", q, float(i))), n + 1))
    inverse = w("/", 1.0, w("+", q, float(TERMS)))
    z, rising, series = w("*", inverse, inverse), float(n + 1), [1 / n]
    for j, b in enumerate(reference.BERNOULLI[:8], 1):
        series.append(b / math.factorial(2 * j) * rising)
        rising *= (n + 2 * j) * (n + 2 * j + 1)
    tail = w("+", w.polynomial(z, series), w("*", inverse, 0.5))
    total = w("+", total, w("*", w.power(inverse, n), tail))
    total = w("*", total, float((-1) ** (n + 1) * math.factorial(n)))
    return k.cast(_reflected_polygamma(k, v, negative, total, n), x.dtype)


def _reflected_polygamma(k: Any, v: Any, negative: Any, total: Any, n: int) -> Any:
    """The value at v from that at 1 - v where v is negative; at poles infinite or NaN."""
    w = _Wide(k)
    c = w("/", k.call("cospi", v), k.call("sinpi", v))
    p = [float(a) * math.pi ** (n + 1) for a in reference.cotangent_derivative(n)]
    below = w("-", w("*", total, float((-1) ** n)), w.polynomial(c, p))
    y = k.let("y", k.select(negative, below, total))
    zero = k.number(0.0, f64)
    pole = k.binary("&", k.compare("<=", v, zero), k.compare("==", k.call("round", v), v))
    return k.select(pole, k.number(math.inf if n % 2 else math.nan, f64), y)


_POLYGAMMA = _full("polygamma", "the n-th derivative of digamma, n >= 1", reference.polygamma,
                   _infer_polygamma, unary(0.3, 9.0, {"n": 1}),
                   lambda g, y, x: (g * polygamma(y.attrs["n"] + 1, x),), emit=_emit_polygamma,
                   rounding=Rounding({**FUNCTIONS, "f64": 64.0}, jumps=over_gamma))


def polygamma(n: int, x: Any) -> Node:
    """The n-th derivative of digamma at x; n is a Python int, 0 .. 30.

    Poles at 0, -1, ...: infinite for odd n, NaN for even. Raises DlcError for another order.
    """
    from dlc.ir.graph import make

    if n == 0 and not isinstance(n, bool):
        return digamma(x)
    node = as_node(x)
    return make(_POLYGAMMA, (node if node.dtype.is_float else cast(node, f32),), n=n)


digamma = _smooth("digamma", "derivative of lgamma; NaN at negative integers", reference.digamma,
                  lambda x, y: polygamma(1, x), 0.3, 9.0, Rounding(terms=True, jumps=over_gamma))
lgamma = _smooth("lgamma", "ln |gamma(x)|; infinite at 0, -1, -2, ...", reference.lgamma,
                 lambda x, y: digamma(x), 0.3, 9.0,
                 Rounding(terms=True, curvature=2.0, jumps=over_gamma))

# --- Bessel functions -----------------------------------------------------------------------------


def _slope_i1e(x: Node, y: Node) -> Node:
    """i0e - y (sign x + 1 / x); y / x is 1/2 at 0."""
    zero = x == 0
    safe = where(zero, const_like(x, 1.0), x)
    ratio = where(zero, const_like(x, 0.5), div(y, safe))
    return i0e(x) - y * sign(x) - ratio


i0e = _smooth("i0e", "e ** -|x| times the modified Bessel function I0", reference.i0e,
              lambda x, y: i1e(x) - y * sign(x), 0.2, 12.0, EVEN)
i1e = _smooth("i1e", "e ** -|x| times the modified Bessel function I1", reference.i1e, _slope_i1e,
              0.2, 12.0, Rounding(curvature=1.0))
