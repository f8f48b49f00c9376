"""ONNX's reads and writes at computed places: gather, scatter, one-hot, compress, top-k."""

from __future__ import annotations

import math

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import bool_, i64
from dlc.onnx.call import Call, Results, array, axis_of, chosen, converts


def wrapped(index: Node, size: int) -> Node:
    """Negative indices count from the end."""
    return dlc.where(index < 0, index + size, index)


@converts("Gather")
def gather(call: Call) -> Results:
    x, axis = call.x(), axis_of(call.integer("axis"), call.x().ndim)
    return dlc.take(x, settled(call, 1, int(x.shape[axis])), axis)


def settled(call: Call, position: int, size: int) -> Node:
    """An operand of indices without negative ones; a constant where it is known."""
    index = call.x(position)
    found = call.walk.knows.value(index)
    if found is None:
        return wrapped(index, size)
    return array(np.where(found < 0, found + size, found), index.dtype)


@converts("GatherElements")
def gather_elements(call: Call) -> Results:
    x, index = call.x(), call.x(1)
    axis = axis_of(call.integer("axis"), x.ndim)
    if index.ndim != x.ndim:
        raise DlcError(f"indices {index.type} for {x.type}: as many axes")
    return dlc.take(dlc.reshape(x, (-1,)), flat_places(x, index, axis), 0)


def flat_places(x: Node, index: Node, axis: int) -> Node:
    """Row-major positions in x of x[i, ..., index[i, ..., k], ...]."""
    at = dlc.cast(wrapped(index, int(x.shape[axis])), i64)
    step, place = 1, None
    for a in reversed(range(x.ndim)):
        term = (at if a == axis else dlc.iota(tuple(index.shape), a, i64)) * step
        place = term if place is None else place + term
        step *= int(x.shape[a])
    assert place is not None
    return place


@converts("GatherND")
def gather_nd(call: Call) -> Results:
    x, index, batch = call.x(), call.x(1), call.integer("batch_dims")
    depth = int(index.shape[-1])
    if not 0 <= batch < min(x.ndim, index.ndim) or batch + depth > x.ndim:
        raise DlcError(f"indices {index.type} for {x.type} with {batch} batch axes")
    place = nd_places(x, index, batch)
    lead = tuple(x.shape[:batch])
    rest = tuple(x.shape[batch + depth:])
    flat = dlc.reshape(x, (*lead, math.prod(map(int, x.shape[batch:batch + depth])), *rest))
    return dlc.take(flat, place, batch, batch)


def nd_places(x: Node, index: Node, batch: int) -> Node:
    """Row-major positions over the axes that the last axis of `index` counts."""
    depth, step, place = int(index.shape[-1]), 1, None
    for k in reversed(range(depth)):
        size = int(x.shape[batch + k])
        term = wrapped(index[..., k], size) * step
        place = term if place is None else place + term
        step *= size
    return dlc.broadcast_to(array(0, i64), index.shape[:-1]) if place is None else place


# --- writing --------------------------------------------------------------------------------------

REDUCTIONS = ("none", "add", "mul", "max", "min")


def scattered(x: Node, place: Node, updates: Node, how: str) -> Node:
    """x [n, ...] with `updates` put at, or combined with, rows `place`."""
    return dlc.scatter(x, place, updates, mode="set" if how == "none" else how)


@converts("ScatterElements", "Scatter")
def scatter_elements(call: Call) -> Results:
    x, index, updates = call.x(), call.x(1), call.x(2)
    axis = axis_of(call.integer("axis"), x.ndim)
    how = chosen("reduction", call.text("reduction", "none"), REDUCTIONS)
    if index.ndim != x.ndim or tuple(index.shape) != tuple(updates.shape):
        raise DlcError(f"indices {index.type} and updates {updates.type} for {x.type}")
    place = dlc.reshape(flat_places(x, index, axis), (-1,))
    flat = scattered(dlc.reshape(x, (-1,)), place, dlc.reshape(updates, (-1,)), how)
    return dlc.reshape(flat, x.shape)


@converts("ScatterND")
def scatter_nd(call: Call) -> Results:
    x, index, updates = call.x(), call.x(1), call.x(2)
    depth = int(index.shape[-1]) if index.ndim else 0
    how = chosen("reduction", call.text("reduction", "none"), REDUCTIONS)
    wanted = (*index.shape[:-1], *x.shape[depth:])
    if depth > x.ndim or tuple(map(int, updates.shape)) != tuple(map(int, wanted)):
        raise DlcError(f"indices {index.type} and updates {updates.type} for {x.type}")
    rows = math.prod(map(int, x.shape[:depth]))
    rest = tuple(x.shape[depth:])
    place = dlc.reshape(nd_places(x, index, 0), (-1,))
    flat = scattered(dlc.reshape(x, (rows, *rest)), place,
                     dlc.reshape(updates, (place.shape[0], *rest)), how)
    return dlc.reshape(flat, x.shape)


@converts("TensorScatter")
def tensor_scatter(call: Call) -> Results:
    """A cache with `update` written from `write_indices` on along an axis, per batch entry."""
    cache, update = call.x(), call.x(1)
    axis = axis_of(call.integer("axis", -2), cache.ndim)
    mode = chosen("mode", call.text("mode", "linear"), ("linear", "circular"))
    length, count = int(cache.shape[axis]), int(update.shape[axis])
    if axis == 0 or count > length:
        raise DlcError(f"an update {update.type} of {cache.type} along axis {axis}")
    start = call.x(2) if call.has(2) else dlc.broadcast_to(array(0, i64), cache.shape[:1])
    column = dlc.reshape(start, (-1, *(1,) * (cache.ndim - 1)))
    # element t of the cache is element t - start of the update, where there is one
    source = dlc.iota(tuple(cache.shape), axis, i64) - dlc.cast(column, i64)
    source = source % length if mode == "circular" else source
    inside = (source >= 0) & (source < count)
    taken = dlc.take(dlc.reshape(update, (-1,)),
                     flat_places(update, dlc.clip(source, 0, count - 1), axis), 0)
    return dlc.where(inside, taken, cache)


# --- one-hot, compress, top-k ---------------------------------------------------------------------


@converts("OneHot")
def one_hot(call: Call) -> Results:
    """Indices out of range give a row of the off value."""
    index, depth, values = call.x(), int(call.scalar(1)), call.x(2)
    axis = axis_of(call.integer("axis", -1), index.ndim + 1)
    at = index if index.dtype.is_integer else dlc.cast(index, i64)
    shape = (*index.shape[:axis], depth, *index.shape[axis:])
    wide = dlc.reshape(wrapped(at, depth), (*index.shape[:axis], 1, *index.shape[axis:]))
    return dlc.where(dlc.iota(shape, axis, at.dtype) == wide, values[1], values[0])


@converts("Compress")
def compress(call: Call) -> Results:
    """The slices whose condition holds, which must be known: it makes the shape."""
    x, keep = call.x(), call.known(1)
    if call.get("axis") is None:
        return dlc.take(dlc.reshape(x, (-1,)), array(np.flatnonzero(keep), i64), 0)
    axis = axis_of(call.integer("axis"), x.ndim)
    return dlc.take(x, array(np.flatnonzero(keep), i64), axis)


@converts("NonZero")
def non_zero(call: Call) -> Results:
    """Of what is known: how many there are is the result's shape."""
    return array(np.stack(np.nonzero(np.atleast_1d(call.known(0)))), i64)


@converts("Unique")
def unique(call: Call) -> Results:
    """Of what is known: how many there are is the result's shape."""
    x, axis = call.known(0), call.get("axis")
    if axis is None:
        x, along = x.reshape(-1), 0
    else:
        along = axis_of(int(axis), x.ndim)
    values, first, inverse, counts = np.unique(x, True, True, True, axis=along)
    order = np.arange(len(first)) if call.flag("sorted", True) else np.argsort(first)
    rank = np.argsort(order)
    return (array(np.take(values, order, along)), array(first[order], i64),
            array(rank[inverse.reshape(-1)], i64), array(counts[order], i64))


@converts("TopK")
def top_k(call: Call) -> Results:
    x = call.x()
    axis = axis_of(call.integer("axis", -1), x.ndim)
    k = int(call.scalar(1)) if call.opset >= 10 else call.integer("k")
    if not 0 <= k <= int(x.shape[axis]):
        raise DlcError(f"k = {k} of axis {axis} of {x.type}")
    values, index = dlc.top_k(x, k, axis, largest=call.flag("largest", True))
    return values, dlc.cast(index, i64)


@converts("EyeLike")
def eye_like(call: Call) -> Results:
    from dlc.onnx.proto import dtype_of

    x = call.x()
    if x.ndim != 2:
        raise DlcError(f"{x.type} is not a matrix")
    kind = dtype_of(call.integer("dtype"), "dtype") if call.get("dtype") else x.dtype
    row, col = (dlc.iota(tuple(x.shape), a, i64) for a in (0, 1))
    same = col - row == call.integer("k")
    return same if kind is bool_ else dlc.cast(same, kind)
