"""`dlc bench`: dlc beside the installed peers, and the worker process that runs dlc."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dlc.cli.arguments import UsageError
from dlc.cli.source import load_task, user_code

if TYPE_CHECKING:
    from dlc.cli.warm import Warm
    from dlc.runtime.bench.worker import Network
    from dlc.task.task import Task

def run(options: argparse.Namespace) -> int:
    """Measure and print the table; raises BenchError, UsageError."""
    from dlc.runtime.bench.measure import Plan
    from dlc.runtime.bench.run import bench

    for name in options.names:
        measured_task(name, 0)  # a misspelt name is told before anything is measured
    peers = [peer for peer in options.against.split(",") if peer]
    plan = Plan(options.threads, options.dtype, options.isa, options.starts, options.rounds)
    bench(options.names, peers, plan, options.json)
    return 0


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
    """The training step alone, loaded: what the peers build and compile too."""
    from dlc.compiler import Compiled, Source
    from dlc.runtime.bench import own, start
    from dlc.runtime.cpu.program import CpuProgram

    task = measured_task(options.file, options.batch)
    with user_code():
        graphs = task.graphs(kinds=("train",))
        source = Source(task.name, graphs, lambda seed: task.initial_values(graphs, seed))
        compiled = Compiled(source, "cpu")
    loaded = CpuProgram(compiled.program, options.threads)
    warm.remember(compiled.program)
    initial, inputs = dict(compiled.initial_values()), None
    if options.file in start.PARTS:
        initial |= own.started(compiled.program, start.parameters(options.file))
        inputs = start.inputs(options.file, task.batch)
    return own.network(loaded, initial, inputs)


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
