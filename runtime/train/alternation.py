"""How the phases of a task alternate: which entry runs in which step, on which rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.program import UPDATE, Entry, Program, update_entry
from dlc.runtime.data import DataError, bind_arrays
from dlc.runtime.data.buckets import Sizes, Varying, sizes_of
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.steps import Phase

SPECIAL = ("_tail", "_set", f"_{UPDATE}")  # ends of the names of entries for other batches


@dataclass(frozen=True)
class TrainPhase:
    """One step function of a task and when it runs.

    It runs in the steps where `step % every == offset`, in the epochs from `first_epoch` (0 is the
    first) up to, not including, `last_epoch` (None: to the end). `tail` is the entry for the
    smaller last batch, "" when there is none. `name` is "" for a task of one phase; otherwise it
    stands before its metrics: "critic.loss".
    """

    entry: str = "train"
    tail: str = ""
    name: str = ""
    every: int = 1
    offset: int = 0
    first_epoch: int = 0
    last_epoch: int | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or not 0 <= self.offset < self.every:
            raise DlcError(f"phase {self.name or self.entry}: every={self.every} with offset="
                           f"{self.offset} never runs", None, "0 <= offset < every")
        if self.last_epoch is not None and self.last_epoch <= self.first_epoch:
            raise DlcError(f"phase {self.name or self.entry}: epochs {self.first_epoch} to "
                           f"{self.last_epoch} hold none", None, "first_epoch < last_epoch")

    def runs_in(self, epoch: int) -> bool:
        return epoch >= self.first_epoch and (self.last_epoch is None or epoch < self.last_epoch)

    def runs_at(self, steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """bool[len(steps)]: in which of the steps with these numbers it runs."""
        mask: np.ndarray[Any, Any] = steps % self.every == self.offset
        return mask

    def key(self, output: str) -> str:
        """The name under which a metric of this phase is reported."""
        return f"{self.name}.{output}" if self.name else output


def find_phases(program: Program) -> tuple[TrainPhase, ...]:
    """The phases of a program by its entries' names: train, or train.NAME each.

    An entry train_tail (train_tail.NAME) is the specialization for the last, smaller batch.
    Raises DlcError when there is nothing to train.
    """
    phases = []
    for entry in program.entries:
        head, _, name = entry.partition(".")
        if head == "train":
            tail = tail_entry(entry)
            phases.append(TrainPhase(entry, tail if tail in program.entries else "", name))
    if not phases:
        raise DlcError(f"{program.name} has no entry to train", None,
                       f"it has {', '.join(program.entries)}; a task gives one")
    return tuple(phases)


def tail_entry(entry: str) -> str:
    """The name of the entry for the smaller last batch: train_tail.PHASE of train.PHASE."""
    head, dot, phase = entry.partition(".")
    return f"{head}_tail{dot}{phase}"


def base_entry(name: str) -> str:
    """The entry of which `name` is one for other sizes: train_16.judge and train_tail.judge are
    train.judge."""
    head, dot, phase = name.partition(".")
    return f"{head.partition('_')[0]}{dot}{phase}"


def outcome_of(program: Program, entry: str) -> Entry:
    """The entry whose outputs are those of a step that `entry` begins."""
    return program.entries.get(update_entry(entry), program.entries[entry])


def by_size(program: Program, entry: str, varying: Varying) -> dict[Sizes, str]:
    """The entries for full batches of the sizes of axes that vary, ascending, `entry` last."""
    found = {sizes_of(program.entries[name], varying): name for name in program.entries
             if base_entry(name) == entry and not name.partition(".")[0].endswith(SPECIAL)}
    return dict(sorted(found.items()))


def batch_size(entry: Entry) -> int:
    """Samples that one run of `entry` takes: the first dimension of its data ports."""
    sizes = {int(p.type.shape[0]) for p in entry.inputs if p.role == "data" and p.type.shape}
    if len(sizes) != 1:
        raise DlcError(f"entry {entry.name}: its data inputs have the batch sizes "
                       f"{sorted(sizes)}", None, "one size, as the first axis of each")
    return sizes.pop()


def fixed_inputs(entry: Entry, fixed: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Values for the inputs of `entry` that are neither data nor the step's number.

    An input of role "seed" takes the run's seed. Raises DataError for one that has no value.
    """
    values = {}
    for port in entry.inputs:
        if port.role in ("data", "step", "param", "state", "micro_batch", "share"):
            continue
        if port.role == "seed":
            values[port.name] = port.type.dtype.numpy.type(seed)
        elif port.name in fixed:
            values[port.name] = fixed[port.name]
        else:
            raise DataError(f"entry {entry.name}", "", f"its input {port.name!r} {port.type} has "
                            "no value", "a field of the data, or a setting")
    return values


class BoundPhase:
    """A phase with its data bound: makes the steps.Phase for any stretch of an epoch.

    `entry` takes a batch or, where a step has several, a micro-batch; `outcome` is the entry whose
    outputs are the step's.
    """

    def __init__(self, entry: Entry, phase: TrainPhase, arrays: Arrays, source: str,
                 fixed: Mapping[str, Any], seed: int, outcome: Entry) -> None:
        self.entry, self.phase, self.outcome = entry, phase, outcome
        self.feeds = bind_arrays(source, arrays, entry.inputs)
        self.fixed = fixed_inputs(entry, fixed, seed)

    def stretch(self, rows: np.ndarray[Any, Any], first_step: int) -> Phase:
        """The runs on `rows` (i64[steps, batch]) in the steps from `first_step` on."""
        steps = np.arange(first_step, first_step + len(rows))
        chosen = np.ascontiguousarray(rows[self.phase.runs_at(steps)])
        return Phase(self.entry.name, self.phase.every, self.phase.offset, self.feeds, chosen,
                     self.fixed)
