"""Elementwise functions composed of operators: NumPy's, and what losses are built of.

Fusion makes one kernel of each; their derivatives are those of the parts, and hold at the points
where a formula alone would give 0 * inf: the operand is replaced before, not the result after.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import bool_, f32, i64, u64
from dlc.ops import elementwise as e
from dlc.ops import elementwise_bits as b
from dlc.ops import elementwise_special as s
from dlc.ops.convert import as_node, cast, operands

# --- tests and logic ------------------------------------------------------------------------------


def isnan(x: Any) -> Node:
    """bool: x is not a number."""
    node = as_node(x)
    return e.ne(node, node)


def isinf(x: Any) -> Node:
    """bool: x is infinite, of either sign."""
    node = as_node(x)
    if not node.dtype.is_float:
        return e.ne(node, node)
    return e.eq(e.abs_(node), math.inf)


def signbit(x: Any) -> Node:
    """bool: the sign bit, set also in -0.0; of integers, x < 0."""
    node = as_node(x)
    if not node.dtype.is_float:
        return e.lt(node, e.const_like(node, 0))
    return e.lt(b.copysign(e.const_like(node, 1.0), node), 0)


def logical_not(x: Any) -> Node:
    """bool: x is 0."""
    return e.not_(cast(as_node(x), bool_))


def logical_and(x: Any, y: Any) -> Node:
    """bool: neither is 0."""
    return e.and_(cast(as_node(x), bool_), cast(as_node(y), bool_))


def logical_or(x: Any, y: Any) -> Node:
    """bool: one or both are not 0."""
    return e.or_(cast(as_node(x), bool_), cast(as_node(y), bool_))


def logical_xor(x: Any, y: Any) -> Node:
    """bool: exactly one is not 0."""
    return e.xor(cast(as_node(x), bool_), cast(as_node(y), bool_))


def invert(x: Any) -> Node:
    """Bitwise not of integers (-x - 1), logical not of bool. Raises DlcError for floats."""
    node = as_node(x)
    if node.dtype is bool_:
        return e.not_(node)
    ones = -1 if node.dtype.category == "int" else 2 ** (8 * node.dtype.bytes) - 1
    return e.xor(node, ones)


def isclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Node:
    """bool: |x - y| <= atol + rtol |y|, or equal infinities.

    Raises DlcError for a tolerance below 0.
    """
    if not (rtol >= 0 and atol >= 0):
        raise DlcError(f"isclose: rtol {rtol}, atol {atol}", here(), "tolerances are 0 or more")
    p, q = operands("isclose", x, y)
    return e.or_(e.eq(p, q), e.and_(e.isfinite(q), e.abs_(p - q) <= e.abs_(q) * rtol + atol))


# --- selection and rounding -----------------------------------------------------------------------


def nan_to_num(x: Any, nan: float = 0.0, posinf: float | None = None,
               neginf: float | None = None) -> Node:
    """x with NaN and infinities replaced; None is the largest finite number of x's dtype."""
    node = as_node(x)
    if not node.dtype.is_float:
        return node
    largest = float(ml_dtypes.finfo(node.dtype.numpy).max)
    high = largest if posinf is None else posinf
    low = -largest if neginf is None else neginf
    y = e.where(isnan(node), e.const_like(node, nan), node)
    y = e.where(e.eq(node, math.inf), e.const_like(node, high), y)
    return e.where(e.eq(node, -math.inf), e.const_like(node, low), y)


def heaviside(x: Any, at_zero: Any) -> Node:
    """0 below 0, 1 above, `at_zero` at 0, NaN for NaN."""
    node, middle = operands("heaviside", x, at_zero)
    step = e.where(e.lt(node, 0), e.const_like(node, 0), e.const_like(node, 1))
    y = e.where(e.eq(node, 0), middle, step)
    return e.where(isnan(node), e.stop_gradient(node), y) if node.dtype.is_float else y


def lerp(start: Any, end: Any, weight: Any) -> Node:
    """start + weight (end - start), exactly `end` at weight 1."""
    p, q, w = operands("lerp", start, end, weight)
    return e.where(e.lt(w, 0.5), p + w * (q - p), q - (q - p) * (1 - w))


def frac(x: Any) -> Node:
    """x without its integer part, with x's sign."""
    node = as_node(x)
    return node - b.trunc(node)


def divmod_(x: Any, y: Any) -> tuple[Node, Node]:
    """(x // y, x % y)"""
    return e.floordiv(x, y), e.rem(x, y)


def reciprocal(x: Any) -> Node:
    """1 / x"""
    return e.div(1.0, x)


def deg2rad(x: Any) -> Node:
    """Degrees to radians."""
    return e.mul(x, math.pi / 180)


def rad2deg(x: Any) -> Node:
    """Radians to degrees."""
    return e.mul(x, 180 / math.pi)


def gcd(x: Any, y: Any) -> Node:
    """Greatest common divisor of integers, never negative, by Euclid's algorithm.

    A pair of w bits takes at most 1.44 w + 1 steps (Lame 1844). Raises DlcError for floats.
    """
    p, q = operands("gcd", x, y)
    if not p.dtype.is_integer:
        raise DlcError(f"gcd({describe(p)}, {describe(q)})", here(), "it takes integers")
    kind, wide = p.dtype, u64 if p.dtype is u64 else i64
    p, q = e.abs_(cast(p, wide)), e.abs_(cast(q, wide))
    for _ in range({1: 13, 2: 24, 4: 47, 8: 93}[kind.bytes]):
        p, q = e.where(e.eq(q, 0), p, q), e.rem(p, q)  # x % 0 is 0: once q is 0, nothing changes
    return cast(p, kind)


def root(total: Any) -> Node:
    """The square root of a sum of squares: 0 of 0, where its derivatives are 0 too, the least
    subgradient of a length. Negative numbers give NaN."""
    node, = _floats("root", total)
    zero = e.eq(node, 0)
    return e.where(zero, e.const_like(node, 0.0), e.sqrt(e.where(zero, 1.0, node)))


# --- logarithms and exponentials ------------------------------------------------------------------


def logaddexp2(x: Any, y: Any) -> Node:
    """log2(2 ** x + 2 ** y) without overflow."""
    p, q = _floats("logaddexp2", x, y)
    return s.logaddexp(p * s.LN2, q * s.LN2) * (1 / s.LN2)


def softplus(x: Any) -> Node:
    """log(1 + e ** x), without overflow; smooth at 0 to every order."""
    node, = _floats("softplus", x)
    return s.logaddexp(node, e.const_like(node, 0.0))


def log_sigmoid(x: Any) -> Node:
    """log(sigmoid(x)), without overflow."""
    node, = _floats("log_sigmoid", x)
    return -softplus(-node)


def logit(x: Any) -> Node:
    """log(x / (1 - x)), the inverse of sigmoid."""
    node, = _floats("logit", x)
    return e.log(node) - e.log1p(-node)


def xlogy(x: Any, y: Any) -> Node:
    """x log(y), and 0 where x is 0 (unless y is NaN).

    There the derivative by x is log(y) for 0 < y < inf and else 0, that by y is 0.
    """
    p, q = _floats("xlogy", x, y)
    edge = e.eq(p, 0) & ((q <= 0) | e.eq(q, math.inf))
    return p * e.log(e.where(edge, e.const_like(q, 1.0), q))


def xlog1py(x: Any, y: Any) -> Node:
    """x log(1 + y), and 0 where x is 0 (unless y is NaN); derivatives as those of xlogy."""
    p, q = _floats("xlog1py", x, y)
    edge = e.eq(p, 0) & ((q <= -1) | e.eq(q, math.inf))
    return p * e.log1p(e.where(edge, e.const_like(q, 0.0), q))


def entr(x: Any) -> Node:
    """-x log(x): 0 at 0, where the derivative is 0 too; -inf below."""
    node, = _floats("entr", x)
    return e.where(node < 0, e.const_like(node, -math.inf), -xlogy(node, node))


def sinc(x: Any) -> Node:
    """sin(pi x) / (pi x), 1 at 0; near 0 a polynomial, so that derivatives are correct there."""
    node, = _floats("sinc", x)
    z = (node * math.pi) ** 2
    near = e.const_like(z, 0.0)
    for k in reversed(range(9)):
        near = near * z + (-1) ** k / math.factorial(2 * k + 1)
    small = e.abs_(node) < 0.16
    far = e.where(small, e.const_like(node, 0.5), node)
    turn = far - e.round_(far * 0.5) * 2
    return e.where(small, near, e.sin(turn * math.pi) / (far * math.pi))


# --- distributions --------------------------------------------------------------------------------


def ndtr(x: Any) -> Node:
    """The normal distribution function, accurate in the lower tail too."""
    node, = _floats("ndtr", x)
    return s.erfc(node * -math.sqrt(0.5)) * 0.5


def log_ndtr(x: Any) -> Node:
    """The logarithm of the normal distribution function, without underflow."""
    node, = _floats("log_ndtr", x)
    z = node * math.sqrt(0.5)
    low = z < -1
    below = e.where(low, -z, e.const_like(z, 1.0))
    above = e.where(low, e.const_like(z, 0.0), z)
    tail = e.log(s.erfcx(below) * 0.5) - e.square(e.where(low, z, e.const_like(z, 0.0)))
    return e.where(low, tail, e.log1p(s.erfc(above) * -0.5))


def ndtri(p: Any) -> Node:
    """The inverse of ndtr on (0, 1)."""
    node, = _floats("ndtri", p)
    return s.erfinv(node * 2 - 1) * math.sqrt(2)


def multigammaln(x: Any, p: int) -> Node:
    """The logarithm of the multivariate gamma function of dimension p (x > (p - 1) / 2)."""
    node, = _floats("multigammaln", x)
    if isinstance(p, bool) or not isinstance(p, int) or p < 1:
        raise DlcError(f"multigammaln: dimension {p!r}", here(), "a positive int")
    total = e.const_like(node, p * (p - 1) / 4 * math.log(math.pi))
    for j in range(p):
        total = total + s.lgamma(node - j / 2)
    return total


def betaln(x: Any, y: Any) -> Node:
    """The logarithm of the beta function of positive x and y."""
    p, q = _floats("betaln", x, y)
    return s.lgamma(p) + s.lgamma(q) - s.lgamma(p + q)


def i0(x: Any) -> Node:
    """The modified Bessel function I0."""
    node, = _floats("i0", x)
    return s.i0e(node) * e.exp(e.abs_(node))


def i1(x: Any) -> Node:
    """The modified Bessel function I1."""
    node, = _floats("i1", x)
    return s.i1e(node) * e.exp(e.abs_(node))


def _floats(name: str, *values: Any) -> list[Node]:
    return [n if n.dtype.is_float else cast(n, f32) for n in operands(name, *values)]
