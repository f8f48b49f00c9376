"""Arguments and results of run_steps: phases of steps, and the report of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from dlc.program import Entry, Port

Array = np.ndarray[Any, Any]
Log = dict[tuple[str, str], Array]
Reason = Literal["done", "fault", "interrupt", "stopped"]
LOGGED_BYTES = 64  # outputs up to this size are logged for every run


class PhaseError(ValueError):
    """A phase that does not fit the program: an unknown input, a wrong array, an index outside."""


@dataclass(frozen=True)
class Phase:
    """One entry, run in the steps where `step % every == offset`.

    `feeds` maps entry inputs to whole data sets (rows first); the k-th run of a call copies the
    rows `index[k]` (int64 [runs, batch]). `fixed` maps inputs to one value for all runs.
    """

    entry: str
    every: int = 1
    offset: int = 0
    feeds: Mapping[str, Array] = field(default_factory=dict)
    index: Array | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def runs(self, first_step: int, end_step: int) -> int:
        """How often the phase runs in the steps first_step .. end_step - 1."""
        return self.before(end_step) - self.before(first_step)

    def before(self, step: int) -> int:
        """How often the phase runs in the steps 0 .. step - 1."""
        return max(0, -(-(step - self.offset) // self.every))


@dataclass(frozen=True)
class StepReport:
    """What a run did.

    `steps` counts finished steps (a faulty one included), `log[(entry, output)]` holds one row for
    every run of the entry, `fault` the nonzero fault word if `reason` is "fault", and
    `micro_batch` the number of the one that it is of, where a step has several.
    """

    steps: int
    reason: Reason
    log: Log
    seconds: float
    fault: int = 0
    micro_batch: int = 0


def check_phase(phase: Phase, entry: Entry, persistent: Mapping[str, Port], steps: int,
                first_step: int) -> None:
    """Raise PhaseError unless `phase` feeds every input of its entry with what fits."""
    if not 1 <= phase.every < 2**31 or not 0 <= phase.offset < phase.every:
        raise PhaseError(f"{phase.entry}: every={phase.every}, offset={phase.offset}; every is at "
                         "least 1, offset from 0 to every - 1")
    for port in entry.inputs:
        if port.role == "step" and first_step + steps - 1 > np.iinfo(port.type.dtype.numpy).max:
            raise PhaseError(f"{phase.entry}: step {first_step + steps - 1} does not fit "
                             f"{port.name}, {port.type}")
    ports = {p.name: p for p in entry.inputs if p.name not in persistent}
    for name in (*phase.feeds, *phase.fixed):
        if name not in ports:
            raise PhaseError(f"{phase.entry} has no input {name!r}; there are {', '.join(ports)}")
        if name in phase.feeds and name in phase.fixed:
            raise PhaseError(f"{phase.entry}: {name} is both fed and fixed")
    missing = [p.name for p in ports.values() if p.role != "step"
               and p.name not in phase.feeds and p.name not in phase.fixed]
    if missing:
        raise PhaseError(f"{phase.entry}: neither fed nor fixed: {', '.join(missing)}")
    if phase.feeds:
        index = check_index(phase, phase.runs(first_step, first_step + steps))
        for name, data in phase.feeds.items():
            _check_feed(phase.entry, ports[name], data, index)


def check_index(phase: Phase, runs: int) -> Array:
    """The index of a phase that is fed. Raises PhaseError unless int64 [runs, batch]."""
    index = phase.index
    if index is None:
        raise PhaseError(f"{phase.entry}: feeds need an index, int64 [{runs}, batch]")
    if not isinstance(index, np.ndarray) or index.dtype != np.int64 or index.ndim != 2:
        what = f"{index.dtype}{list(index.shape)}" if isinstance(index, np.ndarray) else type(index)
        raise PhaseError(f"{phase.entry}: the index is int64 [{runs}, batch], got {what}")
    if len(index) != runs:
        raise PhaseError(f"{phase.entry}: the index has {len(index)} rows for {runs} runs")
    return index


def _check_feed(entry: str, port: Port, data: Any, index: Array) -> None:
    shape = tuple(int(d) for d in port.type.shape)
    if not isinstance(data, np.ndarray) or data.dtype != port.type.dtype.numpy:
        got = data.dtype if isinstance(data, np.ndarray) else type(data).__name__
        raise PhaseError(f"{entry}: {port.name} is fed from an array of "
                         f"{port.type.dtype.numpy}, got {got}")
    if not shape or data.shape[1:] != shape[1:] or index.shape[1] != shape[0]:
        raise PhaseError(f"{entry}: {port.name} takes {port.type.describe()}; got rows of "
                         f"{list(data.shape[1:])}, {index.shape[1]} a batch")
    if port.type.layout not in (None, tuple(range(len(shape)))):
        raise PhaseError(f"{entry}: {port.name} lies in layout {port.type.layout}; only row-major "
                         "inputs can be fed")
    if index.size and (index.min() < 0 or index.max() >= len(data)):
        worst = index.min() if index.min() < 0 else index.max()
        raise PhaseError(f"{entry}: index {worst} lies outside the {len(data)} rows of {port.name}")

