"""Why training stops: the fault of a step, or of a run whose every step loss scaling skipped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.runtime.train.alternation import BoundPhase
from dlc.runtime.train.measure import LOSS_SCALE, SKIPPED
from dlc.runtime.train.position import Position
from dlc.runtime.train.training import Callbacks, Fault, TrainConfig, TrainingFault

if TYPE_CHECKING:
    from dlc.runtime.steps import StepReport

Row = np.ndarray[Any, Any]


def fault_of(bound: Sequence[BoundPhase], report: StepReport, position: Position,
             row: Row) -> Fault:
    """The fault that ended a report, in the step on the samples `row`."""
    culprit = next((b for b in bound if has_fault(b, report)), bound[0])
    return Fault(position.step, position.epoch, culprit.entry.name, report.fault,
                 batch_of(culprit, row))


def has_fault(bound: BoundPhase, report: StepReport) -> bool:
    words = [report.log.get((bound.entry.name, port.name)) for port in bound.entry.outputs
             if port.role == "fault"]
    return any(word is not None and len(word) and word[-1].any() for word in words)


def batch_of(bound: BoundPhase, row: Row) -> dict[str, Any]:
    return {name: array[row] for name, array in bound.feeds.items()}


@dataclass(frozen=True)
class Latest:
    """The last run of a phase: in step `step`, on the samples `row`."""

    bound: BoundPhase
    step: int
    row: Row


def fault_of_skipped(position: Position, latest: Iterable[Latest],
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
