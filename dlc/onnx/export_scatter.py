"""How scatters of dlc are written in ONNX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.onnx.export_views import INDEX, limited_to
from dlc.onnx.writer import Fixed, Open, Size, Writer, writes


@writes("scatter_add")
def scatter_add(to: Writer, node: Node) -> str:
    """Zeros with the updates added. Bools are not added by onnxruntime."""
    index, _ = node.args
    moved, back = _order(node)
    dims = to.attr(node, "shape")
    zeros = to.expand(to.scalar(0, node), [dims[a] for a in moved], node.dtype)
    return to.transpose(_scattered(to, node, zeros, index, "add"), back)


@writes("scatter_max", "scatter_min")
def scatter_extreme(to: Writer, node: Node) -> str:
    """The largest or smallest of what is there and the updates; from opset 18 on."""
    how = node.op.name.removeprefix("scatter_")
    if to.opset < 18:
        raise DlcError(f"a scatter of the {how} needs opset 18", node.loc,
                       "dlc.onnx.export(..., opset=18)")
    moved, back = _order(node)
    x = to.transpose(to.operand(node, 2), moved)
    return to.transpose(_scattered(to, node, x, node.args[0], how), back)


def _order(node: Node) -> tuple[list[int], list[int]]:
    """The axes of the result with the scattered one behind the shared ones, and the way back."""
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    moved = [*range(batch), axis, *range(batch, axis), *range(axis + 1, node.ndim)]
    return moved, np.argsort(moved).tolist()


def _scattered(to: Writer, node: Node, into: str, index: Node, how: str) -> str:
    """`into` [B..., size, rest...] with the updates, brought into the same order."""
    axis, batch, updates = node.attrs["axis"], node.attrs["batch"], node.args[1]
    count = index.ndim - batch
    order = [*range(batch), *range(axis, axis + count), *range(batch, axis),
             *range(axis + count, updates.ndim)]
    size = to.dims(node)[axis]
    at = to.names[index] if isinstance(size, Open) else limited_to(to, index, size)
    dims = to.dims(index)
    wide = to.cast(to.reshape(at, [*dims, 1]), INDEX)
    places = [_along(to, dims, a) for a in range(batch)]
    where = to.emit("Concat", *places, wide, axis=index.ndim) if places else wide
    return to.emit("ScatterND", into, where, to.transpose(to.operand(node, 1), order),
                   reduction=how)


def _along(to: Writer, dims: Sequence[Size], axis: int) -> str:
    """For every index its position along a shared axis, [B..., I..., 1]."""
    size = dims[axis]
    if isinstance(size, Open):
        raise Fixed
    ramp = np.arange(size).reshape([-1 if a == axis else 1 for a in range(len(dims) + 1)])
    return to.expand(to.constant(ramp, np.int64), [*dims, 1], INDEX)
