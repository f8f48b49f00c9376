"""No two chunks of a segment store to one element, and none reads what another stores.

Chunks run concurrently, in any order. Each chunk's accesses to a buffer that the kernel writes are
tracked as intervals of elements, expanding more and more loops until those of different chunks
are disjoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from dlc.checks.kernels.footprints import Side, reach
from dlc.checks.kernels.frames import Event
from dlc.checks.kernels.ranges import Range, Space, highest, lowest
from dlc.checks.kernels.rounds import expanded
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict
from dlc.checks.kernels.spots import Spot

Array = np.ndarray[Any, Any]


@dataclass(eq=False)
class Touched:
    """Intervals of one buffer: first and last element, chunk, and whether they are exact."""

    written: list[tuple[Array, Array, Array]] = field(default_factory=list)
    read: list[tuple[Array, Array, Array]] = field(default_factory=list)
    around: set[Spot] = field(default_factory=set)
    exact: bool = True
    short: bool = False  # more runs of its rectangles than were allowed


Seen = tuple[dict[str, Touched], set[Spot]]  # by buffer, and loops that were cut short


def check_chunks(case: Case, first: Seen | None = None) -> Verdict:
    """Ever larger budgets, for the loops around the buffers in which chunks may meet. `first` is
    what a first walk has seen."""
    around: set[Spot] | None = None
    clash: dict[str, tuple[int, int, int]] = {}
    open_ = False
    for budget in BUDGETS:
        if case.chunks < 2 or case.chunks > budget:
            continue
        split = around is not None
        found, cut = (budget == BUDGETS[0] and first) or case.walk(
            budget, around, dict[str, Touched], partial(note, budget), split=split)
        # buffers that a walk has proven stay proven, though a later one expands other loops
        meetings = {name: meeting(touched) for name, touched in found.items()
                    if around is None or name in clash}
        clash = {name: met for name, met in meetings.items() if met is not None}
        around = {s for name in clash for s in found[name].around}
        open_ = bool(cut & around) or not all(found[name].exact for name in clash)
        if not clash or not open_ or (split and not case.short and not any(
                found[name].short for name in clash)):
            break
    if case.chunks > BUDGETS[-1]:
        return Verdict(undecided=[f"{case.kernel.name}: {case.chunks} chunks"])
    lines = [f"{case.kernel.name}: chunks {a} and {b} meet at {name}[{at}]"
             for name, (at, a, b) in clash.items()]
    return Verdict(undecided=lines) if open_ else Verdict(lines)


def note(most: int, found: dict[str, Touched], event: Event) -> None:
    """Add what an event touches; its rectangles are cut into runs where that makes at most `most`.
    """
    if event.memory.local or not event.memory.written:
        return
    touched = found.setdefault(event.memory.name, Touched())
    touched.around.update(event.path)
    space, offset, sides, short = _runs(event, most)
    touched.short |= short
    if not space.rows:
        return
    where = reach(sides, offset, space)
    run = all(count.exact and stride.exact and lowest(stride.lo) == highest(stride.hi) == 1
              for count, stride in sides)
    touched.exact &= offset.exact and run and len(sides) <= 1
    chunk = _chunks(space)
    ends = [np.broadcast_to(np.asarray(b, np.float64), space.rows) for b in (where.lo, where.hi)]
    (touched.written if event.written else touched.read).append((ends[0], ends[1], chunk))


def _runs(event: Event, most: int) -> tuple[Space, Range, tuple[Side, ...], bool]:
    """The rows of an event with the outer sides of its rectangle expanded, and whether these are
    more than `most`."""
    space = event.space
    for count, _ in event.sides:
        space = space.kept(count.within(space).hi > 0)
    offset, sides = event.offset.within(space), list(event.sides)
    short = False
    while len(sides) > 1 and space.rows:
        count, stride = (side.within(space) for side in sides[0])
        total = np.sum(np.broadcast_to(np.asarray(count.hi, np.float64), space.rows))
        if not count.exact or not stride.exact or total > most:
            short = bool(total > most)
            break
        trips = np.broadcast_to(np.asarray(count.lo), space.rows).astype(np.int64)
        inner, step = expanded(space, Range(0, 0), 1, trips)
        stride, offset = stride.within(inner), offset.within(inner)
        shift = np.asarray(step.lo) * stride.lo
        low = offset.lo + shift
        offset = Range(low, low if offset.exact else offset.hi + shift, inner)
        space, sides = inner, sides[1:]
    return space, offset, tuple((c.within(space), s.within(space)) for c, s in sides), short


def _chunks(space: Space) -> Array:
    """The chunk of each row: the outermost space has a row for each."""
    outermost = space
    while outermost.outer is not None and outermost.outer.outer is not None:
        outermost = outermost.outer
    rows = np.arange(space.rows) if space is outermost else space.above(outermost)
    return np.asarray(rows, np.int64)


def meeting(touched: Touched) -> tuple[int, int, int] | None:
    """(element, chunk, chunk) where two chunks meet and one of them writes; None if none do."""
    lo, hi, chunk = _joined(touched.written)
    if not len(lo):
        return None
    order = np.argsort(lo, kind="stable")
    lo, hi, chunk = lo[order], hi[order], chunk[order]
    reached = np.maximum.accumulate(hi)
    # clusters of intervals that overlap one after the other; each must be of one chunk
    fresh = np.concatenate([[True], lo[1:] > reached[:-1]])
    other = np.flatnonzero(~fresh[1:] & (chunk[1:] != chunk[:-1]))
    if len(other):
        at = int(other[0])
        return _whole(lo[at + 1]), int(chunk[at]), int(chunk[at + 1])
    starts = np.flatnonzero(fresh)
    ends = np.concatenate([reached[starts[1:] - 1], reached[-1:]])
    return _read_by_others(_joined(touched.read), lo[starts], ends, chunk[starts])


def _read_by_others(read: tuple[Array, Array, Array], starts: Array, ends: Array,
                    owner: Array) -> tuple[int, int, int] | None:
    """A read interval that meets a written one of another chunk."""
    lo, hi, chunk = read
    first, behind = np.searchsorted(ends, lo), np.searchsorted(starts, hi, side="right")
    some = np.flatnonzero(first < behind)
    if not len(some):
        return None
    lo, chunk, first, last = lo[some], chunk[some], first[some], behind[some] - 1
    changes = np.concatenate([[0], np.cumsum(owner[1:] != owner[:-1])])
    wrong = np.flatnonzero((owner[first] != chunk) | (changes[first] != changes[last]))
    if not len(wrong):
        return None
    at = int(wrong[0])
    other = first[at] if owner[first[at]] != chunk[at] else last[at]
    return _whole(max(lo[at], starts[other])), int(owner[other]), int(chunk[at])


def _joined(parts: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array, Array]:
    if not parts:
        none = np.zeros(0)
        return none, none, none.astype(np.int64)
    lo, hi, chunk = (np.concatenate(column) for column in zip(*parts, strict=True))
    return lo, hi, chunk


def _whole(bound: float) -> int:
    """An element for a message; the first where any may be meant."""
    return int(bound) if np.isfinite(bound) else 0
