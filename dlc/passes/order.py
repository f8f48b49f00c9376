"""Order: the launches of a fused graph in the order that holds the fewest bytes at once.

    a = fused_0(x); b = fused_1(x); c = fused_2(a)   ->   fused_0, fused_2, fused_1

A launch that writes a parameter in place runs after every other reader of the old value; where
that cannot be, the update goes through a copy at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dlc.graph import Build, Graph, Kind, Node, building, make, serving, toposort
from dlc.ops import higher, leaf, view
from dlc.ops.axes import carried, classes_of
from dlc.ops.leaf import input_
from dlc.passes.components import components
from dlc.types import TupleType, Type


@dataclass(frozen=True, eq=False)
class Schedule:
    """Launches in order; `home` maps a value to the input whose place in memory it is written to.
    """

    graph: Graph
    launches: tuple[Node, ...]
    home: Mapping[Node, Node]


def launch_of(value: Node) -> Node:
    """The launch that makes `value`."""
    return value.args[0] if value.op is higher.ITEM else value


def result_types(launch: Node) -> tuple[Type, ...]:
    """The types of a launch's results."""
    return launch.type.items if isinstance(launch.type, TupleType) else (launch.type,)


def order(graph: Graph) -> Schedule:
    """Choose the launches' order (see the module's before -> after)."""
    graph = with_copies(graph)
    launches = [n for n in toposort(graph.outputs) if n.op is higher.FUSED]
    before = {n: {launch_of(a) for a in n.args if launch_of(a).op is higher.FUSED}
              for n in launches}
    home = in_place_updates(graph, launches, before)
    missing = [o for o in update_pairs(graph) if o not in home]
    if missing:
        return order(copy_late(graph, missing))
    return Schedule(graph, tuple(schedule(graph, launches, before, home)), home)


def update_pairs(graph: Graph) -> dict[Node, Node]:
    """new value -> the input that it replaces, where the two differ."""
    inputs = {i.attrs["label"]: i for i in graph.inputs}
    names = dict(zip(graph.output_names, graph.outputs, strict=True))
    return {names[o]: inputs[i] for o, i in graph.updates.items() if names[o] is not inputs[i]}


def with_copies(graph: Graph) -> Graph:
    """Give each update a value of its own: a new value that is another input, or that replaces two
    inputs, is copied. So is an input that is given out as it was before its update."""
    seen: set[Node] = set()
    outputs = list(graph.outputs)
    inputs = {i.attrs["label"]: i for i in graph.inputs}
    old = set(update_pairs(graph).values())
    for at, (name, value) in enumerate(zip(graph.output_names, graph.outputs, strict=True)):
        if name not in graph.updates:
            outputs[at] = copy_of(value) if value in old else value
            continue
        if value is inputs[graph.updates[name]]:
            continue
        if (value.op is not higher.FUSED and value.op is not higher.ITEM) or value in seen:
            outputs[at] = copy_of(value)
        seen.add(outputs[at])
    return graph.with_outputs(outputs)


def copy_of(value: Node) -> Node:
    """A launch that copies `value`."""
    with building(Build()), serving(value.locs):
        twin = input_(value.name or "value", value.type)
        twin.locs = value.locs  # not the line that asked for the compilation
        same = make(view.RESHAPE, (twin,), shape=tuple(value.type.shape))
        body = Graph("fused_copy", (twin,), (same,))
        return make(higher.FUSED, (value,), value.name, body=body)


def copy_late(graph: Graph, values: Iterable[Node]) -> Graph:
    """Replace the updates `values`, which cannot be written in place, by copies at the end."""
    late = set(values)
    outputs = [copy_of(o) if o in late and n in graph.updates else o
               for n, o in zip(graph.output_names, graph.outputs, strict=True)]
    return graph.with_outputs(outputs)


def in_place_updates(graph: Graph, launches: list[Node],
                     before: dict[Node, set[Node]]) -> dict[Node, Node]:
    """Which new values are written over the old: adds to `before` what must run earlier for it."""
    home: dict[Node, Node] = {}
    for value, old in update_pairs(graph).items():
        writer = launch_of(value)
        readers = {n for n in launches if n is not writer and reads(n, old)}
        if reads(writer, old) and not may_take_over(writer, value, old):
            continue
        if any(reaches(before, reader, writer) for reader in readers):
            continue
        before[writer] |= readers
        home[value] = old
    return home


def reads(launch: Node, value: Node) -> bool:
    """Whether `launch` takes `value` (== on nodes builds a comparison, so `in` is of no use)."""
    return any(a is value for a in launch.args)


def reaches(before: Mapping[Node, set[Node]], later: Node, earlier: Node) -> bool:
    """Whether `later` must run after `earlier`."""
    stack, seen = [later], {later}
    while stack:
        node = stack.pop()
        if node is earlier:
            return True
        for b in before.get(node, ()):
            if b not in seen:
                seen.add(b)
                stack.append(b)
    return False


def may_take_over(launch: Node, value: Node, operand: Node) -> bool:
    """Whether `value`, a result of `launch`, may be written where `operand` lies.

    Each element of the result may read only the same element of the operand, and nothing else of
    the launch may read the operand differently.
    """
    body: Graph = launch.attrs["body"]
    twin = body.inputs[[a is operand for a in launch.args].index(True)]
    result = body.outputs[value.attrs["index"] if value.op is higher.ITEM else 0]
    if sum(a is operand for a in launch.args) > 1:
        return False
    if twin.type.dtype is not result.type.dtype or (
            tuple(twin.type.shape) != tuple(result.type.shape)) or (
            twin.type.layout != result.type.layout):
        return False  # a kernel's parameter has one dtype; an element has one place
    return only_pointwise(body, twin, result)


def only_pointwise(body: Graph, twin: Node, result: Node) -> bool:
    """Whether the input `twin` is read only elementwise, on the way to stores beside `result`."""
    reached = {twin}
    for node in body.nodes():
        if not any(a in reached for a in node.args):
            continue
        if node.op.kind is not Kind.ELEMENTWISE or len(carried(node, node.args[0])) != twin.ndim:
            return False
        reached.add(node)
    # every store that depends on the operand runs in the loop that overwrites it
    touched = [o for o in body.outputs if o in reached]
    classes = classes_of(body.nodes())
    same = all(classes.of(o) == classes.of(twin) for o in (*touched, result))
    return same and one_layer(body, [*touched, result]) and alone(body, twin, result)


def one_layer(body: Graph, outputs: Iterable[Node]) -> bool:
    """Whether the outputs are stored in one loop: after the same number of reductions."""
    depth: dict[Node, int] = {}
    for node in body.nodes():
        below = max((depth[a] for a in node.args), default=0)
        depth[node] = below + (node.op.kind is Kind.REDUCE)
    return len({depth[o] for o in outputs}) <= 1


def alone(body: Graph, twin: Node, result: Node) -> bool:
    """Whether only the component that makes `result` reads `twin`: components run at one time."""
    reading = [p for p in components(body) if any(i is twin for i in p.inputs)]
    return all(any(o is result for o in p.outputs) and
               not any(n.op.kind is Kind.SCATTER for n in p.nodes()) for p in reading)


def schedule(graph: Graph, launches: list[Node], before: Mapping[Node, set[Node]],
             home: Mapping[Node, Node]) -> list[Node]:
    """List scheduling: of the launches that are ready, the one after which fewest bytes are held.
    """
    left = {n: set(before[n]) for n in launches}
    readers: dict[Node, int] = {}
    for n in launches:
        for a in dict.fromkeys(n.args):
            readers[a] = readers.get(a, 0) + 1
    kept = set(graph.outputs)
    position = {n: i for i, n in enumerate(launches)}
    done: list[Node] = []

    def growth(n: Node) -> tuple[int, int]:
        made = sum(t.bytes for t in result_types(n))
        freed = sum(a.type.bytes for a in dict.fromkeys(n.args)
                    if readers[a] == 1 and a.op is not leaf.INPUT and a not in kept)
        return made - freed, position[n]

    while left:
        best = min((n for n, b in left.items() if not b), key=growth)
        del left[best]
        done.append(best)
        for a in dict.fromkeys(best.args):
            readers[a] -= 1
        for b in left.values():
            b.discard(best)
    return done
