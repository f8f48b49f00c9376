"""From Python numbers and NumPy arrays to nodes; NumPy broadcasting written out as ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.graph import Node, OpError, describe, make
from dlc.ops import leaf
from dlc.types import DType, DTypeError, Type, bool_, dtype, f32, i32, promote


def as_node(value: Any, like: DType | None = None) -> Node:
    """`value` as a node. Python numbers are weak: they take the dtype `like` if it holds them.

    Raises DlcError for what is no number or array.
    """
    if isinstance(value, Node):
        return value
    if isinstance(value, (bool, int, float)):
        return number(value, like)
    if holds_node(value):
        raise DlcError(f"a {type(value).__name__} with graph values in it is no array", here(),
                       "dlc.concat joins graph values")
    if isinstance(value, (np.ndarray, np.generic, list, tuple)):
        data = array_of(value)
        if isinstance(value, (list, tuple)) and data.dtype.kind in "if":
            data = data.astype((like or (f32 if data.dtype.kind == "f" else i32)).numpy)
        try:
            return leaf.array(data, Type(dtype(data.dtype), data.shape))
        except DTypeError as problem:
            raise DlcError(str(problem), here()) from None
    raise DlcError(f"{type(value).__name__} {value!r} is no array or number", here(),
                   "operands are graph values, NumPy arrays and Python numbers")


def holds_node(value: Any) -> bool:
    """Whether a graph value stands somewhere in a nesting of lists and tuples."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(v, Node) or holds_node(v) for v in value)


def array_of(value: Any) -> np.ndarray:
    """What NumPy makes of `value`, in the machine's byte order.

    Raises DlcError for rows of several lengths, and for masked elements: they are no numbers.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DlcError("a masked array is no array", here(), "x.filled(0.0) has numbers everywhere")
    try:
        data = np.asarray(value)
    except ValueError as problem:
        raise DlcError(f"a {type(value).__name__} of rows of several lengths is no array", here(),
                       str(problem).split(".")[0]) from None
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def number(value: float | int | bool, like: DType | None) -> Node:
    """A Python number as a scalar constant: weakly typed (semantics: promotion)."""
    if isinstance(value, bool):
        kind = bool_
    elif isinstance(value, int):
        kind = like if like is not None and like is not bool_ else i32
    else:
        kind = like if like is not None and like.is_float else f32
    try:
        return leaf.constant(value, Type(kind))
    except OpError as problem:
        raise DlcError(str(problem), here(), problem.hint) from None


def operands(op_name: str, *values: Any) -> list[Node]:
    """Operands of an elementwise op: promoted to one dtype, broadcast to one shape."""
    strong = [v for v in values if not isinstance(v, (bool, int, float))]
    nodes = [as_node(v) for v in strong]
    try:
        common = _common_dtype(nodes)
    except DTypeError as problem:
        raise DlcError(f"{op_name}({', '.join(map(describe, nodes))}): {problem}", here()) from None
    found = iter(nodes)
    full = [as_node(v, common) if isinstance(v, (bool, int, float)) else next(found)
            for v in values]
    shape = broadcast_shape(op_name, full)
    return [broadcast_to(n, shape) for n in common_type(op_name, *full)]


def common_type(op_name: str, *nodes: Node) -> list[Node]:
    """`nodes` promoted to one dtype; their shapes stay. Raises DlcError where that needs a cast."""
    try:
        kind = _common_dtype(nodes)
    except DTypeError as problem:
        raise DlcError(f"{op_name}({', '.join(map(describe, nodes))}): {problem}", here()) from None
    return [cast(n, kind) for n in nodes] if kind is not None else []


def _common_dtype(nodes: Sequence[Node]) -> DType | None:
    kind: DType | None = None
    for node in nodes:
        kind = node.dtype if kind is None else promote(kind, node.dtype)
    return kind


def broadcast_shape(op_name: str, nodes: Sequence[Node]) -> tuple[int, ...]:
    """The NumPy broadcast of the nodes' shapes. Raises DlcError naming the dimensions that clash.
    """
    rank = max((n.ndim for n in nodes), default=0)
    shape: list[int] = []
    for axis in range(rank):
        dims = [n.shape[axis - rank + n.ndim] for n in nodes if axis - rank + n.ndim >= 0]
        best = next((d for d in dims if d != 1), dims[0])
        if any(d not in (1, best) for d in dims):
            raise _clash(op_name, nodes, axis - rank)
        shape.append(best)
    return tuple(shape)


def _clash(op_name: str, nodes: Sequence[Node], axis: int) -> DlcError:
    sizes = " and ".join(str(int(n.shape[axis])) for n in nodes if n.ndim >= -axis)
    return DlcError(
        f"{op_name}({', '.join(map(describe, nodes))}): shapes do not broadcast: "
        f"axis {axis} has sizes {sizes}", here(),
        "sizes must be equal or 1, counted from the last axis; use reshape or x[:, None] to align")


def broadcast_to(x: Any, shape: Sequence[int]) -> Node:
    """`x` repeated to `shape` by NumPy's rule; constants change shape in place."""
    from dlc.ops.view import BROADCAST

    node, shape = as_node(x), tuple(shape)
    if tuple(node.shape) == shape:
        return node
    if node.op is leaf.CONSTANT:
        return leaf.constant(node.attrs["value"], Type(node.dtype, shape))
    return make(BROADCAST, (node,), shape=shape)


def cast(x: Any, kind: Any) -> Node:
    """`x` with elements of dtype `kind`: dlc.f32, "f32", or NumPy's np.float32.

    Conversions are defined in docs/ir.md. Raises DlcError for a dtype that dlc does not have.
    """
    from dlc.ops.elementwise import CAST, convert_array

    try:
        kind = dtype(kind)
    except DTypeError as problem:
        raise DlcError(f"cast of {describe(as_node(x))}: {problem}", here()) from None
    node = as_node(x, kind)
    if node.dtype is kind:
        return node
    if node.op is leaf.CONSTANT:
        value = convert_array(np.asarray(node.attrs["value"], node.dtype.numpy), kind)
        return leaf.constant(value.item(), Type(kind, node.shape))
    return make(CAST, (node,), dtype=kind)
