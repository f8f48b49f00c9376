"""The plain data of a task that the runtime and reports need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dlc.errors import DlcError
from dlc.ir.graph import Graph
from dlc.ir.types import Bounded, Dim
from dlc.lang.scope import Variable
from dlc.optim.learning_rate import Plateau
from dlc.task.task import Phase, Task


@dataclass(frozen=True)
class TaskMeta:
    """The plain-data side of a task. Locations are "file:line" texts, "" when unknown.

    `checks[entry][k - 1]` explains fault k of that entry; fault -1 is a loss that is not finite.
    `target` names the data input that `prediction` should equal ("" when neither is known),
    `classes` how many there are when it holds class numbers. A state named `steps_per_epoch` is to
    be set by the loop before the first step (`sets_steps_per_epoch`); `plateau` says when it counts
    one more in the state of that name. `varying` are the dimensions with a bound: {"most": the
    bound, "inputs": {input: axis}}, padded to one of `buckets` sizes. `subject` is what a report
    shows (dlc/task/subject.py).
    """

    name: str
    data: str
    batch: int
    epochs: int
    patience: int | None
    monitor: str
    metrics: tuple[str, ...]
    phases: tuple[dict[str, Any], ...]
    parameters: int
    parameter_types: dict[str, dict[str, Any]]
    checks: dict[str, tuple[dict[str, str], ...]]
    target: str
    classes: int
    sets_steps_per_epoch: bool
    augmented: bool
    optimizer: str
    learning_rate: str
    precision: str
    plateau: dict[str, Any] | None
    varying: dict[str, dict[str, Any]]
    buckets: int
    micro_batches: int
    subject: dict[str, str]


def describe_task(task: Task, graphs: Mapping[str, Graph]) -> dict[str, Any]:
    """TaskMeta of `task` as a dict."""
    variables = task.variables(graphs)
    params = [v for v in variables if v.role == "param"]
    evaluation = graphs["eval"] if "eval" in graphs else task.graphs(kinds=("eval",))["eval"]
    notes = evaluation.notes
    predicted, target = notes["prediction"], notes["target"]
    kinds = {n.attrs["label"]: n.type for n in evaluation.inputs}
    is_class = target in kinds and kinds[target].dtype.is_integer
    optimizers = [p.optimizer for p in task.phases if p.optimizer is not None]
    meta = TaskMeta(
        task.name, data_name(task.data), task.batch, task.epochs, task.patience, task.monitor,
        notes["metrics"], tuple(_phase_data(task, p) for p in task.phases),
        sum(v.type.size for v in params), {v.name: _type_data(v) for v in params},
        {k: tuple(_check_data(c) for c in g.notes["checks"]) for k, g in graphs.items()},
        target, int(predicted.shape[-1]) if is_class and predicted is not None else 0,
        any(v.name == "steps_per_epoch" for v in variables), task.augment is not None,
        ", ".join(dict.fromkeys(map(str, optimizers))),
        ", ".join(dict.fromkeys(str(s) for o in optimizers for s in o.schedules())),
        task.precision,
        plateau_data(task, [s.plateau for o in optimizers for s in o.schedules()]),
        varying_data(graphs), task.buckets, task.micro_batches,
        asdict(notes["subject"]))
    return asdict(meta)


def plateau_data(task: Task, rules: list[Plateau | None]) -> dict[str, Any] | None:
    """What counts as a plateau. Raises DlcError for two rules: there is one count."""
    found = list(dict.fromkeys(rule for rule in rules if rule is not None))
    if len(found) > 1:
        raise DlcError(f"{task.name}: two schedules wait for plateaus, by {found[0]} and by "
                       f"{found[1]}", task.loc, "one patience, threshold and cooldown for all")
    return asdict(found[0]) if found else None


def varying_data(graphs: Mapping[str, Graph]) -> dict[str, dict[str, Any]]:
    """The dimensions with a bound, of all inputs that a row of data fills."""
    found: dict[str, dict[str, Any]] = {}
    for node in (n for g in graphs.values() for n in g.inputs if n.attrs["role"] == "data"):
        for axis, dim in enumerate(node.shape):
            if isinstance(dim, Dim) and isinstance(dim.name, Bounded):
                one = found.setdefault(str(dim.name), {"most": dim.name.most, "inputs": {}})
                one["inputs"][node.attrs["label"]] = axis
    return found


def data_name(data: Any) -> str:
    """A description of the data: the name or path as given, or else the kind of object."""
    return data if isinstance(data, str) else f"a {type(data).__name__}"


def _phase_data(task: Task, phase: Phase) -> dict[str, Any]:
    return {"name": phase.name, "entry": task.entry_name(phase), "every": phase.every,
            "start": phase.start, "stop": phase.stop, "step": phase.step_name,
            "optimizer": "" if phase.optimizer is None else str(phase.optimizer)}


def _type_data(variable: Variable) -> dict[str, Any]:
    return {"shape": [int(d) for d in variable.type.shape], "dtype": variable.type.dtype.name,
            "loc": str(variable.loc or "")}


def _check_data(check: Any) -> dict[str, str]:
    return {"text": check.text, "loc": str(check.loc or "")}
