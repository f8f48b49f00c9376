"""Order: list scheduling of the launches of a fused graph for the fewest live bytes.

    a = fused_0(x); b = fused_1(x); c = fused_2(a)   ->   fused_0, fused_2, fused_1

A launch that updates a parameter in place runs after every other reader of the old value; if that
is impossible, the update goes through a copy at the end. Loops and branches are launches with an
order of their own; the carries of a loop are its body's updates, and one that cannot be written in
place alternates between two buffers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from heapq import heappop, heappush

from dlc.derive import higher
from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Kind, Node, toposort
from dlc.ir.types import TupleType, Type
from dlc.ops import leaf, tuples
from dlc.passes.loops.bodies import bodies_of, is_control
from dlc.passes.schedule.asked import Asked
from dlc.passes.schedule.copies import copy_late, copy_of, copy_starts, private_bodies
from dlc.passes.schedule.in_place import may_take_over, same_place
from dlc.passes.schedule.late import as_late_as_needed
from dlc.passes.schedule.precedence import Precedence

Replaces = Mapping[int, Node]  # number of an output -> the input that it replaces


class Level(Enum):
    """What a graph is the body of."""

    ENTRY = "entry"
    LOOP = "loop"
    BRANCH = "branch"


@dataclass(frozen=True, eq=False)
class Schedule:
    """Launches in order; `home` maps a value to the input whose place in memory it is written to.

    `inner` holds the orders of the bodies of loops and branches, `taken` the operands whose place
    results of branches take. Of a loop's body: `alternating` are the numbers of the carries that
    lie in two places in turn. `asked` is the order that was asked for, where one was.
    """

    graph: Graph
    launches: tuple[Node, ...]
    home: Mapping[Node, Node]
    inner: Mapping[Node, tuple[Schedule, ...]] = field(default_factory=dict)
    taken: Mapping[Node, Node] = field(default_factory=dict)
    alternating: frozenset[int] = frozenset()
    level: Level = Level.ENTRY
    asked: Asked | None = None

    @cached_property
    def values(self) -> dict[Node, list[Node]]:
        """The results of each launch as the nodes that others read."""
        table: dict[Node, list[Node]] = {n: [] for n in self.launches}
        for node in self.graph.nodes():
            if node.op is tuples.ITEM:
                table[node.args[0]].append(node)
            elif node.op is higher.FUSED and not hasattr(node.type, "items"):
                table[node].append(node)
        for launch, unread in self.asked.unread.items() if self.asked else ():
            table[launch] += unread
        return table

    def runs_again(self, launch: Node) -> bool:
        """Whether `launch` computes what an earlier one did."""
        return self.asked is not None and launch in self.asked.again


def launch_of(value: Node) -> Node:
    """The launch that makes `value`."""
    return value.args[0] if value.op is tuples.ITEM else value


def is_launch(node: Node) -> bool:
    """Whether the node is a fused group, a loop or a branch."""
    return node.op is higher.FUSED or is_control(node)


def result_types(launch: Node) -> tuple[Type, ...]:
    """The types of a launch's results."""
    return launch.type.items if isinstance(launch.type, TupleType) else (launch.type,)


def order(graph: Graph, asked: Asked | None = None) -> Schedule:
    """Choose the launches' order (see the module's before -> after), or as far as updates in place
    allow it take the order `asked`; loops then have bodies of their own already."""
    graph = graph if asked else private_bodies(graph)
    inputs = {i.attrs["label"]: i for i in graph.inputs}
    replaces = {at: inputs[graph.updates[name]] for at, name in enumerate(graph.output_names)
                if name in graph.updates}
    return order_body(graph, replaces, Level.ENTRY, frozenset(), asked)


def order_body(graph: Graph, replaces: Replaces, level: Level, single: frozenset[int],
               asked: Asked | None = None) -> Schedule:
    """The order of a graph whose outputs `replaces` are written over inputs, where that can be.

    In a loop an output that cannot be alternates between two places, unless it is one of `single`.
    """
    graph = with_copies(graph, replaces, level)
    launches = [n for n in toposort(graph.outputs) if is_launch(n)]
    before = {n: {launch_of(a) for a in n.args if is_launch(launch_of(a))} for n in launches}
    pairs = {graph.outputs[at]: old for at, old in replaces.items()
             if graph.outputs[at] is not old}
    known = Precedence(launches, before)
    readers = readers_of(launches)
    home = in_place_updates(known, readers, pairs)
    starts = starts_to_copy(graph, known, readers, home)
    if starts:
        return order_body(copy_starts(graph, starts, asked), replaces, level, single, asked)
    missing = {at for at in replaces if graph.outputs[at] in pairs
               and graph.outputs[at] not in home}
    late = missing if level is not Level.LOOP else missing & single
    if late:
        return order_body(copy_late(graph, late), replaces, level, single, asked)
    ordered = asked.ordered(launches, before) if asked else (
        schedule(graph, launches, before, home))
    taken = taken_by_branches(graph, ordered, home, level)
    inner: dict[Node, tuple[Schedule, ...]] = {}
    if any(is_control(n) for n in ordered):
        items = items_of(graph)
        fixed = fixed_values(graph, ordered, home, level)
        inner = {n: inner_orders(n, items[n], fixed, {**taken, **home})
                 for n in ordered if is_control(n)}
    return Schedule(graph, tuple(ordered), home, inner, taken, frozenset(missing), level, asked)


def items_of(graph: Graph) -> dict[Node, dict[int, Node]]:
    """The results of each loop and branch that somebody reads, by number."""
    found: dict[Node, dict[int, Node]] = {n: {} for n in graph.nodes() if is_control(n)}
    for node in graph.nodes():
        if node.op is tuples.ITEM and node.args[0] in found:
            found[node.args[0]][node.attrs["index"]] = node
    return found


def inner_orders(node: Node, items: Mapping[int, Node], fixed: set[Node],
                 places: Mapping[Node, Node]) -> tuple[Schedule, ...]:
    """The orders of a loop's body, or of both branches; `places`: result -> the operand whose place
    it takes."""
    if node.op is SCAN:
        body, carries = node.attrs["body"], range(node.attrs["carries"])
        single = frozenset(i for i in carries if items.get(i) in fixed)
        return (order_body(body, {i: body.inputs[i] for i in carries}, Level.LOOP, single),)
    sources = {i: places[x] for i, x in items.items() if x in places}
    at = {i: [a is source for a in node.args[1:]].index(True) for i, source in sources.items()
          if any(a is source for a in node.args[1:])}
    return tuple(order_body(g, {i: g.inputs[k] for i, k in at.items()}, Level.BRANCH, frozenset())
                 for g in bodies_of(node))


def fixed_values(graph: Graph, ordered: Sequence[Node], home: Mapping[Node, Node],
                 level: Level) -> set[Node]:
    """Values whose place is given: by an update, by the graph around, or by a loop that begins with
    them and whose own end has its place given."""
    fixed = {*home, *(graph.outputs if level is not Level.ENTRY else ())}
    items = {(n.args[0], n.attrs["index"]): n for n in graph.nodes() if n.op is tuples.ITEM}
    for node in reversed(ordered):
        for i, a in enumerate(node.args[:node.attrs["carries"]] if node.op is SCAN else ()):
            if items.get((node, i)) in fixed:
                fixed.add(a)
    return fixed


# --- values of their own --------------------------------------------------------------------------


def with_copies(graph: Graph, replaces: Replaces, level: Level) -> Graph:
    """Give each update a value of its own: a new value that is another input, or that replaces two
    inputs, is copied. So is an input that is given out as it was before its update, and every
    result of a body that is not a launch's or is given out twice: each has a place of its own."""
    seen: set[Node] = set()
    outputs = list(graph.outputs)
    old = {i for at, i in replaces.items() if graph.outputs[at] is not i}
    for at, value in enumerate(graph.outputs):
        if at not in replaces and level is Level.ENTRY:
            outputs[at] = copy_of(value) if value in old else value
            continue
        if at in replaces and value is replaces[at]:
            continue
        if not is_launch(launch_of(value)) or value in seen:
            outputs[at] = copy_of(value)
        seen.add(outputs[at])
    return graph.with_outputs(outputs)


def starts_to_copy(graph: Graph, known: Precedence, readers: Mapping[Node, list[Node]],
                   home: Mapping[Node, Node]) -> set[tuple[Node, int]]:
    """The carries of loops that do not start in a value which the loop may overwrite: one that a
    launch made for it, and that nobody else reads later. Adds to `known` what must read it first.
    """
    kept = set(graph.outputs)
    homed = {(launch_of(v), v.attrs["index"]): old for v, old in home.items()
             if v.op is tuples.ITEM and launch_of(v).op is SCAN}
    found = set()
    for n in known.before:
        taken: set[Node] = set()
        for i, a in enumerate(n.args[:n.attrs["carries"]] if n.op is SCAN else ()):
            if homed.get((n, i)) is a:
                continue
            uses = sum(x is a for x in n.args[n.attrs["carries"]:])
            own = is_launch(launch_of(a)) and a not in kept and a not in taken and not uses
            others = {m for m in readers.get(a, ()) if m is not n}
            if own and not any(known.reaches(m, n) for m in others):
                known.add(n, others)
                taken.add(a)
            else:
                found.add((n, i))
    return found


# --- in place -------------------------------------------------------------------------------------


def readers_of(launches: Sequence[Node]) -> dict[Node, list[Node]]:
    """The launches that take each value."""
    found: dict[Node, list[Node]] = {}
    for n in launches:
        for a in dict.fromkeys(n.args):
            found.setdefault(a, []).append(n)
    return found


def in_place_updates(known: Precedence, readers: Mapping[Node, list[Node]],
                     pairs: Mapping[Node, Node]) -> dict[Node, Node]:
    """Which new values are written over the old: adds to `known` what must run earlier for it."""
    home: dict[Node, Node] = {}
    for value, old in pairs.items():
        writer = launch_of(value)
        others = [n for n in readers.get(old, ()) if n is not writer]
        own = len(others) < len(readers.get(old, ()))
        if own and not may_take_over(writer, value, old):
            continue
        if writer.op is SCAN and not own and value.attrs["index"] < writer.attrs["carries"]:
            continue  # a carry lies where it starts, which is another place
        if any(known.reaches(reader, writer) for reader in others):
            continue
        known.add(writer, others)
        home[value] = old
    return home


def reads(launch: Node, value: Node) -> bool:
    """Whether `launch` takes `value` (== on nodes builds a comparison, so `in` is of no use)."""
    return any(a is value for a in launch.args)


def taken_by_branches(graph: Graph, ordered: Sequence[Node], home: Mapping[Node, Node],
                      level: Level) -> dict[Node, Node]:
    """result of a branch -> the dying operand that one of its bodies hands through."""
    last = {a: n for n in ordered for a in n.args}
    outputs = set(graph.outputs)
    fixed = fixed_values(graph, ordered, home, level)
    taken: dict[Node, Node] = {}
    for value in graph.nodes():
        if value.op is not tuples.ITEM or value.args[0].op is not COND or value in fixed:
            continue
        node, index = value.args[0], value.attrs["index"]
        for k, a in enumerate(node.args[1:]):
            through = any(g.outputs[index] is g.inputs[k] for g in bodies_of(node))
            dies = last[a] is node and a not in outputs and is_launch(launch_of(a))
            free = sum(b is a for b in node.args[1:]) == 1 and not any(
                a is other for other in taken.values())
            if through and dies and free and same_place(a, value):
                taken[value] = a
                break
    return taken


def schedule(graph: Graph, launches: list[Node],
             before: Mapping[Node, set[Node]], home: Mapping[Node, Node]) -> list[Node]:
    """List scheduling: of the launches that are ready, the one after which fewest bytes are held.

    What is written over an input (`home`) takes no new bytes.
    """
    held = {a for n in launches for a in n.args
            if a.op.kind is Kind.LEAF and a.attrs.get("role", "param") != "data"}
    return as_late_as_needed(Scheduler(graph, launches, before, home).run(), before,
                             held.union(graph.outputs), {launch_of(v) for v in home})


class Scheduler:
    """What is held while launches are put in order one by one. How much more is held after a launch
    than before it only falls, when it becomes the last reader of an operand: so a heap has every
    launch that is ready at its present growth, besides older ones."""

    def __init__(self, graph: Graph, launches: Sequence[Node],
                 before: Mapping[Node, set[Node]], home: Mapping[Node, Node]) -> None:
        self.launches = launches
        self.position = {n: i for i, n in enumerate(launches)}
        self.left = {n: len(before[n]) for n in launches}  # how many have to run first
        self.after: dict[Node, list[Node]] = {n: [] for n in launches}
        for n in launches:
            for earlier in before[n]:
                self.after[earlier].append(n)
        self.readers = {a: dict.fromkeys(ns) for a, ns in readers_of(launches).items()}
        self.kept = set(graph.outputs)
        self.growth = {n: sum(t.bytes for t in result_types(n)) for n in launches}
        for value in home:
            self.growth[launch_of(value)] -= value.type.bytes
        self.heap: list[tuple[int, int]] = []  # growth, position
        for a in self.readers:
            self._free_at_last(a)
        for n in launches:
            self._offer(n)

    def run(self) -> list[Node]:
        """All launches in order."""
        done: dict[Node, None] = {}
        while self.heap:
            best = self.launches[heappop(self.heap)[1]]
            if best in done:
                continue
            done[best] = None
            for a in dict.fromkeys(best.args):
                del self.readers[a][best]
                self._offer(self._free_at_last(a))
            for later in self.after[best]:
                self.left[later] -= 1
                self._offer(later)
        return list(done)

    def _free_at_last(self, a: Node) -> Node | None:
        """The only reader of `a` that is left, if it is the one after which `a` is held no more."""
        if len(self.readers[a]) != 1 or a.op is leaf.INPUT or a in self.kept:
            return None
        (n,) = self.readers[a]
        self.growth[n] -= a.type.bytes
        return n

    def _offer(self, n: Node | None) -> None:
        """Put `n` on the heap if it is ready."""
        if n is not None and not self.left[n]:
            heappush(self.heap, (self.growth[n], self.position[n]))
