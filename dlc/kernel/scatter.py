"""Scatter-add as a kernel: a place of the result belongs to one chunk, so no two threads meet."""

from __future__ import annotations

import math

from dlc.graph import Node
from dlc.kernel.emit import Emitter, flat
from dlc.kernel.index import Sum, Var, sum_of
from dlc.kernel.ir import Load, Store, computing


def write_scatter(node: Node, e: Emitter) -> int:
    """Write `node`; returns the number of chunks: one for each position of the batch axes.

    Updates are added in the order of the index array, whatever the threads: bits stay equal.
    """
    batch, shape = node.attrs["batch"], node.type.shape
    rows = math.prod(int(d) for d in shape[:batch])
    lead: list[Sum] = []
    position = sum_of(Var("chunk", 0, rows - 1))
    e.levels["chunk"] = 0
    for d in reversed(shape[:batch]):
        lead.insert(0, position % int(d))
        position = position // int(d)
    _clear(node, e, lead)
    _add_updates(node, e, lead)
    return rows


def _clear(node: Node, e: Emitter, lead: list[Sum]) -> None:
    rest = node.type.shape[len(lead):]
    opened = [e.open("r", 0, int(d)) for d in rest]
    e.store(node, (*lead, *map(sum_of, opened)), e.k.number(0, node.type.dtype))
    for var in reversed(opened):
        e.close(var)


def _add_updates(node: Node, e: Emitter, lead: list[Sum]) -> None:
    index, updates = node.args
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    count = index.ndim - batch
    # the index's axes are the outer loops: each address is loaded once
    inner = [e.open("i", 0, int(d)) for d in index.type.shape[batch:]]
    at = e.value(index, (*lead, *map(sum_of, inner)))
    place = e.clamped(at, int(node.type.shape[axis]))
    before = [e.open("r", 0, int(d)) for d in updates.type.shape[batch:axis]]
    after = [e.open("r", 0, int(d)) for d in updates.type.shape[axis + count:]]
    source = (*lead, *map(sum_of, before), *map(sum_of, inner), *map(sum_of, after))
    value = e.value(updates, source)
    target = flat((*lead, *map(sum_of, before), place, *map(sum_of, after)), node.type)
    level = len(e.stack) - 1
    old = Load(e.stores[node], target, computing(node.type.dtype), level)
    e.stack[-1].statements.append(
        Store(e.stores[node], target, e.k.binary("+", old, value), node.type.dtype))
    for var in reversed([*inner, *before, *after]):
        e.close(var)
