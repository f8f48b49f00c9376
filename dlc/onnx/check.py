"""The structure of a model, checked before anything is built of it: names, order, recursion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dlc.errors import DlcError, printable
from dlc.onnx.proto import Source, opsets, plain_domain
from dlc.onnx.tensors import checked_dims

DEPTH = 32  # of graphs within graphs
LONGEST_TITLE = 80  # characters of an operator's name in a message
GRAPH, GRAPHS = 5, 10  # AttributeProto.AttributeType
FunctionKey = tuple[str, str]
Scopes = tuple[set[str], ...]  # the names of each graph around, as far as they are made


def check_model(model: Any, where: Source) -> dict[FunctionKey, Any]:
    """The model's functions by (domain, name). Raises DlcError for a model that is not sound.

    Every name is made once and before it is read (so there are no cycles), functions do not call
    themselves, declared dimensions are sizes.
    """
    functions: dict[FunctionKey, Any] = {}
    for function in model.functions:
        key = plain_domain(function.domain), function.name
        if key in functions:
            raise DlcError(f"{where.name}: two functions {function.name!r}")
        functions[key] = function
    check_graph(model.graph, (), where, 0)
    for function in functions.values():
        check_function(function, where)
    check_recursion(functions, where)
    return functions


def check_graph(graph: Any, outer: Scopes, where: Source, depth: int) -> None:
    """Raise DlcError unless `graph`, which sees the names of the graphs around it, is sound."""
    if depth > DEPTH:
        raise DlcError(f"{where.name}: graphs within graphs, more than {DEPTH} deep")
    if graph.sparse_initializer:
        raise DlcError(f"{where.name}: sparse initializers are not read")
    inputs = distinct((v.name for v in graph.input), "input", where)
    given = distinct((t.name for t in graph.initializer), "initializer", where)
    distinct((v.name for v in graph.output), "output", where)
    for value in (*graph.input, *graph.output):
        check_value(value, where)
    if depth == 0 and not graph.output:
        raise DlcError(f"{where.name}: the graph has no outputs")
    made = check_nodes(graph.node, outer, inputs | given, where, depth)
    for value in graph.output:
        if value.name not in made and not sees(outer, value.name):
            raise DlcError(f"{where.name}: the output {value.name!r} is never produced")


def distinct(names: Iterable[str], what: str, where: Source) -> set[str]:
    """`names` as a set. Raises DlcError for one that stands twice or is empty."""
    found: set[str] = set()
    for name in names:
        if not name:
            raise DlcError(f"{where.name}: an {what} without a name")
        if name in found:
            raise DlcError(f"{where.name}: two {what}s are named {name!r}")
        found.add(name)
    return found


def check_value(value: Any, where: Source) -> None:
    """Raise DlcError for declared dimensions that are not sizes."""
    if value.type.WhichOneof("value") == "tensor_type":
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim if d.HasField("dim_value")]
        checked_dims(dims, f"{where.name}: {value.name!r}")


def sees(outer: Scopes, name: str) -> bool:
    return any(name in names for names in outer)


def check_nodes(nodes: Any, outer: Scopes, seen: set[str], where: Source, depth: int) -> set[str]:
    """The names that exist after `nodes`. Raises DlcError for a name read before it is made."""
    made = set(seen)
    later = {name for node in nodes for name in node.output}
    for node in nodes:
        for name in node.input:
            if name and name not in made and not sees(outer, name):
                reason = ("before it is made: the nodes form a cycle or are out of order"
                          if name in later else "which is never produced")
                raise DlcError(f"{where.name}: {title(node)} reads {name!r} {reason}")
        for graph in subgraphs(node):
            check_graph(graph, (*outer, made), where, depth + 1)
        for name in filter(None, node.output):
            if name in made:
                raise DlcError(f"{where.name}: {title(node)} produces {name!r}, which is already "
                               "defined")
            made.add(name)
    return made


def title(node: Any) -> str:
    """A node in messages: its operator, and its name where it has one."""
    operator = printable(node.op_type, LONGEST_TITLE) or "a node"
    return f"{operator} {printable(node.name, LONGEST_TITLE)!r}" if node.name else operator


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.type == GRAPH:
            yield attribute.g
        elif attribute.type == GRAPHS:
            yield from attribute.graphs


def check_function(function: Any, where: Source) -> None:
    """Raise DlcError unless a function's body is sound."""
    opsets(function.opset_import, where)
    inputs = distinct(function.input, "input", where)
    made = check_nodes(function.node, (), inputs, where, 0)
    for name in distinct(function.output, "output", where):
        if name not in made:
            raise DlcError(f"{where.name}: the output {name!r} of the function "
                           f"{function.name!r} is never produced")


def check_recursion(functions: dict[FunctionKey, Any], where: Source) -> None:
    """Raise DlcError when a function calls itself, directly or through others."""
    done: set[FunctionKey] = set()
    for start in functions:
        stack: list[tuple[FunctionKey, bool]] = [(start, False)]
        running: set[FunctionKey] = set()
        while stack:
            key, leaving = stack.pop()
            if leaving:
                running.discard(key)
                done.add(key)
                continue
            if key in running:
                raise DlcError(f"{where.name}: the function {key[1]!r} calls itself")
            if key in done:
                continue
            running.add(key)
            stack.append((key, True))
            called = {c for c in calls(functions[key].node) if c in functions}
            looped = called & running
            if looped:
                raise DlcError(f"{where.name}: the function {min(looped)[1]!r} calls itself")
            stack.extend((c, False) for c in called)


def calls(nodes: Any) -> Iterator[FunctionKey]:
    """The operators that `nodes` use, those in their graphs included."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield plain_domain(node.domain), node.op_type
        for graph in subgraphs(node):
            waiting.extend(graph.node)
