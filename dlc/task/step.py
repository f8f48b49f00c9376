"""The training and evaluation steps of a task as ordinary graphs.

A step is loss, gradient, clipping, optimizer and state updates in one graph. Every update is
predicated: when the loss is not finite or a run-time check failed, all values stay as they were.
In the precision f16 a step whose gradients overflow is skipped instead (dlc/task/scaling.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dlc.derive import higher
from dlc.errors import DlcError, Loc, Part, here, part_of, printable
from dlc.ir.graph import Build, Graph, Node, building, describe, make, serving, substitute
from dlc.ir.types import Type, f32, i32
from dlc.lang import scope as scopes
from dlc.lang.scope import Scope, Variable
from dlc.lang.source import definition
from dlc.lang.trace import (
    applied,
    check_texts,
    closed,
    distinct_checks,
    fault_code,
    graph_variables,
    make_inputs,
    new_names,
    tracing,
)
from dlc.ops import elementwise, leaf, tuples
from dlc.ops.convert import as_node, cast, widened
from dlc.ops.gather import Check
from dlc.ops.varying import mean_count
from dlc.optim.hessian_free import Model
from dlc.optim.optimizer import AVERAGE, Optimizer, begun_as, update
from dlc.task.micro import MicroBatches, micro_batches
from dlc.task.over_set import row_outputs
from dlc.task.scaling import Scaling, in_task_precision, scaling
from dlc.task.subject import CODE, SAMPLES, code_of, samples_of, subject_of
from dlc.task.written import freely_rated
from dlc.words import attributes

if TYPE_CHECKING:
    from dlc.task.task import Phase, Task

RESERVED = ("fault", "prediction", "loss", "lr", "loss_scale", "skipped", CODE, SAMPLES)
LONGEST_NAME = 100  # of a metric
Found = tuple[Node, dict[str, Node], list[Node], list[Node]]  # see `differentiate`


@attributes("loss")
@dataclass(frozen=True, eq=False)
class Loss:
    """What a task returns: the value to minimize, and metrics to report, f32 scalars. `counts` are
    the numbers of elements that means over rows of several lengths are over: "loss.count"."""

    value: Node
    metrics: Mapping[str, Node]
    prediction: Node | None = None
    loc: Loc | None = None
    counts: Mapping[str, Node] = field(default_factory=dict)
    samples: Node | None = None


def loss(value: Any, *, prediction: Any = None, samples: Any = None, **metrics: Any) -> Loss:
    """The result of a task: `value` is minimized, `metrics` are reported.

    `prediction` is shown in reports (default: the first argument of the first loss function).
    `samples`, a row for each of the batch, are what the network makes of random numbers where that
    is not the prediction: of codes drawn from a prior. Reports show them, `Network.sample` gives
    them.
    Raises DlcError for a value that is not a float scalar, and for a metric that is not a scalar.
    """
    found = scalar("loss", value)
    if not found.dtype.is_float:
        raise DlcError(f"dlc.loss: the value is {describe(found)}", here(),
                       "a loss is a float; cast it or use a loss of dlc.nn")
    taken = sorted(set(metrics) & set(RESERVED))
    if taken:
        raise DlcError(f"dlc.loss: {taken[0]!r} can't be the name of a metric", here(),
                       f"{', '.join(RESERVED)} have meanings of their own")
    for name in metrics:
        if not name or name != printable(name, LONGEST_NAME):
            raise DlcError(f"dlc.loss: {printable(name, LONGEST_NAME)!r} can't be the name of a "
                           "metric", here(), f"a word of at most {LONGEST_NAME} characters")
    reported = {name: cast(scalar(name, m), f32) for name, m in metrics.items()}
    each = {f"{k}.count": mean_count(as_node(m)) for k, m in {"loss": found, **metrics}.items()}
    return Loss(found, reported, None if prediction is None else as_node(prediction), here(),
                {k: count for k, count in each.items() if count is not None},
                None if samples is None else as_node(samples))


def scalar(name: str, value: Any) -> Node:
    """`value` as a scalar node. Raises DlcError for an array."""
    node = as_node(value)
    if node.ndim:
        raise DlcError(f"dlc.loss: {name} is {describe(node)}, not one number", here(),
                       "reduce it first, e.g. .mean()")
    return node


@dataclass
class Forward:
    """A task's function run once: its data inputs, what it returned, and what it collected."""

    build: Build
    scope: Scope
    inputs: dict[str, Node]
    result: Loss
    checks: list[Check]

    @property
    def lines(self) -> tuple[Loc, ...]:
        """The line that returned the loss: what belongs to no layer serves it."""
        return () if self.result.loc is None else (self.result.loc,)


def run_function(task: Task, phase: Phase, build: Build, scope: Scope,
                 inputs: dict[str, Node], micro: MicroBatches | None = None) -> Forward:
    """Call the user's function on its inputs, augmented in training; in the task's precision."""
    scope.step_name = phase.step_name
    if micro is not None:
        micro.tell_apart(scope)
    fed = augmented(task, inputs) if build.training else inputs
    result = applied(phase.function, fed, **task.settings_of(phase.function))
    if micro is not None:
        scope.iteration, inputs = None, {**inputs, **micro.inputs}
    if not isinstance(result, Loss):
        shown = "None" if result is None else f"a {type(result).__name__}"
        raise DlcError(f"{phase.function.__name__} returned {shown}, not a loss",
                       definition(phase.function),
                       "end it with: return dlc.loss(value, metric=...)")
    return in_task_precision(Forward(build, scope, inputs, result, distinct_checks(build)),
                             task.precision)


def augmented(task: Task, inputs: dict[str, Node]) -> dict[str, Node]:
    """The inputs after augmentation. Raises DlcError when it changes a type or names no input."""
    changed = dict(inputs)
    for name, function in task.augmentations(inputs).items():
        before = inputs[name]
        after = as_node(function(before))
        if (after.dtype, tuple(after.shape)) != (before.dtype, tuple(before.shape)):
            raise DlcError(f"augmentation of {describe(before)} gives {describe(after)}", task.loc,
                           "it must keep dtype and shape")
        changed[name] = after
    return changed


# --- training -------------------------------------------------------------------------------------


def train_graph(task: Task, phase: Phase, dims: Mapping[str, int]) -> Graph:
    """One training step: (data, params, state) -> loss, metrics, lr, fault, and every update."""
    inputs = make_inputs(phase.function, (), dims, "data")
    prefix = "" if phase.solo else f"{phase.name}."
    with tracing(phase.function, True, inputs) as (build, scope):
        micro = micro_batches(task.micro_batches, [*inputs.values()])
        forward = run_function(task, phase, build, scope, inputs, micro)
        trained = [] if phase.optimizer is None else trainable(task, phase, scope)
        with serving(forward.lines):
            scaled = scaling(prefix) if trained and task.precision == "f16" else None
        traced = dict(scope.updates)
        found = differentiate(phase, forward, trained, scaled)
        if micro is not None:
            found = over_micro_batches(micro, forward, found)
            scope.updates = micro.states(traced, scope.updates)
            sums = zip(found[3], trained, strict=True)
            scope.hints += [(g, f"{v.name}.grad.sum") for g, v in sums]
        value, metrics, bad, grads = found
        outputs = {"loss": cast(value, f32), **metrics, **forward.result.counts}
        with serving(forward.lines):
            verdict = judged(scope, value, bad, grads, scaled)
        with serving(forward.lines, Part.BACKWARD):
            grads = grads if scaled is None else scaled.unscaled(grads)
        with serving(forward.lines):
            outputs.update({} if scaled is None else scaled.metrics(verdict.finite))
            done = scopes.step() if scaled is None else scopes.step() - scaled.skipped

        def updated(optimizer: Optimizer) -> tuple[dict[str, Node], Node]:
            return update(optimizer, trained, grads, done, task.epochs, prefix,
                          None if micro else lambda chosen: model_of(forward, chosen))

        written = freely_rated(scope, phase.optimizer, lambda rule: updated(rule)[0],
                               task.entry_name(phase), [*forward.inputs.values()], {"loss": value})
        new = dict(scope.updates)
        if phase.optimizer is not None:
            stepped, rate = updated(phase.optimizer)
            new = {**scope.updates, **stepped}
            outputs["lr"] = cast(rate, f32)
            scope.hints.append((outputs["lr"], "lr"))
        with serving(forward.lines, Part.OPTIMIZER):
            counts = {phase.step_name: scopes.step() + 1,
                      **({} if scaled is None else scaled.updates(verdict.finite))}
        outputs["fault"] = verdict.fault
        outputs.update(new_names(outputs, {**predicated(scope, new, verdict.kept),
                                           **predicated(scope, counts, verdict.ok, True)}))
    graph = close_graph(task.entry_name(phase), forward, outputs, (*new, *counts))
    return replace(graph, notes={**graph.notes, "written": written})


@dataclass(frozen=True)
class Verdict:
    """What a step comes to: its `fault` code; `ok` where that is 0; whether everything is `finite`,
    and whether what it computed is `kept`: `ok`, and not skipped."""

    fault: Node
    ok: Node
    finite: Node
    kept: Node


def judged(scope: Scope, value: Node, bad: Sequence[Node], grads: Sequence[Node],
           scaled: Scaling | None) -> Verdict:
    """The verdict on a step with the loss `value`, failed checks `bad`, and scaled gradients."""
    finite = elementwise.isfinite(value) if scaled is None else scaled.finite(value, grads)
    passes = finite if scaled is None else elementwise.or_(finite, scaled.may_shrink())
    fault = fault_code(bad, leaf_if(passes, 0, -1))
    ok = elementwise.eq(fault, 0)
    scope.hints += [(fault, "fault"), (ok, "ok")]
    kept = ok if scaled is None else elementwise.and_(ok, finite)
    return Verdict(fault, ok, finite, kept)


def leaf_if(condition: Node, yes: int, no: int) -> Node:
    """i32[()]: one of two constants."""
    return elementwise.where(condition, leaf.constant(yes, Type(i32)), leaf.constant(no, Type(i32)))


def trainable(task: Task, phase: Phase, scope: Scope) -> list[Variable]:
    """The parameters that `phase` updates, in order of first use. Raises DlcError for none."""
    params = [v for v in scope.variables.values() if v.role == "param"]
    chosen = [v for v in params if phase.selects(v) and not task.freezes(v)]
    if not chosen:
        known = ", ".join(v.name for v in params) or "none"
        raise DlcError(f"{phase.function.__name__} has no parameter to train",
                       definition(phase.function), f"its parameters: {known}")
    return chosen


def differentiate(
        phase: Phase, forward: Forward, trained: Sequence[Variable], scaled: Scaling | None = None,
        ) -> Found:
    """(loss, metrics, conditions of checks, gradients); effects become results of the grad node.

    With loss scaling the gradients are those of the scaled loss.
    """
    result, scope = forward.result, forward.scope
    values = [result.value, *result.metrics.values(), *scope.updates.values(),
              *(c.bad for c in forward.checks)]
    grads: list[Node] = []
    if trained:
        require_path(phase, result, trained)
        nodes = [v.node for v in trained]
        rest = [v.node for v in scope.variables.values() if v not in set(trained)]
        body = Graph("forward", (*nodes, *forward.inputs.values(), *rest), tuple(values))
        with serving(forward.lines):
            one = leaf.constant(1.0, result.value.type)
            by = one if scaled is None else cast(scaled.scale, one.dtype)
            node = make(higher.GRAD, (*body.inputs, by), body=body, count=len(nodes))
            grads = [tuples.item(node, len(values) + i) for i in range(len(nodes))]
            values = [tuples.item(node, i) for i in range(len(values))]
            scope.hints += [(g, f"{v.name}.grad") for g, v in zip(grads, trained, strict=True)]
    left = values[1:]
    metrics = {name: left.pop(0) for name in result.metrics}
    scope.hints += [(values[0], "loss"), (result.value, "loss")]
    scope.hints += [(m, name) for group in (metrics, result.metrics) for name, m in group.items()]
    scope.updates = {name: left.pop(0) for name in scope.updates}
    return values[0], metrics, left, grads


def over_micro_batches(micro: MicroBatches, forward: Forward, found: Found) -> Found:
    """What `differentiate` found for one micro-batch, for the step: sums over all of them. The
    conditions of checks become those of the step; one loss that is not finite is none of all."""
    value, metrics, bad, grads = found
    with serving(forward.lines):
        code = micro.first(fault_code(bad, leaf_if(elementwise.isfinite(value), 0, -1)))
        mean = micro.mean(value)
        odd = elementwise.and_(elementwise.eq(code, -1), elementwise.isfinite(mean))
        value = elementwise.where(odd, math.nan, mean)
        metrics = micro.means(metrics)
        failed = [elementwise.eq(code, k) for k in range(1, len(bad) + 1)]
    with serving(forward.lines, Part.BACKWARD):
        grads = [micro.mean(grad) for grad in grads]
    return value, metrics, failed, grads


def model_of(forward: Forward, chosen: Sequence[Variable]) -> Model:
    """The loss as a function of the parameters `chosen`; it judges what its first loss function was
    given, else the prediction."""
    noted, told = forward.scope.prediction, forward.result.prediction
    prediction = told if noted is None else noted[0]
    return Model(forward.result.value, prediction, tuple(v.node for v in chosen))


def require_path(phase: Phase, result: Loss, trained: Sequence[Variable]) -> None:
    """Raise DlcError when no gradient flows from the loss to a trained parameter."""
    stack, seen = [result.value], set[Node]()
    wanted = {v.node for v in trained}
    while stack:
        node = stack.pop()
        if node in wanted:
            return
        if node not in seen and node.op.gradient != "zero":
            stack.extend(node.args)
        seen.add(node)
    raise DlcError(f"the loss of {phase.function.__name__} depends on no trained parameter",
                   result.loc, f"trained are {', '.join(v.name for v in trained)}")


def predicated(scope: Scope, new: Mapping[str, Node], ok: Node,
               counted: bool = False) -> dict[str, Node]:
    """Each update where the step was sound, the old value otherwise. It serves the variable's line;
    of what is `counted` by dlc itself, the line of the new value."""
    kept = {}
    for name, value in new.items():
        old = scope.variables[name].node
        with serving(value.locs if counted else old.locs or value.locs, part_of(value.locs)):
            kept[name] = elementwise.where(ok, cast(value, old.dtype), old)
            scope.hints.append((kept[name], f"{name}.new"))
    return kept


# --- evaluation -----------------------------------------------------------------------------------


def eval_graph(task: Task, phase: Phase, dims: Mapping[str, int]) -> Graph:
    """One evaluation: (data, params, state) -> loss, metrics, fault, prediction; no updates."""
    inputs = make_inputs(phase.function, (), dims, "data")
    with tracing(phase.function, False, inputs) as (build, scope):
        forward = run_function(task, phase, build, scope, inputs)
        result = forward.result
        outputs = {"loss": cast(result.value, f32), **result.metrics, **result.counts}
        with serving(forward.lines):
            zero = leaf.constant(0, Type(i32))
            outputs["fault"] = fault_code([c.bad for c in forward.checks], zero)
        scope.hints += [(node, name) for name, node in outputs.items()]
        prediction, _ = shown(forward)
        if prediction is not None:
            outputs["prediction"] = prediction
        subject = subject_of(forward, prediction, task.report)
        batch = next((int(n.shape[0]) for n in inputs.values() if n.ndim), 0)
        rows, whole = row_outputs(result.metrics, scope.whole, batch)
        outputs.update(rows)
        if result.samples is not None:
            outputs[SAMPLES] = widened(samples_of(task, forward, batch))
    code = code_of(task, subject, close_graph("eval", forward, outputs, ()), prediction)
    if code is not None:
        outputs[CODE], subject = widened(code), replace(subject, code=code.name)
    graph = averaged(task, close_graph("eval", forward, outputs, ()))
    return replace(graph, notes={**graph.notes, "whole": whole, "subject": subject})


def averaged(task: Task, graph: Graph) -> Graph:
    """`graph` with the moving average of each parameter that an optimizer averages in its place."""
    means: dict[Node, Variable] = {}
    for v in graph_variables(graph):
        if v.role == "param" and task.averages(v):
            type_ = widened(v.node).type
            node = leaf.input_(f"{AVERAGE}/{v.name}", type_, "state")
            node.locs = v.node.locs
            means[v.node] = replace(v, name=node.attrs["label"], node=node, role="state",
                                    init=begun_as(v))
    if not means:
        return graph
    with building(Build()):
        swapped = {old: cast(new.node, old.dtype) for old, new in means.items()}
        outputs = substitute(graph.outputs, swapped)
    variables = tuple(means.get(v.node, v) for v in graph_variables(graph))
    return replace(
        graph, inputs=tuple(means[n].node if n in means else n for n in graph.inputs),
        outputs=tuple(outputs), notes={**graph.notes, "variables": variables})


def shown(forward: Forward) -> tuple[Node | None, str]:
    """(what the network predicts, the name of the data input that it should equal)."""
    noted = forward.scope.prediction
    prediction = forward.result.prediction
    target = ""
    if noted is not None:
        prediction = noted[0] if prediction is None else prediction
        target = str(noted[1].attrs["label"])
    return forward.result.samples if prediction is None else prediction, target


def close_graph(name: str, forward: Forward, outputs: Mapping[str, Node],
                updated: Sequence[str]) -> Graph:
    """The graph of a step, with what the runtime and the messages need in its notes."""
    variables = tuple(forward.scope.variables.values())
    prediction, target = shown(forward)
    notes = {"variables": variables, "checks": check_texts(forward.checks),
             "metrics": ("loss", *forward.result.metrics), "target": target,
             "prediction": None if prediction is None else prediction.type}
    return closed(Graph(name, (*forward.inputs.values(), *(v.node for v in variables)),
                        tuple(outputs.values()), tuple(outputs), {n: n for n in updated}, notes))
