"""Norms of vectors and matrices, with NumPy's orders; dlc.linalg publishes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import f32
from dlc.lang.array.elementwise_functions import root
from dlc.lang.array.rearrange import moveaxis
from dlc.ops.convert import as_node, cast, in_accumulator
from dlc.ops.elementwise import abs_, power, where
from dlc.ops.linalg_solve import SOLVE, identity_like
from dlc.ops.linalg_spectral import svd_of
from dlc.ops.reduce import axes_of, max_, min_, sum_
from dlc.ops.view import reshape

Axis = int | Sequence[int] | None


def _float(x: Any) -> Node:
    node = as_node(x)
    return node if node.dtype.is_float else cast(node, f32)


@in_accumulator
def vector_norm(x: Any, ord: float = 2, axis: Axis = None, keepdims: bool = False) -> Node:
    """The `ord`-norm of x over `axis` (all axes): (sum |x|^ord)^(1/ord); inf, -inf and 0 as in
    NumPy. The gradient of the 2-norm at 0 is 0."""
    node = _float(x)
    axes = axes_of(node, axis, "vector_norm")
    size = abs_(node)
    if ord == 2:
        return root(sum_(node * node, axes, keepdims))
    if ord == math.inf:
        return max_(size, axes, keepdims)
    if ord == -math.inf:
        return min_(size, axes, keepdims)
    if ord == 0:
        return sum_(cast(node != 0, node.dtype), axes, keepdims)
    if ord == 1:
        return sum_(size, axes, keepdims)
    if not isinstance(ord, (int, float)):
        raise DlcError(f"vector_norm: order {ord!r}", here(), "the order is a number")
    zero = size == 0
    powers = where(zero, 0.0 if ord > 0 else math.inf, power(where(zero, 1.0, size), ord))
    total = sum_(powers, axes, keepdims)
    empty = total == 0
    return where(empty, 0.0, power(where(empty, 1.0, total), 1.0 / ord))


@in_accumulator
def matrix_norm(x: Any, ord: float | str = "fro", axis: Sequence[int] = (-2, -1),
                keepdims: bool = False) -> Node:
    """The norm of matrices in two axes: "fro", "nuc", 1, -1, inf, -inf, 2, -2 as in NumPy."""
    node = _float(x)
    rows, columns = (a + node.ndim if a < 0 else a for a in _two_axes(node, axis))
    if ord == "fro":
        return root(sum_(node * node, (rows, columns), keepdims))
    if ord in (1, -1, math.inf, -math.inf):
        first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = sum_(abs_(node), (first,), True)
        found = (max_ if ord > 0 else min_)(sums, (second,), True)
    elif ord in ("nuc", 2, -2):
        found = _spectral(node, ord, rows, columns)
    else:
        raise DlcError(f"matrix_norm: order {ord!r}", here(),
                       'orders are "fro", "nuc", 1, -1, 2, -2, inf, -inf')
    kept = tuple(1 if a in (rows, columns) else int(d) for a, d in enumerate(node.shape))
    left = tuple(int(d) for a, d in enumerate(node.shape) if a not in (rows, columns))
    return reshape(found, kept if keepdims else left)


def _two_axes(node: Node, axis: Sequence[int]) -> tuple[int, int]:
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else ()
    if len(axes) != 2 or len(set(axes_of(node, axes, "matrix_norm"))) != 2:
        raise DlcError(f"matrix_norm({describe(node)}): axis {axis!r}", here(),
                       "a matrix has two different axes")
    return axes


def _spectral(node: Node, ord: float | str, rows: int, columns: int) -> Node:
    """The sum, the largest or the least of the singular values."""
    values = svd_of(moveaxis(node, (rows, columns), (-2, -1)))[1]
    if ord == "nuc":
        return sum_(values, -1)
    return max_(values, -1) if ord == 2 else min_(values, -1)


def norm(x: Any, ord: float | str | None = None, axis: Axis = None,
         keepdims: bool = False) -> Node:
    """NumPy's norm: without `ord` the root of the sum of squares over `axis` (all axes); with it a
    vector norm over one axis, a matrix norm over two."""
    node = _float(x)
    if ord is None:
        return vector_norm(node, 2, axis, keepdims)
    axes = axes_of(node, axis, "norm")
    if len(axes) == 1:
        if isinstance(ord, str):
            raise DlcError(f"norm({describe(node)}): order {ord!r} of a vector", here(),
                           "the order of a vector's norm is a number")
        return vector_norm(node, ord, axes, keepdims)
    if len(axes) == 2:
        pair = tuple(axes) if axis is None or isinstance(axis, int) else tuple(axis)
        return matrix_norm(node, ord, pair, keepdims)
    raise DlcError(f"norm({describe(node)}): order {ord!r} over {len(axes)} axes", here(),
                   "give one axis for vectors, two for matrices")


def cond(x: Any, ord: float | str = 2) -> Node:
    """The condition number |x| |x^-1| [...] of x [..., m, n]; of order 2 by singular values."""
    node = _float(x)
    if ord in (2, -2):
        values = svd_of(node)[1]
        ratio = max_(values, -1) / min_(values, -1)
        return ratio if ord == 2 else 1.0 / ratio
    inverse = make(SOLVE, (node, identity_like(node)), trans=False)
    return matrix_norm(node, ord) * matrix_norm(inverse, ord)
