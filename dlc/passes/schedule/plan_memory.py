"""Memory planning: an offset in one arena for every value, before anything runs.

    h: f32[64, 128] = fused_0(x, w)          h: f32[64, 128] @ 0x8000 = fused_0(x, w)
    y: f32[64, 128] = fused_1(h)        ->   y: f32[64, 128] @ 0x8000 = fused_1(h)     (h dies here)

Parameters and state come first, at the same offsets in every entry of a program; above them each
entry places its own values by live range (greedy by size, Pisarchyk & Lee 2020).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlc.derive import higher
from dlc.ir.graph import Kind, Node
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.passes.schedule.in_place import may_take_over, operands_of
from dlc.passes.schedule.lives import Lives, Location, Scratch, Span, aligned
from dlc.passes.schedule.order import Level, Schedule, fixed_values
from dlc.passes.schedule.placing import arranged
from dlc.passes.schedule.supersteps import Clashes, Stages, Supersteps, supersteps, touched_by


@dataclass(frozen=True, eq=False)
class Plan:
    """Where everything lies. `slots` hold how values in loops move, `offsets` where they lie in the
    first iteration; `lives` are the first and last launch that needs a value. `lower_bound` is the
    most bytes live at once.
    """

    slots: Mapping[Node | Scratch, Location]
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
                stages: Stages, room: int = 0, limit: int | None = None) -> Plan:
    """Places for every value of `schedule`; `persistent` inputs have theirs already, below `base`.

    `scratch` is what each launch needs while it runs, `shared` the take-overs of the schedule,
    `stages` what each stage of a launch touches. The arena reaches up to `room` in any case, and
    with a `limit` no higher than that, if it can.
    """
    lives = Lives(schedule, persistent, scratch, shared)
    spans = lives.distinct_spans()

    touched = touched_by(stages, lives.roots)

    def numbered(clashes: Clashes, waiting: frozenset[int]) -> Supersteps:
        return supersteps(schedule, touched, clashes, waiting)

    best = arranged(spans, numbered, max(0, room - base), None if limit is None else limit - base)
    for span, offset in zip(spans, best.offsets, strict=True):
        span.offset = offset
    return Plan(lives.places(base), tuple(spans), lives.ranges(), base + best.top,
                base + most_live(spans))


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


def persistent_offsets(types: Mapping[str, Type]) -> tuple[dict[str, int], int]:
    """Offsets by name for values that live as long as the program, and the first free byte."""
    offsets: dict[str, int] = {}
    top = 0
    for name, type_ in types.items():
        offsets[name] = top
        top += aligned(type_.bytes)
    return offsets, top
