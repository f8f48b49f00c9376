"""Model: a loaded ONNX file as a function of the DSL, with its inputs, outputs and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dlc.errors import DlcError, here, nearest
from dlc.init import initial_values
from dlc.ir.graph import Graph, Node, describe, serving
from dlc.ir.types import DType, Type
from dlc.lang.layer import Layer
from dlc.lang.scope import parameter
from dlc.lang.trace import graph_variables, trace
from dlc.onnx.branches import undeclarable
from dlc.onnx.call import Value, array
from dlc.onnx.check import FunctionKey, check_model
from dlc.onnx.convert import Frame, Walk
from dlc.onnx.proto import DTYPES, Source, dtype_of, identifier, opsets, read_proto
from dlc.onnx.tensors import array_of
from dlc.ops.convert import as_node
from dlc.reference.evaluate import evaluate


@dataclass(frozen=True, eq=False)
class Model:
    """A function of the DSL: `model(x)` in a task or function builds its operators there.

    `inputs` and `outputs` are their names with Types, open dimensions as names (a Type of None is
    one that the file does not tell). `parameters` are the first values of the weights by name.
    """

    name: str
    proto: Any
    where: Source
    functions: Mapping[FunctionKey, Any]
    inputs: Mapping[str, Type]
    outputs: Mapping[str, Type | None]
    parameters: Mapping[str, np.ndarray]
    constants: Mapping[str, np.ndarray]
    layer_name: str = ""

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Word of Python -> name of the input: what keyword arguments are called."""
        found: dict[str, str] = {}
        for name in self.inputs:
            word = identifier(name)
            while word in found:
                word += "_"
            found[word] = name
        return found

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """The open dimensions of the inputs, in order."""
        named = (d for t in self.inputs.values() for d in t.shape if isinstance(d, str))
        return tuple(dict.fromkeys(named))

    @cached_property
    def layer(self) -> Layer:
        """The model as a layer of dlc.nn: its parameters are made once, and shared."""
        return Layer(identifier(self.name), self._several, f"onnx({self.name})", self.layer_name)

    def __call__(self, *args: Any) -> Any:
        """The outputs for graph values: a Node, or a tuple of several."""
        results = self.layer(*args)
        return results[0] if len(results) == 1 else results

    def graph(self, /, **dims: int) -> Graph:
        """The model as a Graph with `dims` for its open dimensions; outputs by their names, `fault`
        as `fault_`.

        Raises DlcError for a dimension that it has not.
        """
        unknown = [d for d in dims if d not in self.dimension_names]
        if unknown:
            raise DlcError(f"{self.name}: no dimension {unknown[0]!r} is open"
                           f"{nearest(unknown[0], list(self.dimension_names))}", here(),
                           f"open are {', '.join(self.dimension_names) or 'none'}")

        def build(*args: Node) -> dict[str, Any]:
            # "fault" is the number of the run-time check that failed, in every graph
            return {f"{n}_" if n == "fault" else n: v for n, v in self._named(*args).items()}

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(word, kind) for word in self.arguments])
        build.__annotations__ = {w: self.inputs[name] for w, name in self.arguments.items()}
        build.__name__ = identifier(self.name)
        return trace(build, dims=dims)

    def evaluate(self, /, *args: Any, **named: Any) -> Any:
        """The outputs for arrays in NumPy, with the parameters' first values.

        Open dimensions are those of the arrays. Raises DlcError when an array does not fit.
        """
        given = {**dict(zip(self.arguments, args, strict=False)), **named}
        graph = self.graph(**self.dimensions(given))
        found = evaluate(graph, **given, **initial_values(graph_variables(graph), 0))
        return self.sound(graph, found)

    def sound(self, graph: Graph, found: Any) -> Any:
        """`found` without its run-time checks. Raises DlcError when one of them failed."""
        if not isinstance(found, dict) or "fault" not in found:
            return found
        code = int(found.pop("fault"))
        if code > 0:
            check = graph.notes["checks"][code - 1]
            raise DlcError(f"{self.name}: {check.text}", check.loc)
        return next(iter(found.values())) if len(found) == 1 else found

    def dimensions(self, arrays: Mapping[str, Any]) -> dict[str, int]:
        """The open dimensions by name, as `arrays` have them. Raises DlcError where two differ."""
        found: dict[str, int] = {}
        for word, value in arrays.items():
            type_ = self.inputs.get(self.arguments.get(word, word))
            shape = np.shape(value)
            if type_ is None or len(shape) != type_.ndim:
                continue  # evaluate says what does not fit
            for dim, size in zip(type_.shape, shape, strict=True):
                if isinstance(dim, str) and found.setdefault(dim, size) != size:
                    raise DlcError(f"{self.name}: dimension {dim!r} is {found[dim]} and {size}")
        return found

    # --- building ---------------------------------------------------------------------------------

    def _several(self, *args: Node) -> tuple[Any, ...]:
        return tuple(self._named(*args).values())

    def _named(self, *args: Any) -> dict[str, Any]:
        """The outputs by name, built of the running trace."""
        if len(args) != len(self.inputs):
            raise DlcError(f"{self.name} takes {len(self.inputs)} arrays "
                           f"({', '.join(self.inputs)}), {len(args)} are given")
        walk = Walk(self.where, self.functions)
        frame = Frame(opsets(self.proto.opset_import, self.where))
        for (name, type_), value in zip(self.inputs.items(), args, strict=True):
            frame.values[name] = self._fitting(name, type_, as_node(value))
        for name, data in self.constants.items():
            frame.values[name] = array(data)
        for name, data in self.parameters.items():
            node = parameter(name, Type(dtype(data), data.shape), _first_value(data))
            frame.values[name], walk.knows.weights[node] = node, data
        loc = here()  # of bytes, every operator serves the line that asks for the model
        with serving(() if loc is None else (loc,)):
            return self._checked(walk.graph(self.proto.graph, frame))

    def _fitting(self, name: str, type_: Type, node: Node) -> Node:
        """`node` as the input `name`. Raises DlcError when it is of another type."""
        fits = node.dtype is type_.dtype and node.ndim == type_.ndim and all(
            isinstance(d, str) or d == e for d, e in zip(type_.shape, node.shape, strict=True))
        if not fits:
            raise DlcError(f"{self.name}: input {name!r} is {type_}, not {describe(node)}")
        return node

    def _checked(self, results: list[Value]) -> dict[str, Any]:
        """The outputs by name. Raises DlcError for one of another type than the file declares."""
        found: dict[str, Any] = {}
        kinds = [v.type.tensor_type.elem_type for v in self.proto.graph.output]
        for (name, type_), value, kind in zip(self.outputs.items(), results, kinds, strict=True):
            if not isinstance(value, Node):
                raise DlcError(f"{self.name}: the output {name!r} is not an array")
            if DTYPES[kind] is not value.dtype or not (type_ is None or agrees(type_, value)):
                raise DlcError(f"{self.name}: the output {name!r} is declared as "
                               f"{type_ or DTYPES[kind]}, and comes out as {value.type}")
            found[name] = value
        return found


def dtype(data: np.ndarray) -> DType:
    from dlc.ir.types import dtype as named

    return named(data.dtype)


def _first_value(data: np.ndarray) -> Callable[..., Node]:
    def init(key: Any, shape: Any, kind: Any) -> Node:
        return array(data)

    return init


def agrees(declared: Type, node: Node) -> bool:
    """Whether a node has the shape that a file declares; open dimensions may be anything."""
    return declared.ndim == node.ndim and all(
        isinstance(d, str) or int(d) == int(e)
        for d, e in zip(declared.shape, node.shape, strict=True))


# --- reading --------------------------------------------------------------------------------------


def read_model(source: str | Path | bytes, constants: Mapping[str, Any],
               shapes: Mapping[str, tuple[int | str, ...]], frozen: bool,
               name: str) -> Model:
    """See dlc.onnx.load."""
    proto, where = read_proto(source)
    functions = check_model(proto, where)
    graph = proto.graph
    initial = {t.name: array_of(t, where) for t in graph.initializer}
    listed = {v.name: v for v in graph.input if v.name not in initial}
    check_names("constants", constants, {**listed, **initial}, where)
    check_names("shapes", shapes, listed, where)
    fixed = {name: fitting(name, value, listed.get(name), initial.get(name), where)
             for name, value in constants.items()}
    inputs = {name: input_type(value, shapes.get(name), where)
              for name, value in listed.items() if name not in fixed}
    weights = {n: a for n, a in initial.items()
               if not frozen and n not in fixed and is_weight(a)}
    outputs = {v.name: declared_type(v, where) for v in graph.output}
    outputs |= dict.fromkeys(outputs.keys() & undeclarable(graph))
    folded = {n: a for n, a in initial.items() if n not in weights}
    return Model(graph.name or "onnx", proto, where, functions, inputs, outputs, weights,
                 {**folded, **fixed}, name)


def is_weight(data: np.ndarray) -> bool:
    """Whether an initializer is to be trained: floats, and not a lone number."""
    return data.dtype.kind not in "iub" and data.ndim > 0


def check_names(what: str, given: Mapping[str, Any], known: Mapping[str, Any],
                where: Source) -> None:
    """Raise DlcError for a name that is not an input of the model."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise DlcError(f"{where.name}: {what} for {unknown[0]!r}, which is not an input", None,
                       f"inputs are {', '.join(known)}")


def fitting(name: str, value: Any, declared: Any, initial: np.ndarray | None,
            where: Source) -> np.ndarray:
    """A constant in the dtype of the input that it replaces. Raises DlcError when it does not fit.
    """
    kind = dtype(initial) if initial is not None else dtype_of(
        declared.type.tensor_type.elem_type, f"{where.name}: input {name!r}")
    data = np.asarray(value)
    if isinstance(value, (bool, int, float, list, tuple)):
        data = data.astype(kind.numpy)
    if data.dtype != kind.numpy:
        raise DlcError(f"{where.name}: the constant {name!r} is {data.dtype}, the input {kind}")
    return data


def input_type(value: Any, shape: tuple[int | str, ...] | None, where: Source) -> Type:
    """The Type of an input. Raises DlcError for what is not a tensor, and for an unknown rank."""
    found = declared_type(value, where, shape)
    if found is None:
        raise DlcError(f"{where.name}: the shape of the input {value.name!r} is not declared", None,
                       f'give it: dlc.onnx.load(..., shapes={{{value.name!r}: ("batch", 10)}})')
    return found


def declared_type(value: Any, where: Source,
                  shape: tuple[int | str, ...] | None = None) -> Type | None:
    """The Type that a file declares for an input or output; None without a shape."""
    what = f"{where.name}: {value.name!r}"
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise DlcError(f"{what} is a {kind or 'value without a type'}", None,
                       "inputs and outputs are tensors")
    dtype_ = dtype_of(value.type.tensor_type.elem_type, what)
    if shape is not None:
        return Type(dtype_, tuple(shape))
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims: list[int | str] = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        if dim.HasField("dim_value"):
            dims.append(int(dim.dim_value))
        else:
            dims.append(identifier(dim.dim_param or f"{value.name}_{axis}"))
    return Type(dtype_, tuple(dims))


