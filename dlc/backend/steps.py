"""From a planned draft to steps: launches with barriers where memory requires them, and loops."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlc.backend.draft import Draft, scratch_of, values_of, works_of
from dlc.backend.share.parametrize import Use
from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.passes.schedule.lives import Location, Scratch, Value, aligned
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


def size_of(value: Value) -> int:
    """The bytes that a value or a workspace has for itself."""
    if isinstance(value, Scratch):
        return aligned(value.size * value.dtype.bytes)
    return aligned(int(value.type.bytes))


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
    touched: list[Value] = [*values.values(), *scratch_of(d.lowered[node])]
    moved = sum(map(size_of, touched))
    return Launch(body.name.removeprefix("fused_"), stages, lines, flops_of(body),
                  moved - spared_bytes(body, place), False)


def spared_bytes(body: Graph, place: Mapping[Any, Slot]) -> int:
    """What writing some places of an array in place does not touch: the rest of it, twice."""
    spared = 0
    for node in body.outputs:
        if node.op.kind is Kind.SCATTER and len(node.args) > 2 and (
                place.get(node.args[2]) == place[node]):
            written = min(node.args[1].type.bytes, node.type.bytes)
            spared += 2 * (aligned(node.type.bytes) - aligned(written))
    return spared


def overlaps(a: Ranges, b: Ranges, counts: Sequence[int] = ()) -> bool:
    """Whether some byte is in both, in some iteration of loops that run `counts` times."""
    return any(may_meet(one, size, other, other_size, counts)
               for one, size in a for other, other_size in b)


def flops_of(body: Graph) -> int:
    """Arithmetic of a body: two for each product of a contraction, one for each other element."""
    total = 0
    for node in body.nodes():
        if node.op.kind is Kind.CONTRACT:
            whole = node.op.emit(node)
            parts = [(p.contraction, p.shape) for p in whole.residues] or [(whole, node.type.shape)]
            total += sum(2 * math.prod(c.extents) * math.prod(shape) for c, shape in parts)
        elif node.op.kind is Kind.ROUTINE:
            total += node.op.emit(node).flops
        elif node.op.kind is Kind.ELEMENTWISE:
            total += node.type.size
        elif node.op.kind in (Kind.REDUCE, Kind.FOLD):
            total += node.args[0].type.size
    return total
