"""Prepacking: an operand that several launches, chunks or iterations would pack is packed once.

    def body(h, x, w):                          def body(h, x, packed):
        return tanh(x + matmul(h, w))    ->         return tanh(x + matmul(h, w seen in packed))

    scan(h0, xs, w)                             scan(h0, xs, fused_pack(w))

The packing is a launch like any other, before the outermost loop in which its operand is
invariant; products that need the same layout share it. Outside loops, and for operands that a loop
changes, it is done only if it pays (packable.py). Runs on fused graphs, since the layout depends
on the instruction set.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields

from dlc.backend.cpu.isa import Isa
from dlc.backend.packable import Known, Packing, packings_of, pays
from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import (
    Build,
    Graph,
    Node,
    building,
    intern,
    rebuild,
    serving,
    substitute,
    toposort,
)
from dlc.ops import leaf
from dlc.ops.leaf import input_
from dlc.passes.fuse.components import components
from dlc.passes.loops.bodies import bodies_of, is_control, with_bodies
from dlc.reference.rewrite import Grade, keeps


@keeps(Grade.EXACT)
def prepack(graph: Graph, isa: Isa) -> Graph:
    """Pack operands by launches of their own (see the module)."""
    with building(Build()):
        return Level(graph, isa, frozenset(), {}).run()


@dataclass(frozen=True, eq=False)
class Wanted:
    """An operand packed outside of a loop: `input` of the loop's body stands for what `packing`
    makes of `sources`, values of that body which stand still in it."""

    input: Node
    packing: Packing
    sources: tuple[Node, ...]


@dataclass(eq=False)
class Level:
    """One graph being rewritten; `still` are the inputs that the loop around does not change."""

    graph: Graph
    isa: Isa
    still: frozenset[Node]
    known: Known
    wanted: dict[Hashable, Wanted] = field(default_factory=dict)
    made: dict[Hashable, Node] = field(default_factory=dict)
    packings: dict[Graph, list[Packing]] = field(default_factory=dict)
    apart: set[Packing] = field(default_factory=set)

    def run(self) -> Graph:
        """The graph with what it wants as further inputs."""
        self.choose()
        done: dict[Node, Node] = {}
        for node in self.graph.nodes():
            args = tuple(done[a] for a in node.args)
            if node.op is higher.FUSED:
                done[node] = self._launch(node, args)
            elif node.op is SCAN:
                done[node] = self._scan(node, args)
            elif is_control(node):
                done[node] = with_bodies(node, args, lambda g: Level(
                    g, self.isa, frozenset(), self.known).run())
            else:
                done[node] = rebuild(node, args)
        more = tuple(w.input for w in self.wanted.values())
        graph = self.graph
        return Graph(graph.name, (*graph.inputs, *more), tuple(done[o] for o in graph.outputs),
                     graph.output_names, graph.updates, graph.notes)

    def stands_still(self, node: Node) -> bool:
        return node in self.still or node.op is leaf.ARRAY

    def _scan(self, node: Node, args: Sequence[Node]) -> Node:
        (body,) = bodies_of(node)
        fixed = node.attrs["carries"] + node.attrs["sequences"]
        inner = Level(body, self.isa, frozenset(body.inputs[fixed:]), self.known)
        new = inner.run()
        outer = dict(zip(body.inputs, args, strict=True))
        more = [self.packed(w.packing, [outer.get(s, s) for s in w.sources])
                for w in inner.wanted.values()]
        with serving(node.locs):
            return intern(SCAN, (*args, *more), {**node.attrs, "body": new}, node.type, node.name)

    def packed(self, packing: Packing, sources: Sequence[Node]) -> Node:
        """What `packing` makes of `sources`: an input where they stand still here, too, else a
        launch."""
        key = (packing.key, tuple(map(id, sources)))
        if all(map(self.stands_still, sources)) and self.still:
            if key not in self.wanted:
                (out,) = packing.pack.outputs
                given = input_(out.name, out.type)
                given.locs = out.locs
                self.wanted[key] = Wanted(given, packing, tuple(sources))
            return self.wanted[key].input
        if key not in self.made:
            (out,) = packing.pack.outputs
            with serving(out.locs):
                self.made[key] = intern(higher.FUSED, tuple(sources), {"body": packing.pack},
                                        out.type, out.name)
        return self.made[key]

    # ---- a launch ----------------------------------------------------------------------------

    def choose(self) -> None:
        """Which operands of launches are packed apart, though the loop around changes them."""
        asked: dict[Hashable, list[tuple[Node, Packing]]] = {}
        for node in self.graph.nodes():
            body = node.attrs["body"] if node.op is higher.FUSED else None
            outer = dict(zip(body.inputs, node.args, strict=True)) if body else {}
            for part in components(body) if body else ():
                self.packings[part] = packings_of(part, self.isa, self.known)
                for p in self.packings[part]:
                    key = (p.key, tuple(id(outer[i]) for i in p.inputs))
                    asked.setdefault(key, []).append((node, p))
        for found in asked.values():
            if pays(found[0][1], times_of(found), self.isa.limits):
                self.apart.update(p for _, p in found)

    def _launch(self, node: Node, args: Sequence[Node]) -> Node:
        """The launch with operands given as they are packed."""
        body: Graph = node.attrs["body"]
        outer = dict(zip(body.inputs, args, strict=True))
        twins: dict[Node, Node] = {}
        for part in components(body):
            given: dict[Node, Node] = {}
            for found in self.packings[part]:
                sources = [outer[i] for i in found.inputs]
                if found in self.apart or (self.still and all(map(self.stands_still, sources))):
                    given[found.operand] = found.seen_in(self.seen(outer, found, sources))
                    product = found.product
            if given:
                with serving(product.locs):
                    twins[product] = rebuild(product, [given.get(a, a) for a in product.args])
        if not twins:
            return rebuild(node, args)
        outputs = tuple(substitute(body.outputs, twins))
        read = set(toposort(outputs))
        inputs = tuple(i for i in outer if i in read)
        with serving(node.locs):
            packed = replace_fields(body, inputs=inputs, outputs=outputs)
            return intern(node.op, tuple(outer[i] for i in inputs), {"body": packed}, node.type,
                          node.name)

    def seen(self, outer: dict[Node, Node], packing: Packing, sources: Sequence[Node]) -> Node:
        """An input of a launch's body that is what `packing` makes of `sources`; `outer` gets it.
        """
        packed = self.packed(packing, sources)
        for inside, outside in outer.items():
            if outside is packed:
                return inside
        inside = input_(packed.name, packed.type)
        inside.locs = packed.locs
        outer[inside] = packed
        return inside


def times_of(found: Sequence[tuple[Node, Packing]]) -> int:
    """How often launches pack an operand that all of them want in one form: rows of A once in each,
    for all of its products."""
    if found[0][1].form.side == "a":
        return len({node for node, _ in found})
    return sum(p.times for _, p in found)
