"""ONNX's products: matrix product, Gemm, convolutions, Einsum, determinant."""

from __future__ import annotations

from collections.abc import Sequence

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import i32
from dlc.onnx.call import Call, Results, chosen, converts
from dlc.onnx.shape import edged

Pads = tuple[tuple[int, int], ...]
MOST_OPERANDS = 32  # of an einsum, whose order is searched for
AUTO = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@converts("MatMul")
def matmul(call: Call) -> Results:
    return product(call.x(0), call.x(1))


def product(a: Node, b: Node) -> Node:
    """The matrix product in the operands' dtype: ONNX's integers wrap around in it."""
    return dlc.cast(dlc.matmul(a, b), a.dtype)


@converts("Gemm")
def gemm(call: Call) -> Results:
    """alpha * A' B' + beta * C."""
    a, b = call.x(0), call.x(1)
    if a.ndim != 2 or b.ndim != 2:
        raise DlcError(f"{a.type} and {b.type} are not matrices")
    y = product(a.T if call.flag("transA") else a, b.T if call.flag("transB") else b)
    alpha, beta = call.number("alpha", 1.0), call.number("beta", 1.0)
    y = y if alpha == 1.0 else dlc.cast(y * alpha, a.dtype)
    if not call.has(2) or beta == 0.0:
        return y
    c = call.x(2)
    return y + (c if beta == 1.0 else dlc.cast(c * beta, c.dtype))


@converts("Einsum")
def einsum(call: Call) -> Results:
    nodes = call.nodes()
    if len(nodes) > MOST_OPERANDS:
        raise DlcError(f"{len(nodes)} operands", None, f"an einsum has at most {MOST_OPERANDS}")
    return dlc.cast(dlc.einsum(call.text("equation").replace(" ", ""), *nodes), nodes[0].dtype)


@converts("Det")
def det(call: Call) -> Results:
    return dlc.linalg.det(call.x())


# --- convolution ----------------------------------------------------------------------------------


def per_axis(call: Call, name: str, axes: int, low: int = 1, default: int = 1) -> tuple[int, ...]:
    """An attribute with a number an axis."""
    values = call.integers(name) or (default,) * axes
    if len(values) != axes or min(values, default=low) < low:
        raise DlcError(f"{name} {list(values)} of {axes} spatial axes")
    return values


def explicit_pads(call: Call, axes: int) -> Pads:
    """The attribute `pads`: all begins, then all ends."""
    values = call.integers("pads") or (0,) * (2 * axes)
    if len(values) != 2 * axes:
        raise DlcError(f"pads {list(values)} of {axes} spatial axes")
    return tuple(zip(values[:axes], values[axes:], strict=True))


def automatic(mode: str, totals: Sequence[int]) -> Pads:
    """SAME: half before and half after, the odd one at the end (upper) or the beginning."""
    halves = [(max(t, 0) // 2, max(t, 0) - max(t, 0) // 2) for t in totals]
    return tuple((a, b) if mode == "SAME_UPPER" else (b, a) for a, b in halves)


def pads_of(call: Call, sizes: Sequence[int], reach: Sequence[int], stride: Sequence[int]) -> Pads:
    """Padding of windows of `reach` over `sizes`, by auto_pad or as given."""
    mode = chosen("auto_pad", call.text("auto_pad", "NOTSET"), AUTO)
    if mode == "NOTSET":
        return explicit_pads(call, len(sizes))
    if mode == "VALID":
        return ((0, 0),) * len(sizes)
    return automatic(mode, [(-(-d // s) - 1) * s + r - d
                            for d, r, s in zip(sizes, reach, stride, strict=True)])


def spatial(x: Node, w: Node) -> int:
    """How many spatial axes there are. Raises DlcError where x and w have no channels."""
    if x.ndim != w.ndim or x.ndim < 3:
        raise DlcError(f"{x.type} with the kernel {w.type}", None,
                       "input [N, C, S...], kernel [O, C / group, K...]")
    return x.ndim - 2


def check_kernel(call: Call, w: Node) -> None:
    """Raise DlcError when kernel_shape is there and is not that of the kernel."""
    given = call.integers("kernel_shape")
    if given and given != tuple(map(int, w.shape[2:])):
        raise DlcError(f"kernel_shape {given}, the kernel is {w.type}")


def biased(y: Node, bias: Node | None) -> Node:
    """y with `bias` [channels] added."""
    return y if bias is None else y + dlc.reshape(bias, (-1, *(1,) * (y.ndim - 2)))


@converts("Conv")
def conv(call: Call) -> Results:
    x, w = call.x(0), call.x(1)
    n = spatial(x, w)
    check_kernel(call, w)
    stride, dilation = per_axis(call, "strides", n), per_axis(call, "dilations", n)
    reach = [(int(k) - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    pads = pads_of(call, list(map(int, x.shape[2:])), reach, stride)
    y = dlc.conv(x, w, stride, pads, dilation, call.integer("group", 1))
    return biased(y, call.maybe(2))


@converts("ConvTranspose")
def conv_transpose(call: Call) -> Results:
    """Pads are as given, or what makes the shape that is asked for."""
    x, w = call.x(0), call.x(1)
    n = spatial(x, w)
    check_kernel(call, w)
    stride, dilation = per_axis(call, "strides", n), per_axis(call, "dilations", n)
    extra = per_axis(call, "output_padding", n, 0, 0)
    reach = [(int(k) - 1) * d + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    full = [(int(d) - 1) * s + r + e
            for d, s, r, e in zip(x.shape[2:], stride, reach, extra, strict=True)]
    mode = chosen("auto_pad", call.text("auto_pad", "NOTSET"), AUTO)
    pads = explicit_pads(call, n) if mode == "NOTSET" else ((0, 0),) * n
    wanted = list(call.integers("output_shape"))[-n:]
    if not wanted and mode.startswith("SAME"):
        wanted = [int(d) * s for d, s in zip(x.shape[2:], stride, strict=True)]
    if wanted:
        totals = [f - o for f, o in zip(full, wanted, strict=True)]
        # the odd one stands at the end for SAME_UPPER only
        pads = automatic("SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER", totals)
        short = [max(0, -t) for t in totals]
        extra = tuple(e + s for e, s in zip(extra, short, strict=True))
    # the whole product first, and then its edges cut or filled: any padding will do
    y = dlc.conv_transpose(x, w, stride, 0, 0, dilation, call.integer("group", 1))
    low, high = [0, 0, *(-p for p, _ in pads)], [0, 0, *(
        e - q for e, (_, q) in zip(extra, pads, strict=True))]
    return biased(edged(y, low, high), call.maybe(2))


@converts("DeformConv")
def deform_conv(call: Call) -> Results:
    """Dai et al. 2017: each tap of the kernel reads at its own offset, linearly interpolated."""
    from dlc.onnx.sample import read_linear

    x, w, offset = call.x(0), call.x(1), call.x(2)
    n = spatial(x, w)
    if n != 2:
        raise DlcError(f"{n} spatial axes", None, "dlc deforms images")
    stride, dilation = per_axis(call, "strides", n), per_axis(call, "dilations", n)
    pads, groups = explicit_pads(call, n), call.integer("offset_group", 1)
    batch, channels = int(x.shape[0]), int(x.shape[1])
    kernel, sizes = tuple(map(int, w.shape[2:])), tuple(map(int, offset.shape[2:]))
    shape = (batch, groups, *kernel, 2, *sizes)
    moved = dlc.reshape(offset, shape)
    places = []
    for a in range(2):
        taps = dlc.iota((batch, groups, *kernel, *sizes), 2 + a, i32) * dilation[a]
        outs = dlc.iota((batch, groups, *kernel, *sizes), 4 + a, i32) * stride[a]
        places.append(dlc.cast(taps + outs - pads[a][0], x.dtype) + moved[:, :, :, :, a])
    split = dlc.reshape(x, (batch, groups, channels // groups, *x.shape[2:]))
    read = read_linear(split, places, 2)  # [N, G, C / G, K..., S...]
    if call.has(4):
        read = read * dlc.reshape(call.x(4), (batch, groups, 1, *kernel, *sizes))
    groups_ = call.integer("group", 1)
    columns = dlc.reshape(read, (batch, groups_, -1, sizes[0] * sizes[1]))
    weight = dlc.reshape(w, (groups_, int(w.shape[0]) // groups_, -1))
    y = dlc.reshape(dlc.matmul(weight, columns), (batch, int(w.shape[0]), *sizes))
    return biased(y, call.maybe(3))
