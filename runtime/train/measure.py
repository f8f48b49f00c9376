"""Metrics: sums over batches weighted by samples, and evaluation over the test data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError
from dlc.program import Entry, Port, Program
from dlc.runtime.data import DataError, Dataset, Stream, bind_arrays
from dlc.runtime.data.buckets import (
    BoundRows,
    Buckets,
    Varying,
    bound_by,
    stretches,
    varying_of,
)
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.steps import Phase
from dlc.runtime.train.alternation import (
    TrainPhase,
    batch_size,
    by_size,
    fixed_inputs,
    outcome_of,
)
from dlc.runtime.train.training import Fault

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.steps import Log
    from dlc.runtime.train.training import TrainConfig

# Reported as they last were, not as means: they do not depend on the batch.
LOSS_SCALE = "loss_scale"
LAST_VALUES = ("lr", "learning_rate", LOSS_SCALE)
SKIPPED = "skipped"  # 1 in a step that loss scaling skipped: its other metrics do not count
WHOLE = "eval_set"  # the entry for metrics of the whole set


def metric_names(program: Program, entry: Entry) -> list[str]:
    """Outputs of `entry` that are metrics: float scalars that update no persistent value."""
    updated = {port.name for port in program.persistent}
    return [p.name for p in entry.outputs if not p.type.shape and p.type.dtype.is_float
            and p.role != "fault" and p.name not in updated]


def check_monitor(program: Program, config: TrainConfig, phases: Sequence[TrainPhase],
                  tests: bool) -> None:
    """Raise DlcError, before anything runs, when no entry gives the monitored metric."""
    if tests:
        names = metric_names(program, program.entries["eval"])
    else:
        names = ["loss"] + [phase.key(name) for phase in phases for name in
                            metric_names(program, outcome_of(program, phase.entry))]
    if config.monitor not in names:
        raise DlcError(f"monitor={config.monitor!r} is not a metric of {config.model}", None,
                       f"there are {', '.join(dict.fromkeys(names))}")


def weights(entry: Entry, log: Log, name: str, runs: int, samples: int) -> list[float]:
    """What each run's value of a metric counts: its samples, or the elements that it is a mean over
    where rows have several lengths."""
    counts = log.get((entry.name, f"{name}.count"))
    if counts is None:
        return [samples] * runs
    found: list[float] = counts[:runs].astype(np.float64).reshape(-1).tolist()
    return found


class Sums:
    """Running sums of metrics: name -> [weighted sum, weight].

    Added one run at a time in f64, so that the means do not depend on where a run was cut.
    """

    def __init__(self, program: Program, values: dict[str, list[float]] | None = None) -> None:
        self.program = program
        self.values = values if values is not None else {}

    def add(self, entry: Entry, log: Log, runs: int, samples: int,
            key: Callable[[str], str] = str) -> None:
        """Add the first `runs` logged runs of `entry`, of `samples` samples each."""
        gone = log.get((entry.name, SKIPPED))
        counts = np.ones(runs, bool) if gone is None else gone[:runs].reshape(-1) == 0
        for name in metric_names(self.program, entry):
            column = log[(entry.name, name)][:runs].astype(np.float64).reshape(-1)
            total = self.values.setdefault(key(name), [0.0, 0.0])
            each = np.array(weights(entry, log, name, runs, samples))
            if name not in (SKIPPED, *LAST_VALUES):
                column, each = column[counts], each[counts]
            for value, weight in zip(column.tolist(), each.tolist(), strict=True):
                if name in LAST_VALUES:
                    total[0], total[1] = value, 1.0
                else:
                    total[0] += value * weight
                    total[1] += weight

    def means(self) -> dict[str, float]:
        """The mean of every metric so far; "loss" is the first phase's where phases have names."""
        means = {k: total / weight for k, (total, weight) in self.values.items() if weight}
        losses = [k for k in means if k.endswith(".loss")]
        if losses and "loss" not in means:
            means = {"loss": means[losses[0]], **means}
        return means


@dataclass(frozen=True)
class HeldOutRun:
    """One stretch of the test data: `rows` (i64[batches, samples]) of `arrays` through `entry`.

    `numbers` are those of the same rows in the data: `arrays` may hold them in another order.
    """

    entry: Entry
    arrays: Arrays
    rows: np.ndarray[Any, Any]
    numbers: np.ndarray[Any, Any]

    def batches(self) -> Iterator[HeldOutRun]:
        """The same, batch by batch."""
        for row, number in zip(self.rows, self.numbers, strict=True):
            yield HeldOutRun(self.entry, self.arrays, row[None], number[None])


def evaluate(loaded: ArenaProgram, runs: Iterable[HeldOutRun], config: TrainConfig,
             go_on: Callable[[], bool], not_finite: Callable[[Fault], None],
             ) -> tuple[dict[str, float] | None, Fault | None]:
    """(means of the metrics over `runs`, weighted by samples; a fault that ended it).

    The means are None when `go_on` became False on the way. A loss that is not finite ends nothing:
    `not_finite` hears of the first batch that has one.
    """
    odd, sums, whole = False, Sums(loaded.program), WholeSet(loaded)
    for run in itertools.chain.from_iterable(map(whole.parts, runs)):
        phase = Phase(run.entry.name, feeds=run.arrays, index=run.rows,
                      fixed=fixed_inputs(run.entry, config.fixed, config.seed))
        report = loaded.run_steps([phase], len(run.rows), watch=lambda done, log: go_on())
        if report.reason == "fault":
            return None, fault_in(run, report.steps - 1, report.fault)
        if report.reason != "done" or not go_on():
            return None, None
        losses = report.log[run.entry.name, "loss"][:len(run.rows)].reshape(-1)
        if not odd and not np.isfinite(losses).all():
            odd = True
            not_finite(fault_in(run, int(np.argmin(np.isfinite(losses))), -1))
        sums.add(run.entry, report.log, len(run.rows), run.rows.shape[1])
        whole.take(run)
    return {**sums.means(), **whole.metrics()}, None


def fault_in(run: HeldOutRun, batch: int, code: int) -> Fault:
    """Fault `code` in one of the batches of a run."""
    inputs = {name: array[run.rows[batch]] for name, array in run.arrays.items()}
    return Fault(0, 0, run.entry.name, code, inputs)


class WholeSet:
    """The rows that metrics of the whole set are made of, joined over the batches: the entry
    `eval_set`, where the program has one, takes them all (dlc/task/over_set.py)."""

    def __init__(self, loaded: ArenaProgram) -> None:
        self.loaded, self.entry = loaded, loaded.program.entries.get(WHOLE)
        ports = self.entry.inputs if self.entry is not None else ()
        self.count = int(ports[0].type.shape[0]) if ports else 0
        self.found: dict[str, list[np.ndarray[Any, Any]]] = {port.name: [] for port in ports}
        self.numbers: list[np.ndarray[Any, Any]] = []

    def parts(self, run: HeldOutRun) -> Iterator[HeldOutRun]:
        """`run` as it is, or batch by batch where the rows of each are read."""
        yield from run.batches() if self.found else [run]

    def take(self, run: HeldOutRun) -> None:
        """Read the rows of the batch that has just run."""
        for name, parts in self.found.items():
            parts.append(self.loaded.read(name, run.entry.name).copy())
        if self.found:
            self.numbers.append(run.numbers[0])

    def metrics(self) -> dict[str, float]:
        """Each metric of all rows; none where the set has another size than the entry takes."""
        if not self.numbers or sum(map(len, self.numbers)) != self.count:
            return {}
        order = np.argsort(np.concatenate(self.numbers), kind="stable")
        ports = self.entry.inputs if self.entry is not None else ()
        joined = {port.name: np.concatenate([widened(rows, port) for rows in self.found[port.name]])
                  [order] for port in ports}
        return {name: float(value) for name, value in self.loaded.call(WHOLE, **joined).items()}


def widened(rows: np.ndarray[Any, Any], port: Port) -> np.ndarray[Any, Any]:
    """Rows as long as the port takes them: those of a smaller size have zeros behind them."""
    wanted = tuple(map(int, port.type.shape[1:]))
    return np.pad(rows, [(0, 0), *((0, w - h) for w, h in zip(wanted, rows.shape[1:],
                                                              strict=True))])


def held_out_runs(loaded: ArenaProgram, dataset: Dataset) -> list[HeldOutRun]:
    """What covers the test data in order; the smaller last batch runs as "eval_tail"."""
    entries: Mapping[str, Entry] = loaded.program.entries
    full, tail = entries["eval"], entries.get("eval_tail")
    if varying := varying_of(loaded.program):
        return runs_by_length(loaded.program, dataset, varying)
    if dataset.test is None:
        stream = Stream(dataset.test_stream, f"{dataset.name} (test)")
        return [HeldOutRun(pick_entry(full, tail, count, dataset.name), arrays,
                           np.arange(count)[None], np.arange(done, done + count)[None])
                for done, count, arrays in counted(stream.epoch(0, full.inputs))]
    batch, count = batch_size(full), dataset.test_samples
    arrays = bind_arrays(f"{dataset.name} (test)", dataset.test, full.inputs)
    whole = count // batch * batch
    runs = []
    if whole:
        rows = np.arange(whole).reshape(-1, batch)
        runs.append(HeldOutRun(full, arrays, rows, rows))
    if count > whole:
        rest = np.arange(whole, count)[None]
        entry = pick_entry(full, tail, count - whole, dataset.name)
        runs.append(HeldOutRun(entry, arrays, rest, rest))
    return runs


def runs_by_length(program: Program, dataset: Dataset, varying: Varying) -> list[HeldOutRun]:
    """What covers test data whose rows have several lengths, the shortest first."""
    full, tail = program.entries["eval"], program.entries.get("eval_tail")
    levels = by_size(program, "eval", varying)
    name, names = f"{dataset.name} (test)", list(levels.values())

    def runs(rows: BoundRows, batch: int) -> Iterator[HeldOutRun]:
        buckets = Buckets(rows, list(levels))
        for level, numbers in stretches(buckets.batches(np.arange(len(rows)), batch)):
            count = numbers.shape[1]
            entry = program.entries[names[level]] if count == batch_size(full) else pick_entry(
                full, tail, count, name)
            yield HeldOutRun(entry, buckets.arrays(level), buckets.place[numbers], numbers)

    if dataset.test is not None:
        return list(runs(BoundRows(name, dataset.test, full.inputs, varying), batch_size(full)))
    batches = Stream(dataset.test_stream, name).epoch(0, full.inputs, bound_by(varying), varying)
    return [replace(run, numbers=run.numbers + done) for done, count, rows in counted(batches)
            for run in runs(rows, count)]


def counted(batches: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, int, Any]]:
    """(samples before it, samples, arrays) of each batch."""
    done = 0
    for count, arrays in batches:
        yield done, count, arrays
        done += count


def pick_entry(full: Entry, tail: Entry | None, count: int, source: str) -> Entry:
    """The entry compiled for batches of `count` samples; DataError when there is none."""
    sizes = {batch_size(e): e for e in (tail, full) if e is not None}
    if count not in sizes:
        raise DataError(source, "test", f"a batch of {count} samples", "batches of "
                        f"{' or '.join(map(str, sorted(sizes)))}, for which the program was "
                        "compiled")
    return sizes[count]
