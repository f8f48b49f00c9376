"""A trap for values that stop being finite: in which step, found by going back to the last look.

Steps run as they would without it. Now and then a look reads all parameters and state; where one of
them has a NaN or an infinity that it had not at the look before, those values are put back and the
same steps run again, one by one, to the first that makes it. They give the same bits
(docs/training.md), so nothing has to be watched meanwhile, in whatever is computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from dlc.errors import DlcError
from dlc.runtime.train.alternation import BoundPhase
from dlc.runtime.train.failing import batch_of, explained
from dlc.runtime.train.position import Position
from dlc.runtime.train.training import NOT_FINITE, Callbacks, Fault, TrainConfig

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.steps import Log, Phase, StepReport

Rows = np.ndarray[Any, Any]
Kept = Mapping[str, np.ndarray[Any, Any]]
SHORTEST = 0.2  # seconds between looks at least ...
SHARE = 50  # ... and this many times what a look takes, so that looks are 2 % of a run


class Stepper(Protocol):
    """What runs the steps of a training: a loaded program, or micro-batches on one."""

    def run_steps(self, phases: Sequence[Phase], steps: int, *, first_step: int = 0,
                  watch: Callable[[int, Log], bool | None] | None = None,
                  interval: float = 0.1) -> StepReport:
        """Run `steps` steps of `phases` (docs/design/runtime.md)."""


@dataclass(frozen=True)
class Stretch:
    """Steps that ran since the last look: from `step` on, the batches `rows` of an epoch, of which
    `batch` are before them."""

    bound: Sequence[BoundPhase]
    rows: Rows
    step: int
    epoch: int
    batch: int


class Trap:
    """Looks at the persistent values of `loaded`, which a run trains; without `config.trap` at
    nothing."""

    def __init__(self, loaded: ArenaProgram, stepper: Stepper, config: TrainConfig,
                 callbacks: Callbacks) -> None:
        self.stepper = stepper
        self.loaded, self.config, self.callbacks = loaded, config, callbacks
        self.names = [p.name for p in loaded.program.persistent if config.trap]
        self.kept: Kept = {}
        self.stretches: list[Stretch] = []
        self.looked, self.took = 0.0, 0.0

    def is_due(self) -> bool:
        """Whether it is time for a look."""
        return bool(self.names) and (
            time.monotonic() - self.looked >= max(SHORTEST, SHARE * self.took))

    def ran(self, bound: Sequence[BoundPhase], rows: Rows, position: Position,
            faulty: bool) -> None:
        """The steps on `rows` have run from `position` on; the last of them may be faulty."""
        if self.names:
            self.stretches.append(Stretch(bound, rows, position.step, position.epoch,
                                          position.batches))
        if faulty or self.is_due():
            self.spring()

    def spring(self) -> None:
        """Look; begin anew where all is as finite as it was. Raises TrainingFault for the step that
        made a value which is not: the program then has the values from before it."""
        began = time.monotonic()
        now = self.values()
        if spoilt(self.kept, now):
            fault, batch = self.found()
            raise explained(fault, f"batch {batch}", self.config, self.callbacks)
        self.renew(now)
        self.took = time.monotonic() - began

    def renew(self, values: Kept | None = None) -> None:
        """Begin anew from what the program holds."""
        self.kept, self.stretches = self.values() if values is None else values, []
        self.looked = time.monotonic()

    @contextmanager
    def others_write(self) -> Iterator[None]:
        """While somebody else may write values, which no step can give again."""
        self.spring()
        yield
        self.renew()

    def values(self) -> Kept:
        return {name: self.loaded.read(name) for name in self.names}

    def found(self) -> tuple[Fault, int]:
        """Go through the steps again, to the first that spoils a value; with the number of its
        batch in the epoch, from 1."""
        self.write(self.kept)
        before = self.kept
        for bound, row, step, stretch in self.again():
            self.stepper.run_steps([bound.stretch(row[None], step)], 1, first_step=step)
            now = self.values()
            if spoilt(before, now):
                self.write(before)
                fault = Fault(step, stretch.epoch, bound.entry.name, NOT_FINITE,
                              batch_of(bound, row))
                return fault, stretch.batch + step - stretch.step + 1
            before = now
        raise DlcError("a value of the network was not finite, and is when its steps run again",
                       None, "a custom operator gives another result for the same operands")

    def again(self) -> Iterator[tuple[BoundPhase, Rows, int, Stretch]]:
        """(phase, its batch, number of the step, its stretch), in order."""
        for stretch in self.stretches:
            for step, row in enumerate(stretch.rows, stretch.step):
                for bound in stretch.bound:
                    if bound.phase.runs_at(np.array([step]))[0]:
                        yield bound, row, step, stretch

    def write(self, values: Kept) -> None:
        for name, value in values.items():
            self.loaded.write(name, value)


def spoilt(before: Kept, now: Kept) -> list[str]:
    """The names whose values have stopped being finite."""
    return [name for name, value in now.items()
            if not is_finite(value) and is_finite(before[name])]


def is_finite(value: np.ndarray[Any, Any]) -> bool:
    """Whether all numbers are finite; an integer is."""
    if value.dtype.kind in "iub":
        return True
    known = value if value.dtype.kind == "f" else value.astype(np.float32)  # bf16
    return bool(np.isfinite(known).all())
