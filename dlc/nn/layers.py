"""The layers with parameters or modes: dense, batch_norm, layer_norm, dropout, embedding."""

from __future__ import annotations

from dlc import init, random
from dlc.errors import DlcError, here
from dlc.graph import Node, describe
from dlc.nn import checks
from dlc.nn.convolution import like_weight
from dlc.nn.layer import Layer
from dlc.ops import contract, elementwise, gather, reduce, view
from dlc.ops.convert import cast
from dlc.scope import (
    Initializer,
    latest_state,
    parameter,
    state,
    training,
    update_state,
)
from dlc.types import Type, f32


def dense(units: int, bias: bool = True, weight_init: Initializer | None = None,
          bias_init: Initializer | None = None, name: str = "") -> Layer:
    """x [..., n] -> x @ weight + bias [..., units]; weight [n, units], bias [units].

    First values are uniform within 1/sqrt(n), as in PyTorch's Linear.
    """
    checks.at_least("dense", 1, units=units)

    def apply(x: Node) -> Node:
        checks.rank(x, 1, "[..., features]")
        checks.floating(x)
        inputs = int(x.shape[-1])
        weight = parameter("weight", Type(x.dtype, (inputs, units)), weight_init)
        y = contract.matmul(x, weight)
        if not bias:
            return y
        return y + parameter("bias", Type(x.dtype, (units,)), bias_init or like_weight(inputs))

    return Layer("dense", apply, f"dense({units})", name, here())


def batch_norm(momentum: float = 0.1, eps: float = 1e-5, axis: int = 1, name: str = "") -> Layer:
    """Normalize each channel over the batch: x [N, C, ...] -> the same shape (Ioffe, Szegedy 2015).

    Parameters weight and bias [C]; state mean and var [C], the running statistics that evaluation
    uses: new = (1 - momentum) * old + momentum * batch, with the unbiased batch variance.
    """
    checks.fraction("batch_norm", momentum=momentum)

    def apply(x: Node) -> Node:
        checks.rank(x, 2, "[batch, channels, ...]")
        checks.floating(x)
        channels = x.shape[axis]
        kind = Type(f32 if x.dtype.bytes < 4 else x.dtype, (int(channels),))
        wide = tuple(channels if a == axis % x.ndim else 1 for a in range(x.ndim))
        mean, var = _statistics(x, axis % x.ndim, kind, momentum)
        weight = parameter("weight", kind, init.ones)
        bias = parameter("bias", kind, init.zeros)
        scale = weight * elementwise.rsqrt(var + eps)
        shift = bias - mean * scale
        return cast(x * view.reshape(scale, wide) + view.reshape(shift, wide), x.dtype)

    return Layer("batch_norm", apply, "batch_norm()", name, here())


def _statistics(x: Node, axis: int, kind: Type, momentum: float) -> tuple[Node, Node]:
    """(mean, variance) to normalize with: the batch's in training, the running ones otherwise."""
    running_mean = state("mean", kind, init.zeros)
    running_var = state("var", kind, init.ones)
    if not training():
        return running_mean, running_var
    axes = tuple(a for a in range(x.ndim) if a != axis)
    count = x.type.size // max(1, int(x.shape[axis]))
    if count < 2:
        raise DlcError(f"batch statistics of {describe(x)}: one value a channel has no variance",
                       here(), "train with a batch of at least 2")
    wide = cast(x, kind.dtype)
    mean, var = reduce.mean(wide, axes), reduce.variance(wide, axes)
    unbiased = var * (count / (count - 1))
    for handle, new in ((running_mean, mean), (running_var, unbiased)):
        old = latest_state(handle)
        update_state(handle, old + momentum * (elementwise.stop_gradient(new) - old))
    return mean, var


def layer_norm(axes: int = 1, eps: float = 1e-5, name: str = "") -> Layer:
    """Normalize each sample over its last `axes` axes; weight, bias have their shape (Ba 2016)."""
    checks.at_least("layer_norm", 1, axes=axes)

    def apply(x: Node) -> Node:
        checks.rank(x, axes, f"[..., {', '.join(['size'] * axes)}]")
        checks.floating(x)
        last = tuple(range(x.ndim - axes, x.ndim))
        kind = Type(x.dtype, tuple(int(d) for d in x.shape[x.ndim - axes:]))
        centred = x - reduce.mean(x, last, keepdims=True)
        var = reduce.mean(centred * centred, last, keepdims=True)
        normal = centred * elementwise.rsqrt(var + eps)
        return normal * parameter("weight", kind, init.ones) + parameter("bias", kind, init.zeros)

    return Layer("layer_norm", apply, f"layer_norm({axes})", name, here())


def dropout(rate: float = 0.5, name: str = "") -> Layer:
    """In training zero each element with probability `rate` and scale the rest by 1/(1 - rate).

    In evaluation the input itself (Srivastava et al. 2014, inverted).
    """
    checks.fraction("dropout", rate=rate)

    def apply(x: Node) -> Node:
        checks.floating(x)
        if not training() or rate == 0:
            return x
        keep = random.bernoulli(tuple(map(int, x.shape)), 1.0 - rate)
        return elementwise.where(keep, x * (1.0 / (1.0 - rate)), 0.0)

    return Layer("dropout", apply, f"dropout({rate})", name, here())


def embedding(count: int, size: int, weight_init: Initializer | None = None,
              name: str = "") -> Layer:
    """Rows of a table: index [...] (i32 or i64) -> [..., size]; weight [count, size], normal.

    An index outside 0 .. count-1 stops the run after the step, at this line.
    """
    checks.at_least("embedding", 1, count=count, size=size)

    def apply(index: Node) -> Node:
        weight = parameter("weight", f32[count, size], weight_init or init.normal())
        return gather.take(weight, index)

    return Layer("embedding", apply, f"embedding({count}, {size})", name, here())
