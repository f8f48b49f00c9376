"""verify: every invariant of a Graph; one message names node, user's line and the rule broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.ir.attributes import Literal
from dlc.ir.graph import Graph, Node, OpError
from dlc.ir.registry import EARLIER, REGISTRY, operand_count
from dlc.ir.types import DTYPES, DTypeError, TupleType, Type
from dlc.ops import leaf, tuples


class VerifyError(DlcError):
    """A graph that breaks an invariant: a fault of the pass that made it, not of the user.

    `invariant` is the rule's name (one of INVARIANTS), `node` the offender when there is one.
    """

    def __init__(self, invariant: str, message: str, node: Node | None = None) -> None:
        self.invariant, self.node = invariant, node
        where = f"node {node!r}: " if node is not None else ""
        super().__init__(f"invalid graph: {where}{message} (invariant: {INVARIANTS[invariant]})",
                         node.loc if node is not None else None)


INVARIANTS = {
    "acyclic": "a node comes after its operands",
    "operator": "a node's operator is a registered record, or was until it was defined again",
    "operands": "operands are nodes, as many as the operator takes, and only `item` reads a tuple",
    "attributes": "attributes are named by the operator and hashable",
    "type": "a node's type is what its operator infers",
    "dimensions": "dimensions are non-negative integers, a layout permutes the axes",
    "constant": "a constant's value is one of its dtype",
    "inputs": "every input that is read is declared, once, under a name of its own",
    "outputs": "outputs are arrays and have as many names, all different",
    "updates": "an update replaces one declared input by an output of its type",
    "body": "a body is a valid graph, closed: it shares no input with a graph around it",
}


def verify(graph: Graph) -> None:
    """Check every invariant of `graph` and of the graphs inside it. Raises VerifyError."""
    _verify(graph, {}, set())


def _verify(graph: Graph, around: Mapping[Node, Graph], done: set[int]) -> None:
    _verify_outputs(graph)
    _verify_operands(graph)
    nodes = _verify_order(graph)
    for node in nodes:
        _verify_node(node)
    _verify_inputs(graph, nodes, around)
    _verify_updates(graph)
    for node in nodes:
        for value in node.attrs.values():
            if isinstance(value, Graph) and id(value) not in done:
                done.add(id(value))
                _verify_body(node, value, {**around, **dict.fromkeys(graph.inputs, graph)}, done)


def _verify_body(node: Node, body: Graph, around: Mapping[Node, Graph], done: set[int]) -> None:
    try:
        _verify(body, around, done)
    except VerifyError as problem:
        if problem.invariant == "body":
            raise
        raise VerifyError("body", f"in its body {body.name}: {problem.message}", node) from None


def _verify_operands(graph: Graph) -> None:
    """Before any walk that takes it for granted: whatever is reached is a node."""
    stack = list(graph.outputs)
    seen = set(map(id, stack))
    while stack:
        node = stack.pop()
        for arg in node.args:
            if not isinstance(arg, Node):
                raise VerifyError("operands", f"operand {arg!r} is not a node", node)
            if id(arg) not in seen:
                seen.add(id(arg))
                stack.append(arg)


def _verify_order(graph: Graph) -> list[Node]:
    nodes = graph.nodes()
    seen: set[int] = set()
    for node in nodes:
        for arg in node.args:
            if id(arg) not in seen:
                raise VerifyError("acyclic", f"it depends on itself through {arg!r}", node)
        seen.add(id(node))
    return nodes


def _verify_outputs(graph: Graph) -> None:
    for output in graph.outputs:
        if not isinstance(output, Node):
            raise VerifyError("outputs", f"{graph.name} returns {output!r}, which is not a node")
        if isinstance(output.type, TupleType):
            raise VerifyError("outputs", f"{graph.name} returns a tuple", output)
    names = graph.output_names
    if names and len(names) != len(graph.outputs):
        raise VerifyError("outputs", f"{graph.name} has {len(graph.outputs)} outputs and "
                                     f"{len(names)} names")
    twice = [n for n in names if names.count(n) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise VerifyError("outputs", f"{graph.name} has two outputs named {twice[0]!r}")


def _verify_inputs(graph: Graph, nodes: list[Node], around: Mapping[Node, Graph]) -> None:
    labels: set[str] = set()
    for node in graph.inputs:
        if node.op is not leaf.INPUT:
            raise VerifyError("inputs", f"{graph.name} declares it, but it is not an input", node)
        label = node.attrs["label"]
        if label in labels:
            raise VerifyError("inputs", f"{graph.name} has two inputs named {label!r}", node)
        labels.add(label)
        if node in around:
            raise VerifyError("body", f"it is an input of {around[node].name} and of {graph.name} "
                                      f"inside it", node)
    declared = set(graph.inputs)
    for node in nodes:
        if node.op is leaf.INPUT and node not in declared:
            raise VerifyError("inputs", f"{graph.name} reads it without declaring it", node)


def _verify_updates(graph: Graph) -> None:
    inputs = {i.attrs["label"]: i for i in graph.inputs}
    outputs = dict(zip(graph.output_names, graph.outputs, strict=False))
    replaced: set[str] = set()
    for name, label in graph.updates.items():
        if name not in outputs or label not in inputs:
            missing = f"output {name!r}" if name not in outputs else f"input {label!r}"
            raise VerifyError("updates", f"{graph.name}: update of {label!r} by {name!r}: there "
                                         f"is no {missing}")
        old, new = inputs[label], outputs[name]
        if (old.type.dtype, tuple(old.type.shape)) != (new.type.dtype, tuple(new.type.shape)):
            raise VerifyError("updates", f"it is {new.type} and replaces {label}: {old.type}", new)
        if label in replaced:
            raise VerifyError("updates", f"{graph.name} updates {label!r} twice", new)
        replaced.add(label)


# --- one node -------------------------------------------------------------------------------------


def _verify_node(node: Node) -> None:
    if REGISTRY.get(node.op.name) is not node.op and node.op not in EARLIER:
        raise VerifyError("operator", f"{node.op.name} is not the registered operator", node)
    for arg in node.args:
        if isinstance(arg.type, TupleType) and node.op is not tuples.ITEM:
            raise VerifyError("operands", f"operand {arg!r} is a tuple", node)
    _verify_attributes(node)
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    for type_ in types:
        _verify_type(node, type_)
    _verify_inferred(node)
    if node.op in (leaf.CONSTANT, leaf.ARRAY):
        _verify_value(node)


def _verify_attributes(node: Node) -> None:
    try:
        hash(tuple(node.attrs.values()))
    except TypeError as problem:
        raise VerifyError("attributes", str(problem), node) from None
    if node.op is leaf.INPUT:
        for key in ("label", "role"):
            if not isinstance(node.attrs.get(key), str):
                raise VerifyError("attributes", f"{key} {node.attrs.get(key)!r}", node)


def _verify_type(node: Node, type_: Any) -> None:
    if not isinstance(type_, Type) or DTYPES.get(type_.dtype.name) is not type_.dtype:
        raise VerifyError("type", f"{type_!r} is not a type", node)
    for dim in type_.shape:
        if not isinstance(dim, int) or isinstance(dim, bool) or dim < 0:
            raise VerifyError("dimensions", f"dimension {dim!r} of {type_}", node)
    if type_.layout is not None and sorted(type_.layout) != list(range(type_.ndim)):
        raise VerifyError("dimensions", f"layout {type_.layout} of {type_}", node)


def _plain(type_: Any) -> Any:
    """dtype and shape: what an operator infers; the layout is a pass's choice."""
    if isinstance(type_, TupleType):
        return tuple(map(_plain, type_.items))
    return type_.dtype, tuple(type_.shape)


def _verify_inferred(node: Node) -> None:
    if operand_count(node.op) not in (None, len(node.args)):
        raise VerifyError("operands", f"{node.op.name} takes {operand_count(node.op)} operands, "
                                      f"not {len(node.args)}", node)
    try:
        inferred = node.op.infer(*(a.type for a in node.args), **node.attrs)
    except (OpError, DTypeError) as problem:
        raise VerifyError("type", f"its operands do not fit: {problem}", node) from None
    except TypeError as problem:
        raise VerifyError("attributes", str(problem), node) from None
    except (ValueError, IndexError, KeyError, AttributeError) as problem:
        raise VerifyError("type", f"no type can be inferred: {problem!r}", node) from None
    if _plain(inferred) != _plain(node.type):
        raise VerifyError("type", f"its type is {node.type}, its operands give {inferred}", node)


def _verify_value(node: Node) -> None:
    value, type_ = node.attrs["value"], node.type
    if node.op is leaf.ARRAY:
        data = value.array if isinstance(value, Literal) else None
        if data is None or data.dtype != type_.dtype.numpy or data.shape != tuple(type_.shape):
            raise VerifyError("constant", f"its value is not an array of {type_}", node)
        return
    kind = bool if type_.dtype.category == "bool" else int if type_.dtype.is_integer else float
    if type(value) is not kind or not _holds(type_, value):
        raise VerifyError("constant", f"its value {value!r} is not of dtype {type_.dtype}", node)


def _holds(type_: Type, value: Any) -> bool:
    if type_.dtype.is_integer:
        info = np.iinfo(type_.dtype.numpy)
        return bool(info.min <= value <= info.max)
    with np.errstate(all="ignore"):
        return bool(value != value or float(type_.dtype.numpy.type(value)) == value)
