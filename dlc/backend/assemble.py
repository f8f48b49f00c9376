"""Assembly, the last step of compiling: from scheduled graphs to a Program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlc.backend.costs import Rates
from dlc.backend.cpu import prelude, tiles
from dlc.backend.cpu.isa import ISAS, Isa
from dlc.backend.cpu.limits import Limits
from dlc.backend.cuda.machine import CUDA
from dlc.backend.cuda.mapping import on_grid
from dlc.backend.draft import Draft, scratch_of, stages_of
from dlc.backend.lower import Known, lower
from dlc.backend.memory_limit import within
from dlc.backend.prepack import prepack
from dlc.backend.share.alpha_equal import merge_equal
from dlc.backend.share.parametrize import Use, share
from dlc.backend.steps import steps_of
from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.ops import leaf, tuples
from dlc.passes.collection import without_collection
from dlc.passes.schedule.in_place import places_of, result_of
from dlc.passes.schedule.lives import Scratch, aligned
from dlc.passes.schedule.order import Schedule, order
from dlc.passes.schedule.plan_memory import (
    Plan,
    category,
    persistent_offsets,
    plan_memory,
    take_overs,
)
from dlc.program import (
    Buffer,
    Constant,
    Entry,
    Port,
    Program,
)


@without_collection()
def assembled(name: str, graphs: Mapping[str, Graph], target: str, isa: str,
              meta: dict[str, object] | None = None,
              limits: Limits | None = None) -> tuple[Program, list[Draft]]:
    """The Program of optimized graphs, one entry each, and the schedule and the plan of each;
    parameters and state are shared by name. `limits` are those at which kernels change their
    scheme, by default the instruction set's. With a "memory_limit" in `meta` the arena has so many
    bytes at most, or a DlcError says what it needs."""
    own = CUDA if target == "cuda" else ISAS[isa]
    machine = replace(own, limits=limits) if limits else own
    known: Known = {}
    drafts = [draft(entry, graph, machine, known) for entry, graph in graphs.items()]
    kept, literals, base = persistent(drafts)
    limit: Any = (meta or {}).get("memory_limit")

    def placed(d: Draft, room: int = 0) -> Plan:
        return plan_memory(d.schedule, {**_kept_nodes(d, kept), **_literal_nodes(d, literals)},
                           base, _scratch(d), d.shared, d.stages, room, limit)

    if limit is not None:
        rates = Rates().scaled(machine.bytes / 64)
        drafts = within(limit, name, drafts, rates, lambda n, s: lowered(n, s, machine, known),
                        placed)
    total = 64
    for d in drafts:
        d.plan = placed(d, total)
        total = max(total, d.plan.total)
    works = [(d.name, w) for d in drafts for parts in d.lowered.values() for p in parts
             for stage in p.stages for w in stage]
    kernels, uses = merge_equal(*share([w.kernel for _, w in works], [n for n, _ in works]))
    table = dict(zip((id(w) for _, w in works), uses, strict=True))
    entries = {d.name: entry_of(d, table) for d in drafts}
    program = Program(
        name, target, entries, tuple(kernels), total, _ports(drafts, kept),
        tuple(b for d in drafts for b in buffers_of(d)), prelude.prelude_text(),
        {t: tiles.tile(t, isa) for t in sorted({t for k in kernels for t in k.tiles})},
        tuple(Constant(literals[key], data) for key, data in _literal_data(drafts).items()),
        isa, meta=dict(meta or {}))
    return program, drafts


def draft(name: str, graph: Graph, isa: Isa, known: Known) -> Draft:
    """Pack what loops leave as it is before them, order a graph's launches, and lower each; `known`
    are the components that have their kernels."""
    return lowered(name, order(prepack(graph, isa)), isa, known)


def lowered(name: str, schedule: Schedule, isa: Isa, known: Known) -> Draft:
    """Decide what is written in place, and lower each launch."""
    from dlc.reference.text import function_names

    shared = take_overs(schedule)
    made = Draft(name, schedule, shared, {})
    names = function_names(as_run(schedule, {}, {}))  # those of the entry's text
    for level in made.schedules:
        for n in level.launches:
            if n.op is higher.FUSED:
                body = replace(n.attrs["body"], name=names[id(n.attrs["body"])])
                parts = lower(body, isa, _aliases(level, n, shared), known)
                if isa.name == CUDA.name:
                    parts = list(map(on_grid, parts))
                made.lowered[n], made.stages[n] = parts, stages_of(level, n, parts)
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
    from dlc.reference.text import print_graph

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
    orders: dict[int, list[Node]] = {}
    text = print_graph(as_run(d.schedule, placed, orders), placed, orders)
    return Entry(d.name, steps_of(d, d.schedule, table, ()), inputs, outputs, text)


def as_run(schedule: Schedule, placed: dict[Node, int], orders: dict[int, list[Node]]) -> Graph:
    """The graph with the bodies that run, copies and all.

    `placed` gets the offsets of new nodes, `orders` the nodes of each graph in the order of its
    launches, by the graph's id: one that two loops run in two orders becomes two graphs.
    """
    twins: dict[Node, Node] = {}
    for node in schedule.graph.nodes():
        attrs = node.attrs
        if node in schedule.inner:
            bodies = iter([as_run(inner, placed, orders) for inner in schedule.inner[node]])
            attrs = {k: next(bodies) if isinstance(v, Graph) else v for k, v in attrs.items()}
        args = tuple(twins[a] for a in node.args)
        twin = node if attrs is node.attrs and all(
            a is b for a, b in zip(args, node.args, strict=True)) else Node(
            node.op, args, attrs, node.type, node.locs, node.name)
        twins[node] = twin
        if node in placed:
            placed[twin] = placed[node]
    nodes = [twins[n] for n in in_order(schedule)]
    graph = schedule.graph
    if schedule.inner or orders.get(id(graph), nodes) != nodes:
        graph = graph.with_outputs([twins[o] for o in graph.outputs])
    orders[id(graph)] = nodes
    return graph


def in_order(schedule: Schedule) -> list[Node]:
    """The graph's nodes as they run: inputs and constants, then each launch with its results."""
    rank: dict[Node, tuple[int, int]] = {}
    number = {launch: i for i, launch in enumerate(schedule.launches)}
    for node in schedule.graph.nodes():
        behind = max((rank[a] for a in node.args), default=(-1, 0))
        if node in number:
            rank[node] = (number[node], 0)
        elif node.op is tuples.ITEM and node.args[0] in number:
            rank[node] = (number[node.args[0]], 1 + node.attrs["index"])
        else:
            rank[node] = (behind[0], behind[1] + 1) if node.args else behind
    return sorted(rank, key=rank.__getitem__)


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
