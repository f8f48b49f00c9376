"""torch's views, concatenations and shape moves in dlc's DSL."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Node
from dlc.ops.view import slice_
from tests.conformance.adapters.registry import Excluded, add, axis_of, covers


def split_at(x: Node, points: Sequence[int], axis: int) -> list[Node]:
    """The pieces of x between `points` along `axis`."""
    edges = [0, *points, int(x.shape[axis])]
    return [sliced(x, axis, slice(a, b)) for a, b in itertools.pairwise(edges)]


def sliced(x: Node, axis: int, part: Any) -> Node:
    """x[..., part, ...] at `axis`."""
    return x[(slice(None),) * axis_of(x, axis) + (part,)]


def first(x: Node, dim: int) -> tuple[int, ...]:
    """The order of axes with `dim` first."""
    return (dim, *(a for a in range(x.ndim) if a != axis_of(x, dim)))


def listed(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments given one by one or as a list."""
    return tuple(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else values


# --- reshapes -------------------------------------------------------------------------------------

add("reshape view view_copy", lambda x, *shape: x.reshape(listed(shape)))
add("reshape_as view_as", lambda x, other: x.reshape(other.shape))
add("ravel", lambda x: x.reshape((-1,)) if x.size else x.reshape((0,)))
add("unsqueeze unsqueeze_copy", lambda x, dim: unsqueezed(x, dim))
add("atleast_1d", lambda *xs: many([x.reshape((1,)) if x.ndim == 0 else x for x in flat(xs)]))
add("atleast_2d", lambda *xs: many([two(x) for x in flat(xs)]))
add("atleast_3d", lambda *xs: many([three(x) for x in flat(xs)]))


def flat(xs: Any) -> list[Node]:
    return [x for part in xs for x in (part if isinstance(part, (list, tuple)) else [part])]


def many(xs: list[Node]) -> Any:
    return xs[0] if len(xs) == 1 else xs


def two(x: Node) -> Node:
    return x.reshape((1,) * max(0, 2 - x.ndim) + x.shape)


def three(x: Node) -> Node:
    x = two(x)
    return x.reshape((*x.shape, 1)) if x.ndim == 2 else x


def unsqueezed(x: Node, dim: int) -> Node:
    at = dim + x.ndim + 1 if dim < 0 else dim
    return x[(slice(None),) * at + (None,)]


@covers("flatten")
def flatten(x: Node, start_dim: int = 0, end_dim: int = -1) -> Node:
    if x.ndim == 0:
        return x.reshape((1,))
    lo, hi = axis_of(x, start_dim), axis_of(x, end_dim)
    return x.reshape((*x.shape[:lo], math.prod(x.shape[lo:hi + 1]), *x.shape[hi + 1:]))


@covers("unflatten")
def unflatten(x: Node, dim: int, sizes: Sequence[int]) -> Node:
    at = axis_of(x, dim)
    rest = math.prod(s for s in sizes if s != -1)
    full = [int(x.shape[at]) // rest if s == -1 else s for s in sizes]
    return x.reshape((*x.shape[:at], *full, *x.shape[at + 1:]))


@covers("squeeze squeeze/multiple squeeze_copy")
def squeeze(x: Node, dim: Any = None) -> Node:
    named = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {axis_of(x, d) for d in named}
    return x.reshape(tuple(d for a, d in enumerate(x.shape) if a not in gone or d != 1))


# --- axes in another order ------------------------------------------------------------------------


@covers("transpose transpose_copy")
def transpose(x: Node, a: int, b: int) -> Node:
    if x.ndim == 0:
        return x
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return dlc.transpose(x, order)


def movedim(x: Node, source: Any, target: Any) -> Node:
    """A scalar has an axis 0 for torch."""
    return x if x.ndim == 0 else dlc.moveaxis(x, source, target)


add("movedim", movedim)
add("permute permute_copy", lambda x, *order: dlc.transpose(x, listed(order)))
add("t t_copy T", lambda x: dlc.transpose(x, (1, 0)) if x.ndim > 1 else x)
add("mT mH", lambda x: transpose(x, -2, -1))
add("H", lambda x: dlc.transpose(x) if x.ndim == 2 else x)
add("flip", lambda x, dims: dlc.flip(x, tuple(dims)))
add("fliplr", lambda x: dlc.flip(x, 1))
add("flipud", lambda x: dlc.flip(x, 0))


add("rot90", lambda x, k=1, dims=(0, 1): dlc.rot90(x, k, dims))
add("roll", lambda x, shifts, dims=(): dlc.roll(x, shifts, None if dims in ((), []) else dims))

# --- repeated elements ----------------------------------------------------------------------------


@covers("expand expand_copy")
def expand(x: Node, *sizes: Any) -> Node:
    shape = listed(sizes)
    skip = len(shape) - x.ndim
    return dlc.broadcast_to(x, [x.shape[i - skip] if s == -1 else s for i, s in enumerate(shape)])


add("expand_as", lambda x, other: dlc.broadcast_to(x, other.shape))
add("broadcast_to", dlc.broadcast_to)


add("broadcast_tensors", lambda *xs: dlc.broadcast_arrays(*xs))
add("repeat tile", lambda x, *counts: dlc.tile(x, listed(counts)))


@covers("meshgrid/variadic_tensors meshgrid/list_of_tensors")
def meshgrid(*xs: Any, indexing: str = "ij") -> list[Node]:
    return dlc.meshgrid(*(x.reshape((x.size,)) for x in flat(xs)), indexing=indexing)


# --- pieces ---------------------------------------------------------------------------------------

MASKS = "a mask as a key: how much it selects is data"


@covers("__getitem__", excludes=(MASKS,))
def getitem(x: Node, key: Any) -> Node:
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(p, Node) and p.dtype is dlc.bool_ for p in parts):
        raise Excluded(MASKS)
    return x[tuple(list(p) if isinstance(p, tuple) else p for p in parts)]


add("select", lambda x, dim, index: sliced(x, dim, index))
add("slice", lambda x, dim=0, start=None, end=None, step=1: sliced(
    x, dim, slice(start, end, step)))
add("unbind unbind_copy", lambda x, dim=0: dlc.unstack(x, dim))
COMPUTED = "a place computed at run time changes no shape: dlc's slices are constant"


add("narrow_copy", lambda x, dim, start, length: narrow(x, dim, start, length))


@covers("narrow")
def narrow(x: Node, dim: int, start: Any, length: int) -> Node:
    """A computed start is one of a slice of `length`, which dlc clamps instead of refusing it."""
    if isinstance(start, Node):
        at = [start if a == axis_of(x, dim) else 0 for a in range(x.ndim)]
        return dlc.dynamic_slice(x, at, [length if a == axis_of(x, dim) else int(d)
                                         for a, d in enumerate(x.shape)])
    moved = dlc.transpose(x, first(x, dim))
    at = start + int(moved.shape[0]) if start < 0 else start
    low, high = [0] * x.ndim, list(map(int, moved.shape))
    low[0], high[0] = at, at + length
    return movedim(slice_(moved, low, high), 0, dim)


@covers("split split/list_args split_with_sizes split_with_sizes_copy unsafe_split")
def split(x: Node, sizes: Any, dim: int = 0) -> list[Node]:
    axis = axis_of(x, dim)
    if isinstance(sizes, int):
        return split_at(x, range(sizes, int(x.shape[axis]), sizes), axis)
    return split_at(x, list(np.cumsum(sizes)[:-1]), axis)


@covers("chunk unsafe_chunk")
def chunk(x: Node, chunks: int, dim: int = 0) -> list[Node]:
    return split(x, -(-int(x.shape[dim]) // chunks), dim)


@covers("tensor_split", excludes=(COMPUTED,))
def tensor_split(x: Node, where: Any, dim: int = 0) -> list[Node]:
    if isinstance(where, Node):
        raise Excluded(COMPUTED)
    axis = axis_of(x, dim)
    if isinstance(where, int):
        sizes = [len(part) for part in np.array_split(np.arange(x.shape[axis]), where)]
        where = list(np.cumsum(sizes)[:-1])
    return split_at(x, list(where), axis)


def halved(axis: int) -> Any:
    """hsplit, vsplit and dsplit: equal parts, or the places to cut at."""
    def function(x: Node, where: Any) -> list[Node]:
        at = 0 if (axis, x.ndim) == (1, 1) else axis
        return dlc.split(x, where, at) if isinstance(where, int) else split_at(x, list(where), at)

    return function


add("hsplit", halved(1))
add("vsplit", halved(0))
add("dsplit", halved(2))
add("diagonal diagonal_copy", lambda x, offset=0, dim1=0, dim2=1: dlc.diagonal(
    x, offset, dim1, dim2))
add("linalg.diagonal", lambda x, offset=0, dim1=-2, dim2=-1: dlc.diagonal(x, offset, dim1, dim2))
add("trace", dlc.matrix_trace)
add("tril", dlc.tril)
add("triu", dlc.triu)


@covers("unfold unfold_copy")
def unfold(x: Node, dim: int, size: int, step: int) -> Node:
    if x.ndim == 0:
        return x.reshape((1,))[:size]
    return dlc.unfold(x, dim, size, step)


# --- joined ---------------------------------------------------------------------------------------


@covers("cat")
def cat(xs: Sequence[Node], dim: int = 0) -> Node:
    """torch lets an empty vector stand among arrays of any rank."""
    kept = [x for x in xs if getattr(x, "shape", ()) != (0,)] or list(xs[:1])
    return dlc.concat(kept, dim)


add("stack", lambda xs, dim=0: dlc.stack(xs, dim))
add("hstack", lambda xs: dlc.concat(lines := [atleast(x, 1) for x in xs],
                                    1 if lines and lines[0].ndim > 1 else 0))
add("vstack", lambda xs: dlc.concat([two(x) for x in xs], 0))
add("dstack", lambda xs: dlc.concat([three(x) for x in xs], 2))
add("column_stack", lambda xs: dlc.concat(
    [x.reshape((x.size, 1)) if x.ndim < 2 else x for x in xs], 1))


def atleast(x: Node, rank: int) -> Node:
    return x.reshape((1,) * max(0, rank - x.ndim) + x.shape)


@covers("diff")
def diff(x: Node, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Node:
    return dlc.diff(x, n, dim, prepend, append)
