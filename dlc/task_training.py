"""Training a task: what `task.train` and `dlc train` share."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc import env
from dlc.compiler import Compiled, Source, limited, running_on, task_source
from dlc.definition import as_data, of_task
from dlc.errors import DlcError, here, nearest
from dlc.faults import explainer
from dlc.init import initial_values
from dlc.network import Network
from dlc.padding import refuse_padding
from dlc.program import Port
from dlc.reference.text import print_graph
from dlc.starting import Start, Values, start_from
from dlc.task.arguments import training_arguments
from dlc.task.meta import varying_data
from dlc.task.micro import rows_of
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.inspection import Inspector
    from dlc.runtime.cpu.program import CpuProgram
    from dlc.runtime.data import Dataset
    from dlc.runtime.train.training import Moment, TrainConfig, TrainResult

BUNDLE = "fault.safetensors"  # a step that failed, in a run's folder
SAMPLED_ROWS = 64  # of every field, for the identity of the data
Hook = Callable[["Moment"], bool | None]


@dataclass
class Prepared:
    """A task that is ready to train: its data, its program, and what a checkpoint of it is of."""

    task: Task
    dataset: Dataset
    compiled: Compiled
    loaded: CpuProgram
    identity: str
    compile_s: float


@dataclass(frozen=True)
class Trained:
    """What `task.train` gives: `network`, ready to be asked, and what the run came to.

    `values` are all parameters and state as training left them. `history` has one record an epoch:
    {"epoch", "step", "train": {metric: value}, "test", ...}; `metrics` are the last epoch's, the
    loss among them, on the test data where there are any.
    `start` tells what was taken from `init`; `inside`, with `inspect`, of gradients and layers: one
    record an epoch and phase (dlc/inspection.py).
    """

    task: Task
    values: Values
    classes: tuple[str, ...]
    words: Mapping[str, Sequence[str]]
    result: TrainResult
    start: Start | None
    inside: tuple[dict[str, Any], ...] = ()

    @cached_property
    def network(self) -> Network:
        """The network with its last weights. Raises DlcError for a task that predicts nothing."""
        return Network(of_task(self.task, self.classes, self.words), self.values,
                       f"training {self.task.name}")

    @property
    def history(self) -> list[dict[str, Any]]:
        return self.result.history

    @property
    def metrics(self) -> dict[str, float]:
        last = self.history[-1] if self.history else {"train": {}, "test": None}
        return dict(last["train"] if last["test"] is None else last["test"])


def train(task: Task, data: Any = None, *, seed: int = 0, folder: str | Path | None = None,
          resume: bool = False, init: str | Path | Network | Values | None = None,
          rename: Mapping[str, str] | None = None, threads: int | None = None,
          on_step: Hook | None = None, on_epoch: Hook | None = None, show: bool = False,
          inspect: bool = False, trap: str | None = None, **options: Any) -> Trained:
    """See Task.train."""
    from dlc.runtime.train.loop import train as run
    from dlc.runtime.train.training import Callbacks

    training_arguments(seed, threads, folder, rename, trap, on_step=on_step, on_epoch=on_epoch)
    task = with_options(task, options)
    prepared = prepare(task, dataset_of(task, data), threads=threads, progress=_compiling(show))
    inspector = inspector_of(prepared, seed, folder, threads) if inspect else None
    try:
        values, start = first_values(prepared, seed, init, rename)
        refuse_padding(prepared, values)
        config = configure(prepared, seed=seed, resume=resume, trap=trap is not None)
        where = None if folder is None else Path(folder)
        bundle = where / BUNDLE if where is not None and trap is not None else None
        result = run(prepared.loaded, config, prepared.dataset, where, values,
                     Callbacks(_progress(show),
                               explainer(prepared.compiled, prepared.loaded, bundle), on_step,
                               inspector.hook(on_epoch) if inspector else on_epoch))
        arrays = {p.name: prepared.loaded.read(p.name)
                  for p in prepared.loaded.program.persistent}
    finally:
        prepared.loaded.close()
        if inspector is not None:
            inspector.close()
    return Trained(task, arrays, prepared.dataset.classes, prepared.dataset.words, result, start,
                   tuple(inspector.records) if inspector else ())


def inspector_of(prepared: Prepared, seed: int, folder: str | Path | None,
                 threads: int | None = None) -> Inspector:
    """What looks inside after each epoch of a run."""
    from dlc.inspection import Inspector

    return Inspector(prepared.task, prepared.dataset, seed,
                     None if folder is None else Path(folder), threads)


def with_options(task: Task, options: Mapping[str, Any]) -> Task:
    """`task` with `options`, whose errors are at the user's line."""
    try:
        return task.with_options(**options) if options else task
    except DlcError as problem:
        raise DlcError(problem.message, problem.loc or here(), problem.hint) from None


def _progress(show: bool) -> Any:
    import sys

    from dlc.runtime.train.progress import make_progress

    return make_progress(sys.stdout) if show else None


def _compiling(show: bool) -> Callable[[int, int], None] | None:
    import sys

    from dlc.runtime.train.progress import CompileLine

    return CompileLine(sys.stdout) if show else None


def dataset_of(task: Task, data: Any = None) -> Dataset:
    """`data`, else the task's own. Raises DlcError where there are none."""
    from dlc.runtime.data import load_dataset

    chosen = task.data if data is None else data
    if isinstance(chosen, str) and not chosen:
        raise DlcError(f"{task.name} names no data to train on", task.loc,
                       'give it some: @dlc.task(data="digits", ...), or task.train({"x": ...})')
    return load_dataset(chosen)


def prepare(task: Task, dataset: Dataset, target: str = "cpu", threads: int | None = None,
            progress: Callable[[int, int], None] | None = None,
            memory_limit: int | str | None = None) -> Prepared:
    """Compile a task for its data and load the program, which takes `memory_limit` at most;
    `progress` hears how many kernels are compiled of how many."""
    from dlc.runtime.compile.workers import listening

    began = time.perf_counter()
    part = rows_of(task.name, task.batch, task.micro_batches)
    tails = {**dataset.tails(task.batch), "train": dataset.tails(part)["train"]}
    source = task_source(task, task.batch, tails, sizes=sizes_for(task, dataset))
    identity = what_is_trained(source, dataset.train)
    check_monitor(task, source.meta)
    compiled = Compiled(limited(source, memory_limit), target, env.number("DLC_CHECK"))
    with listening(progress or (lambda done, total: None)):
        loaded: CpuProgram = running_on(compiled.program, compiled.program.target, threads)
    return Prepared(task, dataset, compiled, loaded, identity, time.perf_counter() - began)


def sizes_for(task: Task, dataset: Dataset,
              kinds: Sequence[str] = ("train", "eval")) -> dict[str, list[dict[str, int]]]:
    """The sizes that a task's dimensions with a bound need for the rows of `dataset`, by kind of
    step: what `task_source` takes. Raises DataError for rows that do not fit."""
    from dlc.runtime.data.buckets import BoundRows, levels_of, levels_used

    graph = task.graphs(task.batch, ("eval",))["eval"]
    varying = varying_data({"eval": graph})
    if not varying:
        return {}
    levels = levels_of(varying, task.buckets)
    ports = [Port(n.attrs["label"], n.type, 0) for n in graph.inputs if n.attrs["role"] == "data"]
    parts = {"train": dataset.train, "eval": dataset.test}
    rows = {kind: BoundRows(dataset.name, arrays, ports, varying) if arrays else None
            for kind, arrays in parts.items() if kind in kinds}
    used = levels_used(rows, levels, task.batch) if dataset.in_memory else (
        dict.fromkeys(kinds, levels))
    return {kind: [dict(zip(varying, chosen, strict=True)) for chosen in each]
            for kind, each in used.items()}


def configure(prepared: Prepared, **settings: Any) -> TrainConfig:
    """The settings of a run: the task's, with `settings` on top."""
    from dlc.runtime.train.training import config_from_meta

    program = prepared.compiled.program
    return config_from_meta(
        program.meta, program, task=prepared.identity, compile_s=prepared.compile_s,
        network=lambda: as_data(prepared.task, prepared.dataset.classes, prepared.dataset.words),
        each_epoch=begun_anew(prepared.task, prepared.compiled.source, settings.get("seed", 0)),
        **settings)


def begun_anew(task: Task, source: Source, seed: int) -> Values:
    """The first values of the states that each epoch begins with."""
    variables = task.variables(source.graphs)
    chosen = [v for v in variables if v.each_epoch]
    return initial_values(chosen, seed) if chosen else {}


def first_values(prepared: Prepared, seed: int, init: Any,
                 rename: Mapping[str, str] | None) -> tuple[Callable[[], Values], Start | None]:
    """(what makes the values that training starts from, what was taken from `init`)."""
    compiled = prepared.compiled
    if init is None:
        if rename:
            raise DlcError("rename without init: there is nothing to rename", here())
        return lambda: compiled.initial_values(seed), None
    fresh = compiled.initial_values(seed)
    start = start_from(prepared.task, compiled.source.graphs, fresh, init, rename or {})
    return lambda: {**fresh, **start.values}, start


def check_monitor(task: Task, meta: Mapping[str, Any]) -> None:
    """Raise DlcError when the metric that is monitored is none of the task's."""
    known = [*meta["metrics"], *(f"{phase['name']}.{name}" for phase in meta["phases"]
                                 for name in meta["metrics"] if len(meta["phases"]) > 1)]
    if meta["monitor"] not in known:
        raise DlcError(f"{meta['name']} has no metric {meta['monitor']!r} to monitor"
                       f"{nearest(meta['monitor'], known)}", task.loc,
                       f"metrics are {', '.join(known)}")


def what_is_trained(source: Source, data: Values) -> str:
    """What a checkpoint belongs to, a line each: the data, and all that the training steps write,
    whatever the schedule of their learning rates."""
    lines = []
    for name, array in data.items():
        rows = array[:: max(1, len(array) // SAMPLED_ROWS)]
        lines.append(f"data {name}: {array.dtype}{list(array.shape)}, checksum "
                     f"{zlib.crc32(rows.tobytes()):08x}")
    parts = source.meta["micro_batches"]
    lines += [] if parts == 1 else [f"micro-batches: {parts}"]
    for entry, graph in source.graphs.items():
        if entry.partition(".")[0] == "train":
            lines += print_graph(graph.notes["written"]).splitlines()
    return "\n".join(lines)
