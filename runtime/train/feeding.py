"""The batches of an epoch: which rows, in which order, through which entries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from dlc.program import Program
from dlc.runtime.data import DataError, Dataset, Stream, epoch_order
from dlc.runtime.data.buckets import (
    BoundRows,
    Buckets,
    Sizes,
    bound_by,
    stretches,
    varying_of,
)
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.train.alternation import (
    BoundPhase,
    TrainPhase,
    batch_size,
    by_size,
    outcome_of,
)
from dlc.runtime.train.training import TrainConfig

Rows = np.ndarray[Any, Any]


class Feed:
    """The training data of a run, bound to its phases.

    Raises DataError when the program was not compiled for the smaller last batch of the data.
    """

    def __init__(self, program: Program, config: TrainConfig, dataset: Dataset,
                 phases: tuple[TrainPhase, ...]) -> None:
        self.program, self.config, self.dataset, self.phases = program, config, dataset, phases
        self.bound_phases: dict[bool, list[BoundPhase]] = {}
        self.stream = None if dataset.in_memory else Stream(dataset.stream, dataset.name)
        self.varying = varying_of(program)
        self.padded: dict[tuple[int, bool], list[BoundPhase]] = {}
        if dataset.lanes not in (0, config.batch):
            raise DataError(dataset.name, "lanes", f"{dataset.lanes} lanes, and batches of "
                            f"{config.batch} rows", "as many lanes as a batch has rows")
        self.part = config.batch // config.micro_batches  # rows of a micro-batch
        if dataset.in_memory:
            self.check_tail(dataset.samples % config.batch)

    @cached_property
    def levels(self) -> list[dict[Sizes, str]]:
        """The entries of each phase by the sizes of axes that vary."""
        return [by_size(self.program, phase.entry, self.varying) for phase in self.phases]

    @cached_property
    def buckets(self) -> Buckets:
        """The training rows by the sizes that hold them."""
        ports = self.program.entries[self.phases[0].entry].inputs
        rows = BoundRows(self.dataset.name, self.dataset.train, ports, self.varying)
        return Buckets(rows, list(self.levels[0]))

    def check_tail(self, count: int) -> None:
        """Raise DataError unless there are entries for a last batch of `count` samples: for what
        whole micro-batches leave of it."""
        rest = count % self.part
        for phase in self.phases if rest else ():
            size = batch_size(self.program.entries[phase.tail]) if phase.tail else 0
            if size != rest:
                raise DataError(
                    self.dataset.name, "", f"the last batch of an epoch has {count} of the "
                    f"{self.dataset.samples} samples, and {phase.entry} was compiled for batches "
                    f"of {self.config.batch}" + (f" and {size}" if size else " alone"),
                    f"dlc.compile(task, tails=dataset.tails({self.config.batch})), or a batch that "
                    "divides the samples")

    def batches(self) -> int | None:
        """Batches an epoch of data in memory; None for a stream."""
        return -(-self.dataset.samples // self.config.batch) if self.dataset.in_memory else None

    def epoch(self, epoch: int, done: int) -> Iterator[tuple[list[BoundPhase], Rows]]:
        """What is left of an epoch of which `done` batches are done: (the phases that run, rows as
        i64[batches, samples])."""
        if self.stream is not None:
            yield from self.streamed(self.stream, epoch, done)
            return
        count, batch = self.dataset.samples, self.config.batch
        if self.varying:
            yield from self.by_length(epoch, done)
            return
        order = (np.arange(count, dtype=np.int64) if self.dataset.lanes else
                 epoch_order(self.config.seed, epoch, count))
        full = count // batch
        rows = order[:full * batch].reshape(full, batch)
        if done < full:
            yield self.bound(epoch, False), rows[done:]
        if count > full * batch and done <= full:
            yield self.bound(epoch, True), order[full * batch:][None]

    def by_length(self, epoch: int, done: int) -> Iterator[tuple[list[BoundPhase], Rows]]:
        """What is left of an epoch over rows of several lengths."""
        batch, buckets = self.config.batch, self.buckets
        for level, rows in stretches(buckets.epoch(self.config.seed, epoch, batch)[done:]):
            key = level, rows.shape[1] < batch
            if key not in self.padded:
                self.padded[key] = self.bind(buckets.arrays(level), None, key[1], level)
            yield [b for b in self.padded[key] if b.phase.runs_in(epoch)], buckets.place[rows]

    def streamed(self, stream: Stream, epoch: int,
                 done: int) -> Iterator[tuple[list[BoundPhase], Rows]]:
        """An epoch of a stream; the batches that were done before a resume are passed over."""
        ports = self.program.entries[self.phases[0].entry].inputs
        index = -1
        for index, (count, batch) in enumerate(stream.epoch(
                epoch, ports, bound_by(self.varying), self.varying)):
            if index >= done:
                rows = np.arange(count, dtype=np.int64)[None]
                tail, level = self.is_tail(epoch, index, count), len(self.levels[0]) - 1
                if isinstance(batch, BoundRows):
                    sizes = list(self.levels[0])
                    level = level if tail else int(batch.level(sizes).max())
                    batch = batch.padded(sizes[level], slice(None))
                yield self.bind(batch, epoch, tail, level), rows
        if index < 0:
            raise DataError(self.dataset.name, f"epoch {epoch + 1}", "the stream gives no batch",
                            "at least one batch an epoch")

    def is_tail(self, epoch: int, index: int, count: int) -> bool:
        """Whether a streamed batch of `count` samples takes the tail entries; DataError if none."""
        first = self.phases[0]
        sizes = {batch_size(self.program.entries[e]): e for e in (first.tail, first.entry) if e}
        whole = self.part * self.config.micro_batches
        if count > whole or (count % self.part or self.part) not in sizes:
            many = self.config.micro_batches > 1
            fit = " or ".join(map(str, sorted(sizes)))
            raise DataError(self.dataset.name, f"epoch {epoch + 1}, batch {index + 1}",
                            f"a batch of {count} samples",
                            (f"up to {whole}, in micro-batches" if many else "batches")
                            + f" of {fit}, for which the program was compiled")
        return count < whole

    def bound(self, epoch: int, tail: bool) -> list[BoundPhase]:
        """The phases of an epoch over the data in memory, bound once for all epochs."""
        if tail not in self.bound_phases:
            self.bound_phases[tail] = self.bind(self.dataset.train, None, tail)
        return [b for b in self.bound_phases[tail] if b.phase.runs_in(epoch)]

    def bind(self, arrays: Arrays, epoch: int | None, tail: bool,
             level: int = -1) -> list[BoundPhase]:
        """The phases that run in `epoch` (None: all) over these arrays, of the sizes of `level`."""
        entries, smaller = self.program.entries, tail and self.config.micro_batches == 1
        names = [p.tail if smaller else list(sizes.values())[level]
                 for p, sizes in zip(self.phases, self.levels, strict=True)]
        return [BoundPhase(entries[name], p, arrays, self.dataset.name, self.config.fixed,
                           self.config.seed, outcome_of(self.program, name))
                for p, name in zip(self.phases, names, strict=True)
                if epoch is None or p.runs_in(epoch)]
