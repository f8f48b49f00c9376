"""ONNX's normalizations and dropout."""

from __future__ import annotations

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import bool_
from dlc.onnx.call import Call, Results, array, axis_of, converts
from dlc.onnx.pool import raised, root
from dlc.ops.convert import widened


def per_channel(v: Node, rank: int) -> Node:
    """[channels] beside [N, channels, ...]."""
    return dlc.reshape(v, (-1, *(1,) * (rank - 2)))


@converts("BatchNormalization")
def batch_norm(call: Call) -> Results:
    """Ioffe and Szegedy 2015. In training mode also the new running statistics."""
    x, scale, shift, mean, var = (call.x(i) for i in range(5))
    eps, axes = call.number("epsilon", 1e-5), (0, *range(2, x.ndim))
    if not call.flag("spatial", True):
        raise DlcError("statistics of every element (spatial=0)")
    if not call.flag("training_mode"):
        return normal(x, per_channel(mean, x.ndim), per_channel(var, x.ndim), eps, scale, shift)
    momentum = call.number("momentum", 0.9)
    wide = widened(x)
    now_mean, now_var = dlc.mean(wide, axes), dlc.variance(wide, axes)
    y = normal(x, per_channel(now_mean, x.ndim), per_channel(now_var, x.ndim), eps, scale, shift)
    return (y, dlc.cast(mean * momentum + now_mean * (1 - momentum), mean.dtype),
            dlc.cast(var * momentum + now_var * (1 - momentum), var.dtype))


def normal(x: Node, mean: Node, var: Node, eps: float, scale: Node, shift: Node) -> Node:
    y = (widened(x) - mean) * dlc.rsqrt(var + eps) * per_channel(scale, x.ndim)
    return dlc.cast(y + per_channel(shift, x.ndim), x.dtype)


@converts("InstanceNormalization")
def instance_norm(call: Call) -> Results:
    x, axes = call.x(), tuple(range(2, call.x().ndim))
    wide = widened(x)
    return normal(x, dlc.mean(wide, axes, True), dlc.variance(wide, axes, True),
                  call.number("epsilon", 1e-5), call.x(1), call.x(2))


@converts("LayerNormalization")
def layer_norm(call: Call) -> Results:
    """Ba, Kiros and Hinton 2016; also the mean and the inverse deviation."""
    x = call.x()
    axes = tuple(range(axis_of(call.integer("axis", -1), x.ndim), x.ndim))
    wide = widened(x)
    mean = dlc.mean(wide, axes, True)
    inverse = dlc.rsqrt(dlc.variance(wide, axes, True) + call.number("epsilon", 1e-5))
    y = dlc.cast((wide - mean) * inverse, x.dtype) * call.x(1)
    return (y + call.x(2) if call.has(2) else y), mean, inverse


@converts("RMSNormalization")
def rms_norm(call: Call) -> Results:
    """Zhang and Sennrich 2019."""
    x = call.x()
    axes = tuple(range(axis_of(call.integer("axis", -1), x.ndim), x.ndim))
    wide = widened(x)
    y = wide * dlc.rsqrt(dlc.mean(wide * wide, axes, True) + call.number("epsilon", 1e-5))
    return dlc.cast(y, x.dtype) * call.x(1)


@converts("LpNormalization")
def lp_norm(call: Call) -> Results:
    """x by its norm along an axis; of a norm of 0, 0."""
    x, p = call.x(), call.integer("p", 2)
    if p not in (1, 2):
        raise DlcError(f"p = {p}", None, "p is 1 or 2")
    wide = widened(x)
    norm = root(dlc.sum(raised(wide, p), axis_of(call.integer("axis", -1), x.ndim), True), p)
    return dlc.cast(dlc.where(norm == 0.0, 0.0, wide / dlc.where(norm == 0.0, 1.0, norm)), x.dtype)


@converts("LRN")
def local_response_norm(call: Call) -> Results:
    """Krizhevsky, Sutskever and Hinton 2012, section 3.3."""
    x, size = call.x(), call.integer("size")
    if size < 1 or x.ndim < 2:
        raise DlcError(f"size {size} over the channels of {x.type}")
    low, high = (size - 1) // 2, size // 2
    wide = widened(x)
    moved = dlc.transpose(wide * wide, (0, *range(2, x.ndim), 1))
    lead = (0,) * (x.ndim - 1)
    total = dlc.sum(dlc.window(dlc.pad(moved, (*lead, low), (*lead, high)), (size,)), -1)
    back = dlc.transpose(total, (0, x.ndim - 1, *range(1, x.ndim - 1)))
    scale = call.number("bias", 1.0) + back * (call.number("alpha", 1e-4) / size)
    return dlc.cast(wide * dlc.power(scale, -call.number("beta", 0.75)), x.dtype)


@converts("MeanVarianceNormalization")
def mean_variance_norm(call: Call) -> Results:
    x, axes = call.x(), call.integers("axes", (0, 2, 3))
    wide = widened(x)
    centred = wide - dlc.mean(wide, axes, True)
    return dlc.cast(centred / (dlc.sqrt(dlc.mean(centred * centred, axes, True)) + 1e-9), x.dtype)


@converts("Dropout")
def dropout(call: Call) -> Results:
    """Only in training mode; the mask is dlc's own, not of the file's seed."""
    x = call.x()
    if call.opset >= 12:
        rate = float(call.scalar(1, 0.5)) if call.has(1) else 0.5
        active = bool(call.scalar(2, False))
    else:
        rate, active = call.number("ratio", 0.5), False
    if not active or rate == 0.0:
        return x, dlc.broadcast_to(array(True, bool_), x.shape)
    if not 0 < rate < 1:
        raise DlcError(f"ratio {rate}", None, "it is at least 0 and below 1")
    keep = dlc.random.bernoulli(tuple(x.shape), 1 - rate)
    return dlc.where(keep, x * (1 / (1 - rate)), 0.0), keep


@converts("Bernoulli")
def bernoulli(call: Call) -> Results:
    from dlc.onnx.proto import dtype_of

    x = call.x()
    kind = dtype_of(call.integer("dtype"), "dtype") if call.get("dtype") else x.dtype
    drawn = dlc.random.uniform(tuple(x.shape)) < x
    return drawn if kind is bool_ else dlc.cast(drawn, kind)
