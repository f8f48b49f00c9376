"""How views, contractions and gathers of dlc are written in ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dlc.ir.graph import Node
from dlc.ir.types import i64
from dlc.onnx.writer import Fixed, Open, Size, Writer, size_of, writes

INDEX = i64  # of GatherND and ScatterND


@writes("reshape")
def reshape(to: Writer, node: Node) -> str:
    return to.reshape(to.operand(node, 0), to.dims(node), node.name)


@writes("transpose")
def transpose(to: Writer, node: Node) -> str:
    return to.transpose(to.operand(node, 0), node.attrs["axes"], node.name)


@writes("broadcast")
def broadcast(to: Writer, node: Node) -> str:
    return to.expand(to.operand(node, 0), to.dims(node), node.dtype, node.name)


@writes("concat")
def concat(to: Writer, node: Node) -> str:
    return to.emit("Concat", *to.operands(node), axis=node.attrs["axis"], hint=node.name)


@writes("flip")
def flip(to: Writer, node: Node) -> str:
    axes = list(node.attrs["axes"])
    ends = [np.iinfo(np.int64).min + 1] * len(axes)
    return to.emit("Slice", to.operand(node, 0), to.ints([-1] * len(axes)), to.ints(ends),
                   to.ints(axes), to.ints([-1] * len(axes)))


@writes("slice")
def slice_(to: Writer, node: Node) -> str:
    """An axis that is taken whole is left out, so that the batch may be open."""
    (arg,) = node.args
    whole = to.dims(arg)
    start, stop = to.attr(node, "start"), to.attr(node, "stop")
    step = to.fixed(node, "step")
    axes = [a for a in range(arg.ndim)
            if not (start[a] == 0 and stop[a] == whole[a] and step[a] == 1)]
    if not axes:
        return to.operand(node, 0)
    return to.emit("Slice", to.operand(node, 0), to.shape([start[a] for a in axes]),
                   to.shape([stop[a] for a in axes]), to.ints(axes),
                   to.ints([step[a] for a in axes]), hint=node.name)


@writes("pad")
def pad(to: Writer, node: Node) -> str:
    """What stands between elements first, by an axis of its own behind each."""
    (arg,) = node.args
    low, high, gaps = (to.fixed(node, k) for k in ("low", "high", "interior"))
    fill = to.scalar(node.attrs["value"], node)
    x, dims = to.operand(node, 0), list(to.dims(arg))
    for axis, gap in enumerate(gaps):
        if gap:
            x = spaced(to, x, dims, axis, gap, fill)
    if not any(low) and not any(high):
        return x
    return to.emit("Pad", x, to.ints([*low, *high]), fill, hint=node.name)


def spaced(to: Writer, x: str, dims: list[Size], axis: int, gap: int, fill: str) -> str:
    """x with `gap` elements between those of an axis; `dims` follows."""
    size = dims[axis]
    if isinstance(size, Open):
        raise Fixed
    apart = to.reshape(x, [*dims[:axis + 1], 1, *dims[axis + 1:]])
    ends = [gap if a == axis + 1 else 0 for a in range(len(dims) + 1)]
    filled = to.emit("Pad", apart, to.ints([0] * len(ends) + ends), fill)
    joined = to.reshape(filled, [*dims[:axis], size * (gap + 1), *dims[axis + 1:]])
    dims[axis] = max(0, (size - 1) * (gap + 1) + 1)
    return to.emit("Slice", joined, to.ints([0]), to.ints([int(str(dims[axis]))]),
                   to.ints([axis]))


@writes("window")
def window(to: Writer, node: Node) -> str:
    """Each axis gathers the places of its windows, then the sizes go last."""
    (arg,) = node.args
    size, stride, dilation = (to.fixed(node, k) for k in ("size", "stride", "dilation"))
    n, lead, x = len(size), arg.ndim - len(size), to.operand(node, 0)
    dims = to.dims(node)
    for a in reversed(range(n)):
        count = dims[lead + a]
        if isinstance(count, Open):
            raise Fixed
        places = np.arange(count)[:, None] * stride[a] + np.arange(size[a]) * dilation[a]
        x = to.emit("Gather", x, to.constant(places, np.int64), axis=lead + a)
    order = [*range(lead), *(lead + 2 * a for a in range(n)), *(lead + 2 * a + 1 for a in range(n))]
    return to.transpose(x, order)


def pooled(to: Writer, node: Node) -> str | None:
    """A maximum or sum over windows of [N, C, S...] as ONNX's pool; None for any other."""
    if not is_pool(node):
        return None
    (arg,) = node.args
    size, (x,) = arg.attrs["size"], arg.args
    if node.op.name == "max":
        return to.emit("MaxPool", to.names[x], kernel_shape=list(size), hint=node.name,
                       strides=list(arg.attrs["stride"]), dilations=list(arg.attrs["dilation"]))
    return to.emit("Mul", average(to, node), to.scalar(math.prod(size), node), hint=node.name)


def is_pool(node: Node) -> bool:
    """Whether a reduction is a maximum or sum over all of each window of [N, C, S...]."""
    (arg,) = node.args
    if arg.op.name != "window" or node.op.name not in ("max", "sum") or not arg.dtype.is_float:
        return False
    n = len(arg.attrs["size"])
    plain = set(arg.attrs["dilation"]) == {1} or node.op.name == "max"
    taps = tuple(range(arg.ndim - n, arg.ndim))
    return bool(node.attrs["axes"] == taps and arg.args[0].ndim == n + 2 and plain)


def average(to: Writer, node: Node, hint: str = "") -> str:
    """The mean over the windows that `node` sums up."""
    (arg,) = node.args
    return to.emit("AveragePool", to.names[arg.args[0]], kernel_shape=list(arg.attrs["size"]),
                   strides=list(arg.attrs["stride"]), hint=hint)


@writes("mul")
def mul(to: Writer, node: Node) -> str:
    """A sum over windows times a number is ONNX's average, where the number is one by their size.
    """
    for total, factor in (node.args, node.args[::-1]):
        if total.op.name == "sum" and factor.op.name == "constant" and is_pool(total):
            rest = factor.attrs["value"] * math.prod(total.args[0].attrs["size"])
            mean = average(to, total, node.name if rest == 1 else "")
            return mean if rest == 1 else to.emit("Mul", mean, to.scalar(rest, node),
                                                  hint=node.name)
    return to.emit("Mul", *to.loose(node), hint=node.name)


# --- contractions ---------------------------------------------------------------------------------


@writes("matmul")
def matmul(to: Writer, node: Node) -> str:
    return to.emit("MatMul", *to.operands(node), hint=node.name)


@writes("conv")
def conv(to: Writer, node: Node) -> str:
    """Groups are folded into the channels; gaps in the input are written out."""
    x, w = node.args
    grouped = node.attrs["grouped"]
    stride, padding, gaps, dilation = (
        to.fixed(node, k) for k in ("stride", "padding", "lhs_dilation", "rhs_dilation"))
    name, dims = to.operand(node, 0), list(to.dims(x))
    kernel, groups = to.operand(node, 1), 1
    if grouped:
        groups, outs = int(w.shape[0]), int(w.shape[1])
        dims = [dims[0], size_of(dims[1:3]), *dims[3:]]
        name = to.reshape(name, dims)
        kernel = to.reshape(kernel, [groups * outs, *to.static(w)[2:]])
    for axis, gap in enumerate(gaps):
        if gap > 1:
            name = spaced(to, name, dims, 2 + axis, gap - 1, to.scalar(0, node))
    low, high = [p for p, _ in padding], [p for _, p in padding]
    if min([0, *low, *high]) < 0:
        name = to.emit("Pad", name, to.ints([0, 0, *low, 0, 0, *high]))
        low, high = [0] * len(low), [0] * len(high)
    y = to.emit("Conv", name, kernel, strides=list(stride), pads=[*low, *high],
                dilations=list(dilation), group=groups, hint=node.name)
    return to.reshape(y, to.dims(node)) if grouped else y


# --- gathers --------------------------------------------------------------------------------------


@writes("gather")
def gather(to: Writer, node: Node) -> str:
    x, index = node.args
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    at = limited(to, index, x, axis)
    if batch == 0:
        return to.emit("Gather", to.operand(node, 0), at, axis=axis, hint=node.name)
    if batch == axis == x.ndim - 1 and index.ndim == x.ndim:
        return to.emit("GatherElements", to.operand(node, 0), at, axis=axis, hint=node.name)
    inner = list(range(batch, axis))
    front = to.transpose(to.operand(node, 0), moved(range(batch), [axis, *inner],
                                                    range(axis + 1, x.ndim)))
    wide = to.reshape(at, [*to.dims(index), 1])
    wide = to.cast(wide, INDEX) if index.dtype is not INDEX else wide
    read = to.emit("GatherND", front, wide, batch_dims=batch)
    count, more = index.ndim - batch, len(inner)
    places = range(batch, batch + count)
    return to.transpose(read, moved(range(batch), range(batch + count, batch + count + more),
                                    places, range(batch + count + more, node.ndim)))


def limited(to: Writer, index: Node, x: Node, axis: int) -> str:
    """Indices within an axis: dlc.take limits what is computed where the axis is open."""
    size = to.dims(x)[axis]
    return to.names[index] if isinstance(size, Open) else limited_to(to, index, size)


def limited_to(to: Writer, index: Node, size: int) -> str:
    """Indices within 0 .. size - 1: constants are checked, and some are limited already."""
    if index.op.name in ("constant", "array", "minimum", "argsort"):
        return to.names[index]
    low, high = to.scalar(0, index), to.scalar(max(size - 1, 0), index)
    return to.emit("Clip", to.names[index], low, high)


def moved(*parts: Sequence[int]) -> list[int]:
    return [axis for part in parts for axis in part]
