"""Diagonals and triangles of matrices: views of the flat array, and masks of (row, column)."""

from __future__ import annotations

from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, f32
from dlc.lang.array.rearrange import axes_in, moveaxis
from dlc.ops import leaf
from dlc.ops.convert import as_node, cast
from dlc.ops.elementwise import ge, le, where
from dlc.ops.reduce import sum_
from dlc.ops.view import narrow, pad, reshape


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The elements x[i, i + offset] of the two axes, in a new last axis (numpy.diagonal).

    A view: in the flat matrix the elements are evenly spaced.
    """
    node = as_node(x)
    axes = axes_in(node, (axis1, axis2), node.ndim, "diagonal")
    node = moveaxis(node, axes, (-2, -1))
    *lead, rows, columns = map(int, node.shape)
    start, count = _line(rows, columns, offset)
    return narrow(reshape(node, (*lead, rows * columns)), -1, start, count, columns + 1)


def _line(rows: int, columns: int, offset: int) -> tuple[int, int]:
    """(position of the first element in the flat matrix, how many) of a diagonal."""
    top, left = max(-offset, 0), max(offset, 0)
    return top * columns + left, max(0, min(rows - top, columns - left))


def diag(x: Any, offset: int = 0) -> Node:
    """The diagonal of a matrix, or the square matrix with the vector x on its diagonal."""
    node = as_node(x)
    if node.ndim == 2:
        return diagonal(node, offset)
    if node.ndim != 1:
        raise DlcError(f"diag({describe(node)})", here(),
                       "takes a vector or a matrix; diag_embed and diagonal take batches")
    return diag_embed(node, offset)


def diag_embed(x: Any, offset: int = 0) -> Node:
    """[..., n] -> [..., n + |offset|, n + |offset|] with x on a diagonal, zeros elsewhere."""
    node = as_node(x)
    *lead, count = map(int, node.shape)
    size = count + abs(offset)
    if count == 0:
        return leaf.constant(0, node.type.with_(shape=(*lead, size, size), layout=None))
    start, _ = _line(size, size, offset)
    after = size * size - start - ((count - 1) * (size + 1) + 1)
    none = (0,) * len(lead)
    flat = pad(node, (*none, start), (*none, after), 0.0, (*none, size))
    return reshape(flat, (*lead, size, size))


def matrix_trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    """The sum of a diagonal (numpy.trace; dlc.trace builds graphs)."""
    return sum_(diagonal(x, offset, axis1, axis2), -1)


def _mask(shape: tuple[int, ...], offset: int, lower: bool) -> Node:
    """Where column - row <= offset (lower) or >= offset, in the last two axes."""
    row, column = leaf.iota(shape, len(shape) - 2), leaf.iota(shape, len(shape) - 1)
    return le(column, row + offset) if lower else ge(column, row + offset)


def _triangle(x: Any, offset: int, lower: bool) -> Node:
    node = as_node(x)
    if node.ndim < 2:
        raise DlcError(f"{'tril' if lower else 'triu'}({describe(node)})", here(),
                       "takes at least two axes")
    return where(_mask(tuple(node.shape), offset, lower), node, 0)


def tril(x: Any, offset: int = 0) -> Node:
    """x with zeros above its diagonal `offset`, in the last two axes."""
    return _triangle(x, offset, True)


def triu(x: Any, offset: int = 0) -> Node:
    """x with zeros below its diagonal `offset`, in the last two axes."""
    return _triangle(x, offset, False)


def tri(rows: int, columns: int | None = None, offset: int = 0, dtype: DType = f32) -> Node:
    """Ones on and below the diagonal `offset`, zeros above."""
    return cast(_mask((rows, rows if columns is None else columns), offset, True), dtype)


def eye(rows: int, columns: int | None = None, offset: int = 0, dtype: DType = f32) -> Node:
    """Ones on the diagonal `offset`, zeros elsewhere."""
    from dlc.ops.elementwise import eq

    shape = (rows, rows if columns is None else columns)
    return cast(eq(leaf.iota(shape, 1), leaf.iota(shape, 0) + offset), dtype)


def identity(size: int, dtype: DType = f32) -> Node:
    """The identity matrix."""
    return eye(size, dtype=dtype)
