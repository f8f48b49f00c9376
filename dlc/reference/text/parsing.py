"""parse_graph: the text of a graph back to the same nodes, with an error at the text's line."""

from __future__ import annotations

import ast
import linecache
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from inspect import Parameter, signature
from typing import Any

from dlc.derive import higher
from dlc.errors import DlcError, Loc, nearest
from dlc.ir.graph import Build, Graph, Node, Op, OpError, building
from dlc.ir.registry import REGISTRY, operand_count
from dlc.ir.types import DTypeError, Type
from dlc.ops import leaf, tuples
from dlc.reference.text.literals import (
    TextError,
    read_array,
    read_int,
    read_number,
    read_type,
    read_value,
)
from dlc.reference.text.locations import comments_by_line, read_locations
from dlc.reference.text.names import is_automatic
from dlc.reference.text.printing import FROM_TYPE, default_attributes, reference_type, told_by_type


@dataclass(frozen=True)
class Parsed:
    """A text's graph, and the arena offsets (bytes) that stand at its binders."""

    graph: Graph
    offsets: Mapping[Node, int]


def parse_graph(text: str, file: str = "<graph>") -> Graph:
    """The graph that `text` (from print_graph) describes: its last function.

    Raises DlcError with `file`, line, what is wrong there and what would be valid.
    """
    return parse_text(text, file).graph


def parse_text(text: str, file: str = "<graph>") -> Parsed:
    """Like parse_graph, with the arena offsets."""
    try:
        module = ast.parse(text)
        comments = _Comments(text)
        # numbers are made through the operators' own functions, apart from a build that is going on
        with building(Build()):
            return _read_module(module, comments)
    except (SyntaxError, tokenize.TokenError) as problem:
        line = getattr(problem, "lineno", None) or 1
        raise _error(str(getattr(problem, "msg", problem)), text, Loc(file, line), "") from None
    except TextError as problem:
        at = problem.node
        line, column = getattr(at, "lineno", 1), getattr(at, "col_offset", -1)
        same = getattr(at, "end_lineno", 0) == line
        loc = Loc(file, line, column, getattr(at, "end_col_offset", -1) if same else -1)
        raise _error(str(problem), text, loc, problem.hint) from None


def _error(message: str, text: str, loc: Loc, hint: str) -> DlcError:
    # the excerpt in the message is read through linecache
    linecache.cache[loc.file] = (len(text), None, text.splitlines(keepends=True), loc.file)
    return DlcError(message, loc, hint)


_Returned = tuple[tuple[Node, ...], tuple[str, ...], dict[str, str]]


class _Comments:
    """Which lines of the user stand at which line of the text."""

    def __init__(self, text: str) -> None:
        self.comments, self.alone = comments_by_line(text)

    def at(self, first: int, last: int) -> tuple[Loc, ...]:
        """Those behind the statement on lines first .. last, or alone on the line above it."""
        for line in range(first, last + 1):
            if line in self.comments and line not in self.alone:
                return read_locations(self.comments[line])
        return read_locations(self.comments[first - 1]) if first - 1 in self.alone else ()


def _read_module(module: ast.Module, comments: _Comments) -> Parsed:
    functions: dict[str, Graph] = {}
    offsets: dict[Node, int] = {}
    for statement in module.body:
        if not isinstance(statement, ast.FunctionDef):
            raise TextError("only functions stand at the top of a graph's text", statement)
        if statement.name in functions:
            raise TextError(f"function {statement.name} is defined twice", statement)
        reader = _Reader(functions, offsets, comments)
        functions[statement.name] = reader.function(statement)
    if not functions:
        raise TextError("no function in the text", module, "write: def f(x: f32[3]): return x")
    return Parsed(next(reversed(functions.values())), offsets)


@lru_cache(maxsize=1024)
def _keywords(op: Op) -> tuple[frozenset[str], bool]:
    """The attributes that `op` names, and whether it takes others."""
    parameters = signature(op.infer).parameters.values()
    names = frozenset(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY)
    return names, any(p.kind is Parameter.VAR_KEYWORD for p in parameters)


class _Reader:
    """Reads one function."""

    def __init__(self, functions: Mapping[str, Graph], offsets: dict[Node, int],
                 comments: _Comments) -> None:
        self.functions, self.offsets, self.comments = functions, offsets, comments
        self.values: dict[str, Node] = {}
        self.constants: dict[Any, Node] = {}

    def function(self, tree: ast.FunctionDef) -> Graph:
        inputs = self.inputs(tree)
        if not isinstance(tree.body[-1], ast.Return):
            raise TextError(f"{tree.name} does not end in a return", tree)
        for statement in tree.body[:-1]:
            self.binder(statement)
        outputs, names, updates = self.returned(tree.body[-1])
        return Graph(tree.name, inputs, outputs, names, updates)

    # --- binders ------------------------------------------------------------------------------

    def bind(self, name: str, node: Node, at: ast.AST) -> Node:
        if name in self.values:
            raise TextError(f"{name} is bound twice", at)
        self.values[name] = node
        return node

    def annotation(self, tree: ast.AST | None, at: ast.AST) -> tuple[Type, int | None]:
        """The type at a binder, and the arena offset behind `@`."""
        if tree is None:
            raise TextError("a type is missing here", at, "write name: f32[64, 10]")
        if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.MatMult):
            return read_type(tree.left), read_int(tree.right)
        return read_type(tree), None

    def inputs(self, tree: ast.FunctionDef) -> tuple[Node, ...]:
        arguments = tree.args
        extra = arguments.posonlyargs or arguments.kwonlyargs or arguments.vararg or arguments.kwarg
        if extra:
            raise TextError("inputs are plain parameters", tree)
        missing: list[ast.expr | None] = [None] * (len(arguments.args) - len(arguments.defaults))
        first = tree.lineno
        found = []
        for argument, default in zip(arguments.args, [*missing, *arguments.defaults], strict=True):
            type_, offset = self.annotation(argument.annotation, argument)
            role, label = self.role(default, argument.arg)
            line = argument.lineno
            locs = self.comments.at(line, line if line != first else tree.body[0].lineno - 1)
            attrs = {"type": type_, "label": label, "role": role}
            node = Node(leaf.INPUT, (), attrs, type_, locs, label)
            found.append(self.bind(argument.arg, node, argument))
            if offset is not None:
                self.offsets[node] = offset
        return tuple(found)

    def role(self, default: ast.expr | None, name: str) -> tuple[str, str]:
        """(role, label) of an input from its default: `data`, `param("conv.weight")`."""
        if default is None:
            return "arg", name
        if isinstance(default, ast.Name):
            return default.id, name
        if (isinstance(default, ast.Call) and isinstance(default.func, ast.Name)
                and len(default.args) == 1 and isinstance(default.args[0], ast.Constant)):
            return default.func.id, str(default.args[0].value)
        raise TextError("an input's default is its role", default,
                        'write it like param or param("conv.weight")')

    def binder(self, statement: ast.stmt) -> None:
        locs = self.comments.at(statement.lineno, statement.end_lineno or statement.lineno)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name, (type_, offset) = statement.target.id, self.annotation(
                statement.annotation, statement)
        elif (isinstance(statement, ast.Assign) and len(statement.targets) == 1
              and isinstance(statement.targets[0], ast.Name)):
            name, type_, offset = statement.targets[0].id, None, None
        else:
            raise TextError("a line binds one name", statement, "name: f32[64] = operator(x)")
        if statement.value is None:
            raise TextError(f"{name} has no value", statement)
        node = self.call(statement.value, type_, name, locs)
        self.bind(name, node, statement)
        if offset is not None:
            self.offsets[node] = offset

    # --- calls --------------------------------------------------------------------------------

    def call(self, tree: ast.expr, type_: Type | None, name: str, locs: tuple[Loc, ...]) -> Node:
        if isinstance(tree, ast.Subscript):
            source = self.variable(tree.value)
            return self.node(tuples.ITEM, (source,), {"index": read_int(tree.slice)}, type_, name,
                             locs or source.locs, tree, self.base(source))
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise TextError(f"{ast.unparse(tree)} is not a call of an operator", tree)
        callee = tree.func.id
        if callee in self.functions:
            attrs: dict[str, Any] = {"body": self.functions[callee]}
            args = self.operands(tree, higher.FUSED, attrs, type_)
            return self.node(higher.FUSED, args, attrs, type_, name, locs, tree, callee)
        op = self.operator(callee, tree)
        if op in (leaf.CONSTANT, leaf.ARRAY):
            return self.literal(op, tree, type_, name, locs)
        attrs = self.attributes(op, tree, type_)
        args = self.operands(tree, op, attrs, type_)
        try:
            usual = default_attributes(op, [a.type for a in args], attrs)
        except (TypeError, ValueError, IndexError, AttributeError):
            usual = {}  # operands that do not fit: the operator's own check says so below
        return self.node(op, args, {**usual, **attrs}, type_, name, locs, tree, callee)

    def operator(self, name: str, at: ast.AST) -> Op:
        if name not in REGISTRY or name == "input":
            known = [*REGISTRY, *self.functions]
            raise TextError(f"there is no operator {name}{nearest(name, known)}; a custom one must "
                            "be defined before its text is read", at)
        return REGISTRY[name]

    def attributes(self, op: Op, tree: ast.Call, type_: Type | None) -> dict[str, Any]:
        """The attributes written out, and those that the result's type tells."""
        known, open_ = _keywords(op)
        attrs: dict[str, Any] = {}
        for keyword in tree.keywords:
            if keyword.arg is None or (keyword.arg not in known and not open_):
                raise TextError(f"{op.name} has no attribute {keyword.arg}", keyword.value,
                                f"it has {', '.join(sorted(known)) or 'none'}")
            attrs[keyword.arg] = read_value(keyword.value, self.functions)
        if type_ is not None:
            for key in told_by_type(op):
                attrs.setdefault(key, FROM_TYPE[key](type_))
        return attrs

    def literal(self, op: Op, tree: ast.Call, type_: Type | None, name: str,
                locs: tuple[Loc, ...]) -> Node:
        if type_ is None or len(tree.args) != 1:
            raise TextError(f"{op.name} takes a typed name and one value", tree)
        if op is leaf.ARRAY:
            attrs = {"type": type_, "value": read_array(tree.args[0], type_)}
            return self.node(op, (), attrs, type_, name, locs, tree, "array")
        node = self.number(tree.args[0], type_)
        node.locs = locs
        node.name = "" if is_automatic(name, "constant") else name
        return node

    def number(self, tree: ast.AST, type_: Type) -> Node:
        """The constant that a bare number stands for; one node per number and type."""
        value = read_number(tree)
        try:
            made = leaf.constant(value, type_)
        except (OpError, DlcError, TypeError, OverflowError, ValueError) as problem:
            message = getattr(problem, "message", str(problem))
            raise TextError(f"{ast.unparse(tree)} as {type_}: {message}", tree) from None
        key = repr(made.attrs["value"]), type_
        return self.constants.setdefault(key, Node(made.op, (), made.attrs, made.type))

    def operands(self, tree: ast.Call, op: Op, attrs: Mapping[str, Any],
                 result: Type | None) -> tuple[Node, ...]:
        numbers = [read_number(a) is not None and not (
            isinstance(a, ast.Name) and a.id in self.values) for a in tree.args]
        found = [None if n else self.variable(a) for a, n in zip(tree.args, numbers, strict=True)]
        if not any(numbers):
            return tuple(n for n in found if n is not None)
        types = self.number_types(tree, op, attrs, found, result)
        return tuple(self.number(a, t) if n is None else n
                     for a, n, t in zip(tree.args, found, types, strict=True))

    def number_types(self, tree: ast.Call, op: Op, attrs: Mapping[str, Any],
                     found: list[Node | None], result: Type | None) -> list[Type]:
        if op is higher.FUSED:
            body = attrs["body"]
            if len(found) != len(body.inputs):
                raise TextError(f"{body.name} takes {len(body.inputs)} operands, not {len(found)}",
                                tree)
            return [i.type.with_(layout=None) for i in body.inputs]
        if op.kind.value != "elementwise":
            raise TextError(f"a bare number can't be an operand of {op.name}", tree,
                            "bind it: c: f32[3] = constant(0.5)")
        type_ = reference_type([None if n is None else n.type for n in found], result)
        if not isinstance(type_, Type):
            raise TextError("nothing tells the number's type here", tree, "give the name a type")
        return [type_] * len(found)

    def variable(self, tree: ast.AST) -> Node:
        if not isinstance(tree, ast.Name):
            raise TextError(f"{ast.unparse(tree)} is not an operand", tree,
                            "operands are names and numbers")
        if tree.id not in self.values:
            known = nearest(tree.id, list(self.values))
            raise TextError(f"{tree.id} is not bound above{known}", tree)
        return self.values[tree.id]

    def base(self, node: Node) -> str:
        """What the automatic names of `node` are made from."""
        if node.op is higher.FUSED:
            body = node.attrs["body"]
            return next(name for name, graph in self.functions.items() if graph is body)
        return node.op.name

    def node(self, op: Op, args: tuple[Node, ...], attrs: dict[str, Any], type_: Type | None,
             name: str, locs: tuple[Loc, ...], at: ast.AST, base: str) -> Node:
        """The node, its type checked against the operator's own rule."""
        if operand_count(op) not in (None, len(args)):
            raise TextError(f"{op.name} takes {operand_count(op)} operands, not {len(args)}", at)
        try:
            inferred = op.infer(*(a.type for a in args), **attrs)
        except (OpError, DTypeError) as problem:
            raise TextError(f"{op.name}: {problem}", at, getattr(problem, "hint", "")) from None
        except (TypeError, ValueError, IndexError, KeyError, AttributeError) as problem:
            raise TextError(f"{op.name} does not take these operands: {problem}", at) from None
        result = inferred if type_ is None else type_
        if isinstance(inferred, Type) and isinstance(result, Type):
            if (result.dtype, result.shape) != (inferred.dtype, tuple(inferred.shape)):
                raise TextError(f"{name} is declared as {result}", at,
                                f"{op.name} gives {inferred} here")
        elif result is not inferred:
            raise TextError(f"{name} is declared as {result}", at, f"{op.name} gives {inferred}")
        hint = "" if is_automatic(name, base) else name
        return Node(op, args, attrs, result, locs, hint)

    # --- results ------------------------------------------------------------------------------

    def returned(self, tree: ast.Return) -> _Returned:
        """Outputs, their names, and which input each update replaces."""
        value = tree.value
        if value is None:
            raise TextError("return without a value", tree)
        if not isinstance(value, ast.Dict):
            items = value.elts if isinstance(value, ast.Tuple) else [value]
            return tuple(map(self.variable, items)), (), {}
        names, outputs, updates = [], [], {}
        for key, item in zip(value.keys, value.values, strict=True):
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                raise TextError("an output's name is a string", tree)
            names.append(key.value)
            if isinstance(item, ast.Call) and ast.unparse(item.func) == "update":
                if len(item.args) != 2:
                    raise TextError("update takes an input and its new value", item)
                old = self.variable(item.args[0])
                updates[key.value] = str(old.attrs.get("label", ""))
                item = item.args[1]
            outputs.append(self.variable(item))
        return tuple(outputs), tuple(names), updates
