"""`dlc bench`: dlc beside the installed peers, and the worker process that runs dlc."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError, whole
from dlc.cli.inspect import check_output
from dlc.cli.source import load_task, user_code

if TYPE_CHECKING:
    from dlc.cli.warm import Warm
    from dlc.ir.graph import Graph
    from dlc.runtime.bench.systems import Work
    from dlc.runtime.bench.worker import Network
    from dlc.task.task import Task


def run(options: argparse.Namespace) -> int:
    """Measure and print the table; raises BenchError, UsageError."""
    from dlc.runtime.bench import page
    from dlc.runtime.bench.measure import Plan
    from dlc.runtime.bench.run import bench, write_json

    for name in options.names:
        measured_task(name, 0)  # a misspelt name is told before anything is measured
    peers = [peer for peer in options.against.split(",") if peer]
    plan = Plan(options.threads, options.dtype, options.isa, options.starts, options.rounds,
                export=export)
    if options.png:
        page.check_pictures()
    outputs = [(check_output(path, option), write) for path, option, write in (
        (options.json, "--json", write_json), (options.html, "--html", page.write_html),
        (options.png, "--png", page.write_png)) if path]
    report = bench(options.names, peers, plan, works=works(options))
    for path, write in outputs:
        write(path, report)
    return 0


def works(options: argparse.Namespace) -> list[Work]:
    """A training step, or predictions of each batch size. Raises UsageError for another text."""
    from dlc.runtime.bench.systems import TRAINING, Work

    if not options.predict:
        if options.batch is not None:
            raise UsageError("--batch is of predictions: add --predict")
        return [TRAINING]
    size = whole(1)
    try:
        return [Work(True, size(text)) for text in (options.batch or "1,32").split(",")]
    except argparse.ArgumentTypeError as problem:
        raise UsageError(f"--batch {options.batch}: {problem}") from None


def export(model: str, batch: int, path: Path) -> None:
    """The network of a model with the weights that all systems start from, as an ONNX file."""
    from dlc import onnx

    task = measured_task(model, batch)
    weights = first_values(model, task, task.graphs(kinds=("eval",)))
    onnx.export(task, path, batch=batch, parameters=weights)


def worker(options: argparse.Namespace) -> int:
    """Serve one model to `dlc bench`: the first step at once, then as many as it asks for."""
    from dlc.cli.warm import Warm
    from dlc.runtime.bench.worker import keep_to_cores, serve

    keep_to_cores(options.threads)
    warm = Warm(options)
    warm.start_workers()
    serve(lambda: network(options, warm))
    return 0


def network(options: argparse.Namespace, warm: Warm) -> Network:
    """The step alone, loaded: what the peers build and compile too."""
    from dlc.compiler import Compiled, Loaded, Source
    from dlc.runtime.bench import own, start
    from dlc.runtime.cpu.program import CpuProgram

    task = measured_task(options.file, options.batch)
    with user_code():
        graphs = graphs_of(task, options.predict)
        compiled = Compiled(Source(task.name, graphs, lambda seed: {}), "cpu")
    loaded = CpuProgram(compiled.program, options.threads)
    warm.remember(compiled.program)
    initial = first_values(options.file, task, graphs)
    inputs = start.inputs(options.file, task.batch) if options.file in start.PARTS else None
    if options.predict:
        return own.predicting(loaded, Loaded(compiled, loaded), initial, inputs)
    return own.network(loaded, initial, inputs)


def graphs_of(task: Task, predict: bool) -> dict[str, Graph]:
    """The training step or, as a function, the prediction of a batch."""
    from dlc.task.predict import predict_graph

    if not predict:
        return task.graphs(kinds=("train",))
    return {"main": predict_graph(task, task.eval_phase(), task.bound_dims(task.batch))}


def first_values(model: str, task: Task, graphs: Mapping[str, Graph]) -> dict[str, Any]:
    """Parameters and state: those that all systems start from, or seed 0's of a model that the
    peers lack."""
    from dlc.runtime.bench import own, start

    values = task.initial_values(graphs, 0)
    if model in start.PARTS:
        types = {v.name: v.type for v in task.variables(graphs) if v.role == "param"}
        values |= own.started(types, start.parameters(model))
    return values


def measured_task(file: str, batch: int) -> Task:
    """The task as it is measured: a model that peers have too is that of models/peers.py.

    Batch 0 leaves the task's own.
    """
    from dlc.models.peers import NETWORKS

    task = NETWORKS[file]() if file in NETWORKS else load_task(file)
    if batch:
        task = task.with_options(batch=batch)
    if not any(phase.optimizer for phase in task.phases):
        raise UsageError(f"{task.name} has no step that trains")
    return task
