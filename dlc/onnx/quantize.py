"""ONNX's quantized operators over i8, u8, i16, u16: integers with a scale and a zero point.

x = (q - zero_point) * scale. Sums of products are exact: they are computed in f64 and fit i32.
Source: Jacob et al., Quantization and training of neural networks, 2018, equations 1 to 4.
"""

from __future__ import annotations

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import DType, f32, f64, i8, i16, i32, u8, u16
from dlc.onnx.call import Call, Results, axis_of, converts
from dlc.onnx.contract import biased, check_kernel, pads_of, per_axis, spatial
from dlc.onnx.proto import dtype_of
from dlc.ops.convert import broadcast_to

QUANTIZED = (i8, u8, i16, u16)


def beside(factor: Node, x: Node, call: Call) -> Node:
    """A scale or zero point of all of x, of each entry of `axis`, or of blocks along it."""
    if factor.type.size == 1 and factor.ndim < 2:
        return dlc.reshape(factor, ())
    axis = axis_of(call.integer("axis", 1), x.ndim)
    size, block = int(x.shape[axis]), call.integer("block_size")
    if factor.ndim == 1 and not block and int(factor.shape[0]) == size:
        return dlc.reshape(factor, (size, *(1,) * (x.ndim - 1 - axis)))
    blocks = int(factor.shape[axis]) if factor.ndim == x.ndim else 0
    if not block > 0 or not (blocks - 1) * block < size <= blocks * block:
        raise DlcError(f"a scale {factor.type} for {x.type} along axis {axis}", None,
                       "one number, one for each entry of the axis, or one for each block")
    wide = (*factor.shape[:axis + 1], block, *factor.shape[axis + 1:])
    spread = dlc.reshape(broadcast_to(dlc.reshape(factor, (
        *factor.shape[:axis + 1], 1, *factor.shape[axis + 1:])), wide), (
        *factor.shape[:axis], blocks * block, *factor.shape[axis + 1:]))
    return spread[(*(slice(None),) * axis, slice(0, size))]


def quantized(x: Node, scale: Node, zero: Node | None, kind: DType = u8) -> Node:
    """x / scale, rounded to even, from the zero point on: limited to its dtype, or to `kind`."""
    y = dlc.round(x / scale)
    return dlc.cast(y if zero is None else y + dlc.cast(zero, y.dtype),
                    kind if zero is None else zero.dtype)


@converts("QuantizeLinear")
def quantize_linear(call: Call) -> Results:
    x, zero = call.x(0), call.maybe(2)
    kind = zero.dtype if zero is not None else u8 if not call.integer("output_dtype") else dtype_of(
        call.integer("output_dtype"), "output_dtype")
    if kind not in QUANTIZED:
        raise DlcError(f"quantized to {kind}", None, "dlc quantizes to i8, u8, i16 and u16")
    work = f32 if not x.dtype.is_float or x.dtype.bytes < 4 else x.dtype
    return quantized(dlc.cast(x, work), dlc.cast(beside(call.x(1), x, call), work),
                     None if zero is None else beside(zero, x, call), kind)


@converts("DequantizeLinear")
def dequantize_linear(call: Call) -> Results:
    x, zero = call.x(0), call.maybe(2)
    whole = dlc.cast(x, i32)
    whole = whole if zero is None else whole - dlc.cast(beside(zero, x, call), i32)
    scale = call.x(1)
    kind = dtype_of(call.integer("output_dtype"), "output_dtype") if call.integer(
        "output_dtype") else scale.dtype
    work = f32 if scale.dtype.bytes < 4 else scale.dtype
    scaled = dlc.cast(whole, work) * dlc.cast(beside(scale, x, call), work)
    return dlc.cast(scaled, kind)


# --- products -------------------------------------------------------------------------------------


def centred(x: Node, zero: Node | None) -> Node:
    """x without its zero point, in f64."""
    wide = dlc.cast(x, f64)
    return wide if zero is None else wide - dlc.cast(zero, f64)


def rows(zero: Node | None, x: Node) -> Node | None:
    """A zero point for each row of matrices [..., m, k]."""
    if zero is None or zero.ndim != 1 or zero.type.size == 1:
        return zero
    return dlc.reshape(zero, (-1, 1))


@converts("MatMulInteger")
def matmul_integer(call: Call) -> Results:
    a, b = call.x(0), call.x(1)
    return dlc.cast(dlc.matmul(centred(a, rows(call.maybe(2), a)), centred(b, call.maybe(3))), i32)


def whole_product(call: Call, x: Node, x_zero: Node | None, w: Node,
                  w_zero: Node | None) -> Node:
    """The convolution of whole numbers, in f64; what stands at the edges is the zero point."""
    n = spatial(x, w)
    check_kernel(call, w)
    stride, dilation = per_axis(call, "strides", n), per_axis(call, "dilations", n)
    reach = [(int(k) - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    pads = pads_of(call, list(map(int, x.shape[2:])), reach, stride)
    per_output = None if w_zero is None else dlc.reshape(
        w_zero, (-1, *(1,) * (w.ndim - 1)) if w_zero.type.size > 1 else ())
    return dlc.conv(centred(x, x_zero), centred(w, per_output), stride, pads, dilation,
                    call.integer("group", 1))


@converts("ConvInteger")
def conv_integer(call: Call) -> Results:
    zero = call.maybe(2)
    zero = None if zero is None else dlc.reshape(zero, ())
    return dlc.cast(whole_product(call, call.x(0), zero, call.x(1), call.maybe(3)), i32)


def per_channel(scale: Node, y: Node) -> Node:
    """A scale for each output channel of [N, O, S...], in f64."""
    wide = dlc.cast(scale, f64)
    return dlc.reshape(wide, () if scale.type.size == 1 else (-1, *(1,) * (y.ndim - 2)))


@converts("QLinearConv")
def quantized_conv(call: Call) -> Results:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (call.x(i) for i in range(8))
    y = whole_product(call, x, dlc.reshape(x_zero, ()), w, w_zero)
    y = biased(y, dlc.cast(call.x(8), f64) if call.has(8) else None)
    scale = per_channel(x_scale, y) * per_channel(w_scale, y)
    return quantized(y * scale, per_channel(y_scale, y), dlc.reshape(y_zero, ()))


@converts("QLinearMatMul")
def quantized_matmul(call: Call) -> Results:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (call.x(i) for i in range(8))
    y = dlc.matmul(centred(a, rows(a_zero, a)), centred(b, b_zero))
    lines = rows(a_scale, a)
    assert lines is not None
    return quantized(y * dlc.cast(lines, f64) * dlc.cast(b_scale, f64), dlc.cast(y_scale, f64),
                     y_zero)
