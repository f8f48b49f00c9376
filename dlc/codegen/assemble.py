"""From scheduled graphs to a Program: kernels, launches, arena, ports. The last step of compiling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.codegen import prelude, tiles
from dlc.codegen.alpha_equal import merge_equal
from dlc.codegen.parametrize import Use, share
from dlc.graph import Graph, Kind, Node
from dlc.kernel.isa import ISAS, Isa
from dlc.kernel.limits import Limits
from dlc.kernel.lower import Known, Lowered, lower
from dlc.ops import higher, leaf
from dlc.ops.control import SCAN
from dlc.passes.collection import without_collection
from dlc.passes.in_place import places_of, result_of
from dlc.passes.lives import Place, Scratch, aligned
from dlc.passes.order import Schedule, order
from dlc.passes.plan_memory import (
    Plan,
    category,
    persistent_offsets,
    plan_memory,
    take_overs,
)
from dlc.program import (
    Branch,
    Buffer,
    Constant,
    Entry,
    Launch,
    Loop,
    Port,
    Program,
    Segment,
    Slot,
    Step,
    may_meet,
)
from dlc.types import Type

Ranges = list[tuple[Slot, int]]  # buffers: where they lie, how many bytes they have


@dataclass(eq=False)
class Draft:
    """One entry on its way: scheduled, lowered, then planned."""

    name: str
    schedule: Schedule
    shared: Mapping[Node, Node]
    lowered: dict[Node, list[Lowered]]
    plan: Plan | None = None

    @property
    def schedules(self) -> list[Schedule]:
        """The order of the entry, and those of the bodies of its loops and branches."""
        found = [self.schedule]
        for outer in found:  # it grows: inner orders follow the outer ones
            found += [inner for launch in outer.launches for inner in outer.inner.get(launch, ())]
        return found


def assemble(name: str, graphs: Mapping[str, Graph], target: str, isa: str,
             meta: dict[str, object] | None = None, limits: Limits | None = None) -> Program:
    """The Program of optimized graphs, one entry each; parameters and state are shared by name.
    `limits` are those at which kernels change their scheme, by default the instruction set's."""
    return assembled(name, graphs, target, isa, meta, limits)[0]


@without_collection()
def assembled(name: str, graphs: Mapping[str, Graph], target: str, isa: str,
              meta: dict[str, object] | None = None,
              limits: Limits | None = None) -> tuple[Program, list[Draft]]:
    """The Program, and the schedule and the plan of each entry."""
    machine = replace(ISAS[isa], limits=limits) if limits else ISAS[isa]
    known: Known = {}
    drafts = [draft(entry, graph, machine, known) for entry, graph in graphs.items()]
    kept, literals, base = persistent(drafts)
    for d in drafts:
        d.plan = plan_memory(d.schedule, {**_kept_nodes(d, kept), **_literal_nodes(d, literals)},
                             base, _scratch(d), d.shared)
    works = [(d.name, w) for d in drafts for parts in d.lowered.values() for p in parts
             for stage in p.stages for w in stage]
    kernels, uses = merge_equal(*share([w.kernel for _, w in works], [n for n, _ in works]))
    table = dict(zip((id(w) for _, w in works), uses, strict=True))
    entries = {d.name: entry_of(d, table) for d in drafts}
    total = max(d.plan.total for d in drafts if d.plan is not None)
    program = Program(
        name, target, entries, tuple(kernels), max(total, 64), _ports(drafts, kept),
        tuple(b for d in drafts for b in buffers_of(d)), prelude.prelude_text(),
        {t: tiles.tile(t, isa) for t in sorted({t for k in kernels for t in k.tiles})},
        tuple(Constant(literals[key], data) for key, data in _literal_data(drafts).items()),
        isa, meta=dict(meta or {}))
    return program, drafts


def draft(name: str, graph: Graph, isa: Isa, known: Known) -> Draft:
    """Order a graph's launches, decide what is written in place, and lower each launch; `known` are
    the components that have their kernels."""
    schedule = order(graph)
    shared = take_overs(schedule)
    made = Draft(name, schedule, shared, {})
    for level in made.schedules:
        made.lowered.update((n, lower(n.attrs["body"], isa, _aliases(level, n, shared), known))
                            for n in level.launches if n.op is higher.FUSED)
    return made


def _aliases(schedule: Schedule, launch: Node, shared: Mapping[Node, Node]) -> dict[Node, Node]:
    """Body output -> body input of the same place in memory."""
    body: Graph = launch.attrs["body"]
    found = {}
    for value in schedule.values[launch]:
        source = shared.get(value)
        if source in places_of(launch):
            twin, result = body.inputs[places_of(launch)[source][0]], result_of(launch, value)
            if result is not twin:
                found[result] = twin
    return found


# --- persistent values: parameters, state, literals -----------------------------------------------


def persistent(drafts: Sequence[Draft]) -> tuple[dict[str, int], dict[bytes, int], int]:
    """(offset by name, offset by literal, first byte above both)."""
    types: dict[str, Type] = {}
    for d in drafts:
        for node in d.schedule.graph.inputs:
            if node.attrs["role"] in ("param", "state"):
                kind = types.setdefault(node.attrs["label"], node.type)
                # Task.variables says so to the user; here it would be read as another shape
                assert kind == node.type, (d.name, node.attrs["label"], kind, node.type)
    offsets, top = persistent_offsets(types)
    literals: dict[bytes, int] = {}
    for key, data in _literal_data(drafts).items():
        literals[key] = top
        top += aligned(len(data))
    return offsets, literals, top


def _literal_data(drafts: Sequence[Draft]) -> dict[bytes, bytes]:
    return {n.attrs["value"].key: n.attrs["value"].array.tobytes()
            for d in drafts for level in d.schedules for n in level.graph.nodes()
            if n.op is leaf.ARRAY}


def _kept_nodes(d: Draft, offsets: Mapping[str, int]) -> dict[Node, int]:
    return {n: offsets[n.attrs["label"]] for n in d.schedule.graph.inputs
            if n.attrs["role"] in ("param", "state")}


def _literal_nodes(d: Draft, literals: Mapping[bytes, int]) -> dict[Node, int]:
    return {n: literals[n.attrs["value"].key] for level in d.schedules
            for n in level.graph.nodes() if n.op is leaf.ARRAY}


def _scratch(d: Draft) -> dict[Node, list[Scratch]]:
    return {n: scratch_of(parts) for n, parts in d.lowered.items()}


def scratch_of(parts: Sequence[Lowered]) -> list[Scratch]:
    """The workspaces of a launch."""
    return list(dict.fromkeys(o for p in parts for stage in p.stages for w in stage
                              for o in w.operands if isinstance(o, Scratch)))


def _ports(drafts: Sequence[Draft], offsets: Mapping[str, int]) -> tuple[Port, ...]:
    found: dict[str, Port] = {}
    for d in drafts:
        for node in d.schedule.graph.inputs:
            label, role = node.attrs["label"], node.attrs["role"]
            if role in ("param", "state"):
                found.setdefault(label, Port(label, node.type, offsets[label], role))
    return tuple(found.values())


# --- one entry ------------------------------------------------------------------------------------


def entry_of(d: Draft, table: Mapping[int, Use]) -> Entry:
    """Launches with barriers where memory demands them, loops and branches, and the ports."""
    from dlc.text import print_graph

    assert d.plan is not None
    offsets = d.plan.offsets
    graph = d.schedule.graph
    inputs = tuple(Port(n.attrs["label"], n.type, offsets[n], n.attrs["role"])
                   for n in graph.inputs if n.attrs["role"] not in ("param", "state"))
    outputs = tuple(
        Port(name, value.type, offsets[value], "fault" if name == "fault" else "output")
        for name, value in zip(graph.output_names, graph.outputs, strict=True)
        if name not in graph.updates)
    placed = {n: o for n, o in offsets.items() if isinstance(n, Node)}
    whole, nodes = as_run(d.schedule, placed)
    text = print_graph(whole, placed, nodes)
    return Entry(d.name, steps_of(d, d.schedule, table, ()), inputs, outputs, text)


def as_run(schedule: Schedule, placed: dict[Node, int]) -> tuple[Graph, list[Node]]:
    """The graph with the bodies that run, copies and all, and its nodes in order; `placed` gets the
    offsets of nodes that are new."""
    if not schedule.inner:
        return schedule.graph, in_order(schedule)
    twins: dict[Node, Node] = {}
    for node in schedule.graph.nodes():
        attrs = node.attrs
        if node in schedule.inner:
            bodies = iter([as_run(inner, placed)[0] for inner in schedule.inner[node]])
            attrs = {k: next(bodies) if isinstance(v, Graph) else v for k, v in attrs.items()}
        args = tuple(twins[a] for a in node.args)
        twin = node if attrs is node.attrs and all(
            a is b for a, b in zip(args, node.args, strict=True)) else Node(
            node.op, args, attrs, node.type, node.locs, node.name)
        twins[node] = twin
        if node in placed:
            placed[twin] = placed[node]
    outputs = [twins[o] for o in schedule.graph.outputs]
    return schedule.graph.with_outputs(outputs), [twins[n] for n in in_order(schedule)]


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
        launch, mine_r, mine_w = launch_of_node(d, schedule, node, table)
        if not launch.stages:
            steps.append(replace(launch, barrier=False))  # only values without elements
            continue
        barrier = (overlaps(mine_r, writes, counts) or overlaps(mine_w, writes, counts)
                   or overlaps(mine_w, reads, counts))
        if barrier:
            reads, writes = [], []
        reads += mine_r
        writes += mine_w
        steps.append(replace(launch, barrier=barrier))
    return tuple(steps)


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


def slot(place: Place) -> Slot:
    """A place as the runtime takes it."""
    return Slot(place.offset, place.strides, place.swaps)


def in_order(schedule: Schedule) -> list[Node]:
    """The graph's nodes as they run: inputs and constants, then each launch with its results."""
    rank: dict[Node, tuple[int, int]] = {}
    number = {launch: i for i, launch in enumerate(schedule.launches)}
    for node in schedule.graph.nodes():
        behind = max((rank[a] for a in node.args), default=(-1, 0))
        if node in number:
            rank[node] = (number[node], 0)
        elif node.op is higher.ITEM and node.args[0] in number:
            rank[node] = (number[node.args[0]], 1 + node.attrs["index"])
        else:
            rank[node] = (behind[0], behind[1] + 1) if node.args else behind
    return sorted(rank, key=rank.__getitem__)


def launch_of_node(d: Draft, schedule: Schedule, node: Node,
                   table: Mapping[int, Use]) -> tuple[Launch, Ranges, Ranges]:
    """A launch, and the buffers that it reads and writes."""
    assert d.plan is not None
    body: Graph = node.attrs["body"]
    place: dict[Any, Slot] = {i: slot(d.plan.slots[a])
                              for i, a in zip(body.inputs, node.args, strict=True)}
    reads = [(place[i], aligned(i.type.bytes)) for i in body.inputs]
    writes: Ranges = []
    for value in schedule.values[node]:
        index = value.attrs["index"] if value.op is higher.ITEM else 0
        at = place[body.outputs[index]] = slot(d.plan.slots[value])
        writes.append((at, aligned(value.type.bytes)))
    for need in scratch_of(d.lowered[node]):
        at = place[need] = slot(d.plan.slots[need])
        writes.append((at, aligned(need.size * need.dtype.bytes)))
    stages: list[list[Segment]] = []
    for part in d.lowered[node]:
        for depth, works in enumerate(part.stages):
            while len(stages) <= depth:
                stages.append([])
            for w in works:
                use = table[id(w)]
                args = [o if isinstance(o, (int, float)) else place[o] for o in w.operands]
                stages[depth].append(Segment(use.kernel, (*args, *use.scalars), w.chunks))
    lines = tuple(dict.fromkeys(str(loc) for loc in node.locs))
    moved = sum(count for _, count in (*reads, *writes)) - spared_bytes(body, place)
    launch = Launch(body.name.removeprefix("fused_"), tuple(map(tuple, stages)), lines,
                    flops_of(body), moved)
    return launch, reads, writes


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
            parts = [(p.contraction, p.shape) for p in whole.phases] or [(whole, node.type.shape)]
            total += sum(2 * math.prod(c.extents) * math.prod(shape) for c, shape in parts)
        elif node.op.kind is Kind.ROUTINE:
            total += node.op.emit(node).flops
        elif node.op.kind is Kind.ELEMENTWISE:
            total += node.type.size
        elif node.op.kind is Kind.REDUCE:
            total += node.args[0].type.size
    return total


def buffers_of(d: Draft) -> list[Buffer]:
    """Every value with its place and life, for inspection. What lies in a body just where it lies
    outside is told once."""
    assert d.plan is not None
    found = []
    outputs = dict(zip(d.schedule.graph.outputs, d.schedule.graph.output_names, strict=True))
    own = {v for s in d.plan.spans for v in s.values}
    positions = first_positions(d)
    for value, place in d.plan.slots.items():
        if value not in d.plan.lives:
            continue  # an update lies where its parameter lies
        first, last = d.plan.lives[value]
        at = (d.name, first, last)
        if isinstance(value, Scratch):
            type_ = Type(value.dtype, (value.size,))
            found.append(Buffer(value.name, type_, place.offset, aligned(type_.bytes), "workspace",
                                *at))
            continue
        moves = (place.strides, place.swaps)
        if value not in own and value.op is not leaf.ARRAY and not any(moves) and (
                category(value) not in ("parameter", "state")):
            continue
        kind = "output" if value in outputs and category(value) == "activation" else category(value)
        name = outputs[value] if kind == "output" else value.name or value.op.name
        size = value.type.bytes if any(moves) else aligned(value.type.bytes)
        found.append(Buffer(name, value.type, place.offset, size, kind, d.name,
                            positions.get(value, first), last, str(value.loc or ""), *moves))
    return found


def first_positions(d: Draft) -> dict[Node, int]:
    """The launch that makes each value, where a single one does."""
    found: dict[Node, int] = {}
    count = 0

    def visit(schedule: Schedule) -> None:
        nonlocal count
        for launch in schedule.launches:
            for inner in schedule.inner.get(launch, ()):
                visit(inner)
            if launch.op is higher.FUSED:
                found.update(dict.fromkeys(schedule.values[launch], count))
                count += 1

    visit(d.schedule)
    return found
