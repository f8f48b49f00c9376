"""What may be written in place: a result of a launch over one of the launch's operands."""

from __future__ import annotations

from collections.abc import Iterable

from dlc.graph import Graph, Kind, Node
from dlc.ops import higher, view
from dlc.ops.axes import carried, classes_of
from dlc.ops.control import COND, SCAN
from dlc.passes.components import components


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
    twin = body.inputs[[a is operand for a in launch.args].index(True)]
    result = body.outputs[value.attrs["index"] if value.op is higher.ITEM else 0]
    if sum(a is operand for a in launch.args) > 1 or not same_place(twin, result):
        return False
    return only_base(body, twin, result) or only_pointwise(body, twin, result)


def only_base(body: Graph, twin: Node, result: Node) -> bool:
    """Whether `twin` is nothing but what a scatter writes onto: it writes the places it names, and
    reads no other."""
    onto = result.op.kind is Kind.SCATTER and len(result.args) > 2 and result.args[2] is twin
    reading = [n for n in body.nodes() if any(a is twin for a in n.args)]
    return onto and len(reading) == 1 and sum(a is twin for a in result.args) == 1 and not any(
        o is twin for o in body.outputs)


def same_place(operand: Node, value: Node) -> bool:
    """Whether one place can hold both: a kernel's parameter has one dtype, an element one place."""
    return operand.type.dtype is value.type.dtype and (
        tuple(operand.type.shape) == tuple(value.type.shape)) and (
        operand.type.layout == value.type.layout)


def only_pointwise(body: Graph, twin: Node, result: Node) -> bool:
    """Whether the input `twin` is read only elementwise, on the way to stores beside `result`."""
    reached = {twin}
    for node in body.nodes():
        if not any(a in reached for a in node.args):
            continue
        if len(carried(node, node.args[0])) != twin.ndim and not is_copy(node):
            return False
        if node.op.kind is not Kind.ELEMENTWISE and not is_copy(node):
            return False
        reached.add(node)
    # every store that depends on the operand runs in the loop that overwrites it
    touched = [o for o in body.outputs if o in reached]
    classes = classes_of(body.nodes())
    same = all(classes.of(o) == classes.of(twin) for o in (*touched, result))
    return same and one_visit(body, [*touched, result]) and alone(body, twin, result)


def is_copy(node: Node) -> bool:
    """Whether the node is its operand again, under another name: see dlc/passes/separate.py."""
    return node.op is view.RESHAPE and same_place(node.args[0], node)


def one_visit(body: Graph, outputs: Iterable[Node]) -> bool:
    """Whether one visit of the loops stores an element of each of `outputs`, which walk the same
    axes: loops follow one another where a reduction has to be finished in between, and which of
    them are is decided by lowering. Outputs of the same reductions share a loop in any case."""
    below: dict[Node, frozenset[Node]] = {}
    for node in body.nodes():
        own = {node} if node.op.kind is Kind.REDUCE else set()
        below[node] = frozenset(own).union(*(below[a] for a in node.args))
    return len({below[o] for o in outputs}) <= 1


def alone(body: Graph, twin: Node, result: Node) -> bool:
    """Whether only the component that makes `result` reads `twin`: components run at one time."""
    reading = [p for p in components(body) if any(i is twin for i in p.inputs)]
    return all(any(o is result for o in p.outputs) and
               not any(n.op.kind is Kind.SCATTER for n in p.nodes()) for p in reading)
