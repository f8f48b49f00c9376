"""The training loop: epochs of shuffled batches, validation, checkpoints, resume, early stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from dlc.errors import DlcError
from dlc.ir.types import f64
from dlc.runtime.data import DataError, Dataset
from dlc.runtime.train.alternation import BoundPhase, TrainPhase, find_phases
from dlc.runtime.train.autosave import Autosave
from dlc.runtime.train.checkpoint import OF_SCHEDULES, Checkpoint, check_belongs
from dlc.runtime.train.failing import Latest, OddLosses, explained, fault_of, part_text, skipped
from dlc.runtime.train.feeding import Feed
from dlc.runtime.train.interrupt import StopRequest
from dlc.runtime.train.measure import HeldOutRun, Sums, check_monitor, evaluate, held_out_runs
from dlc.runtime.train.micro import MicroSteps
from dlc.runtime.train.plateau import STATE as PLATEAUS
from dlc.runtime.train.position import Identity, Position
from dlc.runtime.train.training import Callbacks, Fault, Hook, Moment, TrainConfig, TrainResult
from dlc.runtime.train.trap import Stepper, Trap
from dlc.runtime.world.world import World

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.steps import Log, StepReport

Initial = Mapping[str, np.ndarray[Any, Any]] | Callable[[], Mapping[str, np.ndarray[Any, Any]]]
WATCH_SECONDS = 0.1
RECENT = 100  # batches whose mean is shown within an epoch
EPOCH_LENGTH = "steps_per_epoch"  # the state in which a program keeps it


class Stopped(Exception):
    """The user asked the run to stop; the step it was in is complete."""


class Ended(Exception):
    """A hook ended the training; the step it was called after is complete."""


def train(loaded: ArenaProgram, config: TrainConfig, dataset: Dataset, folder: Path | None,
          initial: Initial, callbacks: Callbacks | None = None,
          world: World | None = None) -> TrainResult:
    """Train a loaded Program on `dataset`, writing checkpoints into `folder` (None: nowhere).

    `initial` are the persistent values to start from (or a function that makes them, called only
    when nothing is resumed). The order of samples is a function of (seed, epoch), so a run that
    was interrupted or killed anywhere and resumed ends with the same bytes as one that was not.
    In a `world` of several processes each calls this; only the leader has a folder and a display.

    Raises TrainingFault when a step's loss is not finite or an index is out of range,
    CheckpointError when the checkpoint to resume from cannot be used, DataError when the data do
    not fit the program.
    """
    run = Trainer(loaded, config, dataset, folder, callbacks or Callbacks(), world)
    with StopRequest(run.remind, run.callbacks.leave, run.world.size > 1) as stop:
        run.stop = stop
        try:
            return run.train(initial)
        finally:
            if run.callbacks.progress:
                run.callbacks.progress.close()


class Trainer:
    """One run: the loaded program, where it stands, and what it has measured."""

    def __init__(self, loaded: ArenaProgram, config: TrainConfig, dataset: Dataset,
                 folder: Path | None, callbacks: Callbacks, world: World | None = None) -> None:
        self.loaded, self.program = loaded, loaded.program
        self.world = world or World()
        self.config, self.dataset, self.callbacks = config, dataset, callbacks
        self.folder = folder
        self.autosave = Autosave(config, folder, self.note, self.world)
        self.phases = config.phases or find_phases(self.program)
        self.position = Position()
        self.identity = Identity(config.model, config.task, config.seed, config.batch,
                                 config.learning_rate, config.epochs)
        self.stop = StopRequest()
        self.stepper: Stepper = loaded if config.micro_batches == 1 else MicroSteps(
            loaded, config.micro_batches, self.world, lambda: self.stop)
        self.sums = Sums(self.program)
        self.step_ms: list[float] = []
        self.epoch_ms: list[float] = []
        self.held_out_runs: list[HeldOutRun] = []
        self.train_s = 0.0
        self.ended = False  # by a hook
        self.odd_losses = OddLosses(config, self.callbacks)
        self.latest: dict[TrainPhase, Latest] = {}
        self.feed = Feed(self.program, config, dataset, self.phases)
        self.trap = Trap(loaded, self.stepper, config, self.callbacks)

    # -- the run -----------------------------------------------------------------------------

    def train(self, initial: Initial) -> TrainResult:
        check_monitor(self.program, self.config, self.phases, self.tests())
        self.start(initial)
        batches = self.feed.batches()
        if self.callbacks.progress:
            self.callbacks.progress.start(self.config, self.dataset.samples, batches,
                                          self.position.epoch)
        started = time.monotonic()
        try:
            while self.position.epoch < self.config.epochs and not self.is_patience_over():
                self.run_epoch()
                self.end_epoch()
            self.trap.spring()
            self.check_taken()
        except Stopped:
            self.save()  # first: the terminal may be gone
            self.note(f"stopped at step {self.position.step} (epoch {self.position.epoch + 1}); "
                      f"resume with: {self.config.resume_hint}")
        except Ended:
            self.ended = True
            self.note(f"ended by a hook at step {self.position.step}")
        except OSError:
            self.save()  # whoever was shown the run is gone
            raise
        self.train_s = time.monotonic() - started
        self.save()
        return self.result()

    def start(self, initial: Initial) -> None:
        """Write the persistent values: those of the checkpoint to resume from, or the initial."""
        found = self.autosave.latest() if self.config.resume else None
        ports = {port.name: port.type for port in self.program.persistent}
        if found is not None:
            check_belongs(self.folder, found, self.identity, ports)
            self.position = found.position
            self.sums = Sums(self.program, dict(found.position.partial))
            self.note(f"resumed at step {self.position.step}, epoch {self.position.epoch + 1}")
            self.note_schedule(found.identity)
            values: Mapping[str, np.ndarray[Any, Any]] = found.arrays
        else:
            values = initial() if callable(initial) else initial
        missing = [name for name in ports if name not in values and name not in OF_SCHEDULES]
        if missing:
            raise DlcError(f"no initial value for {', '.join(missing)}", None,
                           "a value for each parameter and state: compiled.initial_values(seed)")
        for name in ports:
            if name in values:
                self.loaded.write(name, values[name])
        self.set_epoch_length()
        self.trap.renew()
        self.count_plateaus()

    def count_plateaus(self) -> None:
        """Tell schedules how often the monitored metric has stood still."""
        port = next((p for p in self.program.persistent if p.name == PLATEAUS), None)
        if port is None or self.config.plateau is None:
            return
        found = ((r["test"] or r["train"]).get(self.config.monitor) for r in self.position.history)
        count = self.config.plateau.count([v for v in found if v is not None], self.config.rises)
        with self.trap.others_write():
            self.loaded.write(port.name, port.type.dtype.numpy.type(count))

    def note_schedule(self, before: Identity) -> None:
        """Tell of a schedule that goes on another than it began."""
        now = self.identity
        had, has = (f"{i.learning_rate} over {i.epochs} epochs" for i in (before, now))
        counts_epochs = any(p.name == EPOCH_LENGTH for p in self.program.persistent)
        if before.epochs and had != has and (
                counts_epochs or before.learning_rate != now.learning_rate):
            self.note(f"the learning rate was {had}, and goes on as {has}")

    def set_epoch_length(self) -> None:
        """Tell schedules that count in epochs how many steps one has."""
        port = next((p for p in self.program.persistent if p.name == EPOCH_LENGTH), None)
        if port is None:
            return
        batches = self.feed.batches()
        if batches is None:
            raise DataError(self.dataset.name, "", "a stream's epoch has no known length, but the "
                            "learning rate's schedule counts epochs", "a schedule in steps")
        self.loaded.write(port.name, port.type.dtype.numpy.type(batches))

    def run_epoch(self) -> None:
        if not self.position.batches:
            for name, value in self.config.each_epoch.items():
                self.loaded.write(name, value)
        for bound, rows in self.feed.epoch(self.position.epoch, self.position.batches):
            self.run_rows(bound, rows)

    # -- steps -------------------------------------------------------------------------------

    def run_rows(self, bound: list[BoundPhase], rows: np.ndarray[Any, Any]) -> None:
        """Run the batches `rows` (i64[batches, samples]), saving and stopping on the way."""
        done = 0
        while done < len(rows):
            if self.stop.signal:
                raise Stopped
            count = self.autosave.steps_left(self.position.step, len(rows) - done)
            count = count if self.callbacks.on_step is None else 1
            chunk = rows[done:done + count]
            phases = [b.stretch(chunk, self.position.step) for b in bound]
            report = self.stepper.run_steps(phases, count, first_step=self.position.step,
                                            watch=self.watcher(bound), interval=WATCH_SECONDS)
            faulty = report.reason == "fault"
            self.trap.ran(bound, chunk[:report.steps], self.position, faulty)
            kept = report.steps - faulty
            self.take(bound, report, chunk[:kept])
            done += kept
            if faulty:
                fault = fault_of(bound, report, self.position, chunk[kept])
                part = part_text(report.micro_batch, self.config.micro_batches, self.world)
                self.fail(fault, f"batch {self.position.batches + 1}{part}")
            if self.callbacks.on_step and kept:
                self.call(self.callbacks.on_step, self.recent(bound, kept, report.log, kept), None)
            if report.reason == "interrupt" or self.stop.signal:
                raise Stopped
            at_end = self.position.batches == self.feed.batches()
            if not at_end and self.autosave.is_due(self.position.step):
                self.save()  # the end of an epoch saves once it is judged

    def watcher(self, bound: list[BoundPhase]) -> Callable[[int, Log], bool]:
        """What is called during a native run: shows how far it is, stops it after its step."""
        def watch(done: int, log: Log) -> bool:
            if self.callbacks.progress:
                means = {**self.sums.means(), **self.recent(bound, done, log)}
                self.callbacks.progress.advance(self.position.batches + done, means)
            due = self.autosave.is_time() or self.trap.is_due()
            return not self.stop.signal and not due

        return watch

    def call(self, hook: Hook, metrics: Mapping[str, float],
             test: Mapping[str, float] | None) -> None:
        """Call a hook of the user's. Raises Ended when it ends the training."""
        moment = Moment(self.position.step, self.position.epoch, metrics, test, self.loaded.read,
                        self.loaded.write)
        with self.trap.others_write():
            if hook(moment):
                raise Ended

    def recent(self, bound: list[BoundPhase], done: int, log: Log,
               counted: int = 0) -> dict[str, float]:
        """Metrics over the last RECENT batches of a run of which `done` steps are complete and
        `counted` are in the position."""
        first = self.position.step - counted
        steps = np.arange(first, first + done)
        sums = Sums(self.program)
        for b in bound:
            runs = int(b.phase.runs_at(steps).sum())
            tail = {key: rows[max(runs - RECENT, 0):runs] for key, rows in log.items()}
            sums.add(b.outcome, tail, min(runs, RECENT), 1, b.phase.key)
        return sums.means()

    def remind(self) -> None:
        """Say why a run that is to stop goes on: called from a thread of its own."""
        self.note("stopping when the step is done; once more leaves it, with the checkpoint of "
                  f"step {self.autosave.saved[0]}" if self.autosave.saved else
                  "stopping when the step is done; once more leaves it, without a checkpoint")

    def take(self, bound: list[BoundPhase], report: StepReport,
             rows: np.ndarray[Any, Any]) -> None:
        """Count the steps of a report on `rows`: metrics, position, time."""
        kept, samples = rows.shape
        steps = np.arange(self.position.step, self.position.step + kept)
        for b in bound:
            runs = np.flatnonzero(b.phase.runs_at(steps))
            self.sums.add(b.outcome, report.log, len(runs), samples, b.phase.key)
            if len(runs):
                self.latest[b.phase] = Latest(b, int(steps[runs[-1]]), rows[runs[-1]])
        self.position.step += kept
        self.position.batches += kept
        self.position.samples += kept * samples
        self.position.partial = self.sums.values
        if kept and samples == min(self.config.batch, self.dataset.samples or samples):
            self.epoch_ms.append(report.seconds / report.steps * 1e3)
        if self.callbacks.progress:
            self.callbacks.progress.advance(self.position.batches, self.sums.means())

    def fail(self, fault: Fault, where: str) -> NoReturn:
        """Save the state before the fault and raise TrainingFault."""
        self.save()
        raise explained(fault, where, self.config, self.callbacks)

    def check_taken(self) -> None:
        """Raise TrainingFault when the run is over and loss scaling skipped all its steps."""
        fault = skipped(self.position, self.latest.values(), self.loaded.read)
        if fault is not None:
            self.fail(fault, "skipped by loss scaling as all steps before it")

    # -- the end of an epoch -----------------------------------------------------------------

    def end_epoch(self) -> None:
        position = self.position
        train_means = self.sums.means()
        test_means = self.test()
        ms = float(np.median(self.epoch_ms)) if self.epoch_ms else None
        record = {"epoch": position.epoch + 1, "step": position.step, "train": train_means,
                  "test": test_means, "step_ms": ms, "samples": position.samples}
        position.history.append(record)
        position.epoch += 1
        position.batches, position.samples, position.partial = 0, 0, {}
        self.sums = Sums(self.program)
        self.step_ms += self.epoch_ms
        self.epoch_ms = []
        self.judge(test_means or train_means)
        self.count_plateaus()
        if self.callbacks.progress:
            self.callbacks.progress.epoch(record)
        if self.callbacks.on_epoch:
            self.call(self.callbacks.on_epoch, train_means, test_means)
        if self.autosave.is_due(self.position.step):
            self.save()

    def tests(self) -> bool:
        """Whether there is something to test, and data to test it on."""
        given = self.dataset.test is not None or self.dataset.test_stream is not None
        return given and "eval" in self.program.entries

    def test(self) -> dict[str, float] | None:
        """Means over the test data, None without any."""
        if not self.tests():
            return None
        if self.dataset.test is None or not self.held_out_runs:
            self.held_out_runs = held_out_runs(self.loaded, self.dataset)
        means, fault = evaluate(self.loaded, self.held_out_runs, self.config,
                                lambda: self.stop.signal == 0, self.odd_losses.hear)
        if fault is not None:
            position = self.position
            self.fail(replace(fault, step=position.step, epoch=position.epoch), "testing")
        if means is None:
            raise Stopped
        if self.odd_losses.found:
            self.trap.spring()  # which names the step that has spoilt the network
        self.odd_losses.warn(self.position)
        return means

    def judge(self, means: Mapping[str, float]) -> None:
        """Remember the state when the monitored metric is the best so far."""
        value = means.get(self.config.monitor)  # a phase may rest in this epoch
        if value is not None and self.config.is_better(value, self.position.best):
            self.position.best, self.position.best_epoch = value, self.position.epoch
            if self.autosave.folder:
                self.autosave.best = self.checkpoint()

    def is_patience_over(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.position.epoch - self.position.best_epoch >= patience

    # -- checkpoints -------------------------------------------------------------------------

    @cached_property
    def network(self) -> Mapping[str, Any]:
        return self.config.network()

    def checkpoint(self) -> Checkpoint:
        self.trap.spring()
        arrays = {port.name: self.loaded.read(port.name) for port in self.program.persistent}
        position = replace(self.position, partial=dict(self.position.partial),
                           history=list(self.position.history))
        return Checkpoint(arrays, self.identity, position, self.network)

    def save(self) -> None:
        self.autosave.save(self.checkpoint, self.position)

    def note(self, text: str) -> None:
        if self.callbacks.progress:
            self.callbacks.progress.note(text)

    # -- the result --------------------------------------------------------------------------

    def result(self) -> TrainResult:
        history = self.position.history
        last: dict[str, Any] = history[-1] if history else {"train": {}, "test": None}
        shown = last["test"] if last["test"] is not None else last["train"]
        return TrainResult(
            model=self.config.model, target=self.config.target, epochs=self.position.epoch,
            steps=self.position.step, train_loss=last["train"].get("loss"),
            test_loss=(last["test"] or {}).get("loss"),
            metrics={k: v for k, v in shown.items() if k != "loss"},
            step_ms=self.median_ms(),
            compile_s=self.config.compile_s, peak_bytes=self.program.peak_bytes,
            parameters=sum(p.type.size for p in self.program.persistent if p.role == "param"),
            checkpoint=self.autosave.last_path(self.position),
            best_checkpoint=self.autosave.best_path(), best_epoch=self.position.best_epoch,
            train_s=self.train_s, stopped_early=self.ended or self.is_patience_over(),
            interrupted=self.stop.signal, history=[dict(r) for r in history],
            in_f64=frozenset(p.name for e in self.program.entries.values() for p in e.outputs
                             if p.type.dtype is f64))

    def median_ms(self) -> float | None:
        """Median milliseconds of a full step: of this run, else of the epochs it resumed from."""
        times = self.step_ms + self.epoch_ms or [
            r["step_ms"] for r in self.position.history if r["step_ms"] is not None]
        return float(np.median(times)) if times else None
