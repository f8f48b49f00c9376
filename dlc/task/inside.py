"""What a training step computes on the way, as a graph: gradients, curvature, values of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.derive import higher
from dlc.ir.graph import Graph, Node, make, serving, toposort
from dlc.ir.types import Type, f32
from dlc.lang.scope import Variable
from dlc.lang.trace import closed, make_inputs, tracing
from dlc.ops import leaf, reduce, tuples
from dlc.ops.convert import cast
from dlc.task.step import Forward, require_path, run_function, trainable

if TYPE_CHECKING:
    from dlc.task.task import Phase, Task

NORM, CURVATURE = "gg", "gHg"  # outputs
VALUE, GRADIENT = "value/", "gradient/"  # before the names of layers and of parameters


@dataclass(frozen=True)
class Steps:
    """The gradient of a loss as a graph of its own, which can be differentiated again."""

    graph: Graph
    values: tuple[Node, ...]  # of the forward pass
    gradients: tuple[Node, ...]


def inside_graph(task: Task, phase: Phase, dims: Mapping[str, int]) -> Graph:
    """(data, params, state) -> gg = g^T g, gHg = g^T H g of the loss's gradient g and Hessian H in
    the parameters that `phase` trains (Pearlmutter 1994), each gradient, and what each layer gives.

    Nothing is updated. Raises DlcError where training the phase does.
    """
    inputs = make_inputs(phase.function, (), dims, "data")
    with tracing(phase.function, True, inputs) as (build, scope):
        forward = run_function(task, phase, build, scope, inputs)
        trained = trainable(task, phase, scope)
        require_path(phase, forward.result, trained)
        layers = layer_values(forward)
        with serving(forward.lines):
            steps = gradient(forward, trained, list(layers.values()))
            outputs = {NORM: dot(steps.gradients, steps.gradients),
                       CURVATURE: dot(steps.gradients, pushed(steps, trained))}
        outputs |= {VALUE + name: node for name, node in zip(layers, steps.values, strict=True)}
        outputs |= {GRADIENT + v.name: g for v, g in zip(trained, steps.gradients, strict=True)}
    variables = tuple(scope.variables.values())
    return closed(Graph("inside", (*forward.inputs.values(), *(v.node for v in variables)),
                        tuple(outputs.values()), tuple(outputs), {},
                        {"variables": variables, "checks": ()}))


def layer_values(forward: Forward) -> dict[str, Node]:
    """What layers and the functions of chains give, by where they stand, in order: a value once,
    under the name of the innermost; of a layer that runs twice, the last. What runs inside a loop
    is not a value of the step."""
    reached = set(toposort([forward.result.value]))
    named = {node: name for node, name in reversed(forward.scope.hints) if node in reached
             and isinstance(node.type, Type) and node.dtype.is_float and node.ndim}
    return {name: node for node, name in reversed(named.items())}


def gradient(forward: Forward, trained: Sequence[Variable], values: list[Node]) -> Steps:
    """The gradient of the loss in the trained parameters, as a graph that gives it."""
    scope, result = forward.scope, forward.result
    nodes = [v.node for v in trained]
    rest = [v.node for v in scope.variables.values() if v not in set(trained)]
    body = Graph("forward", (*nodes, *forward.inputs.values(), *rest), (result.value, *values))
    one = leaf.constant(1.0, result.value.type)
    node = make(higher.GRAD, (*body.inputs, one), body=body, count=len(nodes))
    items = [tuples.item(node, k) for k in range(len(body.outputs) + len(nodes))]
    gradients = tuple(items[len(body.outputs):])
    graph = Graph("gradient", body.inputs, gradients)
    return Steps(graph, tuple(items[1:len(body.outputs)]), gradients)


def pushed(steps: Steps, trained: Sequence[Variable]) -> tuple[Node, ...]:
    """The Hessian times the gradient: the gradient's derivative along itself."""
    count = len(trained)
    node = make(higher.JVP, (*steps.graph.inputs, *steps.gradients), body=steps.graph,
                tangents=count)
    return tuple(tuples.item(node, count + k) for k in range(count))


def dot(left: Sequence[Node], right: Sequence[Node]) -> Node:
    """The sum of all products, f32[()]."""
    parts = [summed(cast(a, f32) * cast(b, f32)) for a, b in zip(left, right, strict=True)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def summed(node: Node) -> Node:
    return make(reduce.SUM, (node,), axes=tuple(range(node.ndim))) if node.ndim else node
