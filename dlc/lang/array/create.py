"""Arrays from nothing, with NumPy's names: full, zeros, ones, arange, linspace, meshgrid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, OpError, check_shape, describe
from dlc.ir.types import DType, DTypeError, Type, f32, i32
from dlc.ir.types import dtype as dtype_of
from dlc.ops import leaf
from dlc.ops.convert import as_node, as_nodes, broadcast_to, cast, whole_numbers

Shape = int | Sequence[int]


def _shape(shape: Shape) -> tuple[int, ...]:
    try:
        return check_shape(whole_numbers(shape, "shape"))
    except OpError as problem:
        raise DlcError(str(problem), here(), problem.hint) from None


def _dtype(dtype: Any) -> DType:
    """`dtype`, or what names it. Raises DlcError: mostly a shape without its parentheses."""
    try:
        return dtype_of(dtype)
    except DTypeError as problem:
        raise DlcError(str(problem), here(), "a shape is one argument: dlc.zeros((3, 4), "
                       "dlc.f32)") from None


def iota(shape: Shape, axis: int = 0, dtype: DType = i32) -> Node:
    """The index along `axis`, as an array of `shape`."""
    return leaf.iota(_shape(shape), axis, _dtype(dtype))


def full(shape: Shape, value: Any, dtype: DType | None = None) -> Node:
    """An array filled with `value`, a number or a graph value; dtype by default the value's."""
    kind = None if dtype is None else _dtype(dtype)
    node = as_node(value, kind)
    return broadcast_to(cast(node, kind or node.dtype), _shape(shape))


def zeros(shape: Shape, dtype: DType = f32) -> Node:
    """An array of zeros."""
    return leaf.constant(0, Type(_dtype(dtype), _shape(shape)))


def ones(shape: Shape, dtype: DType = f32) -> Node:
    """An array of ones."""
    return leaf.constant(1, Type(_dtype(dtype), _shape(shape)))


def full_like(x: Any, value: Any, dtype: DType | None = None) -> Node:
    """An array of x's shape and dtype, filled with `value`."""
    node, number = as_nodes(x, value)
    return full(node.shape, number, dtype or node.dtype)


def zeros_like(x: Any, dtype: DType | None = None) -> Node:
    """Zeros of x's shape and dtype."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: DType | None = None) -> Node:
    """Ones of x's shape and dtype."""
    return full_like(x, 1, dtype)


def arange(start: float, stop: float | None = None, step: float = 1,
           dtype: DType | None = None) -> Node:
    """start, start + step, ... before stop; with one number 0, 1, ... before it.

    i32 if all are integers, else f32. They must be Python numbers, since the length is a shape.
    """
    low, high = (0, start) if stop is None else (start, stop)
    if step == 0 or not all(isinstance(v, (int, float, np.integer, np.floating)) and
                            math.isfinite(v) for v in (low, high, step)):
        raise DlcError(f"arange({low}, {high}, step {step})", here(),
                       "takes finite Python numbers, and a step that is not 0")
    whole = all(isinstance(v, (int, np.integer)) for v in (low, high, step))
    kind = (i32 if whole else f32) if dtype is None else _dtype(dtype)
    count = max(0, math.ceil((high - low) / step))
    if whole:
        ramp = leaf.iota((count,), 0, kind)
        scaled = ramp if step == 1 else ramp * int(step)
        return scaled if low == 0 else scaled + int(low)
    return leaf.array((low + np.arange(count) * step).astype(kind.numpy), Type(kind, (count,)))


def linspace(start: float, stop: float, count: int = 50, endpoint: bool = True,
             dtype: DType = f32) -> Node:
    """`count` evenly spaced numbers from start to stop, without stop if `endpoint` is False."""
    if not isinstance(count, int) or count < 0:
        raise DlcError(f"linspace: {count!r} numbers", here(), "a count is 0, 1, 2, ...")
    if not all(isinstance(v, (int, float, np.integer, np.floating)) for v in (start, stop)):
        raise DlcError(f"linspace({start!r}, {stop!r})", here(), "takes Python numbers")
    values, kind = np.linspace(start, stop, count, endpoint=endpoint), _dtype(dtype)
    return leaf.array(values.astype(kind.numpy), Type(kind, (count,)))


def meshgrid(*xs: Any, indexing: str = "xy") -> list[Node]:
    """Each vector along its own axis of one grid; indexing "xy" swaps the first two (NumPy's)."""
    from dlc.lang.array.rearrange import swapaxes
    from dlc.ops.view import reshape

    nodes = as_nodes(*xs)
    for node in nodes:
        if node.ndim != 1:
            raise DlcError(f"meshgrid({describe(node)})", here(), "takes vectors")
    if indexing not in ("xy", "ij"):
        raise DlcError(f"meshgrid: indexing {indexing!r}", here(), '"xy" or "ij"')
    shape = tuple(n.shape[0] for n in nodes)
    grids = [broadcast_to(reshape(n, tuple(d if a == i else 1 for a, d in enumerate(shape))),
                          shape) for i, n in enumerate(nodes)]
    return [swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and len(nodes) > 1 else grids
