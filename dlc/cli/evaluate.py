"""`dlc evaluate FILE --weights CHECKPOINT`: the metrics of a trained network."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.predict import all_rows
from dlc.cli.source import changed_task, user_code
from dlc.cli.streams import say
from dlc.faults import explainer
from dlc.intake import user_path

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.runtime.cpu.program import CpuProgram
    from dlc.runtime.data import Dataset
    from dlc.task.task import Task


def run(options: argparse.Namespace) -> int:
    """Run the task's evaluation over all rows and tell the means of its metrics."""
    from dlc.compiler import running_on
    from dlc.runtime.train.checkpoint import check_fits, checkpoint_at
    from dlc.runtime.train.tensorfile import CheckpointError

    task = changed_task(options.file, options.settings)
    file, checkpoint = checkpoint_at(user_path(options.weights, CheckpointError))
    dataset = evaluation_data(task, options.data)
    compiled = compile_evaluation(task, dataset)
    expected = {p.name: p.type for p in compiled.program.persistent}
    check_fits(file, checkpoint.arrays, expected)
    loaded = running_on(compiled.program, "cpu")
    for name in expected:
        loaded.write(name, checkpoint.arrays[name])
    means = measured(compiled, loaded, dataset, checkpoint.identity.seed)
    tell(task, dataset, means, options.json)
    return 0


def evaluation_data(task: Task, data: str | None) -> Dataset:
    """What to evaluate on, as a data set that is all test. Raises UsageError for a task that names
    no data."""
    from dlc.runtime.data import load_dataset

    if data is None and task.data == "":
        raise UsageError(f"{task.name} has no data of its own\n  give it some: --data PATH")
    dataset = load_dataset(task.data) if data is None else load_dataset(data, test=0)
    if not dataset.in_memory:
        stream = dataset.stream if dataset.test_stream is None else dataset.test_stream
        return replace(dataset, test_stream=stream)
    return replace(dataset, train={}, test=all_rows(dataset))


def compile_evaluation(task: Task, dataset: Dataset) -> Compiled:
    """The task's evaluation alone, for full batches and for the smaller last one."""
    from dlc import env
    from dlc.compiler import Compiled, task_source
    from dlc.task_training import sizes_for

    tail = {kind: size for kind, size in dataset.tails(task.batch).items() if kind != "train"}
    with user_code():
        source = task_source(task, task.batch, tail, kinds=("eval",),
                             sizes=sizes_for(task, dataset, ("eval",)))
        return Compiled(source, "cpu", env.number("DLC_CHECK"))


def measured(compiled: Compiled, loaded: CpuProgram, dataset: Dataset,
             seed: int) -> dict[str, float]:
    """The means of the metrics over all rows. Raises TrainingFault at an index out of range."""
    from dlc.runtime.train.measure import evaluate, held_out_runs
    from dlc.runtime.train.training import Fault, TrainingFault, config_from_meta

    config = config_from_meta(compiled.program.meta, compiled.program, seed=seed)
    explain, odd = explainer(compiled, loaded), list[Fault]()
    runs = held_out_runs(loaded, dataset)
    means, fault = evaluate(loaded, runs, config, lambda: True, odd.append)
    if fault is not None:
        raise TrainingFault(f"evaluating: {explain(fault)}", fault)
    if odd:
        say(f"warning: evaluating: {explain(odd[0])}", sys.stderr)
    return means or {}


def tell(task: Task, dataset: Dataset, means: dict[str, float], as_json: bool) -> None:
    """The metrics, in a line or as an object."""
    from dlc.runtime.train.training import shortest

    rows = dataset.test_samples if dataset.in_memory else None
    if as_json:
        shown: dict[str, Any] = {k: shortest(v) for k, v in means.items()}
        print(json.dumps({"model": task.name, "data": dataset.name, "rows": rows,
                          "metrics": shown}))
        return
    words = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
    say(f"{task.name} on {dataset.name}" + ("" if rows is None else f", {rows} rows"))
    say(f"  {words}")
