"""Norms: statistics over the batch, over channels, over groups of them, over features."""

from __future__ import annotations

import math

from dlc import init
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type, f32
from dlc.lang.array import rearrange
from dlc.lang.layer import Layer
from dlc.lang.scope import latest_state, parameter, state, training, update_state
from dlc.nn import checks
from dlc.ops import elementwise, reduce, view
from dlc.ops.convert import cast, in_accumulator
from dlc.ops.gather import note_check
from dlc.ops.varying import count, is_varying


def batch_norm(*, momentum: float = 0.1, eps: float = 1e-5, axis: int = 1,
               name: str = "") -> Layer:
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
    """(mean, variance) to normalize with: the batch's in training, the running ones otherwise.

    Raises DlcError where lengths vary along `axis`.
    """
    if is_varying(x.shape[axis]):
        raise DlcError(f"batch_norm of {describe(x)}: axis {axis} is to hold its features, and its "
                       "length varies", here(), "the axis of the features: batch_norm(axis=2)")
    running_mean = state("mean", kind, init.zeros)
    running_var = state("var", kind, init.ones)
    if not training():
        return running_mean, running_var
    axes = tuple(a for a in range(x.ndim) if a != axis)
    unbiased_by = _bessel(x, axes, kind)
    wide = cast(x, kind.dtype)
    mean, var = reduce.mean(wide, axes), reduce.variance(wide, axes)
    unbiased = var * unbiased_by
    for handle, new in ((running_mean, mean), (running_var, unbiased)):
        old = latest_state(handle)
        update_state(handle, old + momentum * (elementwise.stop_gradient(new) - old))
    return mean, var


def _bessel(x: Node, axes: tuple[int, ...], kind: Type) -> float | Node:
    """n / (n - 1) for the n values that each channel has. Raises DlcError for one; where lengths
    vary that stops the step."""
    why = f"batch statistics of {describe(x)}: one value a channel has no variance"
    many = count(x, axes)
    if isinstance(many, Node):
        note_check(view.reshape(many < 2, ()), why)
        wide = view.reshape(cast(many, kind.dtype), ())
        return wide / elementwise.maximum(wide - 1.0, 1.0)
    if many < 2:
        raise DlcError(why, here(), "train with a batch of at least 2")
    return many / (many - 1)


@in_accumulator
def standardized(x: Node, axes: tuple[int, ...], eps: float, weight: Node | None = None,
                 bias: Node | None = None) -> Node:
    """(x - mean) / sqrt(variance + eps) over `axes`, with the biased variance; times weight, plus
    bias, where there are any."""
    centred = x - reduce.mean(x, axes, keepdims=True)
    var = reduce.mean(centred * centred, axes, keepdims=True)
    normal = centred * elementwise.rsqrt(var + eps)
    normal = normal if weight is None else normal * weight
    return normal if bias is None else normal + bias


def _last(x: Node, axes: int) -> tuple[tuple[int, ...], Type]:
    """The last `axes` axes of x, and the type of a parameter over them."""
    checks.rank(x, axes, f"[..., {', '.join(['size'] * axes)}]")
    checks.floating(x)
    last = tuple(range(x.ndim - axes, x.ndim))
    return last, Type(x.dtype, tuple(int(x.shape[a]) for a in last))


def layer_norm(*, axes: int = 1, eps: float = 1e-5, affine: bool = True, name: str = "") -> Layer:
    """Normalize each sample over its last `axes` axes; weight, bias have their shape (Ba 2016)."""
    checks.at_least("layer_norm", 1, axes=axes)

    def apply(x: Node) -> Node:
        last, kind = _last(x, axes)
        if not affine:
            return standardized(x, last, eps)
        weight, bias = parameter("weight", kind, init.ones), parameter("bias", kind, init.zeros)
        return standardized(x, last, eps, weight, bias)

    return Layer("layer_norm", apply, f"layer_norm({axes})", name, here())


def rms_norm(*, axes: int = 1, eps: float = 1e-6, affine: bool = True, name: str = "") -> Layer:
    """x / sqrt(mean x^2 + eps) over the last `axes` axes, times weight of their shape (Zhang and
    Sennrich 2019, eq. 4)."""
    checks.at_least("rms_norm", 1, axes=axes)

    def apply(x: Node) -> Node:
        last, kind = _last(x, axes)
        return _of_root_mean_square_one(x, last, eps,
                                        parameter("weight", kind, init.ones) if affine else None)

    return Layer("rms_norm", apply, f"rms_norm({axes})", name, here())


@in_accumulator
def _of_root_mean_square_one(x: Node, axes: tuple[int, ...], eps: float,
                             weight: Node | None) -> Node:
    normal = x * elementwise.rsqrt(reduce.mean(x * x, axes, keepdims=True) + eps)
    return normal if weight is None else normal * weight


def group_norm(groups: int, *, eps: float = 1e-5, affine: bool = True, name: str = "") -> Layer:
    """Normalize each sample over groups of channels: x [N, C, ...]; weight, bias [C] (Wu, He 2018).

    C must be a multiple of `groups`; one group normalizes over all channels.
    """
    checks.at_least("group_norm", 1, groups=groups)

    def apply(x: Node) -> Node:
        checks.rank(x, 2, "[batch, channels, ...]")
        checks.floating(x)
        if int(x.shape[1]) % groups:
            raise DlcError(f"groups={groups} does not divide {int(x.shape[1])} channels", here(),
                           "the channels must be a multiple of groups")
        return _grouped(x, groups, eps, affine)

    return Layer("group_norm", apply, f"group_norm({groups})", name, here())


def instance_norm(*, eps: float = 1e-5, affine: bool = False, name: str = "") -> Layer:
    """Normalize each channel of each sample over space: x [N, C, S...] (Ulyanov et al. 2016).

    With `affine`, weight and bias [C].
    """
    def apply(x: Node) -> Node:
        checks.rank(x, 3, "[batch, channels, size, ...]")
        checks.floating(x)
        return _grouped(x, int(x.shape[1]), eps, affine)

    return Layer("instance_norm", apply, "instance_norm()", name, here())


def _grouped(x: Node, groups: int, eps: float, affine: bool) -> Node:
    """x [N, C, ...] normalized over each of `groups` groups of channels."""
    if not affine:
        return _over_groups(x, groups, eps)
    kind, wide = Type(x.dtype, (int(x.shape[1]),)), (int(x.shape[1]), *(1,) * (x.ndim - 2))
    weight = view.reshape(parameter("weight", kind, init.ones), wide)
    return _over_groups(x, groups, eps, weight, view.reshape(parameter("bias", kind, init.zeros),
                                                             wide))


@in_accumulator
def _over_groups(x: Node, groups: int, eps: float, weight: Node | None = None,
                 bias: Node | None = None) -> Node:
    batch, channels = int(x.shape[0]), int(x.shape[1])
    if any(map(is_varying, x.shape)):  # whose name an axis of its own keeps
        apart = (x.shape[0], groups, channels // max(1, groups), *x.shape[2:])
        rows = view.reshape(x, apart)
        normal = view.reshape(standardized(rows, tuple(range(2, rows.ndim)), eps), x.shape)
        return normal if weight is None else normal * weight + bias
    size = channels // max(1, groups) * math.prod(map(int, x.shape[2:]))
    rows = view.reshape(x, (batch, groups, size))
    normal = view.reshape(standardized(rows, (2,), eps), tuple(map(int, x.shape)))
    return normal if weight is None else normal * weight + bias


def local_response_norm(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0,
                        name: str = "") -> Layer:
    """x / (k + alpha m)^beta, m the mean square over `size` adjacent channels, 0 beyond the ends: x
    [N, C, ...] (Krizhevsky et al. 2012, section 3.3, with alpha / size for the sum).
    """
    checks.at_least("local_response_norm", 1, size=size)
    checks.number("local_response_norm", alpha=alpha, beta=beta, k=k)

    def apply(x: Node) -> Node:
        checks.rank(x, 2, "[batch, channels, ...]")
        checks.floating(x)
        return respond(x)

    @in_accumulator
    def respond(x: Node) -> Node:
        squares = rearrange.moveaxis(x * x, 1, -1)
        ends = (0,) * (x.ndim - 1)
        wide = view.pad(squares, (*ends, size // 2), (*ends, (size - 1) // 2))
        around = reduce.mean(rearrange.unfold(wide, -1, size), -1)
        return x / elementwise.power(rearrange.moveaxis(around, -1, 1) * alpha + k, beta)

    return Layer("local_response_norm", apply, f"local_response_norm({size})", name, here())
