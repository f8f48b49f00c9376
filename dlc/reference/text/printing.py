"""print_graph: a graph as Python text, one binder a line, with types and the user's lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any

from dlc.derive import higher
from dlc.ir.graph import Graph, Kind, Node, Op
from dlc.ir.types import TupleType, Type, bool_
from dlc.ops import leaf, tuples
from dlc.reference.text.literals import format_array, format_number, format_string, format_value
from dlc.reference.text.locations import format_locations
from dlc.reference.text.names import bodies, callee, function_names, name_nodes

WIDTH = 100
# Attributes that the binder's type tells: the text leaves them out.
FROM_TYPE: dict[str, Callable[[Type], Any]] = {
    "shape": lambda t: tuple(t.shape), "type": lambda t: t, "dtype": lambda t: t.dtype}


def print_graph(graph: Graph, offsets: Mapping[Node, int] | None = None,
                orders: Mapping[int, Sequence[Node]] | None = None) -> str:
    """`graph` as text that parse_graph parses back: the same nodes, types, attributes and names.

    `offsets` are arena offsets in bytes, shown after the type; `orders` gives the order of the
    binders of a graph or body by its id, where it is not the usual one (operands first). Raises
    TypeError for an attribute that has no text.
    """
    functions, graphs = function_names(graph), bodies(graph)
    parts = [_Printer(g, functions, offsets or {}, (orders or {}).get(id(g))).text()
             for g in graphs]
    return "\n\n".join(parts)


@lru_cache(maxsize=1024)
def told_by_type(op: Op) -> tuple[str, ...]:
    """The attributes of `op` that the result's type tells."""
    return tuple(k for k in FROM_TYPE if k in signature(op.infer).parameters)


@lru_cache(maxsize=1024)
def attribute_order(op: Op, names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` in the order in which the operator's own rule has them, the rest by alphabet."""
    known = [k for k in signature(op.infer).parameters if k in names]
    return (*known, *sorted(set(names) - set(known)))


def default_attributes(op: Op, types: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that the text leaves out when they have these values."""
    return dict(op.defaults(*types, **attrs)) if op.defaults is not None else {}


def reference_type(types: Sequence[Any], result: Any) -> Any:
    """The type of a bare number among elementwise operands of `types` (None where a number is).

    It is the last operand's that is not bool, else the result's, in row-major layout.
    """
    known = [t for t in types if t is not None and t.dtype is not bool_]
    found = known[-1] if known else result
    return found.with_(layout=None) if isinstance(found, Type) else found


def number_types(node: Node) -> list[Any]:
    """Per operand, the type that a bare number in its place has; None where none may stand."""
    if node.op is higher.FUSED:
        return [i.type.with_(layout=None) for i in node.attrs["body"].inputs]
    if node.op.kind is not Kind.ELEMENTWISE:
        return [None] * len(node.args)
    types = [None if a.op is leaf.CONSTANT else a.type for a in node.args]
    return [reference_type(types, node.type)] * len(node.args)


class _Printer:
    """Prints one function."""

    def __init__(self, graph: Graph, functions: dict[int, str], offsets: Mapping[Node, int],
                 order: Sequence[Node] | None) -> None:
        self.graph, self.functions, self.offsets = graph, functions, offsets
        nodes = list(results_together(graph.nodes()) if order is None else order)
        self.inline = self.inline_constants(nodes)
        self.nodes = [n for n in nodes if n.op is not leaf.INPUT and n not in self.inline]
        self.names = name_nodes(self.nodes, graph.inputs, functions)

    def inline_constants(self, nodes: Sequence[Node]) -> set[Node]:
        """The constants that every reader can take as a bare number."""
        kept = {n for n in nodes if n.op is leaf.CONSTANT and not n.name}
        kept.difference_update(self.graph.outputs)
        for node in nodes:
            if not any(a in kept for a in node.args):
                continue
            for arg, type_ in zip(node.args, number_types(node), strict=True):
                if arg in kept and arg.type != type_:
                    kept.discard(arg)
        return kept

    def text(self) -> str:
        """The whole function."""
        rows = [self.binder(n) for n in self.nodes]
        return "\n".join((*self.header(), *align(rows), *self.returns(), ""))

    def header(self) -> list[str]:
        """`def name(inputs):`, on one line where it fits."""
        places = [format_locations(i.locs) for i in self.graph.inputs]
        parameters = self.parameters()
        name = self.functions[id(self.graph)]
        line = f"def {name}({', '.join(f'{n}: {t}{d}' for n, t, d in parameters)}):"
        comment = places[0] if places else ""
        if len(line) + 2 + len(comment) <= WIDTH and set(places) <= {comment}:
            return [f"{line}  {comment}".rstrip()]
        broad = max((len(f"{n}: {t}") for n, t, _ in parameters), default=0)
        rows = [((f"    {f'{n}: {t}'.ljust(broad) if d else f'{n}: {t}'}{d},",), place)
                for (n, t, d), place in zip(parameters, places, strict=True)]
        return [f"def {name}(", *align(rows), "):"]

    def parameters(self) -> list[tuple[str, str, str]]:
        """(name, type, default) of each input; the default tells its role and its label."""
        found: list[tuple[str, str, str]] = []
        for node in self.graph.inputs:
            name, label = self.names[node], node.attrs["label"]
            role = node.attrs["role"]
            default = f" = {role}" if name == label else f" = {role}({format_string(label)})"
            plain = name == label and role == "arg" and not any(d for _, _, d in found)
            found.append((name, self.type_of(node), "" if plain else default))
        return found

    def type_of(self, node: Node) -> str:
        at = self.offsets.get(node)
        return str(node.type) if at is None else f"{node.type} @ {at:#x}"

    def binder(self, node: Node) -> tuple[tuple[str, ...], str]:
        """The lines of `name: type = call` and the comment of its locations."""
        name = self.names[node]
        # the results of a tuple carry their own types, each at its own binder
        typed = isinstance(node.type, TupleType)
        head = f"    {name} = " if typed else f"    {name}: {self.type_of(node)} = "
        # a result serves the lines of its call, unless it says otherwise
        told = node.op is tuples.ITEM and node.locs == node.args[0].locs
        return self.call(node, head), "" if told else format_locations(node.locs)

    def call(self, node: Node, head: str) -> tuple[str, ...]:
        if node.op is tuples.ITEM:
            return (f"{head}{self.names[node.args[0]]}[{node.attrs['index']}]",)
        if node.op is leaf.ARRAY:
            words = _array_words(format_array(node.attrs["value"], node.type))
            return fill(f"{head}array(", words, ")")
        if node.op is leaf.CONSTANT:
            return (f"{head}constant({format_number(node.attrs['value'], node.dtype)})",)
        parts = [self.operand(a) for a in node.args]
        parts += [f"{k}={format_value(v, self.functions)}" for k, v in self.shown(node).items()]
        return wrap(f"{head}{callee(node, self.functions)}(", parts, ")")

    def operand(self, node: Node) -> str:
        if node in self.inline:
            return format_number(node.attrs["value"], node.dtype)
        return self.names[node]

    def shown(self, node: Node) -> dict[str, Any]:
        """The attributes that the text shows: not those that the type or the defaults tell."""
        if node.op is higher.FUSED or not node.attrs:
            return {}
        told = [] if isinstance(node.type, TupleType) else told_by_type(node.op)
        shown = {k: node.attrs[k] for k in attribute_order(node.op, tuple(node.attrs))
                 if not (k in told and node.attrs[k] == FROM_TYPE[k](node.type))}
        usual = default_attributes(node.op, [a.type for a in node.args], node.attrs)
        return {k: v for k, v in shown.items() if not (k in usual and _same(usual[k], v))}

    def returns(self) -> tuple[str, ...]:
        """The return statement: a dict of named outputs, or the bare values."""
        graph = self.graph
        values = [self.names[o] for o in graph.outputs]
        if not graph.output_names:
            return wrap("    return (", values, ")") if len(values) != 1 else (
                f"    return {values[0]}",)
        labels = {i.attrs["label"]: i for i in graph.inputs}
        entries = []
        for key, value in zip(graph.output_names, values, strict=True):
            old = labels.get(graph.updates[key]) if key in graph.updates else None
            text = value if old is None else f"update({self.names[old]}, {value})"
            entries.append(f"{format_string(key)}: {text}")
        line = f"    return {{{', '.join(entries)}}}"
        if len(line) <= WIDTH and len(entries) <= 6:
            return (line,)
        return ("    return {", *(f"        {e}," for e in entries), "    }")


def results_together(nodes: Sequence[Node]) -> list[Node]:
    """`nodes` with the results of a tuple right behind it, in their order."""
    items: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.op is tuples.ITEM:
            items.setdefault(node.args[0], []).append(node)
    order: list[Node] = []
    for node in nodes:
        if node.op is not tuples.ITEM:
            order += [node, *sorted(items.get(node, ()), key=lambda n: n.attrs["index"])]
    return order


def _same(a: Any, b: Any) -> bool:
    # a pad value of -0.0 is not the usual 0.0
    return bool(a == b) and repr(a) == repr(b) if isinstance(a, float) else bool(a == b)


def _array_words(text: str) -> list[str]:
    """The words between which an array's text may be broken; a long string becomes several."""
    if not text.startswith('"'):
        return text.split(" ")
    body = text[1:-1]
    return [f'"{body[i:i + 84]}"' for i in range(0, len(body), 84)] or ['""']


def wrap(head: str, parts: Sequence[str], tail: str) -> tuple[str, ...]:
    """`head part, part tail` on one line, or with its parts filled into lines of WIDTH columns."""
    words: list[str] = []
    for i, part in enumerate(parts):
        text = part if i == len(parts) - 1 else f"{part},"
        words += [text] if '"' in part else text.split(" ")
    return fill(head, words, tail)


def fill(head: str, words: Sequence[str], tail: str) -> tuple[str, ...]:
    """`head word word tail`, broken between words where WIDTH asks for it."""
    line = f"{head}{' '.join(words)}{tail}"
    if len(line) <= WIDTH:
        return (line,)
    lines, row = [head.rstrip()], " " * 8
    for word in words:
        if len(row) + len(word) > WIDTH and row.strip():
            lines.append(row.rstrip())
            row = " " * 8
        row += f"{word} "
    return (*lines, row.rstrip() + tail)


def align(rows: Sequence[tuple[tuple[str, ...], str]]) -> list[str]:
    """Code lines with their comments in one column; others stand above."""
    fitting = [len(code[-1]) for code, note in rows
               if note and len(code[-1]) + len(note) < WIDTH - 1]
    column = min(max(fitting, default=0), 72) + 2
    lines: list[str] = []
    for code, note in rows:
        last = code[-1].ljust(column) if len(code[-1]) + 2 <= column else f"{code[-1]}  "
        if len(last) + len(note) > WIDTH:
            last = f"{code[-1]}  "
        above = note and (len(code) > 1 or len(last) + len(note) > WIDTH)
        if above:
            lines.append(f"    {note}")
        lines += [*code[:-1], code[-1] if above or not note else f"{last}{note}"]
    return lines


def spelled(graph: Graph) -> list[tuple[str, Graph, list[tuple[Node, str, str]]]]:
    """The functions of `graph`'s text in order: (name, graph, (node, its name, its call) of each
    input and binder). An input's call is its role."""
    functions = function_names(graph)
    found = []
    for each in bodies(graph):
        printer = _Printer(each, functions, {}, None)
        rows = [(i, printer.names[i], str(i.attrs["role"])) for i in each.inputs]
        rows += [(n, printer.names[n], " ".join(line.strip() for line in printer.call(n, "")))
                 for n in printer.nodes]
        found.append((functions[id(each)], each, rows))
    return found
