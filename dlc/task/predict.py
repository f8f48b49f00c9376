"""The predictions of a task as graphs: for whole rows, and for a position of a row at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node, serving, toposort
from dlc.ir.types import Type, i32
from dlc.lang.scope import position
from dlc.lang.trace import fault_code, make_inputs, signature, tracing
from dlc.ops import leaf
from dlc.task.step import Forward, averaged, close_graph, run_function, shown

if TYPE_CHECKING:
    from dlc.task.task import Phase, Task


def predict_graph(task: Task, phase: Phase, dims: Mapping[str, int]) -> Graph:
    """The prediction alone: (the data it reads, params, state) -> prediction, fault, and the
    samples that the task names; no updates.

    Labels are not input, and of the run-time checks those stay that ask for none. Raises DlcError
    for a task that says nothing of what it predicts.
    """
    inputs = make_inputs(phase.function, (), dims, "data")
    with tracing(phase.function, False, inputs) as (build, scope):
        forward = run_function(task, phase, build, scope, inputs)
        read, samples = forward.inputs, forward.result.samples
        outputs = predicted(task, forward)
        if samples is not None:
            outputs["samples"] = samples
            forward.inputs = {k: n for k, n in read.items() if n in data_read(
                outputs["prediction"]) | data_read(samples)}
    return predicting(task, "predict", forward, outputs)


def decode_graph(task: Task, window: int) -> Graph:
    """One position of a sequence of up to `window`: (its element, params, state) -> prediction [1,
    1, ...], fault, and what layers keep for the next position (dlc.decoding).

    Raises DlcError for a network that has no such program: one that looks ahead, or whose
    definition is of the whole length.
    """
    phase = task.eval_phase()
    types = [one_position(t, window) for t in signature(phase.function).values()]
    inputs = make_inputs(phase.function, types, task.bound_dims(1), "data")
    with tracing(phase.function, False, inputs, window) as (build, scope):
        at = position()
        forward = run_function(task, phase, build, scope, inputs)
        outputs = predicted(task, forward)
        scope.updates["position"] = at + 1
        outputs.update(scope.updates)
    return predicting(task, "decode", forward, outputs, tuple(scope.updates))


def one_position(kind: Type, window: int) -> Type:
    """The type of an input cut to one row and, along an axis of `window` behind that of rows, to
    one position."""
    if not kind.shape[1:] or kind.shape[1] != window:
        return kind
    return Type(kind.dtype, (kind.shape[0], 1, *kind.shape[2:]))


def predicted(task: Task, forward: Forward) -> dict[str, Node]:
    """The prediction and the fault of the checks that need no label, with `forward` cut to what
    they read."""
    prediction, _ = shown(forward)
    if prediction is None:
        raise DlcError(f"{task.name} does not say what it predicts", forward.result.loc,
                       "name it: dlc.loss(value, prediction=logits)")
    forward.scope.hints.append((prediction, "prediction"))
    read = data_read(prediction)
    forward.inputs = {k: n for k, n in forward.inputs.items() if n in read}
    forward.checks = [c for c in forward.checks if data_read(c.bad) <= read]
    outputs = {"prediction": prediction}
    if forward.checks:
        with serving(forward.lines):
            zero = leaf.constant(0, Type(i32))
            outputs["fault"] = fault_code([c.bad for c in forward.checks], zero)
    return outputs


def predicting(task: Task, name: str, forward: Forward, outputs: Mapping[str, Node],
               updated: tuple[str, ...] = ()) -> Graph:
    """The graph of a prediction, with what it reads alone."""
    alive, scope = set(toposort(outputs.values())), forward.scope
    scope.variables = {k: v for k, v in scope.variables.items() if v.node in alive}
    return averaged(task, close_graph(name, forward, outputs, updated))


def data_read(node: Node) -> set[Node]:
    """The data inputs that a value depends on."""
    return {n for n in toposort([node]) if n.op is leaf.INPUT and n.attrs["role"] == "data"}
