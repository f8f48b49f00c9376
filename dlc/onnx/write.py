"""Writing a graph as an ONNX file: operators one by one, parameters as initializers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlc.derive.autodiff import expand_higher
from dlc.derive.batching import draws
from dlc.derive.gradient_rules import settled
from dlc.errors import DlcError, Loc, printable
from dlc.init import initial_values
from dlc.ir.graph import Build, Graph, Node, building, toposort
from dlc.lang.trace import graph_variables, trace
from dlc.onnx import export_control, export_elementwise, export_scatter, export_views
from dlc.onnx.export_compositions import composed
from dlc.onnx.proto import onnx_package
from dlc.onnx.writer import BATCH, BATCHES, Fixed, Open, Writer, names_read, pruned
from dlc.reference.evaluate import Specialized
from dlc.task.task import Task

OPSETS = range(17, 24)
# importing them fills the table of emitters
FAMILIES = (export_control, export_elementwise, export_scatter, export_views)
IR_VERSION = 8  # what opset 17 came with; onnxruntime reads it since 1.12

Builder = Callable[[int | None], Graph]
Values = Mapping[str, Any]


def write_model(thing: Any, path: Path, entry: str, opset: int, parameters: Values | None,
                batch: int | None, dims: Mapping[str, int]) -> None:
    """See dlc.onnx.export."""
    onnx = onnx_package()
    if opset not in OPSETS:
        raise DlcError(f"opset {opset} is not written", None,
                       f"opsets are {OPSETS.start} to {OPSETS.stop - 1}")
    builder, first = graphs(thing, entry, dims)
    values = {**first(), **(parameters or {})}
    proto = exported(builder, values, opset, batch)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        raise DlcError(f"not valid in opset {opset}: {printable(str(problem), 300)}", None,
                       "another opset (bf16 needs 22 for most operators), or another precision: "
                       'task.with_options(precision="f32")') from None
    try:
        path.write_bytes(proto.SerializeToString())
    except (OSError, ValueError) as problem:
        raise DlcError(f"{path} cannot be written: {problem}") from None


def graphs(thing: Any, entry: str,
           dims: Mapping[str, int]) -> tuple[Builder, Callable[[], Values]]:
    """(the graph for a batch, first values of its parameters and state)."""
    if isinstance(thing, Task):
        def of_task(batch: int | None) -> Graph:
            return predictions(thing.graphs(batch), entry)

        return of_task, lambda: thing.initial_values(thing.graphs(), 0)
    if isinstance(thing, Graph):
        return lambda batch: thing, lambda: first_values(thing)

    def build(batch: int | None) -> Graph:
        bound = dict(dims) if batch is None else {BATCH: batch, **dims}
        if isinstance(thing, Specialized):
            return thing.graph(**bound)
        return trace(thing, dims=bound)

    return build, lambda: first_values(build(BATCHES[0]))


def first_values(graph: Graph) -> Values:
    variables = graph_variables(graph)
    return initial_values(variables, 0) if variables else {}


def predictions(found: Mapping[str, Graph], entry: str) -> Graph:
    """A task's graph with what it predicts alone; without a prediction all that it reports."""
    if entry not in found:
        raise DlcError(f"there is no entry {entry!r}", None, f"entries are {', '.join(found)}")
    graph = found[entry]
    named = dict(zip(graph.output_names, graph.outputs, strict=True))
    kept = {k: v for k, v in named.items() if k == "prediction"} or {
        k: v for k, v in named.items() if k != "fault" and k not in graph.updates}
    return Graph(graph.name, graph.inputs, tuple(kept.values()), tuple(kept), {}, graph.notes)


def exported(build: Builder, values: Values, opset: int, batch: int | None) -> Any:
    """The ModelProto, with an open batch unless one is given or the graph does not allow it."""
    if batch is None:
        try:
            return model_proto(build(BATCHES[0]), build(BATCHES[1]), values, opset)
        except (Fixed, DlcError):
            # the graph needs its own batch; what else is wrong with it comes up again
            return model_proto(build(None), None, values, opset)
    return model_proto(build(batch), None, values, opset)


def expanded(graph: Graph) -> Graph:
    """`graph` without nodes that hold derivatives, or rules for them."""
    with building(Build()):
        return graph.with_outputs(settled(expand_higher(graph.outputs)))


def refuse_random(graph: Graph) -> None:
    """Raise DlcError at the line that draws random numbers: the file would draw others."""
    drawing = next((n for n in graph.nodes() if draws(n)), None)
    if drawing is not None:
        raise DlcError("random numbers are drawn here: ONNX has none that are functions of dlc's "
                       "seed and step", drawing_line(drawing),
                       "export what does not draw (a task's \"eval\"), or pass them as an argument")


def drawing_line(node: Node) -> Loc | None:
    """The line of the draw itself: of a loop, that in its body."""
    for graph in (v for v in node.attrs.values() if isinstance(v, Graph)):
        inner = next((n for n in graph.nodes() if draws(n)), None)
        if inner is not None:
            return drawing_line(inner)
    return node.loc


def model_proto(graph: Graph, twin: Graph | None, values: Values, opset: int) -> Any:
    """The ModelProto of a graph. Raises Fixed when `twin` shows that its batch cannot be open."""
    helper = onnx_package().helper
    graph = expanded(graph)
    refuse_random(graph)
    graph = composed(graph)
    writer = Writer(graph, None if twin is None else composed(expanded(twin)), opset)
    reached = toposort(graph.outputs)
    alive = set(reached)
    inputs = [write_input(writer, n, values) for n in graph.inputs if n in alive]
    for node in reached:
        if node.op.name != "input":
            writer.add(node)
    outputs = [write_output(writer, name, node)
               for name, node in zip(graph.output_names, graph.outputs, strict=True)]
    nodes = pruned(writer.nodes, [o.name for o in outputs])
    used = {name for node in nodes for name in names_read(node)}
    weights = [t for name, t in writer.initializers.items() if name in used]
    proto = helper.make_graph(nodes, graph.name, [i for i in inputs if i], outputs, weights)
    return helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)],
                             ir_version=IR_VERSION, producer_name="dlc")


def write_input(writer: Writer, node: Node, values: Values) -> Any:
    """An input of the model, or None for a parameter, which becomes an initializer."""
    label = node.attrs["label"]
    if node.attrs["role"] in ("param", "state"):
        if label not in values:
            raise DlcError(f"there is no value for {label!r}", node.loc)
        data = np.asarray(values[label])
        if tuple(data.shape) != tuple(map(int, node.shape)) or data.dtype != node.dtype.numpy:
            raise DlcError(f"{label!r} is {data.dtype}{list(data.shape)}, not {node.type}",
                           node.loc)
        writer.names[node] = writer.weight(label, data)
        return None
    writer.names[node] = name = writer.name(label)
    dims = writer.dims(node)
    if not writer.batch and Open(1) in dims:
        at = writer.ints([dims.index(Open(1))])
        writer.batch = writer.emit("Gather", writer.emit("Shape", name), at, hint=BATCH)
    return writer.info(name, node)


def write_output(writer: Writer, wanted: str, node: Node) -> Any:
    """An output of the model under its own name."""
    name = writer.emit("Identity", writer.names[node], hint=wanted)
    return writer.info(name, node)

