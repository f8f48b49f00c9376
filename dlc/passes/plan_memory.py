"""Memory planning: an offset in one arena for every value, before anything runs.

    h: f32[64, 128] = fused_0(x, w)          h: f32[64, 128] @ 0x8000 = fused_0(x, w)
    y: f32[64, 128] = fused_1(h)        ->   y: f32[64, 128] @ 0x8000 = fused_1(h)     (h dies here)

Parameters and state lie first, at the same offsets in every entry of a program; above them each
entry places its own values by lifetime (greedy by size, Pisarchyk & Lee 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dlc.graph import Kind, Node
from dlc.ops import higher, leaf
from dlc.passes.in_place import may_take_over, operands_of
from dlc.passes.lives import Lives, Place, Scratch, Span, aligned
from dlc.passes.order import Level, Schedule, fixed_values
from dlc.types import Type


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
                scratch: Mapping[Node, Sequence[Scratch]], shared: Mapping[Node, Node]) -> Plan:
    """Places for every value of `schedule`; `persistent` inputs have theirs already, below `base`.

    `scratch` is what each launch needs while it runs, `shared` the take-overs of the schedule.
    """
    lives = Lives(schedule, persistent, scratch, shared)
    spans = lives.distinct_spans()
    tried = [(place(spans, key), [s.offset for s in spans]) for key in ORDERS]
    total, offsets = min(tried, key=lambda one: one[0])
    for span, offset in zip(spans, offsets, strict=True):
        span.offset = offset
    return Plan(lives.places(base), tuple(spans), lives.ranges(), base + total,
                base + most_live(spans))


ORDERS = (
    lambda s: (-s.bytes, s.first),
    lambda s: (s.first - s.last, -s.bytes),
    lambda s: (s.first, -s.bytes),
    lambda s: (-s.bytes * (s.last - s.first + 1), s.first),
)


def place(spans: Sequence[Span], key: object) -> int:
    """Give each span the lowest offset free over its life, in the order of `key`; the top."""
    placed = Placed(len(spans))
    for span in sorted(spans, key=key):  # type: ignore[call-overload]
        span.offset = placed.lowest(span)
        placed.add(span)
    return max((s.offset + s.bytes for s in spans), default=0)


class Placed:
    """Spans that have their offsets, in the order of these: columns of one array, since a network's
    activations all live at one time, and each is compared with all."""

    def __init__(self, most: int) -> None:
        self.count = 0
        # lowest byte, first byte behind, first and last launch
        self.table = np.empty((4, most), np.int64)

    def lowest(self, span: Span) -> int:
        """The lowest offset at which `span` meets none that lives when it does."""
        low, high, first, last = self.table[:, :self.count]
        beside = np.flatnonzero((first <= span.last) & (last >= span.first))
        if not beside.size:
            return 0
        lows = low[beside]
        behind = np.maximum.accumulate(high[beside])  # what all up to here leave free
        free = np.flatnonzero(lows[1:] - behind[:-1] >= span.bytes)
        if lows[0] >= span.bytes:
            return 0
        return int(behind[free[0]] if free.size else behind[-1])

    def add(self, span: Span) -> None:
        at = int(np.searchsorted(self.table[0, :self.count], span.offset))
        self.table[:, at + 1:self.count + 1] = self.table[:, at:self.count]
        self.table[:, at] = span.offset, span.offset + span.bytes, span.first, span.last
        self.count += 1


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
