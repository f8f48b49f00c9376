"""From an ONNX graph to nodes: the walk over its operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from dlc.errors import DlcError, Loc
from dlc.ir.graph import Node, serving
from dlc.onnx import families
from dlc.onnx.call import CONVERTERS, Call, Unknown, Value, array
from dlc.onnx.check import FunctionKey, title
from dlc.onnx.known import Known
from dlc.onnx.proto import Source, identifier, onnx_package, opsets, plain_domain
from dlc.onnx.schema import attributes_of, body_of, check_call, defaults_of, schema_of
from dlc.onnx.tensors import LARGEST, array_of

# What one conversion may come to: operators (loops unrolled), depth of functions and graphs.
OPERATORS, DEPTH = 30_000, 64
# What a malformed attribute or operand makes converters raise, before anything is built of it.
MALFORMED = (ValueError, TypeError, IndexError, KeyError, OverflowError, ZeroDivisionError,
             AttributeError, RuntimeError, AssertionError, MemoryError)


class Located(DlcError):
    """An error that already says which node it is about."""


class LocatedUnknown(Located, Unknown):
    """As `Unknown`, for a node."""

    def __init__(self, message: str, problem: Unknown) -> None:
        DlcError.__init__(self, message, problem.loc, problem.hint)
        self.inputs = problem.inputs


@dataclass
class Frame:
    """The names of one graph or function body, with those around it."""

    opsets: Mapping[str, int]
    values: dict[str, Value] = field(default_factory=dict)
    outer: Frame | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 0

    def find(self, name: str) -> Value:
        frame: Frame | None = self
        while frame is not None:
            if name in frame.values:
                return frame.values[name]
            frame = frame.outer
        raise DlcError(f"the value {name!r} is never produced")


@dataclass
class Walk:
    """One conversion: the model's functions, what is known, and how much was built."""

    where: Source
    functions: Mapping[FunctionKey, Any]
    knows: Known = field(default_factory=Known)
    operators: int = 0

    def __post_init__(self) -> None:
        families.load()

    # --- graphs -----------------------------------------------------------------------------------

    def graph(self, graph: Any, frame: Frame) -> list[Value]:
        """The outputs of a graph whose inputs stand in `frame`."""
        for tensor in graph.initializer:
            frame.values.setdefault(tensor.name, array(array_of(tensor, self.where)))
        self.run(graph.node, frame)
        return [frame.find(v.name) for v in graph.output]

    def subgraph(self, graph: Any, args: Sequence[Value], outer: Frame) -> list[Value]:
        """The outputs of a graph inside a node, for values of its inputs."""
        if len(args) != len(graph.input):
            raise DlcError(f"its graph {graph.name!r} has {len(graph.input)} inputs, not "
                           f"{len(args)}")
        values = {v.name: a for v, a in zip(graph.input, args, strict=True)}
        return self.graph(graph, Frame(outer.opsets, values, outer, outer.attributes,
                                       outer.depth + 1))

    def run(self, nodes: Any, frame: Frame) -> None:
        """Build every operator of a graph into `frame`."""
        if frame.depth > DEPTH:
            raise DlcError(f"graphs and functions are more than {DEPTH} deep")
        self.count()  # a loop over a graph without operators takes time, too
        for number, node in enumerate(nodes, 1):
            self.count()
            with self.serving(number, frame):
                results = self.told(node, frame)
            for name, value in zip(node.output, results, strict=False):
                if name:
                    frame.values[name] = self.named(value, name)

    def count(self) -> None:
        """Count an operator or a graph. Raises DlcError for too many."""
        self.operators += 1
        if self.operators > OPERATORS:
            raise DlcError(f"{self.where.name}: more than {OPERATORS} operators, with loops "
                           "unrolled")

    def serving(self, number: int, frame: Frame) -> AbstractContextManager[None]:
        """Nodes made inside serve the `number`th operator of the file: model.onnx/node:3."""
        if self.where.folder is None or frame.depth:
            return nullcontext()
        return serving((Loc(f"{self.where.name}/node", number),))

    def told(self, node: Any, frame: Frame) -> Sequence[Value]:
        """The results of one operator; its mistakes name it."""
        try:
            return self.operator(node, frame)
        except Located:
            raise
        except Unknown as problem:
            raise LocatedUnknown(self.message(node, problem.message), problem) from None
        except DlcError as problem:
            raise Located(self.message(node, problem.message), problem.loc, problem.hint) from None
        except MALFORMED as problem:
            raise Located(self.message(node, f"malformed: {problem}")) from problem

    def message(self, node: Any, text: str) -> str:
        return f"{self.where.name}: {title(node)}: {text}"

    def named(self, value: Value, name: str) -> Value:
        """`value`, called by its name in print; refused when no memory could hold it."""
        if isinstance(value, Node):
            if value.type.size > LARGEST:
                raise DlcError(f"{self.where.name}: {name!r} would be {value.type}")
            if not value.name:
                value.name = identifier(name)
        return value

    # --- operators --------------------------------------------------------------------------------

    def operator(self, node: Any, frame: Frame) -> Sequence[Value]:
        """The results of one operator."""
        domain = plain_domain(node.domain)
        operands = tuple(frame.find(name) if name else None for name in node.input)
        attributes = attributes_of(node.attribute, frame.attributes, self.where)
        function = self.functions.get((domain, node.op_type))
        if function is not None:
            return self.function(function, operands, attributes, frame)
        if domain not in frame.opsets:
            raise DlcError(f"the domain {domain or 'ai.onnx'!r} is not imported by the model")
        opset = frame.opsets[domain]
        schema = schema_of(node.op_type, domain, opset)
        check_call(schema, attributes, node, operands)
        attributes = {**defaults_of(node.op_type, domain, opset), **attributes}
        convert = CONVERTERS.get((domain, node.op_type))
        if convert is None:
            return self.defined(schema, node, opset, operands, attributes, frame)
        results = convert(Call(self, node, opset, operands, attributes,
                               tuple(map(bool, node.output)), frame))
        results = results if isinstance(results, tuple) else (results,)
        if len(results) < len(node.output):
            raise DlcError(f"{len(node.output)} results are asked for, dlc gives {len(results)}")
        return results

    def function(self, function: Any, operands: Sequence[Value], attributes: Mapping[str, Any],
                 frame: Frame) -> Sequence[Value]:
        """The results of a function's body, built in place."""
        if len(operands) > len(function.input):
            raise DlcError(f"{len(operands)} operands, the function takes {len(function.input)}")
        given = [*operands, *[None] * (len(function.input) - len(operands))]
        defaults = attributes_of(function.attribute_proto, {}, self.where)
        inner = Frame({**frame.opsets, **opsets(function.opset_import, self.where)},
                      dict(zip(function.input, given, strict=True)), None,
                      {**defaults, **attributes}, frame.depth + 1)
        self.run(function.node, inner)
        # a standard body leaves out what nobody asked for
        return [inner.values.get(name) for name in function.output]

    def defined(self, schema: Any, node: Any, opset: int, operands: Sequence[Value],
                attributes: Mapping[str, Any], frame: Frame) -> Sequence[Value]:
        """An operator that has no converter, by the function that the standard defines it by."""
        body = body_of(schema, node, attributes, opset, operands)
        if body is None:
            raise DlcError(f"dlc has no operator for {node.op_type}")
        newest = onnx_package().defs.onnx_opset_version()
        within = Frame({"": newest, **frame.opsets}, depth=frame.depth)
        return self.function(body, operands, attributes, within)
