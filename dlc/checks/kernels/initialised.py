"""Buffers are written before they are read: the local ones of a chunk, and those of a launch.

Everything a store may touch counts as written, so there are no false alarms; a load whose index is
not known exactly is not judged. Tiles may read beyond the live rows without using the values: only
the kernel's own loads are checked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlc.backend.ir import Alloc, Load, UserCall, While
from dlc.checks.kernels.frames import Event, Memory
from dlc.checks.kernels.overwriting import before, elements, outermost, shared_path
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict
from dlc.checks.kernels.spots import Spot

Array = np.ndarray[Any, Any]
LONGEST = 1 << 12  # elements of a buffer that is followed


def check_locals(case: Case) -> Verdict:
    """Whether each load from a local buffer finds what the chunk stored before; of the chunks the
    first two and the last are looked at."""
    verdict = Verdict()
    if not any(isinstance(s.statement, Alloc) for s in case.spots):
        return verdict
    for chunk in sorted({0, min(1, case.chunks - 1), case.chunks - 1}):
        events, cut = replace(case, only=chunk).walk(BUDGETS[0], None, list[Event], _local)
        for load in events:
            if not load.written and load.offset.exact and isinstance(load.node, Load):
                at = _missing(load, events, cut)
                if at is not None:
                    verdict.wrong.append(
                        f"{case.kernel.name}, line {load.line}: {load.text} loads "
                        f"{load.memory.name}[{at}], which nothing has stored before")
    return Verdict(verdict.wrong[:1])


def _local(events: list[Event], event: Event) -> None:
    if event.memory.local and event.memory.extent <= LONGEST:
        events.append(event)


def _missing(load: Event, events: Sequence[Event], cut: Collection[Spot]) -> int | None:
    """An element that `load` reads and that no store has written by then."""
    read = elements(load, outermost(load.space))[0]
    written = np.zeros(len(read), bool)
    for store in events:
        if store.written and store.memory.name == load.memory.name:
            written |= _by_then(load, store, cut)
    missing = read[~written]
    return int(missing[0]) if len(missing) else None


def _by_then(load: Event, store: Event, cut: Collection[Spot]) -> Array:
    """Of the elements that `load` reads, which ones `store` may have written before."""
    shared = shared_path(load, store)
    base = load.bodies[shared - 1] if shared else outermost(load.space)
    wrote, when = elements(store, base)
    read, at = elements(load, base)
    first = np.full(load.memory.extent, np.inf)
    first[wrote[::-1]] = when[::-1]  # rows are in order: of several the earliest stays
    if any(spot in cut for spot in load.path[:shared]):
        found: Array = first[read] < np.inf  # rounds of one row: an earlier one may have stored it
    else:
        found = first[read] <= at if before(store, load, shared) else first[read] < at
    return found


@dataclass(eq=False)
class Touched:
    """The elements of one parameter that a kernel may store to, and those that it surely loads;
    None where its loops are too long to follow."""

    stored: Array | None
    loaded: Array | None


def touched(case: Case) -> dict[str, Touched]:
    """What a kernel touches of each parameter, by name."""
    unknown = any(isinstance(s.statement, (While, UserCall)) for s in case.spots)
    if unknown or case.chunks > LONGEST:
        return {p.name: Touched(None, None) for p in case.kernel.params}
    events, cut = case.walk(LONGEST, None, list[Event], _of_parameters)
    found = {}
    for memory in (m for m in case.arguments if isinstance(m, Memory)):
        mine = [e for e in events if e.memory is memory]
        open_ = any(s in cut for e in mine for s in e.path)
        read = [e for e in mine if not e.written and e.offset.exact and isinstance(e.node, Load)]
        written = [e for e in mine if e.written]
        found[memory.name] = Touched(None, None) if open_ else Touched(
            _mask(memory, written), _mask(memory, read))
    return found


def _of_parameters(events: list[Event], event: Event) -> None:
    if not event.memory.local and event.memory.extent <= LONGEST:
        events.append(event)


def _mask(memory: Memory, events: Sequence[Event]) -> Array:
    """The elements of a buffer that events touch."""
    found = np.zeros(memory.extent, bool)
    for event in events:
        found[elements(event, outermost(event.space))[0]] = True
    return found
