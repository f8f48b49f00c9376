"""The NumPy evaluator defines what a graph means. Every pass and backend is tested against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Graph, Kind, Node, OpError
from dlc.ir.types import TupleType, Type, bf16, f16
from dlc.ops.cast_reference import convert_array
from dlc.ops.convert import array_of, as_integers


@runtime_checkable
class Specialized(Protocol):
    """What becomes a graph when its dimensions are known: a loaded ONNX model."""

    def graph(self, **dims: int) -> Graph:
        """The graph for these dimensions."""

    def evaluate(self, *args: Any, **named: Any) -> Any:
        """Its outputs for arrays, whose dimensions it takes."""


def evaluate(graph: Graph | Specialized, *args: Any, **named: Any) -> Any:
    """Run `graph` on arrays, given in the order of its inputs or by name.

    Returns a dict of outputs by name, or a single array where the graph has one output. Raises
    DlcError when an array does not fit its input.
    """
    if not isinstance(graph, (Graph, Specialized)):
        raise DlcError(f"evaluate of {graph!r}", here(), "give a Graph, a function or a model")
    if not isinstance(graph, Graph):
        return graph.evaluate(*args, **named)
    results = run(graph, bind(graph, args, named))
    names = graph.output_names or tuple(f"out{i}" for i in range(len(results)))
    return results[0] if len(results) == 1 else dict(zip(names, results, strict=True))


def bind(graph: Graph, args: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    """The input arrays in order, checked. Raises DlcError for missing, unknown or unfit ones."""
    names = [node.attrs["label"] for node in graph.inputs]
    values = dict(zip(names, args, strict=False))
    if len(args) > len(names) or set(values) & set(named):
        raise DlcError(f"{graph.name} takes {len(names)} inputs: {', '.join(names)}")
    values.update(named)
    unknown, missing = set(values) - set(names), set(names) - set(values)
    if unknown or missing:
        raise DlcError(f"{graph.name}: unknown inputs {sorted(unknown)}, missing {sorted(missing)}",
                       None, f"inputs are {', '.join(names)}")
    return [fit(values[n], node) for n, node in zip(names, graph.inputs, strict=True)]


def fit(value: Any, node: Node) -> Any:
    """`value` as an array of the node's type: integers of any width, as loaders give labels in i64.
    Raises DlcError when shape or dtype do not fit, or a number is not of the dtype."""
    data = array_of(value)
    if isinstance(value, (list, tuple)):
        data = as_integers(value, data)
    want: Type = node.type
    if tuple(data.shape) != tuple(want.shape):
        raise DlcError(f"input {node.name}: shape {data.shape} given, {want.describe()} wanted",
                       node.loc)
    weak = isinstance(value, (bool, int, float, list, tuple)) or (
        data.dtype.kind in "iu" and want.dtype.is_integer)
    if data.dtype != want.dtype.numpy and not weak:
        raise DlcError(f"input {node.name}: dtype {data.dtype} given, {want.describe()} wanted",
                       node.loc, f"convert it: x.astype(numpy.{want.dtype.numpy})")
    try:
        with np.errstate(all="ignore"):
            found = data.astype(want.dtype.numpy, copy=False)
    except OverflowError as problem:
        raise DlcError(f"input {node.name}: a number is not of dtype {want.dtype}: {problem}",
                       node.loc) from None
    if weak and not want.dtype.is_float and not np.array_equal(found, data):
        wrong = np.asarray(data)[found != data].flat[0]
        raise DlcError(f"input {node.name}: {wrong} is not of dtype {want.dtype}", node.loc)
    return found


def run(graph: Graph, args: Sequence[Any]) -> list[Any]:
    """The output arrays of `graph` for input arrays in order, unchecked."""
    values: dict[Node, Any] = dict(zip(graph.inputs, args, strict=True))
    # infinities, NaN and wrapped integers are defined results, not warnings
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in values:
                values[node] = apply(node, [values[a] for a in node.args])
    return [values[o] for o in graph.outputs]


def apply(node: Node, args: Sequence[Any]) -> Any:
    """The value of one node for the values of its operands."""
    if node.op.kind is Kind.HIGHER:
        return finish(node.op.eval(run, *args, **node.attrs), node.type)
    try:
        result = node.op.eval(*map(widen, args), **node.attrs)
    except OpError as problem:
        raise DlcError(str(problem), node.loc, problem.hint) from None
    return finish(result, node.type)


def widen(x: Any) -> Any:
    """f16 and bf16 compute in f32 and round once, at the result."""
    small = isinstance(x, np.ndarray | np.generic) and x.dtype in (f16.numpy, bf16.numpy)
    return x.astype(np.float32) if small else x


def finish(result: Any, type_: Any) -> Any:
    """`result` in the node's dtype and shape."""
    if isinstance(type_, TupleType):
        return tuple(finish(r, t) for r, t in zip(result, type_.items, strict=True))
    data = np.asarray(result)
    if data.dtype != type_.dtype.numpy:
        data = convert_array(data, type_.dtype)
    return data.reshape(tuple(map(int, type_.shape)))
