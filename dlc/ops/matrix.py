"""What the records of linear algebra share: checks of square operands, triangles, transposes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.ir.graph import Node, OpError
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.ops.contract import swap
from dlc.ops.elementwise import eq, ge, gt, lt, where


def square(a: Type, what: str = "matrix") -> int:
    """The size of the square matrices in the last two axes. Raises OpError for anything else."""
    floating(a)
    if a.ndim < 2 or int(a.shape[-1]) != int(a.shape[-2]):
        raise OpError(f"{a.describe()} is not a square {what}", "the last two axes must be equal")
    return int(a.shape[-1])


def floating(*types: Type) -> None:
    """Raise OpError unless all are of one float dtype."""
    for t in types:
        if not t.dtype.is_float:
            raise OpError(f"{t.describe()} is not a float", "cast it: x.astype(dlc.f32)")
        if t.dtype is not types[0].dtype:
            raise OpError(f"{types[0].describe()} and {t.describe()} differ in dtype",
                          "cast one of them")


def positions(x: Node) -> tuple[Node, Node]:
    """(row, column) of every element of the matrices in the last two axes of x."""
    shape = tuple(map(int, x.shape))
    return leaf.iota(shape, x.ndim - 2), leaf.iota(shape, x.ndim - 1)


def triangle(x: Node, lower: bool = True, diagonal: bool = True) -> Node:
    """x [..., m, n] with zeros outside its lower (or upper) triangle."""
    row, column = positions(x)
    inside = (ge if diagonal else gt)(row, column) if lower else (
        (ge if diagonal else gt)(column, row))
    return where(inside, x, 0.0)


def diagonal_only(x: Node) -> Node:
    """x [..., n, n] with zeros outside its diagonal."""
    return where(eq(*positions(x)), x, 0.0)


def half_diagonal(x: Node) -> Node:
    """Phi(x): the lower triangle of x with half of its diagonal (Murray 2016, eq. 8)."""
    row, column = positions(x)
    return where(gt(row, column), x, where(lt(row, column), 0.0, x * 0.5))


def lower_gradient(s: Node) -> Node:
    """The cotangent of a symmetric matrix whose lower triangle is read, from its cotangent s."""
    return half_diagonal(s + swap(s))


def without_nan(a: Any) -> tuple[Any, Any]:
    """The matrices in f64 with zeros for those that are not finite, and which those are
    [..., 1, 1]: NumPy raises on them, where a value is wanted."""
    wide = np.asarray(a, np.float64)
    spoilt = ~np.isfinite(wide).all(axis=(-2, -1), keepdims=True)
    return np.where(spoilt, 0.0, wide), spoilt
