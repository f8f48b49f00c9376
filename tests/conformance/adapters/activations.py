"""torch.nn.functional's activations and dropouts in dlc's DSL."""

from __future__ import annotations

import dlc
from dlc import nn
from dlc.ir.graph import Node
from tests.conformance.adapters.layers import applied
from tests.conformance.adapters.registry import Excluded, add, covers

# --- activations ----------------------------------------------------------------------------------


# the gradient of expm1 is y + 1, as in torch.expm1; torch.elu has a rule of its own
for names, function in {
    "elu": lambda x, alpha=1.0, **_: nn.elu(x, alpha),
    "celu": lambda x, alpha=1.0, **_: nn.celu(x, alpha),
    "selu": lambda x, **_: nn.selu(x),
}.items():
    add(f"nn.functional.{names}", function, scale=50.0)
for names, function in {
    "relu": lambda x, **_: nn.relu(x), "relu6": lambda x, **_: nn.relu6(x),
    "leaky_relu": lambda x, negative_slope=0.01, **_: nn.leaky_relu(x, negative_slope),
    "silu": lambda x, **_: nn.silu(x), "mish": lambda x, **_: nn.mish(x),
    "softsign": nn.softsign, "tanhshrink": nn.tanh_shrink, "logsigmoid": nn.log_sigmoid,
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0, **_: nn.hard_tanh(x, min_val, max_val),
    "hardsigmoid": lambda x, **_: nn.hard_sigmoid(x),
    "hardswish": lambda x, **_: nn.hard_swish(x),
    "hardshrink": lambda x, lambd=0.5: nn.hard_shrink(x, lambd),
    "softshrink": lambda x, lambd=0.5: nn.soft_shrink(x, lambd),
    "threshold": lambda x, threshold, value, **_: nn.threshold(x, threshold, value),
    "gelu": lambda x, approximate="none": (nn.gelu if approximate == "none"
                                           else nn.gelu_tanh)(x),
    "glu": nn.glu,
}.items():
    add(f"nn.functional.{names}", function)


@covers("nn.functional.softplus")
def softplus(x: Node, beta: float = 1, threshold: float = 20) -> Node:
    """torch gives x itself beyond the threshold."""
    return dlc.where(x * beta > threshold, x, nn.softplus(x, beta))


@covers("nn.functional.prelu")
def prelu(x: Node, weight: Node) -> Node:
    """One slope for all, or one for each channel."""
    if weight.size == 1:
        return applied(nn.prelu(axis=None), x, weight=weight.reshape(()))
    return applied(nn.prelu(axis=1 if x.ndim > 1 else 0), x, weight=weight)


NOISE = "training with p > 0: two libraries draw two masks"


@covers("nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d "
        "nn.functional.feature_alpha_dropout/without_train", excludes=(NOISE,))
def dropout(x: Node, p: float = 0.5, training: bool = True, inplace: bool = False) -> Node:
    if training and 0 < p < 1:
        raise Excluded(NOISE)
    return nn.dropout(p)(x)


@covers("nn.functional.alpha_dropout", excludes=(NOISE,))
def alpha_dropout(x: Node, p: float = 0.5, training: bool = False, inplace: bool = False) -> Node:
    if training and 0 < p < 1:
        raise Excluded(NOISE)
    return nn.alpha_dropout(p)(x)


@covers("nn.functional.rrelu", excludes=(NOISE,))
def rrelu(x: Node, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False,
          inplace: bool = False) -> Node:
    if training and lower < upper:
        raise Excluded(NOISE)
    return nn.rrelu(x, lower, upper)
