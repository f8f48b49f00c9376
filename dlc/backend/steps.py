"""From a planned draft to steps: launches with barriers where memory requires them, and loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlc.backend.costs import flops_of, moved_bytes, size_of
from dlc.backend.draft import Draft, scratch_of, values_of, works_of
from dlc.backend.share.parametrize import Use
from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import Graph, Node
from dlc.passes.schedule.lives import Location, Scratch, Value
from dlc.passes.schedule.order import Schedule
from dlc.program import Branch, Launch, Loop, Segment, Slot, Step, may_meet

Ranges = list[tuple[Slot, int]]  # buffers: where they lie, how many bytes they have


def steps_of(d: Draft, schedule: Schedule, table: Mapping[int, Use],
             counts: tuple[int, ...]) -> tuple[Step, ...]:
    """The launches of one order, inside loops that run `counts` times."""
    steps: list[Step] = []
    reads: Ranges = []
    writes: Ranges = []
    for node in schedule.launches:
        if node.op is not higher.FUSED:
            steps.append(control_step(d, schedule, node, table, counts))
            reads, writes = [], []  # what comes after begins behind a barrier
            continue
        stages = [(ranges_of(d, s.reads), ranges_of(d, s.writes)) for s in d.stages[node]]
        barrier = False
        for number, (mine_r, mine_w) in enumerate(stages):
            waits = (overlaps(mine_r, writes, counts) or overlaps(mine_w, writes, counts)
                     or overlaps(mine_w, reads, counts))
            if number or waits:
                reads, writes = [], []
                barrier = barrier or not number
            reads += mine_r
            writes += mine_w
        steps.append(replace(launch_of_node(d, schedule, node, table), barrier=barrier))
    return tuple(steps)


def ranges_of(d: Draft, values: Sequence[Value]) -> Ranges:
    """Where values lie, each with its bytes."""
    assert d.plan is not None
    return [(slot(d.plan.slots[v]), size_of(v)) for v in values]


def control_step(d: Draft, schedule: Schedule, node: Node, table: Mapping[int, Use],
                 counts: tuple[int, ...]) -> Loop | Branch:
    """A loop or a branch with what it runs."""
    assert d.plan is not None
    lines = tuple(dict.fromkeys(str(loc) for loc in node.locs))
    inner = schedule.inner[node]
    if node.op is SCAN:
        count = node.attrs["length"]
        body = steps_of(d, inner[0], table, (*counts, count))
        return Loop(node.attrs["body"].name, count, body, lines)
    then, otherwise = (steps_of(d, branch, table, counts) for branch in inner)
    return Branch(node.attrs["then"].name, slot(d.plan.slots[node.args[0]]), then, otherwise,
                  lines)


def slot(place: Location) -> Slot:
    """A place as the runtime takes it."""
    return Slot(place.offset, place.strides, place.swaps)


def launch_of_node(d: Draft, schedule: Schedule, node: Node, table: Mapping[int, Use]) -> Launch:
    """A launch, with no word yet on whether it waits for those before it."""
    assert d.plan is not None
    body: Graph = node.attrs["body"]
    values = values_of(schedule, node)
    place = {twin: slot(d.plan.slots[value]) for twin, value in values.items()}

    def argument(o: Any) -> Slot | int | float:
        if isinstance(o, Scratch):
            return slot(d.plan.slots[o])  # type: ignore[union-attr]
        return place[o] if isinstance(o, Node) else o

    stages = tuple(tuple(
        Segment(table[id(w)].kernel, (*map(argument, w.operands), *table[id(w)].scalars), w.chunks)
        for w in works) for works in works_of(d.lowered[node]))
    lines = tuple(dict.fromkeys(str(loc) for loc in node.locs))
    moved = moved_bytes(body, values, place, scratch_of(d.lowered[node]))
    return Launch(body.name.removeprefix("fused_"), stages, lines,
                  flops_of(body), sum(moved.values()), False, schedule.runs_again(node))


def overlaps(a: Ranges, b: Ranges, counts: Sequence[int] = ()) -> bool:
    """Whether some byte is in both, in some iteration of loops that run `counts` times."""
    return any(may_meet(one, size, other, other_size, counts)
               for one, size in a for other, other_size in b)
