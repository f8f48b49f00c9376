"""`dlc train FILE`: from a task to a trained, saved and reported network."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dlc.cli import streams
from dlc.cli.arguments import UsageError
from dlc.cli.paper import plural, size
from dlc.cli.source import load_task, user_code
from dlc.cli.streams import say
from dlc.cli.targets import check_target
from dlc.errors import nearest

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.runtime.cpu import CpuProgram
    from dlc.runtime.data import Dataset
    from dlc.runtime.training import Progress, TrainConfig, TrainResult
    from dlc.task import Task

SAMPLED_ROWS = 64  # of every field, for the identity of the data
SAVE_SECONDS = 5.0  # between checkpoints; a run that is killed loses at most this


@dataclass
class Session:
    """One run: what was asked for, and what was made of it."""

    options: argparse.Namespace
    task: Task
    dataset: Dataset
    compiled: Compiled
    loaded: CpuProgram
    compile_s: float
    out: TextIO


def run(options: argparse.Namespace) -> int:
    """Train, write checkpoints and report.html, tell the result; 128 + signal when stopped."""
    from dlc.cli.warm import Warm

    check_target(options.target)
    warm = Warm(options)
    warm.start_workers()
    # with --json standard output is the object alone
    task = changed_task(load_task(options.file), options)
    folder = Path(options.out or f"runs/{task.name}")
    with alone_in(folder):
        session = prepare(task, options, sys.stderr if options.json else sys.stdout)
        warm.remember(session.compiled.program)
        say(opening(session), session.out)
        config = configure(session)
        result = train(session, config, folder)
        report = write_report(session, config, result, folder)
    say(closing(result, report), session.out)
    if options.json:
        print(json.dumps(result.to_json()))
    if result.history and result.checkpoint is None:
        raise UsageError(f"--out {folder}: what was trained could not be written")
    return 128 + result.interrupted if result.interrupted else 0


def prepare(task: Task, options: argparse.Namespace, out: TextIO) -> Session:
    """Load the task's data, compile, and load the program."""
    from dlc.compiler import compile as compile_task
    from dlc.runtime.cpu import CpuProgram
    from dlc.runtime.data import load_dataset
    from dlc.runtime.progress import CompileLine
    from dlc.runtime.workers import listening

    if task.data == "":
        raise UsageError(f"{task.name} names no data to train on\n  give it some: --set data=PATH")
    dataset = load_dataset(task.data)
    say(subject(task, dataset), out)
    began = time.perf_counter()
    with user_code():
        compiled = compile_task(task, options.target, batch=task.batch, tails=tails(task, dataset))
    with listening(CompileLine(out)):
        loaded = CpuProgram(compiled.program, options.threads)
    return Session(options, task, dataset, compiled, loaded, time.perf_counter() - began, out)


def changed_task(task: Task, options: argparse.Namespace) -> Task:
    """`task` with --set, --epochs and --batch. Raises UsageError or DlcError."""
    settings: dict[str, Any] = {}
    for setting in options.settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {setting} does not fit; it takes KEY=VALUE, e.g. lr=0.01")
        if settings.get(key, value) != value:
            raise UsageError(f"--set {setting}: {key} is {settings[key]} already")
        settings[key] = value
    for key in ("epochs", "batch"):
        number = getattr(options, key)
        if number is not None and settings.get(key, str(number)) != str(number):
            raise UsageError(f"--{key} {number}: --set says {key}={settings[key]}")
        if number is not None:
            settings[key] = number
    return task.with_options(**settings) if settings else task


def tails(task: Task, dataset: Dataset) -> dict[str, int]:
    """The sizes of the smaller last batches, by kind of entry."""
    counts = {"train": dataset.samples, "eval": dataset.test_samples}
    if not dataset.in_memory:
        counts = {"train": stream_samples(dataset.stream),
                  "eval": stream_samples(dataset.test_stream)}
    return {kind: count % task.batch for kind, count in counts.items()}


def stream_samples(stream: Any) -> int:
    """How many samples a stream gives where it says so, as torch's DataLoader does; else 0."""
    source: Any = getattr(stream, "dataset", ())
    return len(source) if hasattr(source, "__len__") else 0


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is not there, for this run alone.

    Raises UsageError when it cannot be written, or another run is writing into it. The lock is the
    folder's own and ends with the process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        why = "is a file, not a folder" if folder.is_file() else error.strerror
        raise UsageError(f"--out {folder}: {why}") from None
    try:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UsageError(f"--out {folder}: not writable")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"--out {folder}: another run is writing there; give this one a "
                             "folder of its own") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


def configure(session: Session) -> TrainConfig:
    """The settings of the run, from the task and the command line."""
    from dlc.network import as_data
    from dlc.runtime.training import config_from_meta

    options = session.options
    check_monitor(session.compiled.program.meta)
    again = ["dlc", *(a for a in options.given if a != "--resume"), "--resume"]
    return config_from_meta(
        session.compiled.program.meta, session.compiled.program, seed=options.seed,
        task=identity(session.compiled, session.dataset), resume=options.resume,
        compile_s=session.compile_s, save_seconds=SAVE_SECONDS, resume_hint=shlex.join(again),
        network=lambda: as_data(session.task, session.dataset.classes))


def check_monitor(meta: Mapping[str, Any]) -> None:
    """Raise UsageError when the metric that is monitored is none of the task's."""
    known = [*meta["metrics"], *(f"{phase['name']}.{name}" for phase in meta["phases"]
                                 for name in meta["metrics"] if len(meta["phases"]) > 1)]
    if meta["monitor"] not in known:
        raise UsageError(f"{meta['name']} has no metric {meta['monitor']!r} to monitor"
                         f"{nearest(meta['monitor'], known)}\n  metrics are {', '.join(known)}")


def identity(compiled: Compiled, dataset: Dataset) -> str:
    """What a checkpoint belongs to: the training steps without their source lines, and the data."""
    crc = 0
    for entry, written in compiled.texts.items():
        if entry.startswith("train"):
            lines = (line.partition("  #")[0] for line in written.splitlines())
            text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
            crc = zlib.crc32(f"{entry}\n{text}".encode(), crc)
    for name, array in dataset.train.items():
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array[:: max(1, len(array) // SAMPLED_ROWS)].tobytes(), crc)
    return f"{crc:08x}"


def train(session: Session, config: TrainConfig, folder: Path) -> TrainResult:
    """Run the training loop with the display that fits the output."""
    from dlc.cli.faults import explainer
    from dlc.runtime.loop import train as train_loop
    from dlc.runtime.training import Callbacks

    compiled, loaded = session.compiled, session.loaded
    calls = Callbacks(display(session.out), explainer(compiled, loaded), leave=streams.leave)
    return train_loop(loaded, config, session.dataset, folder,
                      lambda: compiled.initial_values(config.seed), calls)


def display(out: TextIO) -> Progress:
    from dlc.runtime.progress import make_progress

    return make_progress(out)


def write_report(session: Session, config: TrainConfig, result: TrainResult,
                 folder: Path) -> Path | None:
    """report.html in `folder`; None when nothing was trained or the disk is full."""
    from dlc.runtime.report import write_report as write
    from dlc.runtime.report_gather import gather_report

    if not result.history:
        return None
    meta = session.compiled.program.meta
    given = gather_report(session.loaded, result, session.dataset, settings(session, config),
                          graphs(session), str(meta["target"]))
    try:
        return write(folder / "report.html", given)
    except OSError as error:
        say(f"warning: report.html was not written ({error.strerror})", session.out)
        return None


def settings(session: Session, config: TrainConfig) -> dict[str, object]:
    """The configuration as the report shows it."""
    meta: Mapping[str, Any] = session.compiled.program.meta
    shown: dict[str, object] = {
        "command": shlex.join(["dlc", *session.options.given]), "data": meta["data"],
        "epochs": config.epochs, "batch": config.batch, "seed": config.seed,
        "optimizer": meta["optimizer"], "learning rate": meta["learning_rate"],
        "augmentation": "yes" if meta["augmented"] else "no",
        "threads": session.loaded.threads, "instruction set": session.compiled.program.isa}
    return {**shown, **session.task.settings}


def graphs(session: Session) -> dict[str, str]:
    """The first training step before the passes and after them."""
    entry = next(iter(session.compiled.texts))
    return {f"{entry}, as it was written": session.compiled.texts[entry],
            f"{entry}, after the passes": session.compiled.program.entries[entry].graph}


# --- what is said ---------------------------------------------------------------------------------


def subject(task: Task, dataset: Dataset) -> str:
    """What is about to be trained, on what."""
    counts, _, fields = dataset.describe().partition("; ")
    return f"{task.name} on {counts}" + (f"\n  {fields}" if fields else "")


def opening(session: Session) -> str:
    """What was compiled, in two lines."""
    program = session.compiled.program
    entry = next(iter(program.entries.values()))
    how = "found in the cache" if session.compiled.was_kept else f"{len(program.kernels)} kernels"
    return (f"  {program.meta['parameters']:,} parameters, {plural(len(entry.flat), 'launch')} "
            f"a step, {size(program.peak_bytes)}, {plural(session.loaded.threads, 'thread')}\n"
            f"  compiled in {session.compile_s:.2f} s ({how})")


def closing(result: TrainResult, report: Path | None) -> str:
    """How the run ended, and where its files are."""
    part = "test" if result.test_loss is not None else "training"
    loss = result.test_loss if result.test_loss is not None else result.train_loss
    found = {**({} if loss is None else {"loss": loss}), **result.metrics}
    words = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
    how = ("stopped" if result.interrupted else
           f"no better for a while, best epoch {result.best_epoch}" if result.stopped_early
           else "done")
    step = f", {result.step_ms:.3g} ms a step" if result.step_ms is not None else ""
    lines = [f"{how}: {plural(result.epochs, 'epoch')}, {plural(result.steps, 'step')} in "
             f"{result.train_s:.1f} s{step}"]
    lines += [f"  {part} {words}"] if words else []
    lines += [f"  {what:11}{path}" for what, path in (
        ("checkpoint", result.checkpoint), ("best", result.best_checkpoint), ("report", report))
        if path is not None]
    return "\n".join(lines)
