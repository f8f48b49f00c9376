"""Why training stops: the fault of a step, or of a run whose every step loss scaling skipped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.runtime.train.alternation import BoundPhase, batch_size, tail_entry
from dlc.runtime.train.measure import LOSS_SCALE, SKIPPED
from dlc.runtime.train.position import Position
from dlc.runtime.train.training import Callbacks, Fault, TrainConfig, TrainingFault
from dlc.runtime.world.world import World

if TYPE_CHECKING:
    from dlc.runtime.steps import StepReport

Row = np.ndarray[Any, Any]


def fault_of(bound: Sequence[BoundPhase], report: StepReport, position: Position,
             row: Row) -> Fault:
    """The fault that ended a report, in the step on the samples `row`."""
    culprit = next((b for b in bound if has_fault(b, report)), bound[0])
    return Fault(position.step, position.epoch, entry_of(culprit, row, report.micro_batch),
                 report.fault, batch_of(culprit, row, report.micro_batch))


def has_fault(bound: BoundPhase, report: StepReport) -> bool:
    words = [report.log.get((bound.outcome.name, port.name)) for port in bound.outcome.outputs
             if port.role == "fault"]
    return any(word is not None and len(word) and word[-1].any() for word in words)


def batch_of(bound: BoundPhase, row: Row, micro_batch: int = 0) -> dict[str, Any]:
    """What the entry took: the samples `row`, or those of one of their micro-batches, which stands
    for the whole step when it is looked at alone."""
    if bound.outcome is bound.entry:
        return {name: array[row] for name, array in bound.feeds.items()}
    rows = part_of(bound, row, micro_batch)
    given = {"micro_batch": np.int32(micro_batch), "share": np.float64(1)}
    return {**{name: array[rows] for name, array in bound.feeds.items()},
            **{p.name: given[p.role] for p in bound.entry.inputs if p.role in given}}


def part_of(bound: BoundPhase, row: Row, micro_batch: int) -> Row:
    size = batch_size(bound.entry)
    return row[micro_batch * size:(micro_batch + 1) * size]


def entry_of(bound: BoundPhase, row: Row, micro_batch: int) -> str:
    """The entry that ran: another for the smaller last micro-batch of an epoch."""
    if bound.outcome is bound.entry:
        return bound.entry.name
    whole = len(part_of(bound, row, micro_batch)) == batch_size(bound.entry)
    return bound.entry.name if whole else tail_entry(bound.entry.name)


def part_text(at: int, count: int, world: World) -> str:
    """Which of `count` micro-batches a fault is of, and of which process, where there are several.
    """
    text = f", micro-batch {at + 1} of {count}" if count > 1 else ""
    return f"{text} on rank {world.rank_of(at, count)}" if world.size > 1 else text


@dataclass(frozen=True)
class Latest:
    """The last run of a phase: in step `step`, on the samples `row`."""

    bound: BoundPhase
    step: int
    row: Row


def skipped(position: Position, latest: Iterable[Latest],
            read: Callable[[str], np.ndarray[Any, Any]]) -> Fault | None:
    """The fault of the last step of a phase that has taken none, as loss scaling has skipped each
    since training began. Its inputs hold the batch, and the states that the step found."""
    for last in latest:
        key = last.bound.phase.key
        epochs = [r["train"] for r in position.history if key(SKIPPED) in r["train"]]
        if epochs and all(means[key(SKIPPED)] == 1 for means in epochs):
            states = {key("loss_scaling.scale"): np.float32(epochs[-1][key(LOSS_SCALE)]),
                      key("step"): read(key("step")) - 1}
            return Fault(last.step, position.epoch - 1, last.bound.entry.name, -1,
                         {**batch_of(last.bound, last.row), **states})
    return None


def explained(fault: Fault, where: str, config: TrainConfig,
              callbacks: Callbacks) -> TrainingFault:
    """What is raised for a fault: which step, and the cause."""
    cause = callbacks.explain_fault(fault) if callbacks.explain_fault else config.meaning(fault)
    return TrainingFault(f"step {fault.step} (epoch {fault.epoch + 1}, {where}): {cause}", fault)


class OddLosses:
    """Losses of the test data that are not finite. Training goes on, its own losses are finite; the
    user is told of the first, once."""

    def __init__(self, config: TrainConfig, callbacks: Callbacks) -> None:
        self.config, self.callbacks = config, callbacks
        self.found: list[Fault] = []
        self.told = False

    def hear(self, fault: Fault) -> None:
        """A batch has such a loss."""
        self.found.append(fault)

    def warn(self, position: Position) -> None:
        """Say which loss it was, and why: where progress is shown, else as a warning of Python."""
        if self.told or not self.found:
            return
        self.told = True
        fault = replace(self.found[0], step=position.step, epoch=position.epoch)
        text = str(explained(fault, "testing", self.config, self.callbacks))
        if self.callbacks.progress:
            self.callbacks.progress.note(f"warning: {text}")
        else:
            warnings.warn(text, stacklevel=2)
