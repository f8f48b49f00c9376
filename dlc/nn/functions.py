"""Functions without parameters: activations, flatten, softmax."""

from __future__ import annotations

import math
from typing import Any

from dlc.errors import DlcError, here
from dlc.graph import Node, describe
from dlc.ops import elementwise, elementwise_functions, reduce, view
from dlc.ops.convert import as_node

relu = elementwise.relu
tanh = elementwise.tanh
sigmoid = elementwise.sigmoid
softplus = elementwise_functions.softplus


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


def flatten(x: Any) -> Node:
    """x [N, ...] -> [N, size of the rest]."""
    node = as_node(x)
    if node.ndim < 1:
        raise DlcError(f"flatten({describe(node)})", here(), "it takes [batch, ...]")
    return view.reshape(node, (node.shape[0], math.prod(int(d) for d in node.shape[1:])))


def log_softmax(x: Any, axis: int = -1) -> Node:
    """x - logsumexp(x) along `axis`: logarithms of probabilities that sum to 1.

    The largest is taken off first, so that scores far from 0 keep their digits.
    """
    node = as_node(x)
    if node.type.size:
        node = node - elementwise.stop_gradient(reduce.max_(node, axis, keepdims=True))
    return node - reduce.logsumexp(node, axis, keepdims=True)


def softmax(x: Any, axis: int = -1) -> Node:
    """Probabilities proportional to e ** x along `axis`."""
    return elementwise.exp(log_softmax(x, axis))
