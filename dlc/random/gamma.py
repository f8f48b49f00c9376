"""The gamma distribution and those derived from it; differentiable in their parameters.

Marsaglia and Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3), 2000. A
number has eight proposals of its own, of which the first that fits is taken: each fits with
probability 0.95 or more, so that one in 10^10 finds none and keeps its last.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, Type, f32, i32
from dlc.lang.gradient_rules import custom_gradient
from dlc.lang.scope import seed, step
from dlc.ops import elementwise as e
from dlc.ops import leaf, reduce, view
from dlc.ops.convert import as_node, broadcast_to, cast
from dlc.ops.elementwise_special import digamma
from dlc.random.sites import (
    Shape,
    drawn_shape,
    float_kind,
    new_site,
    normal_at,
    open_uniform_at,
    site_id,
)

PROPOSALS = 8
NODES = 48  # of the quadrature of the derivative


def gamma(shape: Shape | None, alpha: Any, scale: Any = 1.0, name: str = "",
          dtype: DType = f32) -> Node:
    """Floats of `shape` with density proportional to x ** (alpha - 1) e ** (-x / scale).

    alpha > 0 (NaN elsewhere). The gradient by alpha is the implicit one, -(dF / d alpha) / density
    at the number drawn: Figurnov, Mohamed and Mnih 2018, "Implicit reparameterization gradients".
    """
    kind = float_kind("gamma", dtype)
    dims = drawn_shape("gamma", shape, alpha, scale)
    x = e.exp(log_gamma_at(_parameter("gamma", alpha, dims), dims, new_site(name)))
    x = cast(x, kind)
    return x if isinstance(scale, (int, float)) and scale == 1 else x * scale


def chi_square(shape: Shape | None, freedom: Any, name: str = "", dtype: DType = f32) -> Node:
    """Floats of `shape`: the sum of `freedom` squares of standard normal numbers."""
    half = freedom * 0.5
    return gamma(shape, half, 2.0, name, dtype)


def student_t(shape: Shape | None, freedom: Any, name: str = "", dtype: DType = f32) -> Node:
    """Floats of `shape`: Student's t with `freedom` degrees of freedom."""
    kind, dims = float_kind("student_t", dtype), drawn_shape("student_t", shape, freedom)
    site = new_site(name)
    half = _parameter("student_t", freedom, dims) * 0.5
    z = normal_at(seed(), step(), dims, site_id(site, "normal"))
    log_g = log_gamma_at(half, dims, site)
    return cast(z * e.exp((e.log(half) - log_g) * 0.5), kind)


def beta(shape: Shape | None, a: Any, b: Any, name: str = "", dtype: DType = f32) -> Node:
    """Floats of `shape` in [0, 1] with density proportional to x ** (a - 1) (1 - x) ** (b - 1)."""
    kind, dims = float_kind("beta", dtype), drawn_shape("beta", shape, a, b)
    site = new_site(name)
    first = log_gamma_at(_parameter("beta", a, dims), dims, site)
    second = log_gamma_at(_parameter("beta", b, dims), dims, site_id(site, "second"))
    return cast(e.sigmoid(first - second), kind)


def dirichlet(alpha: Any, shape: Shape = (), name: str = "", dtype: DType = f32) -> Node:
    """Points of the simplex: alpha [..., N] gives shape + [..., N], sums over the last axis 1.

    Raises DlcError for an alpha without axes.
    """
    node, kind = as_node(alpha), float_kind("dirichlet", dtype)
    if node.ndim == 0 or node.shape[-1] == 0:
        raise DlcError(f"dirichlet({describe(node)})", here(), "alpha is [..., N], N at least 1")
    lead = (shape,) if isinstance(shape, int) else tuple(shape)
    dims = drawn_shape("dirichlet", (*lead, *map(int, node.shape)), node)
    logs = log_gamma_at(_parameter("dirichlet", node, dims), dims, new_site(name))
    return cast(e.exp(logs - reduce.logsumexp(logs, -1, keepdims=True)), kind)


def _parameter(what: str, value: Any, dims: tuple[int, ...]) -> Node:
    """A parameter as f32 of the draw's shape. Raises DlcError for a number that is not positive."""
    if isinstance(value, (int, float)) and not value > 0:
        raise DlcError(f"{what} of parameter {value}", here(), "parameters are positive")
    return broadcast_to(cast(as_node(value, f32), f32), dims)


# --- the draw -------------------------------------------------------------------------------------


def log_gamma_at(alpha: Node, dims: tuple[int, ...], site: int) -> Node:
    """The logarithm of a gamma number for each element of alpha [dims], f32.

    Below 1 as that of alpha + 1 and ln(u) / alpha: the number itself would underflow.
    """
    small = alpha < 1
    raised = e.where(small, alpha + 1, alpha)
    u = open_uniform_at(seed(), step(), dims, site_id(site, "boost"))
    boost = e.where(small, e.log(u) / e.where(small, alpha, e.const_like(alpha, 1.0)),
                    e.const_like(alpha, 0.0))
    y = _implicit(raised, _accepted(e.stop_gradient(raised), dims, site)) + boost
    return e.where(alpha > 0, y, e.const_like(alpha, math.nan))


def _accepted(alpha: Node, dims: tuple[int, ...], site: int) -> Node:
    """ln x of the first of eight proposals x = d (1 + c z)^3 that fits; alpha >= 1."""
    wide = (*dims, PROPOSALS)
    d = broadcast_to(view.reshape(alpha - 1 / 3, (*dims, 1)), wide)
    z = normal_at(seed(), step(), wide, site)
    u = open_uniform_at(seed(), step(), wide, site_id(site, "accept"))
    t = 1 + z / e.sqrt(d * 9)
    inside = t > 0
    t = e.where(inside, t, e.const_like(t, 1.0))
    log_v = e.log(t) * 3
    # z**2 / 2 + d (1 - v + ln v), where 1 - v + ln v cancels: v - 1 is written out in t - 1
    less = t - 1
    fits = e.log(u) < z * z * 0.5 + d * (log_v - less * (3 + less * (3 + less)))
    number = leaf.iota(wide, len(dims), i32)
    last = leaf.constant(PROPOSALS - 1, Type(i32, wide))
    first = reduce.min_(e.where(fits & inside, number, last), -1, keepdims=True)
    chosen = e.where(number == first, log_v, e.const_like(log_v, 0.0))
    return reduce.sum_(chosen, -1) + e.log(alpha - 1 / 3)


def _implicit(alpha: Node, log_x: Node, orders: int = 2) -> Node:
    """log_x, with d log_x / d alpha by the distribution function's derivatives.

    In the slope stands the number as a function of alpha again, for the second derivative.
    """
    @custom_gradient
    def gamma_number(a: Node, y: Node) -> Any:
        again = _implicit(a, y, orders - 1) if orders > 1 else y
        return y, lambda g: (g * gamma_slope(a, again), None)

    found: Node = gamma_number(alpha, log_x)
    return found


def gamma_slope(alpha: Node, log_x: Node) -> Node:
    """d ln x / d alpha of a gamma number at a fixed value of its distribution function.

    s times the integral over w > 0 of exp(alpha q - x (e^q - 1)) (ln x + q - digamma(alpha)), where
    q = s w and s is 1 above alpha, -1 below: the shorter side. Gauss and Legendre's rule with
    w = h y^2, where h is the width of the integrand; alpha >= 1.
    """
    points, weights = np.polynomial.legendre.leggauss(NODES)
    y = math.sqrt(50.0) * (points + 1) / 2
    node = as_node((y * y).astype(np.float32))
    weight = as_node((weights / 2 * math.sqrt(50.0) * 2 * y).astype(np.float32))
    wide = (*alpha.shape, NODES)

    def spread(v: Node) -> Node:
        return broadcast_to(view.reshape(v, (*alpha.shape, 1)), wide)

    x = e.exp(log_x)
    above = x > alpha
    side = e.where(above, e.const_like(x, 1.0), e.const_like(x, -1.0))
    width = side / (e.abs_(x - alpha) + e.sqrt(e.maximum(x, alpha)))
    q = spread(e.stop_gradient(width)) * node
    inner = e.exp(spread(alpha) * q - spread(x) * e.expm1(q))
    inner = inner * (spread(log_x - digamma(alpha)) + q) * weight
    return reduce.sum_(inner, -1) * e.stop_gradient(width)
