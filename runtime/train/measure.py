"""Metrics: sums over batches weighted by samples, and evaluation over the test data."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.program import Entry, Program
from dlc.runtime.data import DataError, Dataset, Stream, bind_arrays
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.steps import Phase
from dlc.runtime.train.alternation import batch_size, fixed_inputs
from dlc.runtime.train.training import Fault

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.steps import Log
    from dlc.runtime.train.training import TrainConfig

# Reported as they last were, not as means: they do not depend on the batch.
LAST_VALUES = ("lr", "learning_rate", "loss_scale")
SKIPPED = "skipped"  # 1 in a step that loss scaling skipped: its other metrics do not count
WHOLE = "eval_set"  # the entry for metrics of the whole set


def metric_names(program: Program, entry: Entry) -> list[str]:
    """Outputs of `entry` that are metrics: float scalars that update no persistent value."""
    updated = {port.name for port in program.persistent}
    return [p.name for p in entry.outputs if not p.type.shape and p.type.dtype.is_float
            and p.role != "fault" and p.name not in updated]


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
            if name not in (SKIPPED, *LAST_VALUES):
                column = column[counts]
            for value in column.tolist():
                if name in LAST_VALUES:
                    total[0], total[1] = value, 1.0
                else:
                    total[0] += value * samples
                    total[1] += samples

    def means(self) -> dict[str, float]:
        """The mean of every metric so far; "loss" is the first phase's where phases have names."""
        means = {k: total / weight for k, (total, weight) in self.values.items() if weight}
        losses = [k for k in means if k.endswith(".loss")]
        if losses and "loss" not in means:
            means = {"loss": means[losses[0]], **means}
        return means


@dataclass(frozen=True)
class HeldOutRun:
    """One stretch of the test data: `rows` (i64[batches, samples]) of `arrays` through `entry`."""


    entry: Entry
    arrays: Arrays
    rows: np.ndarray[Any, Any]


def evaluate(loaded: ArenaProgram, runs: Iterable[HeldOutRun], config: TrainConfig,
             go_on: Callable[[], bool]) -> tuple[dict[str, float] | None, Fault | None]:
    """(means of the metrics over `runs`, weighted by samples; a fault that ended it).

    The means are None when `go_on` became False on the way.
    """
    sums, whole = Sums(loaded.program), WholeSet(loaded)
    for run in itertools.chain.from_iterable(map(whole.parts, runs)):
        phase = Phase(run.entry.name, feeds=run.arrays, index=run.rows,
                      fixed=fixed_inputs(run.entry, config.fixed, config.seed))
        report = loaded.run_steps([phase], len(run.rows), watch=lambda done, log: go_on())
        if report.reason == "fault":
            row = run.rows[report.steps - 1]
            inputs = {name: array[row] for name, array in run.arrays.items()}
            return None, Fault(0, 0, run.entry.name, report.fault, inputs)
        if report.reason != "done" or not go_on():
            return None, None
        sums.add(run.entry, report.log, len(run.rows), run.rows.shape[1])
        whole.take(run)
    return {**sums.means(), **whole.metrics()}, None


class WholeSet:
    """The rows that metrics of the whole set are made of, joined over the batches: the entry
    `eval_set`, where the program has one, takes them all (dlc/task/over_set.py)."""

    def __init__(self, loaded: ArenaProgram) -> None:
        self.loaded, self.entry = loaded, loaded.program.entries.get(WHOLE)
        ports = self.entry.inputs if self.entry is not None else ()
        self.count = int(ports[0].type.shape[0]) if ports else 0
        self.found: dict[str, list[np.ndarray[Any, Any]]] = {port.name: [] for port in ports}

    def parts(self, run: HeldOutRun) -> Iterator[HeldOutRun]:
        """`run` as it is, or batch by batch where the rows of each are read."""
        if not self.found:
            yield run
            return
        for row in run.rows:
            yield HeldOutRun(run.entry, run.arrays, row[None])

    def take(self, run: HeldOutRun) -> None:
        """Read the rows of the batch that has just run."""
        for name, parts in self.found.items():
            parts.append(self.loaded.read(name, run.entry.name).copy())

    def metrics(self) -> dict[str, float]:
        """Each metric of all rows; none where the set has another size than the entry takes."""
        joined = {name: np.concatenate(parts) for name, parts in self.found.items() if parts}
        if not joined or any(len(rows) != self.count for rows in joined.values()):
            return {}
        return {name: float(value) for name, value in self.loaded.call(WHOLE, **joined).items()}


def held_out_runs(loaded: ArenaProgram, dataset: Dataset) -> list[HeldOutRun]:
    """What covers the test data in order; the smaller last batch runs as "eval_tail"."""
    entries: Mapping[str, Entry] = loaded.program.entries
    full, tail = entries["eval"], entries.get("eval_tail")
    if dataset.test is None:
        stream = Stream(dataset.test_stream, f"{dataset.name} (test)")
        return [HeldOutRun(pick_entry(full, tail, count, dataset.name), arrays,
                        np.arange(count)[None])
                for count, arrays in stream.epoch(0, full.inputs)]
    batch, count = batch_size(full), dataset.test_samples
    arrays = bind_arrays(f"{dataset.name} (test)", dataset.test, full.inputs)
    whole = count // batch * batch
    runs = []
    if whole:
        runs.append(HeldOutRun(full, arrays, np.arange(whole).reshape(-1, batch)))
    if count > whole:
        rest = np.arange(whole, count)[None]
        entry = pick_entry(full, tail, count - whole, dataset.name)
        runs.append(HeldOutRun(entry, arrays, rest))
    return runs




def pick_entry(full: Entry, tail: Entry | None, count: int, source: str) -> Entry:
    """The entry compiled for batches of `count` samples; DataError when there is none."""
    sizes = {batch_size(e): e for e in (tail, full) if e is not None}
    if count not in sizes:
        raise DataError(source, "test", f"a batch of {count} samples", "batches of "
                        f"{' or '.join(map(str, sorted(sizes)))}, for which the program was "
                        "compiled")
    return sizes[count]
