"""Tasks: a function returning a loss, with the data, optimizer and schedule that train it."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from dlc.errors import DlcError, Loc, here, nearest
from dlc.init import initial_values
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.lang.layer import Layer
from dlc.lang.scope import Variable
from dlc.lang.source import definition
from dlc.lang.trace import graph_variables, signature
from dlc.optim import Optimizer
from dlc.optim.optimizer import AVERAGE
from dlc.task.arguments import need_optimizer, phase_arguments, task_functions, task_options
from dlc.task.micro import rows_of
from dlc.task.predict import predict_graph
from dlc.task.step import eval_graph, train_graph
from dlc.words import attributes

if TYPE_CHECKING:
    from dlc.task_training import Hook, Trained

KINDS = ("train", "eval", "predict")  # of graphs
Function = Callable[..., Any]
Selection = str | Layer | Sequence[str | Layer] | None
Augment = Callable[[Node], Node] | Mapping[str, Callable[[Node], Node]] | None


@dataclass(frozen=True, eq=False)
class Phase:
    """One kind of step of a task: its function, the parameters it trains, and when it runs.

    It runs on every `every`-th step of the epochs from `start` up to `stop` (None: to the end).
    """

    name: str
    function: Function
    optimizer: Optimizer | None
    params: Selection = None
    every: int = 1
    start: int = 0
    stop: int | None = None
    solo: bool = False
    loc: Loc | None = None

    @property
    def step_name(self) -> str:
        """The state that counts this phase's steps."""
        return "step" if self.solo else f"{self.name}.step"

    def selects(self, variable: Variable) -> bool:
        """Whether this phase trains `variable`."""
        return self.params is None or chosen(variable, self.params)


def chosen(variable: Variable, selection: Selection) -> bool:
    """Whether a name pattern (conv1.*) or a layer in `selection` covers `variable`."""
    listed = [selection] if isinstance(selection, (str, Layer)) else list(selection or ())
    return any(fnmatch.fnmatchcase(variable.name, part) if isinstance(part, str)
               else part in variable.owners for part in listed)


def phase(name: str, function: Function, optimizer: Optimizer | None = None,
          params: Selection = None, every: int = 1, start: int = 0,
          stop: int | None = None) -> Phase:
    """A phase of a task: `function` is its step, which trains `params` with `optimizer`; without an
    optimizer it has no gradient and sets its updates itself.

    `params` are layers or name patterns (None: all parameters that it uses). Raises DlcError for an
    argument that does not fit.
    """
    phase_arguments(name, function, optimizer, params, every, start, stop)
    return Phase(name, function, optimizer, params, every, start, stop, loc=here())


@attributes("task")
@dataclass(frozen=True, eq=False)
class Task:
    """A training task: phases of training, an evaluation, data, and lengths.

    A Task is immutable; `with_options` gives a changed one.
    """

    name: str
    phases: tuple[Phase, ...]
    evaluate: Function
    data: Any
    batch: int
    epochs: int
    augment: Augment = None
    patience: int | None = None
    buckets: int = 4
    monitor: str = "loss"
    frozen: Selection = None
    dims: Mapping[str, int] = field(default_factory=dict)
    report: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "f32"
    micro_batches: int = 1
    loc: Loc | None = None

    def __call__(self, *args: Any, **settings: Any) -> Any:
        """The task's function, as if it had not been decorated."""
        return self.evaluate(*args, **settings)

    # --- graphs

    def graphs(self, batch: int | None = None, kinds: Sequence[str] = ("train", "eval"),
               sizes: Mapping[str, int] | None = None, rows: int | None = None,
               ) -> dict[str, Graph]:
        """The steps as graphs: "train" (or "train.PHASE" for several phases), "eval" and, where
        `kinds` names it, "predict". Dimensions with a bound have their `sizes`, else the bound.
        Training steps take the `rows` of a micro-batch (default: its part of the batch).

        Inputs have the roles data, param and state; updates name what they replace. Raises DlcError
        for a kind that there is not.
        """
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise DlcError(f"{self.name} has no graph {unknown[0]!r}", here(),
                           f"kinds are {', '.join(KINDS)}")
        batch = self.batch if batch is None else batch
        dims = {**self.bound_dims(batch), **(sizes or {})}
        phases = self.phases if "train" in kinds else ()
        part = rows or rows_of(self.name, batch, self.micro_batches) if phases else batch
        trained = dims if part == batch else {**self.bound_dims(part), **(sizes or {})}
        found = {self.entry_name(p): train_graph(self, p, trained) for p in phases}
        if "eval" in kinds:
            found["eval"] = eval_graph(self, self.eval_phase(), dims)
        if "predict" in kinds:
            found["predict"] = predict_graph(self, self.eval_phase(), dims)
        if phases:
            self._check_patterns(found)
        return found

    def _check_patterns(self, graphs: Mapping[str, Graph]) -> None:
        """Raise DlcError for a name pattern that no parameter fits: it is mistyped."""
        names = [v.name for v in self.variables(graphs) if v.role == "param"]
        for what, selection, loc in (("frozen", self.frozen, self.loc),
                                     *(("params", p.params, p.loc) for p in self.phases)):
            listed = [selection] if isinstance(selection, (str, Layer)) else list(selection or ())
            for part in (p for p in listed if isinstance(p, str)):
                if not any(fnmatch.fnmatchcase(n, part) for n in names):
                    raise DlcError(f"{self.name}: {what}: no parameter is called {part!r}"
                                   f"{nearest(part, names)}", loc,
                                   f"parameters are {', '.join(names) or 'none'}")

    def entry_name(self, phase: Phase) -> str:
        """The name of a phase's graph."""
        return "train" if phase.solo else f"train.{phase.name}"

    def eval_phase(self) -> Phase:
        """The evaluation, as a phase that trains nothing."""
        return replace(self.phases[-1], function=self.evaluate, optimizer=None)

    def bound_dims(self, batch: int) -> dict[str, int]:
        """Dimension names to sizes: the batch's name is the first axis of the first input."""
        dims = dict(self.dims)
        for function in (*(p.function for p in self.phases), self.evaluate):
            first = next((t for t in signature(function).values() if isinstance(t, Type)), None)
            if first is None or not first.shape:
                continue
            if isinstance(first.shape[0], str):
                dims.setdefault(first.shape[0], batch)
            elif first.shape[0] != batch:
                raise DlcError(f"{self.name} takes batches of {first.shape[0]} alone ({first}), "
                               f"not of {batch}", definition(function),
                               'name the first dimension: f32["batch", ...]')
        return dims

    def variables(self, graphs: Mapping[str, Graph]) -> tuple[Variable, ...]:
        """The parameters and state of all graphs, each once. Raises DlcError where one of them is
        not the same in all graphs: they share its memory."""
        found: dict[str, tuple[str, Variable]] = {}
        for entry, graph in graphs.items():
            for v in graph_variables(graph):
                first, known = found.setdefault(v.name, (entry, v))
                if _kind(known) != _kind(v):
                    raise DlcError(
                        f"{v.name} is {_described(known)} in {first} and {_described(v)} in "
                        f"{entry}", v.loc, "a parameter or state has one type in all steps, the "
                        "smaller last batch's included: its shape can't depend on the batch")
        return tuple(v for _, v in found.values())

    def initial_values(self, graphs: Mapping[str, Graph], seed: int = 0) -> dict[str, Any]:
        """First values of all parameters and state as arrays, by checkpoint key."""
        return initial_values(self.variables(graphs), seed)

    # --- what steps ask

    def freezes(self, variable: Variable) -> bool:
        """Whether `variable` keeps its first value."""
        return self.frozen is not None and chosen(variable, self.frozen)

    def averages(self, variable: Variable) -> bool:
        """Whether evaluation uses the moving average of `variable`: some phase keeps one."""
        return f"{AVERAGE}/{variable.name}" in self._averages

    @cached_property
    def _averages(self) -> frozenset[str]:
        """The moving averages that the phases keep. What a phase trains is known when its function
        was called: without `params` it is all that the function uses."""
        dims = self.bound_dims(self.batch)
        steps = [train_graph(self, p, dims) for p in self.phases
                 if p.optimizer is not None and p.optimizer.average is not None]
        return frozenset(v.name for step in steps for v in graph_variables(step)
                         if v.role == "state")

    def settings_of(self, function: Function) -> dict[str, Any]:
        """The settings that `function` takes (its arguments with default values)."""
        known = inspect.signature(function).parameters
        return {k: v for k, v in self.settings.items() if k in known}

    def augmentations(self, inputs: Mapping[str, Node]) -> Mapping[str, Callable[[Node], Node]]:
        """Input name -> augmentation; a function alone augments the first input."""
        if self.augment is None:
            return {}
        if not isinstance(self.augment, Mapping):
            return {next(iter(inputs)): self.augment}
        unknown = sorted(set(self.augment) - set(inputs))
        if unknown:
            raise DlcError(f"augment names {unknown[0]!r}, which is not an input", self.loc,
                           f"inputs are {', '.join(inputs)}{nearest(unknown[0], list(inputs))}")
        return self.augment

    def with_options(self, **options: Any) -> Task:
        """This task with options given as text (`--set key=value`); see dlc/task/options.py."""
        from dlc.task.options import changed

        return changed(self, options)

    def meta(self, graphs: Mapping[str, Graph]) -> dict[str, Any]:
        """What the runtime and reports need, as plain data that JSON can hold; see TaskMeta."""
        from dlc.task.meta import describe_task

        return describe_task(self, graphs)

    # --- training

    def train(self, data: Any = None, *, seed: int = 0, folder: str | Path | None = None,
              resume: bool = False, init: Any = None, rename: Mapping[str, str] | None = None,
              threads: int | None = None, on_step: Hook | None = None,
              on_epoch: Hook | None = None, show: bool = False, inspect: bool = False,
              trap: str | None = None, **options: Any) -> Trained:
        """Train, and give the network and what the run came to (docs/using.md).

        `data` are what `load_dataset` takes (default: the task's own), `options` those of
        `with_options`: epochs, batch, lr, ... With a `folder` checkpoints are written into it, and
        `resume` goes on from its last. `init` are weights to start from: a checkpoint, a network or
        arrays by name, under other names with `rename` (dlc/starting.py). The hooks are called with
        a Moment after each step and each epoch; one that returns True ends the training. `show`
        prints a line an epoch; `inspect` looks at gradients, curvature and layers after each epoch
        (docs/report.md). With trap="nan" a parameter or state that stops being finite ends the
        run at the step that made it so, which is kept in the folder (docs/inspect.md). Raises
        DlcError for invalid arguments, TrainingFault for a loss that is not finite and an index out
        of range.
        """
        from dlc.task_training import train

        return train(self, data, seed=seed, folder=folder, resume=resume, init=init, rename=rename,
                     threads=threads, on_step=on_step, on_epoch=on_epoch, show=show,
                     inspect=inspect, trap=trap, **options)


def _kind(variable: Variable) -> tuple[Any, ...]:
    """What all steps must agree on."""
    return variable.role, variable.type.dtype, tuple(variable.type.shape)


def _described(variable: Variable) -> str:
    word = "a parameter" if variable.role == "param" else "a state"
    return f"{word} {variable.type.describe()}"


# --- the decorator --------------------------------------------------------------------------------


@overload
def task(*, optimizer: Optimizer, data: Any = "", batch: int = 32, epochs: int = 1,
         augment: Augment = None, patience: int | None = None, monitor: str = "loss",
         frozen: Selection = None, dims: Mapping[str, int] | None = None, precision: str = "f32",
         buckets: int = 4, micro_batches: int = 1,
         report: Mapping[str, str] | None = None, evaluate: Function | None = None,
         name: str = "") -> Callable[[Function], Task]: ...


@overload
def task(*, phases: Sequence[Phase], name: str, data: Any = "", batch: int = 32, epochs: int = 1,
         augment: Augment = None, patience: int | None = None, monitor: str = "loss",
         frozen: Selection = None, dims: Mapping[str, int] | None = None, precision: str = "f32",
         buckets: int = 4, micro_batches: int = 1,
         report: Mapping[str, str] | None = None, evaluate: Function | None = None) -> Task: ...


def task(*, optimizer: Any = None, phases: Sequence[Phase] = (), name: str = "",
         evaluate: Function | None = None, **given: Any) -> Any:
    """Make a task from a function returning dlc.loss(...), or from several phases.

    As a decorator: `@dlc.task(data="digits", optimizer=optim.adam(1e-3), batch=128, epochs=30)`.
    With `phases=[dlc.phase(...), ...]` it is called, and `evaluate` (default: the last phase's
    function) is what is measured. `augment` changes the first input (or those it names) in
    training; `patience` stops after so many epochs in which `monitor` did not improve; rows of
    several lengths are padded to one of `buckets` sizes (docs/lengths.md); `frozen`
    parameters (layers or name patterns) keep their first values; `report` says what the report of a
    run shows where that can't be told from the evaluation (docs/report.md). In the `precision`
    "bf16" or "f16" the operators of docs/precision.md compute in that dtype; parameters and their
    updates stay f32. A step runs its batch in `micro_batches` parts, a power of 2 (docs/scale.md).
    Raises DlcError for an option that does not fit.
    """
    loc = here()
    options = {**task_options(given), "loc": loc}
    task_functions(name, evaluate, loc)
    if phases:
        return _of_phases(phases, evaluate, name, options)
    need_optimizer(optimizer, none_fits=False)

    def decorate(f: Function) -> Task:
        if not callable(f):
            raise DlcError(f"dlc.task: {f!r} is not a function", loc)
        one = Phase("train", f, optimizer, solo=True, loc=definition(f))
        return Task(name or f.__name__, (one,), evaluate or f, **options)

    return decorate


def _of_phases(phases: Sequence[Phase], evaluate: Function | None, name: str,
               options: dict[str, Any]) -> Task:
    for each in phases:
        if not isinstance(each, Phase):
            raise DlcError(f"dlc.task: {each!r} is not a phase", options["loc"],
                           "make it by dlc.phase(name, function, optimizer)")
    names = [p.name for p in phases]
    if len(set(names)) != len(names):
        raise DlcError(f"dlc.task: two phases of one name in {', '.join(names)}", options["loc"])
    if not name:
        raise DlcError("dlc.task of phases needs a name", options["loc"], 'e.g. name="gan"')
    return Task(name, tuple(phases), evaluate or phases[-1].function, **options)
