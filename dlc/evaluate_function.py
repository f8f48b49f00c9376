"""dlc.evaluate: what a graph, a model or a plain function means, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.faults import raise_fault
from dlc.init import initial_values
from dlc.ir.graph import Graph
from dlc.ir.types import DTypeError, Type, bool_, dtype, f32, i32
from dlc.lang.layer import Layer
from dlc.lang.trace import (
    annotated_types,
    graph_variables,
    parameters_of,
    signature,
    trace,
)
from dlc.ops.convert import array_of
from dlc.reference.evaluate import Specialized
from dlc.reference.evaluate import evaluate as evaluate_graph
from dlc.task.task import Task


def evaluate(thing: Any, *args: Any, **named: Any) -> Any:
    """Evaluate `thing` in NumPy, on arrays given in the order of its inputs or by name.

    `thing` is a Graph, a loaded ONNX model, or a function, which is traced with the types of the
    arrays; annotations of its arguments must match, and their dimension names are bound by the
    arrays. Python numbers become f32, i32 or bool. Parameters it creates have their initial values
    for seed 0 and random numbers are those of step 0; `seed=` and `step=` give others (to a graph
    they are inputs). Returns a dict by name, or the array if there is a single result. Raises
    DlcError for an array of the wrong type and, for a function, when a run-time check failed.
    """
    if isinstance(thing, Task):
        raise DlcError(f"dlc.evaluate: {thing.name} is a task", here(),
                       'evaluate one of its graphs: task.graphs()["eval"]')
    if isinstance(thing, (Graph, Specialized)) or not callable(thing):
        return evaluate_graph(thing, *args, **named)
    taken = [p.name for p in parameters_of(thing)]
    own = {k: named.pop(k) for k in ("seed", "step") if k in named and k not in taken}
    graph = trace_for(thing, args, named)
    labels = [n.attrs["label"] for n in graph.inputs]
    given = {**dict(zip(labels, args, strict=False)), **named,
             **first_values(graph, **own)}
    found = evaluate_graph(graph, **given)
    results = found if isinstance(found, dict) else {"out": found}
    raise_fault(graph, results.pop("fault", None), lambda: given)
    return next(iter(results.values())) if len(results) == 1 else results


def first_values(graph: Graph, seed: int = 0, step: int = 0) -> dict[str, Any]:
    """What the parameters and state of `graph` hold at `step` of a run with this seed. Raises
    DlcError for a step that is none."""
    if not isinstance(step, int) or not 0 <= step < 2**31:
        raise DlcError(f"step {step!r} is out of range", here(), "a step is 0 .. 2147483647")
    values = initial_values(graph_variables(graph), seed)
    return {k: np.int32(step) if k == "step" else v for k, v in values.items()}


def trace_for(function: Callable[..., Any], args: Sequence[Any],
              named: Mapping[str, Any]) -> Graph:
    """The graph of `function` for the types of these arrays."""
    wanted = signature(function, len(args) + len(named))
    name = getattr(function, "__name__", str(function))
    given = {**dict(zip(wanted, args, strict=False)), **named}
    if len(args) > len(wanted) or set(given) != set(wanted):
        raise DlcError(f"{name} takes {len(wanted)} arrays ({', '.join(wanted)}), "
                       f"{len(args)} and {', '.join(named) or 'none'} by name are given", here())
    found = {label: array_type(given[label], f"{name}: argument {label}") for label in wanted}
    declared = {} if isinstance(function, Layer) else {
        k: t for k, t in annotated_types(function).items() if isinstance(t, Type)}
    dims: dict[str, int] = {}
    for label, type_ in found.items():
        dims = {**open_dimensions(declared.get(label, type_), type_), **dims}
    if set(wanted) <= set(declared):
        return trace(function, dims=dims)
    return trace(function, *(declared.get(k, t).bind(dims) for k, t in found.items()))


def open_dimensions(declared: Type, found: Type) -> dict[str, int]:
    """The sizes of the named dimensions of `declared`, as `found` has them."""
    if declared.ndim != found.ndim:
        return {}
    return {d: int(n) for d, n in zip(declared.shape, found.shape, strict=True)
            if isinstance(d, str)}


def array_type(value: Any, what: str) -> Type:
    """The type of an array; a Python number is f32, i32 or bool. Raises DlcError for others."""
    data = array_of(value)
    if isinstance(value, (bool, int, float, list, tuple)):
        kinds = {"b": bool_, "i": i32, "f": f32}
        if data.dtype.kind in kinds:
            return Type(kinds[data.dtype.kind], data.shape)
    try:
        return Type(dtype(data.dtype), data.shape)
    except DTypeError as problem:
        raise DlcError(f"{what}: {problem}", here()) from None
