"""scatter_onto: x with updates put at, or added to, some of its places; written in place in loops.

x.at[i].set(u) is a gather of the winners (dlc/ops/scatter.py), parallel and as large as x. Where x
is the carry of a loop, whose old value nobody needs, only the places that are named need writing:
the pass `loops` puts this operator there (dlc/passes/loops/writes.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import Type, bool_, i32
from dlc.ops import batch_rules, leaf
from dlc.ops.convert import broadcast_to
from dlc.ops.elementwise import eq, ge, where
from dlc.ops.gather import GATHER, check_index_type, clamped, gather_index, gathered_shape
from dlc.ops.scatter import SCATTER_LAST, along_axis, flat_index
from dlc.ops.view import reshape

FOLDS = ("set", "add")


def _infer(index: Type, updates: Type, x: Type, *, axis: int, batch: int, fold: str) -> Type:
    check_index_type(index, x.shape[axis] if 0 <= axis < x.ndim else 1)
    if fold not in FOLDS:
        raise OpError(f"fold={fold!r}", f"one of {', '.join(FOLDS)}")
    want = gathered_shape(x, index, axis, batch)
    if tuple(want) != tuple(updates.shape) or updates.dtype is not x.dtype or x.dtype is bool_:
        raise OpError(f"updates {updates.describe()} for {x.describe()}",
                      f"updates need shape {tuple(map(int, want))} and the same dtype, not bool")
    return x.with_(layout=None)


def _eval(index: Any, updates: Any, x: Any, *, axis: int, batch: int, fold: str) -> Any:
    y = np.array(x)
    at, count = clamped(index, x.shape[axis]), index.ndim - batch
    for b in np.ndindex(*x.shape[:batch]):
        target = np.moveaxis(y[b], axis - batch, 0)
        rows = np.moveaxis(updates[b], range(axis - batch, axis - batch + count), range(count))
        for i in np.ndindex(*index.shape[batch:]):
            if fold == "set":
                target[at[b][i]] = rows[i]
            else:
                target[at[b][i]] += rows[i]
    return y


def _grad(g: Node, y: Node, index: Node, updates: Node, x: Node) -> tuple[None, Node, Node]:
    """Set: to the update that came last, and to what is not written."""
    axis, batch = y.attrs["axis"], y.attrs["batch"]
    read = make(GATHER, (g, index), axis=axis, batch=batch)
    if y.attrs["fold"] == "add" or index.type.size == 0:
        return None, read, g
    flat = flat_index(index, batch)
    winner = make(SCATTER_LAST, (flat,), size=int(x.shape[axis]))
    positions = leaf.iota(tuple(flat.shape), flat.ndim - 1, i32)
    last = eq(make(GATHER, (winner, flat), axis=batch, batch=batch), positions)
    count = index.ndim - batch
    shape = (*index.shape[:batch], *(1,) * (axis - batch), *index.shape[batch:],
             *(1,) * (updates.ndim - axis - count))
    there = broadcast_to(reshape(last, shape), updates.shape)
    return None, where(there, read, 0.0), where(along_axis(ge(winner, 0), x, axis, batch), 0.0, g)


def _samples() -> Iterator[Any]:
    rng = np.random.default_rng(49)

    def floats(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    for fold in FOLDS:
        yield (np.int32(2), floats(3), floats(4, 3)), {"axis": 0, "batch": 0, "fold": fold}
        yield (rng.integers(0, 4, (6,)).astype(np.int32), floats(6, 3), floats(4, 3)), {
            "axis": 0, "batch": 0, "fold": fold}
        yield (np.array([[-3, 1], [2, 77]], np.int32), floats(2, 5, 2), floats(2, 5, 3)), {
            "axis": 2, "batch": 1, "fold": fold}
        yield (np.array([2, 0, 2], np.int32), floats(3, 300), floats(3, 300)), {
            "axis": 0, "batch": 0, "fold": fold}


SCATTER_ONTO = register(Op(
    "scatter_onto", Kind.SCATTER, _infer, _eval, _grad, gather_index, _samples, (),
    "x with updates set at clamped indices (the last of one place stays), or added in index order; "
    "operands: index, updates, x", batch=batch_rules.scatter,
    defaults=lambda *types, **_: {"batch": 0}))
