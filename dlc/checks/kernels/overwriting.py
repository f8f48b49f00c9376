"""Buffers written in place: no element is read after it was overwritten.

Loops are expanded around all accesses of the buffer, so that rows are in execution order. For a
load and a store, the rows of the innermost loop around both determine which comes first, and within
one row the order of the statements.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlc.backend.ir import TileCall
from dlc.checks.kernels.frames import Event, Unread
from dlc.checks.kernels.ranges import Range, Space
from dlc.checks.kernels.rounds import expanded
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict

Array = np.ndarray[Any, Any]


def check_overwriting(case: Case, name: str) -> Verdict:
    """Whether every load from parameter `name` gives what was there before the kernel began."""
    events = _all_events(case, name)
    late = [f"{case.kernel.name}, line {load.line}: {load.text} loads "
            f"{name}[{at}], which line {store.line} has overwritten"
            for load in events if not load.written for store in events if store.written
            for at in [_late(load, store)] if at is not None]
    return Verdict(late[:1])


def check_apart(writer: Case, written: str, reader: Case, read: str) -> Verdict:
    """Whether `reader` loads from its parameter `read` only what `writer` does not store to the
    same place, its parameter `written`."""
    stores = [e for e in _all_events(writer, written) if e.written]
    touched = np.zeros(max((e.memory.extent for e in stores), default=0), bool)
    for store in stores:
        touched[elements(store, outermost(store.space))[0]] = True
    for load in _all_events(reader, read) if stores else ():
        if not load.written:
            at = elements(load, outermost(load.space))[0]
            late = at[touched[at]]
            if len(late):
                return Verdict([f"{reader.kernel.name}, line {load.line}: "
                                f"{load.text} loads {read}[{late[0]}], which kernel "
                                f"{writer.kernel.name} overwrites at the same time or before"])
    return Verdict()


def _all_events(case: Case, name: str) -> list[Event]:
    """What a kernel loads from and stores to a parameter, all loops around expanded; raises Unread
    where these are too long."""
    events: list[Event]
    events, cut = case.walk(BUDGETS[0], None, list[Event], partial(_of_buffer, name))
    around = {s for e in events for s in e.path}
    if cut & around or case.chunks > BUDGETS[0]:
        events, cut = case.walk(BUDGETS[-1], around, list[Event], partial(_of_buffer, name))
    if case.chunks > BUDGETS[-1] or cut & around:
        raise Unread(f"{name} is too long to follow")
    return events


def _of_buffer(name: str, events: list[Event], event: Event) -> None:
    if event.memory.name == name and not event.memory.local:
        events.append(event)


def _late(load: Event, store: Event) -> int | None:
    """An element that `load` reads after `store` wrote it."""
    if _element_by_element(load, store):
        return None
    shared = shared_path(load, store)
    base = load.bodies[shared - 1] if shared else outermost(load.space)
    wrote, when = elements(store, base)
    read, at = elements(load, base)
    if not len(wrote) or not len(read):
        return None
    first = np.full(load.memory.extent, np.inf)
    first[wrote[::-1]] = when[::-1]  # rows are in order: of several the earliest stays
    late = first[read] <= at if before(store, load, shared) else first[read] < at
    return int(read[np.flatnonzero(late)[0]]) if late.any() else None


def _element_by_element(load: Event, store: Event) -> bool:
    """Whether each row loads just what it stores afterwards, and no other row does."""
    if load.space is not store.space or load.sides or store.sides or not (
            load.offset.exact and store.offset.exact):
        return False
    if load.path[:-1] != store.path[:-1] or load.line > store.line:
        return False
    a, b = np.asarray(load.offset.lo), np.asarray(store.offset.lo)
    return np.array_equal(a, b) and (load.space.rows == 1 or (
        a.ndim == 1 and bool(np.all(a[1:] > a[:-1]))))


def shared_path(load: Event, store: Event) -> int:
    """How many statements are around both."""
    shared = 0
    while shared < min(len(load.path), len(store.path)) and (
            load.path[shared] is store.path[shared]):
        shared += 1
    return shared


def before(store: Event, load: Event, shared: int) -> bool:
    """Whether, in one row of what is around both, the store comes before the load."""
    if shared == len(load.path) == len(store.path):
        return isinstance(load.node, TileCall)  # a tile reads and writes at one time
    return store.path[shared].line < load.path[shared].line


def outermost(space: Space) -> Space:
    """The one row, or the chunks, in which all is."""
    while space.outer is not None:
        space = space.outer
    return space


def elements(event: Event, base: Space) -> tuple[Array, Array]:
    """Every element that an event touches, and the row of `base` in which it does; of an index that
    is only known to lie within bounds all that it may be."""
    space, offset = event.space, event.offset
    for count, stride in event.sides:
        count, stride = count.within(space), stride.within(space)
        trips = np.broadcast_to(np.asarray(count.hi), space.rows).astype(np.int64)
        inner, step = expanded(space, Range(0, 0), 1, np.maximum(trips, 0))
        shift = np.asarray(step.lo) * stride.within(inner).lo
        offset = offset.within(inner)
        offset, space = Range(offset.lo + shift, offset.hi + shift, inner), inner
    low, high = (np.clip(np.broadcast_to(np.asarray(b), space.rows), 0, event.memory.extent - 1)
                 for b in (offset.lo, offset.hi))
    inner, index = expanded(space, Range(low, low, space), 1, (high - low + 1).astype(np.int64))
    rows = np.arange(inner.rows) if inner is base else (
        inner.above(base) if base.rows > 1 or base.outer else np.zeros(inner.rows, np.int64))
    return np.broadcast_to(np.asarray(index.lo), inner.rows).astype(np.int64), rows
