"""Making a wrong program smaller: delta debugging over the graph (Zeller and Hildebrandt 2002).

Every step gives another program that is tried; it is kept when it fails in the same way. Outputs
are dropped, derivatives written out, values replaced by inputs that hold them or by an operand of
their type, sizes and attributes made small, arrays filled with simple numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Kind, Node, building, make, rebuild, replace, substitute
from dlc.ir.types import TupleType, Type
from dlc.ops import leaf
from dlc.passes.differentiate import differentiate
from tests.fuzzing.bounds import Array, values_of
from tests.fuzzing.run import Drawn, Setting, alone

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Case:
    """A program and its inputs by label."""

    graph: Graph
    arrays: Arrays

    def drawn(self, seed: int = 0) -> Drawn:
        found = values_of(self.graph, self.arrays)
        return Drawn(seed, self.graph, self.arrays, [found[o] for o in self.graph.outputs])

    @property
    def size(self) -> tuple[int, int]:
        """(operators, elements of the inputs): what gets smaller."""
        steps = [n for n in self.graph.nodes() if n.op.kind is not Kind.LEAF]
        inner = sum(len(v.nodes()) for n in steps for v in n.attrs.values()
                    if isinstance(v, Graph))
        return len(steps) + inner, sum(a.size for a in self.arrays.values())


def signature(problems: Sequence[str]) -> str:
    """How a program fails: a wrong value, the evaluator's, or the kind of the exception."""
    first = problems[0] if problems else ""
    kind = first.partition(":")[0]
    if kind == "evaluate" or kind.endswith(("Error", "Exception")):
        return kind
    return "wrong" if first else ""


def failing(setting: Setting, kind: str) -> Callable[[Case], bool]:
    """Whether a case still fails as the first one did."""
    def fails(case: Case) -> bool:
        try:
            drawn = case.drawn()
        except Exception:  # the smaller program means nothing: not what is looked for
            return False
        return signature(alone(drawn, setting)) == kind

    return fails


def reduced(case: Case, fails: Callable[[Case], bool], tries: int = 400) -> Case:
    """The smallest case found that still fails, after at most `tries` other programs."""
    left = tries
    progress = True
    while progress and left > 0:
        progress = False
        for step in STEPS:
            for smaller in step(case):
                left -= 1
                if left < 0:
                    return case
                if fails(smaller):
                    case, progress = smaller, True
                    break
    return case


# --- steps ----------------------------------------------------------------------------------------


def with_outputs(case: Case, outputs: Sequence[Node], arrays: Arrays | None = None,
                 inputs: Sequence[Node] | None = None) -> Case:
    """The same name, these outputs, and only the inputs that they read."""
    arrays = case.arrays if arrays is None else arrays
    known = case.graph.inputs if inputs is None else inputs
    graph = Graph(case.graph.name, (), tuple(outputs), tuple(f"out{i}" for i in range(
        len(outputs))))
    reached = set(graph.nodes())
    kept = tuple(n for n in known if n in reached)
    names = {n.attrs["label"] for n in kept}
    return Case(Graph(graph.name, kept, graph.outputs, graph.output_names),
                {k: v for k, v in arrays.items() if k in names})


def fewer_outputs(case: Case) -> Iterator[Case]:
    """One output alone, then all but one; updates are dropped on the way."""
    outputs = case.graph.outputs
    if case.graph.updates:
        yield with_outputs(case, outputs)
    if len(outputs) > 1:
        yield from (with_outputs(case, [o]) for o in outputs)
        yield from (with_outputs(case, [*outputs[:i], *outputs[i + 1:]])
                    for i in range(len(outputs)))


def written_out(case: Case) -> Iterator[Case]:
    """Derivatives as the operators that they are."""
    if any(n.op.expand is not None for n in case.graph.nodes()):
        yield with_outputs(case, differentiate(case.graph).outputs)


def inner_outputs(case: Case) -> Iterator[Case]:
    """The operands of an output in its place, those behind a node of several results: where did it
    go wrong first?"""
    outputs = list(case.graph.outputs)
    for i, output in enumerate(outputs):
        several = [a for a in output.args if isinstance(a.type, TupleType)]
        for arg in (*output.args, *(b for a in several for b in a.args)):
            if not isinstance(arg.type, TupleType) and arg.op.kind is not Kind.LEAF:
                yield with_outputs(case, [*outputs[:i], arg, *outputs[i + 1:]])


def cut(case: Case) -> Iterator[Case]:
    """A value replaced by an input that holds it: those next to the outputs first."""
    values = values_of(case.graph, case.arrays)
    nodes = [n for n in case.graph.nodes() if n.op.kind is not Kind.LEAF
             and not isinstance(n.type, TupleType)]
    for node in reversed(nodes):
        if all(o is node for o in case.graph.outputs):
            continue
        label = f"c{len(case.arrays)}_{len(nodes)}"
        new = leaf.input_(label, Type(node.dtype, tuple(map(int, node.shape))))
        arrays = {**case.arrays, label: values[node].value.astype(node.dtype.numpy)}
        with building(Build()):
            outputs = substitute(case.graph.outputs, {node: new})
        yield with_outputs(case, outputs, arrays, (*case.graph.inputs, new))


def bypassed(case: Case) -> Iterator[Case]:
    """A value replaced by an operand of its type; in the bodies of loops too."""
    for node in reversed(case.graph.nodes()):
        for arg in dict.fromkeys(node.args):
            if arg.type == node.type and not isinstance(arg.type, TupleType):
                with building(Build()):
                    yield with_outputs(case, substitute(case.graph.outputs, {node: arg}))
        for key, body in node.attrs.items():
            if isinstance(body, Graph):
                for smaller in bypassed(Case(body, {})):
                    inner = Graph(body.name, body.inputs, smaller.graph.outputs)
                    twin = Node(node.op, node.args, {**node.attrs, key: inner}, node.type)
                    with building(Build()):
                        yield with_outputs(case, substitute(case.graph.outputs, {node: twin}))


def smaller_numbers(case: Case) -> Iterator[Case]:
    """One number of one attribute made 0 or 1: strides, paddings, dilations."""
    for node in case.graph.nodes():
        for key, value in node.attrs.items():
            if node.op.kind is Kind.LEAF or not isinstance(value, tuple):
                continue
            for simpler in simpler_tuples(value):
                yield from again(case, {node: {**node.attrs, key: simpler}})


def simpler_tuples(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The tuple with one of its numbers (inner ones too) replaced by 0, or 1."""
    for i, item in enumerate(value):
        options: Any = simpler_tuples(item) if isinstance(item, tuple) else [
            n for n in (0, 1) if type(item) is int and n < item]
        yield from ((*value[:i], o, *value[i + 1:]) for o in options)


def shorter_axes(case: Case) -> Iterator[Case]:
    """A size replaced by a smaller one wherever it stands: in inputs and in attributes."""
    sizes = sorted({int(d) for n in case.graph.inputs for d in n.shape if d > 1}, reverse=True)
    for size in sizes:
        for new in dict.fromkeys((1, 2, size // 2, size - 1)):
            if 0 < new < size:
                yield from again(case, {}, {size: new})


def again(case: Case, changed: Mapping[Node, Mapping[str, Any]],
          sizes: Mapping[int, int] | None = None) -> Iterator[Case]:
    """The case made anew with other attributes, or other sizes; nothing where it does not fit."""
    sizes = sizes or {}
    arrays = dict(case.arrays)

    def change(node: Node, args: tuple[Node, ...]) -> Node:
        if node.op is leaf.INPUT:
            return smaller_input(node)
        attrs = changed.get(node, node.attrs)
        if sizes:
            attrs = {k: resized(v, sizes) for k, v in attrs.items()}
        if all(a.type == b.type for a, b in zip(args, node.args, strict=True)) and (
                attrs is node.attrs or node.op.kind is Kind.HIGHER):
            return rebuild(node, args)
        if any(isinstance(v, Graph) for v in attrs.values()):
            raise ValueError("the bodies of loops keep their sizes")
        return make(node.op, args, node.name, **attrs)

    def smaller_input(node: Node) -> Node:
        shape = tuple(sizes.get(int(d), int(d)) for d in node.shape)
        label = node.attrs["label"]
        arrays[label] = case.arrays[label][tuple(slice(0, d) for d in shape)]
        return node if shape == tuple(node.shape) else leaf.input_(
            label, Type(node.dtype, shape), node.attrs["role"])

    try:
        with building(Build()):
            outputs = replace(case.graph.outputs, change)
        inputs = [n for n in Graph("", (), tuple(outputs)).nodes() if n.op is leaf.INPUT]
        order = [n.attrs["label"] for n in case.graph.inputs]
        inputs.sort(key=lambda n: order.index(n.attrs["label"]))
        yield with_outputs(case, outputs, arrays, inputs)
    except (DlcError, ValueError, IndexError, TypeError):
        return


def resized(value: Any, sizes: Mapping[int, int]) -> Any:
    """An attribute with other sizes."""
    if isinstance(value, Type):
        return Type(value.dtype, tuple(sizes.get(int(d), int(d)) for d in value.shape))
    if isinstance(value, tuple):
        return tuple(resized(v, sizes) for v in value)
    return sizes.get(value, value) if type(value) is int else value


def simpler_arrays(case: Case) -> Iterator[Case]:
    """An input filled with ones, or with 1, 2, 3, ..."""
    for label, array in case.arrays.items():
        for new in (np.ones(array.shape), np.arange(1, array.size + 1).reshape(array.shape) % 97):
            if array.size and not np.array_equal(array, new.astype(array.dtype)):
                if np.array_equal(array, np.ones(array.shape)):
                    continue
                yield Case(case.graph, {**case.arrays, label: new.astype(array.dtype)})


STEPS: tuple[Callable[[Case], Iterator[Case]], ...] = (
    fewer_outputs, written_out, inner_outputs, cut, bypassed, smaller_numbers, shorter_axes,
    simpler_arrays)


# --- telling --------------------------------------------------------------------------------------


def as_text(case: Case, setting: Setting, seed: int) -> str:
    """A Python program that runs the case: its graph as text, its arrays."""
    arrays = "".join(f"    {label!r}: {literal(array)},\n" for label, array in case.arrays.items())
    return (f'"""A program that fails (seed {seed}). Run it at the top of the repository."""\n'
            "import ml_dtypes\nimport numpy as np\n\nfrom tests.fuzzing.reducing import rerun\n"
            f"from tests.fuzzing.run import Setting\n\nGRAPH = '''\n{case.graph}\n'''\n"
            f"ARRAYS = {{\n{arrays}}}\n"
            f"print(*rerun(GRAPH, ARRAYS, Setting({setting.device!r}, {setting.isa!r}, "
            f"{setting.small})), sep='\\n')\n")


def literal(array: Array) -> str:
    """An array as Python text, bit for bit (numbers print as they are read back)."""
    kind = str(array.dtype)
    name = f"ml_dtypes.{kind}" if kind == "bfloat16" else f"np.{kind}"
    wide = array.astype(np.float64) if array.dtype.kind not in "iub" else array
    flat = wide.reshape(-1).tolist()
    text = repr(flat).replace("nan", "np.nan").replace("inf", "np.inf")
    if flat and all(v == flat[0] for v in flat) and len(flat) > 4:
        return f"np.full({array.shape}, {flat[0]!r}).astype({name})"
    return f"np.array({text}).astype({name}).reshape({array.shape})"


def rerun(text: str, arrays: Arrays, setting: Setting) -> list[str]:
    """What is wrong with a program that was printed: its mistakes, [] when there are none."""
    setting.apply()
    return alone(Case(dlc.parse_graph(text), arrays).drawn(), setting)
