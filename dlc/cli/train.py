"""`dlc train FILE`: from a task to a trained, saved and reported network."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from dlc.cli import streams
from dlc.cli.arguments import UsageError
from dlc.cli.source import at_task, load_task, settings_given, user_code
from dlc.cli.streams import say
from dlc.cli.targets import check_runs
from dlc.inspector.units import plural, size

if TYPE_CHECKING:
    from dlc.inspection import Inspector
    from dlc.runtime.data import Dataset
    from dlc.runtime.report.page import ReportInput
    from dlc.runtime.train.training import Progress, TrainConfig, TrainResult
    from dlc.runtime.world.world import World
    from dlc.task.task import Task
    from dlc.task_training import Prepared

SAVE_SECONDS = 5.0  # between checkpoints; a run that is killed loses at most this
INSPECTION = "inspect.html"  # beside the report


@dataclass
class Session:
    """One run: what was asked for, and what was made of it."""

    options: argparse.Namespace
    run: Prepared
    out: TextIO
    world: World
    inspector: Inspector | None = None


def run(options: argparse.Namespace) -> int:
    """Train, write checkpoints and report.html, tell the result; 128 + signal when stopped."""
    from dlc.cli.together import ending_together, joined

    check_runs(options.target)
    world = joined()
    with ending_together(world):
        return run_in(world, options)


def run_in(world: World, options: argparse.Namespace) -> int:
    """What one process of a world does; the leader writes, the others are silent."""
    from dlc.cli.warm import Warm
    from dlc.together import alone_only, divided, facts

    alone_only(world, trap=options.trap, inspect=options.inspect)
    warm = Warm(options)
    if world.leads:
        warm.start_workers()
    # with --json standard output is the object alone
    out = (sys.stderr if options.json else sys.stdout) if world.leads else streams.nowhere()
    task = divided(changed_task(load_task(options.file), options), world)
    folder = Path(options.out or f"runs/{task.name}")
    with alone_in(folder) if world.leads else nullcontext():
        session = world.in_turn(lambda: begin(task, options, out, world))
        warm.remember(session.run.compiled.program)
        say(opening(session), session.out)
        config = settings_of(session)
        world.agree(facts(session.run, config))
        result = train(session, config, folder if world.leads else None)
        if not world.leads:
            return 128 + result.interrupted if result.interrupted else 0
        report = write_report(session, config, result, folder)
    say(closing(result, report), session.out)
    if options.json:
        print(json.dumps(result.to_json()))
    if result.history and result.checkpoint is None:
        raise UsageError(f"--out {folder}: the result could not be written")
    return 128 + result.interrupted if result.interrupted else 0


def begin(task: Task, options: argparse.Namespace, out: TextIO, world: World) -> Session:
    """Load the task's data, compile, and load the program."""
    from dlc.runtime.train.progress import CompileLine
    from dlc.task_training import dataset_of, prepare
    from dlc.together import threads_of

    if task.data == "":
        raise UsageError(f"{task.name} names no data to train on\n  give it some: --set data=PATH")
    dataset = dataset_of(task)
    say(subject(task, dataset), out)
    with user_code(), at_task(task):
        run = prepare(task, dataset, options.target, threads_of(world, options.threads),
                      CompileLine(out), options.memory_limit)
    return Session(options, run, out, world)


def changed_task(task: Task, options: argparse.Namespace) -> Task:
    """`task` with --set, --epochs, --batch and --micro-batches. Raises UsageError or DlcError."""
    settings: dict[str, Any] = settings_given(options.settings)
    for key in ("epochs", "batch", "micro_batches"):
        number = getattr(options, key, None)  # not of every command
        if number is not None and settings.get(key, str(number)) != str(number):
            option = f"--{key.replace('_', '-')} {number}"
            raise UsageError(f"{option}: --set says {key}={settings[key]}")
        if number is not None:
            settings[key] = number
    return task.with_options(**settings) if settings else task


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


def settings_of(session: Session) -> TrainConfig:
    """The settings of the run, from the task and the command line."""
    from dlc.task_training import configure

    options = session.options
    count = session.world.size
    start = ["mpiexec", "-n", str(count)] if count > 1 else []
    again = [*start, "dlc", *(a for a in options.given if a != "--resume"), "--resume"]
    return configure(session.run, seed=options.seed, resume=options.resume,
                     trap=options.trap is not None, save_seconds=SAVE_SECONDS,
                     resume_hint=shlex.join(again))


def train(session: Session, config: TrainConfig, folder: Path | None) -> TrainResult:
    """Run the training loop with the display that fits the output."""
    from dlc.faults import explainer
    from dlc.padding import refuse_padding
    from dlc.runtime.train.loop import train as train_loop
    from dlc.runtime.train.training import Callbacks
    from dlc.task_training import BUNDLE, first_values, inspector_of

    run, options = session.run, session.options
    values, start = first_values(run, config.seed, options.init, renames(options.rename))
    refuse_padding(run, values)
    if start is not None:
        say(f"  {start}".replace("\n", "\n  "), session.out)
    if options.inspect:
        session.inspector = inspector_of(run, config.seed, folder, options.threads)
    look = session.inspector.hook() if session.inspector else None
    bundle = folder / BUNDLE if options.trap and folder is not None else None
    shown = display(session.out) if session.world.leads else None
    calls = Callbacks(shown, explainer(run.compiled, run.loaded, bundle),
                      on_epoch=look, leave=streams.leave)
    return train_loop(run.loaded, config, run.dataset, folder, values, calls, session.world)


def renames(given: list[str]) -> dict[str, str]:
    """--rename OLD=NEW as a dict. Raises UsageError for what is none."""
    rules: dict[str, str] = {}
    for text in given:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise UsageError(f"--rename {text} is invalid; it takes OLD=NEW, e.g. "
                             "'encoder/*=body/*'")
        rules[old] = new
    return rules


def display(out: TextIO) -> Progress:
    from dlc.runtime.train.progress import make_progress

    return make_progress(out)


def write_report(session: Session, config: TrainConfig, result: TrainResult,
                 folder: Path) -> Path | None:
    """report.html in `folder`, and inspect.html, to which it links; None when nothing was trained
    or the disk is full."""
    from dlc.runtime.report.gather import gather_report
    from dlc.runtime.report.page import write_report as write

    if not result.history:
        return None
    run = session.run
    given = gather_report(run.loaded, result, run.dataset, settings(session, config),
                          graphs(session), about(session, config),
                          session.inspector.records if session.inspector else ())
    try:
        given = replace(given, inspector=write_inspection(session, given, folder))
        return write(folder / "report.html", given)
    except OSError as error:
        say(f"warning: report.html was not written ({error.strerror})", session.out)
        return None


def write_inspection(session: Session, given: ReportInput, folder: Path) -> str:
    """inspect.html in `folder`, with the times of the report; its name. Raises OSError."""
    from dlc.inspector.gather import inspect
    from dlc.inspector.page import page
    from dlc.runtime.train.checkpoint import replace_file

    times = {given.entry: [t.seconds for t in given.launch_times]}
    replace_file(folder / INSPECTION, page(inspect(session.run.compiled, times)).encode("utf-8"))
    return INSPECTION


def about(session: Session, config: TrainConfig) -> dict[str, object]:
    """When and how the run was made, as the head of the report says it."""
    meta: Mapping[str, Any] = session.run.compiled.program.meta
    return {"date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            "seed": config.seed, "batch": config.batch,
            "optimizer": f"{meta['optimizer']}, learning rate {meta['learning_rate']}",
            "command": shlex.join(["dlc", *session.options.given])}


def settings(session: Session, config: TrainConfig) -> dict[str, object]:
    """The configuration as the report shows it."""
    meta: Mapping[str, Any] = session.run.compiled.program.meta
    shown: dict[str, object] = {
        "data": meta["data"], "epochs": config.epochs, "batch": config.batch,
        "seed": config.seed, "optimizer": meta["optimizer"],
        "learning rate": meta["learning_rate"],
        "augmentation": "yes" if meta["augmented"] else "no", "precision": meta["precision"],
        "threads": session.run.loaded.threads, "instruction set": session.run.compiled.program.isa}
    return {**shown, **session.run.task.settings}


def graphs(session: Session) -> dict[str, str]:
    """The first training step before the passes and after them."""
    entry = next(iter(session.run.compiled.texts))
    return {f"{entry}, as it was written": session.run.compiled.texts[entry],
            f"{entry}, after the passes": session.run.compiled.program.entries[entry].graph}


# --- what is said ---------------------------------------------------------------------------------


def subject(task: Task, dataset: Dataset) -> str:
    """What is about to be trained, on what."""
    counts, _, fields = dataset.describe().partition("; ")
    return f"{task.name} on {counts}" + (f"\n  {fields}" if fields else "")


def opening(session: Session) -> str:
    """What was compiled, in two lines; in a third, what rows of several lengths take."""
    from dlc.runtime.data.buckets import sizes_text

    run = session.run
    program = run.compiled.program
    entry = next(iter(program.entries.values()))
    how = "found in the cache" if run.compiled.was_kept else f"{len(program.kernels)} kernels"
    lengths = sizes_text(program)
    return (f"  {program.meta['parameters']:,} parameters, {plural(len(entry.flat), 'launch')} "
            f"a step, {size(program.peak_bytes)}, {plural(run.loaded.threads, 'thread')}\n"
            + (f"  {lengths}\n" if lengths else "") +
            f"  compiled in {run.compile_s:.2f} s ({how})")


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
