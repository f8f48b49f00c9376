"""Memory planning: an offset in one arena for every value, before anything runs.

    h: f32[64, 128] = fused_0(x, w)          h: f32[64, 128] @ 0x8000 = fused_0(x, w)
    y: f32[64, 128] = fused_1(h)        ->   y: f32[64, 128] @ 0x8000 = fused_1(h)     (h dies here)

Parameters and state lie first, at the same offsets in every entry of a program; above them each
entry places its own values by lifetime (greedy by size, Pisarchyk & Lee 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from dlc.derive import higher
from dlc.ir.graph import Kind, Node
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.passes.schedule.in_place import may_take_over, operands_of
from dlc.passes.schedule.lives import Lives, Place, Scratch, Span, aligned
from dlc.passes.schedule.order import Level, Schedule, fixed_values
from dlc.passes.schedule.phases import Clashes, Phases, Stages, phases, touched_by

Times: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies. `slots` hold how values in loops move, `offsets` where they lie in the
    first iteration; `lives` are the first and last launch that needs a value. `lower_bound` is the
    most bytes live at once.
    """

    slots: Mapping[Node | Scratch, Place]
    spans: tuple[Span, ...]
    lives: Mapping[Node | Scratch, tuple[int, int]]
    total: int
    lower_bound: int

    @property
    def offsets(self) -> Mapping[Node | Scratch, int]:
        return {value: place.offset for value, place in self.slots.items()}


def take_overs(schedule: Schedule) -> dict[Node, Node]:
    """value -> the dying operand whose place it takes (updates take over their input's), in loops
    and branches too."""
    last = last_uses(schedule)
    outputs = set(schedule.graph.outputs)
    entry = schedule.level is Level.ENTRY
    fixed = fixed_values(schedule.graph, schedule.launches, schedule.home, schedule.level)
    found: dict[Node, Node] = {**schedule.taken, **schedule.home}
    for at, launch in enumerate(schedule.launches):
        for body in schedule.inner.get(launch, ()):
            found.update(take_overs(body))
        if launch.op is not higher.FUSED:
            continue
        free = {a for a in launch.args if last.get(a) == at and a not in outputs and
                a.op is not leaf.ARRAY and a.attrs.get("role", "data") == "data" and
                (entry or a.op is not leaf.INPUT)}
        for value in schedule.values[launch] if free else ():
            if value in found or value in fixed:
                continue
            taken = next((a for a in operands_of(launch, value)
                          if a in free and may_take_over(launch, value, a)), None)
            if taken is not None:
                found[value] = taken
                free.remove(taken)
    return found


def last_uses(schedule: Schedule) -> dict[Node, int]:
    """The position of each value's last reader among the schedule's own launches; outputs are read
    after the last one."""
    last: dict[Node, int] = {}
    for at, launch in enumerate(schedule.launches):
        for a in launch.args:
            last[a] = at
    for out in schedule.graph.outputs:
        last[out] = len(schedule.launches)
    return last


def plan_memory(schedule: Schedule, persistent: Mapping[Node, int], base: int,
                scratch: Mapping[Node, Sequence[Scratch]], shared: Mapping[Node, Node],
                stages: Stages) -> Plan:
    """Places for every value of `schedule`; `persistent` inputs have theirs already, below `base`.

    `scratch` is what each launch needs while it runs, `shared` the take-overs of the schedule,
    `stages` what each stage of a launch touches.
    """
    lives = Lives(schedule, persistent, scratch, shared)
    spans = lives.distinct_spans()

    touched = touched_by(stages, lives.roots)

    def numbered(clashes: Clashes, waiting: frozenset[int]) -> Phases:
        return phases(schedule, touched, clashes, waiting)

    best = arranged(spans, numbered)
    for span, offset in zip(spans, best.offsets, strict=True):
        span.offset = offset
    return Plan(lives.places(base), tuple(spans), lives.ranges(), base + best.top,
                base + most_live(spans))


ROUNDS = 2  # of making phases shorter where memory is short
Numbered: TypeAlias = Callable[[Clashes, frozenset[int]], Phases]


def arranged(spans: Sequence[Span], numbered: Numbered) -> Arrangement:
    """The arrangement with the fewest barriers of those tried, no higher than the lowest.

    At first all values of one phase lie apart. Where that takes too many bytes, each launch of the
    phase gets a phase of its own: it waits, and what is dead by then leaves room.
    """
    orders = [sorted(range(len(spans)), key=lambda i, key=key: key(spans[i]))  # type: ignore
              for key in ORDERS]
    sizes, now = [s.bytes for s in spans], numbered({}, frozenset())
    times = apart = times_of(spans, now.numbers)
    best = min((arrangement(sizes, times, order, 0) for order in orders), key=lambda a: a.top)
    most, waiting = best.top, frozenset[int]()
    fewest = numbered(clashes_of(spans, best, apart), waiting).waits
    for _ in range(ROUNDS):
        if now.waits >= fewest:
            break
        full = overfull(sizes, times, most)
        tried = [arrangement(sizes, times, order, most) for order in orders]
        found = min(tried, key=lambda a: (a.top > most, len(a.crowded), a.top))
        if found.top <= most:
            waits = numbered(clashes_of(spans, found, apart), frozenset()).waits
            best, fewest = (found, waits) if waits < fewest else (best, fewest)
            if not found.crowded:
                break
        full |= {int(p) for i in found.crowded for p in range(times[2, i], times[3, i] + 1)}
        waiting |= {at for at, (first, _) in enumerate(now.numbers) if first in full}
        now = numbered({}, waiting)
        times = times_of(spans, now.numbers)
    return best


def overfull(sizes: Sequence[int], times: Times, most: int) -> set[int]:
    """The phases whose values together take more than `most` bytes."""
    held = np.zeros(int(times[3].max(initial=0)) + 3, np.int64)
    np.add.at(held, times[2] + 1, sizes)
    np.add.at(held, times[3] + 2, -np.array(sizes, np.int64))
    return {int(p) - 1 for p in np.flatnonzero(np.cumsum(held) > most)}


def clashes_of(spans: Sequence[Span], found: Arrangement, times: Times) -> Clashes:
    """Which spans share bytes with others in a phase of both, by `times`."""
    low = np.array(found.offsets, np.int64)
    high = low + np.array([s.bytes for s in spans], np.int64)
    clashes: dict[object, frozenset[object]] = {}
    for i, span in enumerate(spans):
        near = (low < high[i]) & (high > low[i]) & (times[2] <= times[3, i]) & (
            times[3] >= times[2, i])
        near[i] = False
        if near.any():
            clashes[span] = frozenset(spans[int(j)] for j in np.flatnonzero(near))
    return clashes


def times_of(spans: Sequence[Span], numbers: Sequence[tuple[int, int]]) -> Times:
    """First and last launch, first and last phase of each span."""
    end = numbers[-1][1] + 1 if numbers else 0
    # before the first launch, each launch, and after the last one
    first = np.array([-1, *(low for low, _ in numbers), end])
    last = np.array([-1, *(high for _, high in numbers), end])
    at = np.array([(s.first, s.last) for s in spans], np.int64).reshape(-1, 2)
    inside = np.clip(at + 1, 0, len(numbers) + 1)
    return np.stack([at[:, 0], at[:, 1], first[inside[:, 0]], last[inside[:, 1]]])


ORDERS = (
    lambda s: (-s.bytes, s.first),
    lambda s: (s.first - s.last, -s.bytes),
    lambda s: (s.first, -s.bytes),
    lambda s: (-s.bytes * (s.last - s.first + 1), s.first),
)


@dataclass(frozen=True)
class Arrangement:
    """Offsets; the spans `crowded` took bytes that others have in a phase of theirs."""

    top: int
    crowded: list[int]
    offsets: list[int]


def arrangement(sizes: Sequence[int], times: Times, order: Sequence[int],
                most: int) -> Arrangement:
    """Give each span, in this order, the lowest offset free in its phases, or only while it lives
    where that ends above `most`.

    Spans that have their offsets stand in the order of these in the columns of one array: lowest
    byte, first byte behind, first and last launch, first and last phase. A network's activations
    all live at one time, and each is compared with all.
    """
    offsets, crowded, top = [0] * len(sizes), [], 0
    table = np.empty((6, len(sizes)), np.int64)
    for count, i in enumerate(order):
        low, high, *lives = table[:, :count]
        apart = -1
        for first, last in ((4, 5), (2, 3)) if most else ((2, 3),):
            meet = (lives[first - 2] <= times[last - 2, i]) & (lives[last - 2] >= times[
                first - 2, i])
            offset = lowest(low[meet], high[meet], sizes[i])
            apart = offset if apart < 0 else apart
            if offset + sizes[i] <= most:
                break
        if apart != offset:
            crowded.append(i)
        offsets[i], top = offset, max(top, offset + sizes[i])
        at = int(low.searchsorted(offset))
        table[:, at + 1:count + 1] = table[:, at:count]
        table[:, at] = offset, offset + sizes[i], *times[:, i]
    return Arrangement(top, crowded, offsets)


def lowest(low: Bytes, high: Bytes, size: int) -> int:
    """The lowest offset at which `size` bytes meet none of the ranges, which are sorted by their
    lowest bytes."""
    if not low.size or low[0] >= size:
        return 0
    behind = np.maximum.accumulate(high)  # what all up to here leave free
    free = (low[1:] - behind[:-1] >= size).nonzero()[0]
    return int(behind[free[0]] if free.size else behind[-1])


def most_live(spans: Sequence[Span]) -> int:
    """The liveness lower bound: the most bytes that live at one launch."""
    changes: dict[int, int] = {}
    for s in spans:
        if s.last >= s.first:
            changes[s.first] = changes.get(s.first, 0) + s.bytes
            changes[s.last + 1] = changes.get(s.last + 1, 0) - s.bytes
    return max(itertools.accumulate(changes[t] for t in sorted(changes)), default=0)


def category(node: Node) -> str:
    """The heading under which a value is listed."""
    if node.op is leaf.INPUT:
        role = node.attrs["role"]
        return {"param": "parameter", "state": "state"}.get(role, "input")
    return "constant" if node.op.kind is Kind.LEAF else "activation"


def persistent_offsets(types: Mapping[str, Type], start: int = 0) -> tuple[dict[str, int], int]:
    """Offsets by name for values that live as long as the program, and the first free byte."""
    offsets: dict[str, int] = {}
    for name, type_ in types.items():
        offsets[name] = start
        start += aligned(type_.bytes)
    return offsets, start
