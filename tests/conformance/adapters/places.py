"""torch's writes at indices and repeats in dlc's DSL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import Excluded, axis_of, covers, number

# --- writes at indices ----------------------------------------------------------------------------


def lifted(function: Any) -> Any:
    """`function`(x, dim, index, source, ...), for scalars too, which torch takes for one element.
    """
    def either(x: Node, dim: int, index: Node, source: Any, *args: Any, **more: Any) -> Node:
        if x.ndim:
            return function(x, axis_of(x, dim), index, source, *args, **more)
        value = source if number(source) else source.reshape((1,))
        return function(x.reshape((1,)), 0, index.reshape((1,)), value, *args, **more).reshape(())

    return either


def slots(x: Node, dim: int, index: Node, source: Any) -> tuple[Any, Node]:
    """The key of the places x[..., index[i, j, k], ...] and what is written there."""
    if index.ndim == 0:
        index = index.reshape((1,))
    shape = tuple(map(int, index.shape))
    key = tuple(index if a == dim else dlc.iota(shape, a, dlc.i32) for a in range(x.ndim))
    if number(source):
        return key, dlc.full(shape, source, dtype=x.dtype)
    return key, source[tuple(slice(0, d) for d in shape)]


FOLDS = {None: "set", "add": "add", "multiply": "multiply", "sum": "add", "prod": "multiply",
         "amax": "max", "amin": "min"}


@covers("scatter")
@lifted
def scatter(x: Node, dim: int, index: Node, source: Any, reduce: Any = None) -> Node:
    if index.type.size == 0:
        return x * 1.0
    key, values = slots(x, dim, index, source)
    return getattr(x.at[key], FOLDS[reduce])(values)


NEUTRAL = {"sum": 0.0, "prod": 1.0, "amax": -math.inf, "amin": math.inf, "mean": 0.0}


@covers([f"scatter_reduce/{w}" for w in ("sum", "prod", "amax", "amin", "mean")], scale=4.0)
@lifted
def scatter_reduce(x: Node, dim: int, index: Node, source: Any, reduce: str,
                   include_self: bool = True) -> Node:
    if index.type.size == 0:
        return x * 1.0
    key, values = slots(x, dim, index, source)
    hits = dlc.zeros_like(x).at[key].add(dlc.ones_like(values))
    start = x if include_self else dlc.where(hits > 0, NEUTRAL[reduce], x)
    if reduce != "mean":
        return getattr(start.at[key], FOLDS[reduce])(values)
    count = hits + (1.0 if include_self else 0.0)
    return start.at[key].add(values) / dlc.maximum(count, 1.0)


@covers("index_copy")
@lifted
def index_copy(x: Node, dim: int, index: Node, source: Node) -> Node:
    at = index.reshape((-1,))
    return dlc.scatter(x, at, source.reshape((*x.shape[:dim], int(at.shape[0]),
                                              *x.shape[dim + 1:])), dim)


MASKS = "a mask as an index: how much it selects is data"


@covers("index_put", excludes=(MASKS,))
def index_put(x: Node, indices: Sequence[Node], values: Node, accumulate: bool = False) -> Node:
    if any(i.dtype is dlc.bool_ for i in indices):
        raise Excluded(MASKS)
    place = x.at[tuple(indices)]
    return place.add(values) if accumulate else place.set(values)


@covers("select_scatter")
def select_scatter(x: Node, source: Node, dim: int, index: int) -> Node:
    key = tuple(index if a == axis_of(x, dim) else slice(None) for a in range(x.ndim))
    return x.at[key].set(source)


@covers("slice_scatter")
def slice_scatter(x: Node, source: Node, dim: int = 0, start: Any = None, end: Any = None,
                  step: int = 1) -> Node:
    part = slice(start, end, step)
    key = tuple(part if a == axis_of(x, dim) else slice(None) for a in range(x.ndim))
    return x.at[key].set(source)


@covers("diagonal_scatter")
def diagonal_scatter(x: Node, source: Node, offset: int = 0, dim1: int = 0,
                     dim2: int = 1) -> Node:
    first, second = axis_of(x, dim1), axis_of(x, dim2)
    turned = dlc.moveaxis(x, (first, second), (-2, -1))
    rows = np.arange(int(source.shape[-1])) + max(-offset, 0)
    columns = np.arange(int(source.shape[-1])) + max(offset, 0)
    return dlc.moveaxis(turned.at[..., rows, columns].set(source), (-2, -1), (first, second))


COUNTS = "how often each element is repeated is data"


@covers("repeat_interleave", excludes=(COUNTS,))
def repeat_interleave(x: Node, repeats: Any, dim: Any = None, output_size: Any = None) -> Node:
    if not number(repeats):
        raise Excluded(COUNTS)
    return dlc.repeat(x.reshape((1,)) if x.ndim == 0 else x, repeats, dim)
