"""What a library is made of: programs by instruction set, what runs when, and what files say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dlc.ir.types import Type
from dlc.program import Entry, Port, Program
from dlc.runtime.train.alternation import TrainPhase, base_entry
from dlc.runtime.train.position import Identity

Arrays = Mapping[str, np.ndarray[Any, Any]]


class PlanError(ValueError):
    """A program that a library cannot run."""


@dataclass(frozen=True)
class Planned:
    """A program and those of its entries that the library runs. `block` is how many rows its one
    entry predicts, 0 where the program trains; `checks[entry]` says what its faults mean."""

    program: Program
    entries: tuple[str, ...]
    checks: Mapping[str, Sequence[str]]
    block: int = 0

    def entry(self, number: int) -> Entry:
        return self.program.entries[self.entries[number]]

    @cached_property
    def persistent(self) -> frozenset[str]:
        return frozenset(port.name for port in self.program.persistent)


@dataclass(frozen=True)
class Row:
    """An array of which the library takes or gives rows: its name and the type of one row."""

    name: str
    type: Type


@dataclass(frozen=True)
class Batch:
    """What a batch of so many rows runs: entries by their number, each in the steps of a phase."""

    rows: int
    trains: bool
    phases: tuple[tuple[int, TrainPhase], ...]


@dataclass(frozen=True)
class Plan:
    """A library. `variants` are its programs by instruction set, the widest first, the same ones in
    each; the first holds all values. `phases` are those of training, none where it predicts alone.
    `each_epoch` are values that every epoch begins with, `network` what checkpoints hold;
    `in_order` says that training takes the samples as they lie."""

    name: str
    variants: Mapping[str, tuple[Planned, ...]]
    identity: Identity
    phases: tuple[TrainPhase, ...] = ()
    each_epoch: Arrays = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    in_order: bool = False

    def __post_init__(self) -> None:
        for planned in (p for programs in self.variants.values() for p in programs):
            check(planned)

    @property
    def programs(self) -> tuple[Planned, ...]:
        """Those of the first instruction set: names and types are the same in all."""
        return next(iter(self.variants.values()))

    @property
    def values(self) -> tuple[Port, ...]:
        """All parameters and state."""
        return self.programs[0].program.persistent

    @cached_property
    def batches(self) -> tuple[Batch, ...]:
        """What steps and evaluations run, by the number of rows."""
        found = [self._batch([(p.entry, p) for p in self.phases], True),
                 self._batch([(p.tail, p) for p in self.phases], True),
                 self._batch([("eval", TrainPhase("eval"))], False),
                 self._batch([("eval_tail", TrainPhase("eval_tail"))], False)]
        return tuple(batch for batch in found if batch is not None)

    def _batch(self, entries: Sequence[tuple[str, TrainPhase]], trains: bool) -> Batch | None:
        names = self.programs[0].entries if self.phases else ()
        if not entries or not all(name in names for name, _ in entries):
            return None
        numbered = tuple((names.index(name), phase) for name, phase in entries)
        ports = self.data_ports(self.programs[0].entry(numbered[0][0]))
        return Batch(int(ports[0].type.shape[0]), trains, numbered)

    def data_ports(self, entry: Entry) -> list[Port]:
        return [port for port in entry.inputs if port.role == "data"]

    @cached_property
    def inputs(self) -> tuple[Row, ...]:
        """What steps and evaluations take."""
        if not self.phases:
            return ()
        entries = [self.programs[0].entry(k) for k in range(len(self.programs[0].entries))]
        return rows_of([p for e in entries for p in self.data_ports(e)])

    @cached_property
    def predict_inputs(self) -> tuple[Row, ...]:
        return rows_of([p for planned in self.predicting
                        for p in self.data_ports(planned.entry(0))])

    @cached_property
    def predicting(self) -> tuple[Planned, ...]:
        return tuple(planned for planned in self.programs if planned.block)

    @cached_property
    def prediction(self) -> tuple[Row, ...]:
        """What a prediction gives: one, or none where the library trains alone."""
        return rows_of([p for planned in self.predicting[:1] for p in planned.entry(0).outputs
                        if p.name == "prediction"])

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The names of all metrics of steps and evaluations."""
        found = {name: None for planned in self.programs if not planned.block
                 for k in range(len(planned.entries)) for name in self.metrics_of(planned, k)}
        return tuple(found)

    def metrics_of(self, planned: Planned, number: int) -> dict[str, str]:
        """The metrics of an entry: the name it is reported under -> the output."""
        entry = planned.entry(number)
        phase = next((p for p in self.phases if entry.name in (p.entry, p.tail)), TrainPhase())
        return {phase.key(p.name): p.name for p in entry.outputs
                if p.role != "fault" and p.name not in planned.persistent and not p.type.shape}


def rows_of(ports: Sequence[Port]) -> tuple[Row, ...]:
    """The rows that ports take, each name once. Raises PlanError where two take other rows, and for
    rows without elements, of which bytes do not tell how many there are."""
    found: dict[str, Row] = {}
    for port in ports:
        row = Row(port.name, Type(port.type.dtype, tuple(int(d) for d in port.type.shape[1:])))
        if not row.type.size:
            raise PlanError(f"{port.name} has rows without elements: {row.type}")
        if found.setdefault(port.name, row) != row:
            raise PlanError(f"input {port.name} has rows of {found[port.name].type} and of "
                            f"{row.type}")
    return tuple(found.values())


def check(planned: Planned) -> None:
    """Raise PlanError for an input that a library has no value for, and for a value whose axes do
    not lie in order."""
    for number in range(len(planned.entries)):
        entry = planned.entry(number)
        for port in entry.inputs:
            if port.name not in planned.persistent and port.role not in ("data", "step", "seed"):
                raise PlanError(f"entry {entry.name}: its input {port.name!r} {port.type} is "
                                "neither data nor a parameter")
        for port in (*entry.inputs, *entry.outputs, *planned.program.persistent):
            if port.type.layout not in (None, tuple(range(len(port.type.shape)))):
                raise PlanError(f"entry {entry.name}: {port.name} {port.type} is not row-major")


def meanings(program: Program, entry: str) -> list[str]:
    """What the faults of an entry of a task mean, from 1; places without folders."""
    meta: Any = program.meta
    return [meaning(c["text"], c["loc"]) for c in meta["checks"].get(base_entry(entry), ())]


def meaning(text: str, loc: str) -> str:
    """What a failed check says; of the file it stands in the name alone: a library is moved."""
    return f"{text}  {loc.rpartition('/')[2]}".rstrip()

