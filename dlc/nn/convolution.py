"""Layers around convolutions over any number of spatial axes: plain, depthwise, transposed."""

from __future__ import annotations

import math
from typing import Any

from dlc import init
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import Type
from dlc.lang.array import convolution
from dlc.lang.array.convolution import PerAxis, per_axis
from dlc.lang.layer import Layer
from dlc.lang.scope import Initializer, parameter
from dlc.nn import checks
from dlc.ops import view


def like_weight(fan_in: int) -> Initializer:
    """A bias starts in the range of its weight: uniform within 1/sqrt(fan in)."""
    bound = max(1, fan_in) ** -0.5
    return init.uniform(-bound, bound)


def conv(channels: int, kernel: PerAxis, *, stride: PerAxis = 1, padding: Any = 0,
         dilation: PerAxis = 1, groups: int = 1, bias: bool = True,
         weight_init: Initializer | None = None, bias_init: Initializer | None = None,
         name: str = "") -> Layer:
    """Cross-correlation: x [N, C, S...] -> [N, channels, S'...]; weight [channels, C/groups, K...].

    `kernel`, `stride` and `dilation` are an int or one per spatial axis, of which there may be any
    number; so is `padding`, or pairs (low, high), "same", "same_lower" or "valid". Initial values
    are uniform within 1/sqrt(C/groups * K...). Sizes: Dumoulin and Visin 2016.
    """
    checks.at_least("conv", 1, channels=channels, groups=groups)
    checks.truth("conv", bias=bias)
    size, step, holes = window_of("conv", kernel, stride, dilation, padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, size)
        checks.floating(x)
        if int(x.shape[1]) % groups or channels % groups:
            raise DlcError(f"groups={groups} does not divide {int(x.shape[1])} input channels and "
                           f"{channels} channels", here(), "both must be multiples of groups")
        shape = (channels, int(x.shape[1]) // groups, *per_axis(size, n))
        weight = parameter("weight", Type(x.dtype, shape), weight_init)
        y = convolution.conv(x, weight, step, padding, holes, groups)
        return biased(y, channels, bias, bias_init, math.prod(shape[1:]))

    return Layer("conv", apply, f"conv({channels}, {kernel})", name, here())


def window_of(layer: str, kernel: PerAxis, stride: PerAxis, dilation: PerAxis,
            padding: Any) -> tuple[Any, Any, Any]:
    """The checked numbers of a layer's window; a plain padding must not be negative."""
    if isinstance(padding, int):
        checks.at_least(layer, 0, padding=padding)
    return (checks.per_axis(layer, "kernel", kernel, 1),
            checks.per_axis(layer, "stride", stride, 1),
            checks.per_axis(layer, "dilation", dilation, 1))


def biased(y: Node, channels: int, bias: bool, bias_init: Initializer | None,
            fan_in: int) -> Node:
    """y plus a bias a channel, if there is one."""
    if not bias:
        return y
    b = parameter("bias", Type(y.dtype, (channels,)), bias_init or like_weight(fan_in))
    return y + view.reshape(b, (channels, *(1,) * (y.ndim - 2)))


def depthwise_conv(kernel: PerAxis, *, multiplier: int = 1, stride: PerAxis = 1,
                   padding: Any = 0, dilation: PerAxis = 1, bias: bool = True,
                   weight_init: Initializer | None = None, bias_init: Initializer | None = None,
                   name: str = "") -> Layer:
    """`multiplier` kernels per channel: x [N, C, S...] -> [N, C * multiplier, S'...]; weight
    [C*multiplier, 1, K...], channel c gives results c*multiplier ... (Chollet 2017).
    """
    checks.at_least("depthwise_conv", 1, multiplier=multiplier)
    size, step, holes = window_of("depthwise_conv", kernel, stride, dilation, padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, size)
        checks.floating(x)
        inputs = int(x.shape[1])
        shape = (inputs * multiplier, 1, *per_axis(size, n))
        weight = parameter("weight", Type(x.dtype, shape), weight_init)
        y = convolution.conv(x, weight, step, padding, holes, inputs)
        return biased(y, shape[0], bias, bias_init, math.prod(shape[1:]))

    return Layer("depthwise_conv", apply, f"depthwise_conv({kernel})", name, here())


def separable_conv(channels: int, kernel: PerAxis, *, multiplier: int = 1,
                   stride: PerAxis = 1, padding: Any = 0, dilation: PerAxis = 1, bias: bool = True,
                   weight_init: Initializer | None = None, bias_init: Initializer | None = None,
                   name: str = "") -> Layer:
    """A depthwise convolution, then one of kernel 1 that mixes channels: [N, C, S...] ->
    [N, channels, S'...]; depthwise [C*multiplier, 1, K...], pointwise [channels, C*multiplier,
    1...], bias [channels] (Chollet 2017, Xception).
    """
    checks.at_least("separable_conv", 1, channels=channels, multiplier=multiplier)
    size, step, holes = window_of("separable_conv", kernel, stride, dilation, padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, size)
        checks.floating(x)
        inner = int(x.shape[1]) * multiplier
        deep = parameter("depthwise", Type(x.dtype, (inner, 1, *per_axis(size, n))), weight_init)
        wide = parameter("pointwise", Type(x.dtype, (channels, inner, *(1,) * n)), weight_init)
        y = convolution.conv(x, deep, step, padding, holes, int(x.shape[1]))
        return biased(convolution.conv(y, wide), channels, bias, bias_init, inner)

    return Layer("separable_conv", apply, f"separable_conv({channels}, {kernel})", name, here())


def conv_transpose(channels: int, kernel: PerAxis, *, stride: PerAxis = 1, padding: Any = 0,
                   output_padding: PerAxis = 0, dilation: PerAxis = 1, groups: int = 1,
                   bias: bool = True, weight_init: Initializer | None = None,
                   bias_init: Initializer | None = None, name: str = "") -> Layer:
    """The transpose of `conv`: x [N, C, S...] -> [N, channels, S'...], S' = (S - 1) * stride - low
    - high + dilation * (K - 1) + output_padding + 1; weight [C, channels/groups, K...].

    `padding` is that of the convolution it transposes; "same" gives S * stride. Meaning and first
    values as PyTorch's ConvTranspose2d (Dumoulin and Visin 2016, chapter 4).
    """
    checks.at_least("conv_transpose", 1, channels=channels, groups=groups)
    size, step, holes = window_of("conv_transpose", kernel, stride, dilation, padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, size)
        checks.floating(x)
        if int(x.shape[1]) % groups or channels % groups:
            raise DlcError(f"groups={groups} does not divide {describe(x)} and {channels} channels",
                           here(), "both must be multiples of groups")
        shape = (int(x.shape[1]), channels // groups, *per_axis(size, n))
        weight = parameter("weight", Type(x.dtype, shape), weight_init)
        y = convolution.conv_transpose(x, weight, step, padding, output_padding, holes, groups)
        return biased(y, channels, bias, bias_init, math.prod(shape[1:]))

    return Layer("conv_transpose", apply, f"conv_transpose({channels}, {kernel})", name, here())
