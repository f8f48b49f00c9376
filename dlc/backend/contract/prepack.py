"""Packing before a loop: an operand that stands still is laid out for the tiles once.

    def body(h, x, w):                          def body(h, x, packed):
        return tanh(x + matmul(h, w))    ->         return tanh(x + matmul(h, w seen in packed))

    scan(h0, xs, w)                             scan(h0, xs, fused_pack(w))

The packing is a launch like any other, before the outermost loop in which its operand does not
change; two products that need one operand in one form share it. Runs on fused graphs, since the
form depends on the instruction set.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from dlc.backend.contract import lower as contract
from dlc.backend.contract.ready import Form, pack, roles, unpack
from dlc.backend.cpu.isa import Isa
from dlc.backend.lower import structure
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
    """Pack operands that stand still before the loops around them (see the module)."""
    if not any(is_control(n) for n in graph.nodes()):
        return graph
    with building(Build()):
        return Level(graph, isa, frozenset()).run()


@dataclass(frozen=True, eq=False)
class Wanted:
    """An operand packed outside of a loop: `input` of the loop's body stands for what `pack` makes
    of `sources`, values of that body which stand still in it."""

    input: Node
    pack: Graph
    sources: tuple[Node, ...]


@dataclass(eq=False)
class Level:
    """One graph being rewritten; `still` are the inputs that the loop around does not change."""

    graph: Graph
    isa: Isa
    still: frozenset[Node]
    wanted: dict[Hashable, Wanted] = field(default_factory=dict)
    made: dict[Hashable, Node] = field(default_factory=dict)

    def run(self) -> Graph:
        """The graph with what it wants as further inputs."""
        done: dict[Node, Node] = {}
        for node in self.graph.nodes():
            args = tuple(done[a] for a in node.args)
            if node.op is higher.FUSED and self.still:
                done[node] = self._launch(node, args)
            elif node.op is SCAN:
                done[node] = self._scan(node, args)
            elif is_control(node):
                done[node] = with_bodies(node, args, lambda g: Level(g, self.isa,
                                                                     frozenset()).run())
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
        inner = Level(body, self.isa, frozenset(body.inputs[fixed:]))
        new = inner.run()
        outer = dict(zip(body.inputs, args, strict=True))
        more = [self.packed(w.pack, [outer.get(s, s) for s in w.sources])
                for w in inner.wanted.values()]
        with serving(node.locs):
            return intern(SCAN, (*args, *more), {**node.attrs, "body": new}, node.type, node.name)

    def packed(self, pack: Graph, sources: Sequence[Node]) -> Node:
        """What `pack` makes of `sources`: an input where they stand still here, too, else a
        launch."""
        key = (structure(pack, {}), tuple(map(id, sources)))
        if all(map(self.stands_still, sources)) and self.still:
            if key not in self.wanted:
                (out,) = pack.outputs
                given = input_(out.name, out.type)
                given.locs = out.locs
                self.wanted[key] = Wanted(given, pack, tuple(sources))
            return self.wanted[key].input
        if key not in self.made:
            (out,) = pack.outputs
            with serving(out.locs):
                self.made[key] = intern(higher.FUSED, tuple(sources), {"body": pack}, out.type,
                                        out.name)
        return self.made[key]

    # ---- a launch ----------------------------------------------------------------------------

    def _launch(self, node: Node, args: Sequence[Node]) -> Node:
        """The launch with the operands that stand still given as they are packed."""
        body: Graph = node.attrs["body"]
        outer = dict(zip(body.inputs, args, strict=True))
        still = {i for i, a in outer.items() if self.stands_still(a)}
        twins: dict[Node, Node] = {}
        for part in components(body) if still else ():
            found = packing_of(part, still, self.isa)
            if found is not None:
                given = self.packed(found.pack, [outer[i] for i in found.inputs])
                seen = input_(given.name, given.type)
                seen.locs = given.locs
                outer[seen] = given
                twins[found.product] = found.reading(seen)
        if not twins:
            return rebuild(node, args)
        outputs = tuple(substitute(body.outputs, twins))
        read = set(toposort(outputs))
        inputs = tuple(i for i in outer if i in read)
        with serving(node.locs):
            return intern(node.op, tuple(outer[i] for i in inputs),
                          {"body": Graph(body.name, inputs, outputs)}, node.type, node.name)


@dataclass(frozen=True, eq=False)
class Packing:
    """An operand of a contraction that can be packed apart, by `pack` from `inputs` of the body."""

    product: Node
    operand: Node
    order: tuple[int, ...]
    form: Form
    pack: Graph
    inputs: tuple[Node, ...]

    def reading(self, packed: Node) -> Node:
        """The product with its operand seen in `packed`."""
        with serving(self.product.locs):
            view = unpack(packed, self.operand, self.order, self.form)
            return rebuild(self.product,
                           [view if a is self.operand else a for a in self.product.args])


def packing_of(part: Graph, still: set[Node], isa: Isa) -> Packing | None:
    """The operand of a component's contraction that stands still, where tiles want it packed whole;
    None where there is none."""
    if not part.outputs or not contract.uses_tiles(part, isa.limits):
        return None
    y = contract.contraction_of(part)
    phases = contract.phases_of(y) if y is not None else []
    if y is None or len(phases) != 1 or not contract.shape_of(y).k:
        return None
    loads = {i: f"x{at}" for at, i in enumerate(part.inputs)}
    writer = contract.writer_of(contract.job_of(phases[0], y, loads, {}, isa), lambda *_: None, isa)
    for side in ("a", "b"):
        form, found = writer.form(side), roles(writer.job, side)
        if form is None or found is None or writer.ready[side] is not None:
            continue
        operand, order = found
        inputs = tuple(n for n in toposort([operand]) if n.op is leaf.INPUT)
        if inputs and still.issuperset(inputs) and operand.type.dtype is writer.job.kind and (
                sum(a is operand for a in y.args) == 1 and is_worth(operand, inputs, form)):
            return Packing(y, operand, order, form, packing_graph(operand, inputs, order, form),
                           inputs)
    return None


def is_worth(operand: Node, inputs: Sequence[Node], form: Form) -> bool:
    """Whether the packed form has not many times the elements of what it is made of: broadcasts
    and windows repeat theirs, and a few rows would be filled up to a whole panel."""
    size = max(int(operand.type.size), form.size)
    return size <= 2 * sum(int(i.type.size) for i in inputs)


def packing_graph(operand: Node, inputs: Sequence[Node], order: tuple[int, ...],
                  form: Form) -> Graph:
    """The body of the launch that packs."""
    fresh = {i: input_(i.name, i.type) for i in inputs}
    for old, new in fresh.items():
        new.locs = old.locs
    with serving(operand.locs):
        (twin,) = substitute([operand], fresh)
        made = pack(twin, order, form)
    made.name = f"{inputs[0].name or 'operand'}_packed"
    return Graph("fused_pack", tuple(fresh.values()), (made,))
