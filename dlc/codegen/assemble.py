"""From scheduled graphs to a Program: kernels, launches, arena, ports. The last step of compiling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dlc.codegen import prelude, tiles
from dlc.codegen.parametrize import Use, share
from dlc.graph import Graph, Kind, Node
from dlc.kernel.isa import ISAS
from dlc.kernel.lower import Lowered, lower
from dlc.ops import higher, leaf
from dlc.passes.order import Schedule, order, reads
from dlc.passes.plan_memory import (
    Plan,
    Scratch,
    aligned,
    category,
    launch_position,
    persistent_offsets,
    plan_memory,
    take_overs,
    values_of,
)
from dlc.program import Buffer, Constant, Entry, Launch, Port, Program, Segment, Slot
from dlc.types import Type

Ranges = list[tuple[int, int]]


@dataclass(eq=False)
class Draft:
    """One entry on its way: scheduled, lowered, then planned."""

    name: str
    schedule: Schedule
    shared: Mapping[Node, Node]
    lowered: dict[Node, list[Lowered]]
    plan: Plan | None = None


def assemble(name: str, graphs: Mapping[str, Graph], target: str, isa: str,
             meta: dict[str, object] | None = None) -> Program:
    """The Program of optimized graphs, one entry each; parameters and state are shared by name."""
    drafts = [draft(entry, graph, ISAS[isa]) for entry, graph in graphs.items()]
    kept, literals, base = persistent(drafts)
    for d in drafts:
        d.plan = plan_memory(d.schedule, {**_kept_nodes(d, kept), **_literal_nodes(d, literals)},
                             base, _scratch(d), d.shared)
    works = [(d.name, w) for d in drafts for parts in d.lowered.values() for p in parts
             for stage in p.stages for w in stage]
    kernels, uses = share([w.kernel for _, w in works], [n for n, _ in works])
    table = dict(zip((id(w) for _, w in works), uses, strict=True))
    entries = {d.name: entry_of(d, table) for d in drafts}
    total = max(d.plan.total for d in drafts if d.plan is not None)
    return Program(
        name, target, entries, tuple(kernels), max(total, 64), _ports(drafts, kept),
        tuple(b for d in drafts for b in buffers_of(d)), prelude.prelude_text(),
        {t: tiles.tile(t, isa) for t in sorted({t for k in kernels for t in k.tiles})},
        tuple(Constant(literals[key], data) for key, data in _literal_data(drafts).items()),
        isa, meta=dict(meta or {}))


def draft(name: str, graph: Graph, isa: Any) -> Draft:
    """Order a graph's launches, decide what is written in place, and lower each launch."""
    schedule = order(graph)
    shared = take_overs(schedule)
    lowered = {n: lower(n.attrs["body"], isa, _aliases(schedule, n, shared))
               for n in schedule.launches}
    return Draft(name, schedule, shared, lowered)


def _aliases(schedule: Schedule, launch: Node, shared: Mapping[Node, Node]) -> dict[Node, Node]:
    """Body output -> body input of the same place in memory."""
    body: Graph = launch.attrs["body"]
    found = {}
    for value in values_of(schedule, launch):
        source = shared.get(value)
        if source is not None and reads(launch, source):
            index = value.attrs["index"] if value.op is higher.ITEM else 0
            twin = body.inputs[[a is source for a in launch.args].index(True)]
            if body.outputs[index] is not twin:
                found[body.outputs[index]] = twin
    return found


# --- persistent values: parameters, state, literals
# ------------------------------------------------


def persistent(drafts: Sequence[Draft]) -> tuple[dict[str, int], dict[bytes, int], int]:
    """(offset by name, offset by literal, first byte above both)."""
    types: dict[str, Type] = {}
    for d in drafts:
        for node in d.schedule.graph.inputs:
            if node.attrs["role"] in ("param", "state"):
                types.setdefault(node.attrs["label"], node.type)
    offsets, top = persistent_offsets(types)
    literals: dict[bytes, int] = {}
    for key, data in _literal_data(drafts).items():
        literals[key] = top
        top += aligned(len(data))
    return offsets, literals, top


def _literal_data(drafts: Sequence[Draft]) -> dict[bytes, bytes]:
    return {n.attrs["value"].key: n.attrs["value"].array.tobytes()
            for d in drafts for n in d.schedule.graph.nodes() if n.op is leaf.ARRAY}


def _kept_nodes(d: Draft, offsets: Mapping[str, int]) -> dict[Node, int]:
    return {n: offsets[n.attrs["label"]] for n in d.schedule.graph.inputs
            if n.attrs["role"] in ("param", "state")}


def _literal_nodes(d: Draft, literals: Mapping[bytes, int]) -> dict[Node, int]:
    return {n: literals[n.attrs["value"].key] for n in d.schedule.graph.nodes()
            if n.op is leaf.ARRAY}


def _scratch(d: Draft) -> dict[Node, list[Scratch]]:
    return {n: list(dict.fromkeys(o for p in parts for stage in p.stages for w in stage
                                  for o in w.operands if isinstance(o, Scratch)))
            for n, parts in d.lowered.items()}


def _ports(drafts: Sequence[Draft], offsets: Mapping[str, int]) -> tuple[Port, ...]:
    found: dict[str, Port] = {}
    for d in drafts:
        for node in d.schedule.graph.inputs:
            label, role = node.attrs["label"], node.attrs["role"]
            if role in ("param", "state"):
                found.setdefault(label, Port(label, node.type, offsets[label], role))
    return tuple(found.values())


# --- one entry
# ---------------------------------------------------------------------------------------


def entry_of(d: Draft, table: Mapping[int, Use]) -> Entry:
    """Launches with barriers where memory demands them, and the ports."""
    from dlc.text import print_graph

    assert d.plan is not None
    offsets = d.plan.offsets
    graph = d.schedule.graph
    launches: list[Launch] = []
    reads: Ranges = []
    writes: Ranges = []
    for node in d.schedule.launches:
        launch, mine_r, mine_w = launch_of_node(d, node, table)
        if not launch.stages:
            launches.append(replace(launch, barrier=False))  # only values without elements
            continue
        barrier = overlaps(mine_r, writes) or overlaps(mine_w, writes) or overlaps(mine_w, reads)
        if barrier:
            reads, writes = [], []
        reads += mine_r
        writes += mine_w
        launches.append(replace(launch, barrier=barrier))
    inputs = tuple(Port(n.attrs["label"], n.type, offsets[n], n.attrs["role"])
                   for n in graph.inputs if n.attrs["role"] not in ("param", "state"))
    outputs = tuple(
        Port(name, value.type, offsets[value], "fault" if name == "fault" else "output")
        for name, value in zip(graph.output_names, graph.outputs, strict=True)
        if name not in graph.updates)
    placed = {n: o for n, o in offsets.items() if isinstance(n, Node)}
    text = print_graph(graph, placed, in_order(d.schedule))
    return Entry(d.name, tuple(launches), inputs, outputs, text)


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


def launch_of_node(d: Draft, node: Node, table: Mapping[int, Use]) -> tuple[Launch, Ranges, Ranges]:
    """A launch, and the byte ranges it reads and writes."""
    assert d.plan is not None
    body: Graph = node.attrs["body"]
    place = {i: d.plan.offsets[a] for i, a in zip(body.inputs, node.args, strict=True)}
    reads = [(place[i], place[i] + aligned(i.type.bytes)) for i in body.inputs]
    writes: Ranges = []
    for value in values_of(d.schedule, node):
        index = value.attrs["index"] if value.op is higher.ITEM else 0
        at = d.plan.offsets[value]
        place[body.outputs[index]] = at
        writes.append((at, at + aligned(value.type.bytes)))
    for need in _scratch(d)[node]:
        at = d.plan.offsets[need]
        place[need] = at  # type: ignore[index]
        writes.append((at, at + aligned(need.size * need.dtype.bytes)))
    stages: list[list[Segment]] = []
    for part in d.lowered[node]:
        for depth, works in enumerate(part.stages):
            while len(stages) <= depth:
                stages.append([])
            for w in works:
                use = table[id(w)]
                args = [Slot(place[o]) if not isinstance(o, (int, float)) else o  # type: ignore[index]
                        for o in w.operands]
                stages[depth].append(Segment(use.kernel, (*args, *use.scalars), w.chunks))
    lines = tuple(dict.fromkeys(str(loc) for loc in node.locs))
    moved = sum(b - a for a, b in (*reads, *writes))
    launch = Launch(body.name.removeprefix("fused_"), tuple(map(tuple, stages)), lines,
                    flops_of(body), moved)
    return launch, reads, writes


def overlaps(a: Ranges, b: Ranges) -> bool:
    """Whether some byte is in both."""
    return any(low < high2 and low2 < high for low, high in a for low2, high2 in b)


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
    """Every value with its place and life, for inspection."""
    assert d.plan is not None
    found = []
    count = len(d.schedule.launches)
    life = {v: s for s in d.plan.spans for v in s.values}
    outputs = dict(zip(d.schedule.graph.outputs, d.schedule.graph.output_names, strict=True))
    for value, offset in d.plan.offsets.items():
        span = life.get(value)
        first, last = (span.first, span.last) if span else (-1, count)
        if isinstance(value, Scratch):
            type_ = Type(value.dtype, (value.size,))
            found.append(Buffer(value.name, type_, offset, aligned(type_.bytes), "workspace",
                                d.name, first, last))
            continue
        if value in d.shared and d.shared[value].op is leaf.INPUT and span is None:
            continue  # an update lies where its parameter lies
        made = launch_position(d.schedule, value)
        kind = "output" if value in outputs and category(value) == "activation" else category(value)
        name = outputs[value] if kind == "output" else value.name or value.op.name
        found.append(Buffer(name, value.type, offset,
                            aligned(value.type.bytes), kind, d.name,
                            first if made < 0 else made, last, str(value.loc or "")))
    return found
