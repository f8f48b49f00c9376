"""Activations beyond relu, tanh and sigmoid: elementwise, each with its source.

Branches that a formula would overflow get a replaced operand, so that gradients are finite.
"""

from __future__ import annotations

import math
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array.elementwise_functions import log_sigmoid
from dlc.nn import checks
from dlc.nn.functions import softplus
from dlc.ops import elementwise as e
from dlc.ops.convert import as_node

__all__ = ["celu", "elu", "gelu_tanh", "hard_shrink", "hard_sigmoid", "hard_swish", "hard_tanh",
           "lecun_tanh", "log_sigmoid", "mish", "quick_gelu", "relu6", "relu_squared", "selu",
           "soft_shrink", "softplus", "softsign", "tanh_shrink", "threshold"]


def _below(x: Node) -> Node:
    """e ** x - 1 of the negative part of x."""
    return e.expm1(e.where(x > 0, e.const_like(x, 0.0), x))


def elu(x: Any, alpha: float = 1.0) -> Node:
    """x above 0, alpha (e ** x - 1) below (Clevert et al. 2015)."""
    node = as_node(x)
    return e.where(node > 0, node, _below(node) * alpha)


def celu(x: Any, alpha: float = 1.0) -> Node:
    """x above 0, alpha (e ** (x / alpha) - 1) below: smooth for every alpha (Barron 2017)."""
    node = as_node(x)
    checks.number("celu", alpha=alpha)
    if alpha == 0:
        raise DlcError(f"nn.celu({describe(node)}): alpha=0", here(), "it is any other number")
    return e.where(node > 0, node, _below(node * (1 / alpha)) * alpha)


def selu(x: Any) -> Node:
    """elu scaled so that mean 0 and variance 1 are kept (Klambauer et al. 2017)."""
    return elu(x, 1.6732632423543772) * 1.0507009873554805


def mish(x: Any) -> Node:
    """x tanh(softplus(x)) (Misra 2019)."""
    node = as_node(x)
    return node * e.tanh(softplus(node))


def gelu_tanh(x: Any) -> Node:
    """gelu with tanh in place of the normal distribution function (Hendrycks and Gimpel 2016)."""
    node = as_node(x)
    inner = (node + node * node * node * 0.044715) * math.sqrt(2 / math.pi)
    return node * 0.5 * (e.tanh(inner) + 1.0)


def quick_gelu(x: Any) -> Node:
    """x sigmoid(1.702 x) (Hendrycks and Gimpel 2016)."""
    node = as_node(x)
    return node * e.sigmoid(node * 1.702)


def relu6(x: Any) -> Node:
    """x limited to 0 .. 6; the gradient at both ends is 0."""
    node = as_node(x)
    return hard_tanh(node, 0.0, 6.0)


def relu_squared(x: Any) -> Node:
    """The square of relu (So et al. 2021)."""
    return e.square(e.relu(x))


def hard_tanh(x: Any, low: float = -1.0, high: float = 1.0) -> Node:
    """x limited to low .. high; the gradient at both ends is 0. Raises DlcError for low > high."""
    node = as_node(x)
    checks.number("hard_tanh", low=low, high=high)
    if not low <= high:
        raise DlcError(f"nn.hard_tanh({describe(node)}): from {low} to {high}", here(),
                       "low is at most high")
    above = e.where(node <= low, e.const_like(node, low), node)
    return e.where(node >= high, e.const_like(node, high), above)


def hard_sigmoid(x: Any) -> Node:
    """x / 6 + 1 / 2 limited to 0 .. 1 (Howard et al. 2019)."""
    node = as_node(x)
    return relu6(node + 3.0) * (1 / 6)


def hard_swish(x: Any) -> Node:
    """x hard_sigmoid(x) (Howard et al. 2019)."""
    node = as_node(x)
    return node * hard_sigmoid(node)


def softsign(x: Any) -> Node:
    """x / (1 + |x|) (Bergstra et al. 2009)."""
    node = as_node(x)
    return node / (e.abs_(node) + 1.0)


def lecun_tanh(x: Any) -> Node:
    """1.7159 tanh(2 x / 3): through (1, 1) and (-1, -1), where its curvature is largest (LeCun
    1989)."""
    return 1.7159 * e.tanh(2.0 / 3.0 * as_node(x))


def tanh_shrink(x: Any) -> Node:
    """x - tanh(x)"""
    node = as_node(x)
    return node - e.tanh(node)


def soft_shrink(x: Any, width: float = 0.5) -> Node:
    """x moved `width` towards 0, 0 within it: the proximal step of the L1 norm. Raises DlcError
    for a negative width."""
    node = as_node(x)
    checks.number("soft_shrink", width=width)
    if not width >= 0:
        raise DlcError(f"nn.soft_shrink({describe(node)}): width={width}", here(),
                       "the width is 0 or more")
    zero = e.const_like(node, 0.0)
    inside = e.where(node < -width, node + width, node * zero)
    return e.where(node > width, node - width, inside)


def hard_shrink(x: Any, width: float = 0.5) -> Node:
    """x, but 0 where |x| <= width."""
    node = as_node(x)
    return e.where(e.abs_(node) <= width, e.const_like(node, 0.0), node)


def threshold(x: Any, limit: float, value: float) -> Node:
    """x where it is above `limit`, else `value`."""
    node = as_node(x)
    checks.number("threshold", value=value)
    return e.where(node <= limit, e.const_like(node, value), node)
