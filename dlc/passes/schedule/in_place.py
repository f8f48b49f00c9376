"""In-place writes: which result of a launch may overwrite one of its operands."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from weakref import WeakKeyDictionary

from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.ops import tuples, view
from dlc.passes.fuse.axes import AxisClasses, carried, classes_of
from dlc.passes.fuse.components import components


class Body:
    """What a fused body reads and where, looked up once for all of its operands and results: one
    launch may hold the updates of all parameters."""

    def __init__(self, body: Graph) -> None:
        self.nodes, self.outputs = body.nodes(), set(body.outputs)
        self.position = {i: at for at, i in enumerate(body.inputs)}
        self.parts = components(body)
        self.readers: dict[Node, list[Node]] = {i: [] for i in body.inputs}
        for node in self.nodes:
            for arg in dict.fromkeys(node.args):
                self.readers.setdefault(arg, []).append(node)

    @cached_property
    def classes(self) -> AxisClasses:
        return classes_of(self.nodes)

    @cached_property
    def below(self) -> dict[Node, frozenset[Node]]:
        """The reductions that each node depends on."""
        found: dict[Node, frozenset[Node]] = {}
        for node in self.nodes:
            own = {node} if node.op.kind in (Kind.REDUCE, Kind.FOLD) else set()
            found[node] = frozenset(own).union(*(found[a] for a in node.args))
        return found

    @cached_property
    def part_of(self) -> dict[Node, Graph]:
        """The component that makes each result."""
        return {o: part for part in self.parts for o in part.outputs}

    @cached_property
    def reading(self) -> dict[Node, list[Graph]]:
        """The components that read each input."""
        found: dict[Node, list[Graph]] = {}
        for part in self.parts:
            for i in part.inputs:
                found.setdefault(i, []).append(part)
        return found

    @cached_property
    def scattering(self) -> set[Graph]:
        """The components with a scatter."""
        return {p for p in self.parts if any(n.op.kind is Kind.SCATTER for n in p.nodes())}


_BODIES: WeakKeyDictionary[Graph, Body] = WeakKeyDictionary()


def body_of(graph: Graph) -> Body:
    """What is known of a fused body."""
    if graph not in _BODIES:
        _BODIES[graph] = Body(graph)
    return _BODIES[graph]


@lru_cache(maxsize=64)
def places_of(launch: Node) -> dict[Node, list[int]]:
    """At which positions a launch takes each of its operands."""
    found: dict[Node, list[int]] = {}
    for at, a in enumerate(launch.args):
        found.setdefault(a, []).append(at)
    return found


def operands_of(launch: Node, value: Node) -> list[Node]:
    """The operands that the component which makes `value`, a result of a fused launch, reads."""
    body = body_of(launch.attrs["body"])
    read = body.part_of[result_of(launch, value)].inputs
    return [launch.args[body.position[i]] for i in read]


def result_of(launch: Node, value: Node) -> Node:
    """The node of a fused launch's body that `value` is."""
    result: Node = launch.attrs["body"].outputs[
        value.attrs["index"] if value.op is tuples.ITEM else 0]
    return result


def may_take_over(launch: Node, value: Node, operand: Node) -> bool:
    """Whether `value`, a result of `launch`, may be written where `operand` lies.

    Of a fused group, each element of the result may read only the same element of the operand, and
    nothing else of the launch may read the operand differently. A loop's result lies where its
    carry starts; a branch's may lie where any operand does: its bodies are ordered accordingly.
    """
    if launch.op is SCAN:
        at = value.attrs["index"]
        return at < launch.attrs["carries"] and launch.args[at] is operand and (
            sum(a is operand for a in launch.args) == 1)
    if launch.op is COND:
        return same_place(operand, value) and sum(a is operand for a in launch.args[1:]) <= 1
    body: Graph = launch.attrs["body"]
    places = places_of(launch)[operand]
    twin, result = body.inputs[places[0]], result_of(launch, value)
    if len(places) > 1 or not same_place(twin, result):
        return False
    return only_base(body, twin, result) or only_pointwise(body, twin, result)


def only_base(body: Graph, twin: Node, result: Node) -> bool:
    """Whether `twin` is nothing but what a scatter writes onto: it writes the places it names, and
    reads no other."""
    onto = result.op.kind is Kind.SCATTER and len(result.args) > 2 and result.args[2] is twin
    known = body_of(body)
    return onto and len(known.readers[twin]) == 1 and (
        sum(a is twin for a in result.args) == 1 and twin not in known.outputs)


def same_place(operand: Node, value: Node) -> bool:
    """Whether one place can hold both: a kernel's parameter has one dtype, an element one place."""
    return operand.type.dtype is value.type.dtype and (
        tuple(operand.type.shape) == tuple(value.type.shape)) and (
        operand.type.layout == value.type.layout)


def only_pointwise(body: Graph, twin: Node, result: Node) -> bool:
    """Whether the input `twin` is read only elementwise, on the way to stores beside `result`."""
    known = body_of(body)
    reached, stack = {twin}, [twin]
    while stack:
        for node in known.readers.get(stack.pop(), ()):
            if len(carried(node, node.args[0])) != twin.ndim and not is_copy(node):
                return False
            if node.op.kind is not Kind.ELEMENTWISE and not is_copy(node):
                return False
            if node not in reached:
                reached.add(node)
                stack.append(node)
    # every store that depends on the operand runs in the loop that overwrites it
    touched = [o for o in reached if o in known.outputs]
    classes = known.classes
    same = all(classes.of(o) == classes.of(twin) for o in (*touched, result))
    return same and one_visit(body, [*touched, result]) and alone(body, twin, result)


def is_copy(node: Node) -> bool:
    """Whether the node is its operand again, under another name: see passes/loops/separate.py."""
    return node.op is view.RESHAPE and same_place(node.args[0], node)


def one_visit(body: Graph, outputs: Iterable[Node]) -> bool:
    """Whether one visit of the loops stores an element of each of `outputs`, which walk the same
    axes: loops follow one another where a reduction has to be finished in between, and which of
    them are is decided by lowering. Outputs of the same reductions share a loop in any case."""
    below = body_of(body).below
    return len({below[o] for o in outputs}) <= 1


def alone(body: Graph, twin: Node, result: Node) -> bool:
    """Whether only the component that makes `result` reads `twin`: components run at one time."""
    known = body_of(body)
    return all(part is known.part_of[result] and part not in known.scattering
               for part in known.reading.get(twin, ()))
