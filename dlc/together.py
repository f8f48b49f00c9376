"""Training in several processes: what they must have in common, and what each of them takes."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dlc import env
from dlc.errors import DlcError
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.runtime.data import Dataset
    from dlc.runtime.train.training import TrainConfig
    from dlc.runtime.world.world import World
    from dlc.task_training import Prepared


def divided(task: Task, world: World) -> Task:
    """`task` with a micro-batch for each process of `world`, where it has fewer. Raises WorldError
    where they cannot be divided, DlcError for what runs in one process alone."""
    if world.size == 1:
        return task
    if task.micro_batches == 1:
        task = replace(task, micro_batches=world.size)
    world.share(task.micro_batches)
    return task


def alone_only(world: World, **asked: object) -> None:
    """Raise DlcError for an option that only a single process takes."""
    for name, value in asked.items():
        if value and world.size > 1:
            raise DlcError(f"--{name} is for one process, and there are {world.size}", None,
                           "the same micro_batches in one process give the same bits")


def threads_of(world: World, threads: int | None) -> int | None:
    """Threads of each process: as asked, else its part of the machine's cores."""
    from dlc.runtime.cores import available_cores

    if threads is not None or world.size == 1 or env.number("DLC_THREADS"):
        return threads
    return max(1, available_cores() // world.on_host)


def facts(run: Prepared, config: TrainConfig) -> dict[str, str]:
    """What decides the bits of a training, by what it is called in a message."""
    from importlib.metadata import version

    from dlc.runtime.compile.kept import compiler_sources

    program = run.compiled.program
    return {
        "version of dlc": version("dlc"), "version of NumPy": np.__version__,
        "instruction set": program.isa, "code of dlc": compiler_sources()[:12],
        "data": data_digest(run.dataset), "seed": str(config.seed), "batch": str(config.batch),
        "number of epochs": str(config.epochs),
        "number of micro-batches": str(config.micro_batches),
        "learning rate": config.learning_rate,
        "program": hashlib.sha256(repr((
            run.identity, run.compiled.texts, [k.text for k in program.kernels],
            program.entries, sorted(program.meta.items()))).encode()).hexdigest()[:12],
        "--resume": str(config.resume)}


def data_digest(dataset: Dataset) -> str:
    """Checksum of all arrays of the training and test data; of a stream its name."""
    value = 0
    for part in (dataset.train, dataset.test or {}):
        for name, array in part.items() if dataset.in_memory else ():
            value = zlib.crc32(f"{name} {array.dtype} {array.shape};".encode(), value)
            value = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, value)
    return f"{dataset.name}, checksum {value:08x}"
