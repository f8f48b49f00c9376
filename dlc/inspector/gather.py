"""From a compiled program to its Inspection: passes, launches, memory and costs by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from dlc.backend.assemble import as_run, assembled
from dlc.backend.costs import moved_bytes, node_flops
from dlc.backend.draft import Draft, scratch_of, values_of
from dlc.backend.steps import slot
from dlc.derive import higher
from dlc.inspector.code import Code
from dlc.inspector.fusion import stored_edges
from dlc.inspector.lines import fullest, held_at, line_costs, peak_shares
from dlc.inspector.record import (
    BufferInfo,
    EntryInfo,
    Inspection,
    KernelInfo,
    LaunchInfo,
    Stage,
)
from dlc.inspector.tables import Tables
from dlc.inspector.timeline import Timeline
from dlc.ir.graph import Graph, Node
from dlc.passes import Record
from dlc.passes.fuse.fuse import GROUP, fuse_noting
from dlc.passes.fuse.grouping import Fuser
from dlc.passes.loops.bodies import through_bodies
from dlc.passes.rules.simplify import simplify
from dlc.passes.schedule.order import Schedule
from dlc.program import Entry, Launch, Loop, Program, Step

if TYPE_CHECKING:
    from dlc.compiler import Compiled

PLANNED = "plan_memory"  # the last stage: order, packing and places in memory

Seconds = Mapping[str, Sequence[float]]  # of each launch of an entry's `flat`


def inspect(compiled: Compiled, seconds: Seconds | None = None,
            machine: Mapping[str, float] | None = None, codes: Sequence[Code] = (),
            timelines: Mapping[str, Timeline] | None = None) -> Inspection:
    """What a program is made of. `seconds` of launches, the `machine`'s ceilings, and `timelines`
    of steps come from a profile (profile.py), `codes` of kernels from code.py.

    Fusion and assembly run once more, since a Program that was kept on disk has no graphs.
    """
    fusers: dict[str, list[Fuser]] = {name: [] for name in compiled.records}
    twins: dict[Node, Node] = {}
    fused = {name: through_bodies(partial(fuse_noting, noted=fusers[name]), records[-2].graph,
                                  twins) for name, records in compiled.records.items()}
    program = compiled.program
    _, drafts = assembled(program.name, fused, program.target, program.isa, dict(program.meta))
    tables = Tables()
    found = [EntryView(program, draft, compiled.records[draft.name], fusers[draft.name], tables,
                       (seconds or {}).get(draft.name, ()),
                       (timelines or {}).get(draft.name, {}), twins).info() for draft in drafts]
    codes = codes or [Code("")] * len(program.kernels)
    kernels = tuple(KernelInfo(k.name, k.text, k.tiles, code.assembly, code.sass, code.told)
                    for k, code in zip(program.kernels, codes, strict=True))
    return Inspection(program.name, program.target, program.isa, program.arena_bytes,
                      tables.read_files(), tuple(tables.places), tuple(tables.rows), tuple(found),
                      kernels, dict(machine or {}))


@dataclass(eq=False)
class EntryView:
    """One entry while it is looked at."""

    program: Program
    draft: Draft
    records: Sequence[Record]
    fusers: Sequence[Fuser]
    tables: Tables
    seconds: Sequence[float]
    timeline: Timeline
    twins: Mapping[Node, Node]  # a node of the stage before fusion for one that a Fuser has seen
    before: Sequence[Mapping[Node, int]] = ()  # the rows of that stage, by function

    @property
    def entry(self) -> Entry:
        return self.program.entries[self.draft.name]

    def info(self) -> EntryInfo:
        """Everything that is told of the entry."""
        stages = self.stages()
        launched = list(in_order(self.draft.schedule))
        costs = self.costs(launched)
        last, names = self.planned(stages[-1], costs)
        loops = list(around(self.entry.launches))
        launches = tuple(self.launch(k, node.attrs["body"], names[id(node.attrs["body"])], loops[k])
                         for k, (_, node) in enumerate(launched))
        by_name = {f.name: f.rows for f in last.functions}
        rows = list(self.tables.rows)
        bodies = [[rows[r] for r in by_name[x.body]] for x in launches]
        groups = {node.attrs["body"].notes.get(GROUP): k for k, (_, node) in enumerate(launched)}
        edges = stored_edges(self.fusers, {g: k for g, k in groups.items() if g is not None},
                             self.entry.runs, self.tables)
        buffers = self.buffers(launches)
        peak = fullest(buffers, len(launches))
        return EntryInfo(self.entry.name, (*stages, last), launches, edges, buffers,
                         line_costs(launches, bodies), peak,
                         peak_shares(held_at(buffers, peak), self.program.arena_bytes),
                         self.timeline)

    def stages(self) -> list[Stage]:
        """The graph as written and after each pass."""
        found: list[Stage] = []
        for at, record in enumerate(self.records):
            fired: list[tuple[str, Node]] = []
            if record.name == simplify.__name__:
                through_bodies(partial(simplify, fired=fired), self.records[at - 1].graph)
            found.append(self.tables.stage(record, found[-1] if found else None, fired))
            if at == len(self.records) - 2:
                self.before = self.tables.told
        return found

    def planned(self, before: Stage, costs: Mapping[int, Mapping[Node, tuple[int, int]]],
                ) -> tuple[Stage, Mapping[int, str]]:
        """The graph as it runs, and the names of its bodies by their ids."""
        graph = as_run(self.draft.schedule, {}, {})
        functions, names = self.tables.functions(graph, costs)
        added, removed = self.tables.changes(before, functions)
        return Stage(PLANNED, 0.0, functions, added, removed), names

    def costs(self, launched: Sequence[tuple[Schedule, Node]],
              ) -> dict[int, dict[Node, tuple[int, int]]]:
        """(flops, bytes) of the nodes of each body, by its id."""
        assert self.draft.plan is not None
        slots = self.draft.plan.slots
        every: dict[int, dict[Node, tuple[int, int]]] = {}
        for schedule, node in launched:
            body: Graph = node.attrs["body"]
            values = values_of(schedule, node)
            place = {twin: slot(slots[value]) for twin, value in values.items()}
            moved = moved_bytes(body, values, place, scratch_of(self.draft.lowered[node]))
            found = every.setdefault(id(body), {})
            for inner in body.nodes():
                found[inner] = node_flops(inner), moved.pop(inner, 0)
            found.update({unread: (0, size) for unread, size in moved.items()})
        return every

    def nodes_of(self, body: Graph) -> tuple[int, ...]:
        """The rows of the stage before fusion that a body computes; none of one that packs."""
        if GROUP not in body.notes:
            return ()
        fuser, group = body.notes[GROUP]
        inside = [self.twins.get(n, n) for n in self.fusers[fuser].groups[group].inside]
        return tuple(rows[n] for rows in self.homes[fuser] for n in inside if n in rows)

    @cached_property
    def homes(self) -> list[list[Mapping[Node, int]]]:
        """The functions that the Fusers have seen: two may share nodes, so those with the most."""
        found = []
        for fuser in self.fusers:
            seen = [self.twins.get(n, n) for n in fuser.order]
            counts = [sum(n in rows for n in seen) for rows in self.before]
            found.append([rows for rows, count in zip(self.before, counts, strict=True)
                          if count == max(counts)])
        return found

    def launch(self, number: int, graph: Graph, body: str, loop: str) -> LaunchInfo:
        """One launch."""
        made: Launch = self.entry.flat[number]
        segments = [s for stage in made.stages for s in stage]
        return LaunchInfo(
            made.title, body, tuple(p for p in map(self.tables.named, made.lines) if p >= 0),
            made.flops, made.bytes, self.entry.runs[number], loop,
            made.barrier + len(made.stages) - 1,
            tuple(dict.fromkeys(s.kernel for s in segments)),
            max((s.chunks for s in segments), default=0),
            self.seconds[number] if number < len(self.seconds) else None, self.nodes_of(graph))

    def buffers(self, launches: Sequence[LaunchInfo]) -> tuple[BufferInfo, ...]:
        """The values of the entry by address and time; workspace serves its launch's line."""
        found = []
        for b in self.program.buffers:
            if b.entry != self.entry.name:
                continue
            place = self.tables.named(b.line)
            if place < 0 and 0 <= b.first < len(launches):
                place = next(iter(launches[b.first].places), -1)
            found.append(BufferInfo(b.name, str(b.type), b.category, b.offset, b.bytes, b.first,
                                    b.last, place))
        return tuple(sorted(found, key=lambda b: (b.offset, b.first, b.last)))


def in_order(schedule: Schedule) -> Iterator[tuple[Schedule, Node]]:
    """The launches as `Entry.flat` has them, each with the order it is in."""
    for node in schedule.launches:
        for inner in schedule.inner.get(node, ()):
            yield from in_order(inner)
        if node.op is higher.FUSED:
            yield schedule, node


def around(steps: Sequence[Step], loop: str = "") -> Iterator[str]:
    """What stands around each launch, such as `step in range(28)`, outermost first."""
    for step in steps:
        if isinstance(step, Launch):
            yield loop
        elif isinstance(step, Loop):
            yield from around(step.launches, f"{loop}{step.name} in range({step.count}): ")
        else:
            yield from around(step.then, f"{loop}if {step.name}: ")
            yield from around(step.otherwise, f"{loop}if not {step.name}: ")
