"""Scatter-add as a kernel: a place of the result belongs to one chunk, so no two threads meet."""

from __future__ import annotations

import math

from dlc.graph import Node
from dlc.kernel.emit import Emitter, flat
from dlc.kernel.index import Sum, Var, sum_of
from dlc.kernel.ir import Load, Store, computing
from dlc.types import Type


def write_scatter(node: Node, e: Emitter, sums: str | None = None) -> int:
    """Write `node`; returns the number of chunks: one for each position of the batch axes.

    Updates are added in the order of the index array, whatever the threads: bits stay equal. Half
    precisions are added in the workspace `sums`, of the dtype that computes them.
    """
    batch, shape = node.attrs["batch"], node.type.shape
    rows = math.prod(int(d) for d in shape[:batch])
    lead: list[Sum] = []
    position = sum_of(Var("chunk", 0, rows - 1))
    e.levels["chunk"] = 0
    for d in reversed(shape[:batch]):
        lead.insert(0, position % int(d))
        position = position // int(d)
    place = sums or e.stores[node]
    type_ = node.type.with_(dtype=computing(node.type.dtype))
    _clear(node, e, lead, place, type_)
    _add_updates(node, e, lead, place, type_)
    if sums is not None:
        _give_out(node, e, lead, Load(sums, Sum(), type_.dtype, 0))
    return rows


def _clear(node: Node, e: Emitter, lead: list[Sum], place: str, type_: Type) -> None:
    opened = [e.open("r", 0, int(d)) for d in node.type.shape[len(lead):]]
    at = flat((*lead, *map(sum_of, opened)), type_)
    e.stack[-1].statements.append(Store(place, at, e.k.number(0, type_.dtype), type_.dtype))
    for var in reversed(opened):
        e.close(var)


def _add_updates(node: Node, e: Emitter, lead: list[Sum], place: str, type_: Type) -> None:
    index, updates = node.args
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    count = index.ndim - batch
    # the index's axes are the outer loops: each address is loaded once
    inner = [e.open("i", 0, int(d)) for d in index.type.shape[batch:]]
    at = e.value(index, (*lead, *map(sum_of, inner)))
    chosen = e.clamped(at, int(node.type.shape[axis]))
    before = [e.open("r", 0, int(d)) for d in updates.type.shape[batch:axis]]
    after = [e.open("r", 0, int(d)) for d in updates.type.shape[axis + count:]]
    source = (*lead, *map(sum_of, before), *map(sum_of, inner), *map(sum_of, after))
    value = e.value(updates, source)
    target = flat((*lead, *map(sum_of, before), chosen, *map(sum_of, after)), type_)
    old = Load(place, target, type_.dtype, len(e.stack) - 1)
    e.stack[-1].statements.append(
        Store(place, target, e.k.binary("+", old, value), type_.dtype))
    for var in reversed([*inner, *before, *after]):
        e.close(var)


def _give_out(node: Node, e: Emitter, lead: list[Sum], sums: Load) -> None:
    """Round the finished sums into the result."""
    opened = [e.open("r", 0, int(d)) for d in node.type.shape[len(lead):]]
    at = (*lead, *map(sum_of, opened))
    e.store(node, at, Load(sums.buffer, flat(at, node.type), sums.dtype, len(e.stack) - 1))
    for var in reversed(opened):
        e.close(var)
