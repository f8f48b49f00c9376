"""Functions without parameters: activations, flatten, softmax."""

from __future__ import annotations

import math
from typing import Any

from dlc import random
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.lang.array import elementwise_functions, statistics
from dlc.lang.scope import training
from dlc.nn import checks
from dlc.ops import elementwise, reduce, view
from dlc.ops.convert import as_node, cast, in_accumulator
from dlc.ops.varying import present

relu = elementwise.relu
tanh = elementwise.tanh
sigmoid = elementwise.sigmoid


def softplus(x: Any, beta: float = 1.0) -> Node:
    """log(1 + e ** (beta x)) / beta, without overflow (Dugas et al. 2001)."""
    if beta == 1:
        return elementwise_functions.softplus(x)
    checks.number("softplus", 0, beta=beta)
    return elementwise_functions.softplus(as_node(x) * beta) * (1.0 / beta)


def gelu(x: Any) -> Node:
    """x * Phi(x) with the exact normal distribution function (Hendrycks and Gimpel 2016)."""
    node = as_node(x)
    return node * 0.5 * (elementwise.erf(node * math.sqrt(0.5)) + 1.0)


def leaky_relu(x: Any, slope: float = 0.01) -> Node:
    """x where it is positive, slope * x elsewhere (Maas et al. 2013)."""
    node = as_node(x)
    return elementwise.where(node > 0, node, node * slope)


def silu(x: Any) -> Node:
    """x * sigmoid(x) (Elfwing et al. 2017)."""
    node = as_node(x)
    return node * elementwise.sigmoid(node)


def glu(x: Any, axis: int = -1) -> Node:
    """The first half of `axis` times the sigmoid of the second (Dauphin et al. 2017, eq. 1).

    Raises DlcError when the axis has no halves.
    """
    node = as_node(x)
    axis = reduce.axis_of(node, axis, "glu")
    size = int(node.shape[axis])
    if size % 2:
        raise DlcError(f"glu({describe(node)}): axis {axis} has no halves", here(),
                       "its size must be even")
    gate = view.narrow(node, axis, size // 2, size // 2)
    return view.narrow(node, axis, 0, size // 2) * elementwise.sigmoid(gate)


def rrelu(x: Any, low: float = 1 / 8, high: float = 1 / 3) -> Node:
    """leaky_relu with a slope drawn for each element, uniform in low .. high; in evaluation its
    mean (Xu et al. 2015).

    Raises DlcError for low above high.
    """
    node = as_node(x)
    checks.number("rrelu", low=low, high=high)
    if not low <= high:
        raise DlcError(f"nn.rrelu: slopes {low} .. {high}", here(), "low is at most high")
    if not training() or low == high:
        return leaky_relu(node, (low + high) / 2)
    slope = random.uniform(tuple(map(int, node.shape)), low, high)
    return elementwise.where(node > 0, node, node * cast(slope, node.dtype))


def flatten(x: Any) -> Node:
    """x [N, ...] -> [N, size of the rest]."""
    node = as_node(x)
    if node.ndim < 1:
        raise DlcError(f"flatten({describe(node)})", here(), "it takes [batch, ...]")
    return view.reshape(node, (node.shape[0], math.prod(int(d) for d in node.shape[1:])))


@in_accumulator
def log_softmax(x: Any, axis: int = -1) -> Node:
    """x - logsumexp(x) along `axis`: logarithms of probabilities that sum to 1.

    The largest is taken off first, so that scores far from 0 keep their digits.
    """
    node = _below_0(as_node(x), axis)
    return node - reduce.logsumexp(node, axis, keepdims=True)


def _below_0(x: Node, axis: int) -> Node:
    """x less its largest along `axis`, of which no derivative depends."""
    if not x.type.size:
        return x
    return x - elementwise.stop_gradient(reduce.max_(x, axis, keepdims=True))


def softmin(x: Any, axis: int = -1) -> Node:
    """softmax of -x."""
    return softmax(-as_node(x), axis)


@in_accumulator
def softmax(x: Any, axis: int = -1) -> Node:
    """Probabilities proportional to e ** x along `axis`."""
    node = as_node(x)
    node = present(node, (reduce.axis_of(node, axis, "softmax"),), -math.inf)
    powers = elementwise.exp(_below_0(node, axis))
    return powers / reduce.sum_(powers, axis, keepdims=True)


@in_accumulator
def normalize(x: Any, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Node:
    """x / max(its p-norm along `axis`, eps): vectors of length 1, as embeddings that are compared
    by angle."""
    node = as_node(x)
    checks.number("normalize", 0, p=p, eps=eps)
    axis = reduce.axis_of(node, axis, "normalize")
    size = statistics.norm(node, p, axis, keepdims=True)
    return node / elementwise.maximum(size, eps)


def channel_shuffle(x: Any, groups: int) -> Node:
    """x [N, C, S...] with its channels dealt out: those of `groups` groups, one of each in turn
    (Zhang et al. 2018, ShuffleNet). Raises DlcError where the groups do not divide C."""
    node = as_node(x)
    checks.at_least("channel_shuffle", 1, groups=groups)
    checks.rank(node, 2, "[batch, channels, ...]")
    shape = tuple(map(int, node.shape))
    if shape[1] % groups:
        raise DlcError(f"channel_shuffle({describe(node)}): groups={groups} does not divide "
                       f"{shape[1]} channels", here(), "channels are a multiple of groups")
    dealt = view.reshape(node, (shape[0], groups, shape[1] // groups, *shape[2:]))
    order = (0, 2, 1, *range(3, dealt.ndim))
    return view.reshape(view.transpose(dealt, order), shape)
