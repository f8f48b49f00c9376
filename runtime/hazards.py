"""Hazards: launches with no barrier between them must not touch what another of them writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlc.program import Entry, Program, Segment, Slot
from dlc.runtime.check import ProgramError, extents_of


@dataclass(frozen=True)
class Touch:
    """Bytes `low` to `high` that launch `launch` reads or writes as parameter `name`."""

    low: int
    high: int
    name: str
    written: bool
    launch: str


def check_hazards(program: Program) -> None:
    """Raise ProgramError where two launches may run at once and one writes what the other touches.

    Launches run together from one barrier to the next: a launch without `barrier` starts while
    the last stage of the one before may still run.
    """
    for entry in program.entries.values():
        _check_entry(program, entry)


def _check_entry(program: Program, entry: Entry) -> None:
    running: list[Touch] = []
    for index, launch in enumerate(entry.launches):
        extents = extents_of(program, entry, index)
        for number, stage in enumerate(launch.stages):
            label = f"launch {index} ({launch.name})"
            mine = [t for s in stage for t in _touches(program, s, extents, label)]
            if number or launch.barrier:
                running = []
            _compare(entry, running, mine)
            running += mine


def _compare(entry: Entry, running: list[Touch], mine: list[Touch]) -> None:
    for new in mine:
        for old in running:
            if (new.written or old.written) and new.low < old.high and old.low < new.high:
                writer, other = (new, old) if new.written else (old, new)
                raise ProgramError(
                    f"{entry.name}: no barrier stands between {old.launch} and {new.launch}, but "
                    f"{writer.launch} writes {writer.name} (bytes {writer.low} to {writer.high}) "
                    f"and {other.launch} uses {other.name} (bytes {other.low} to {other.high})")


def _touches(program: Program, segment: Segment, extents: dict[int, int],
             launch: str) -> Iterator[Touch]:
    if not segment.chunks:
        return
    for parameter, value in zip(program.kernels[segment.kernel].params, segment.args, strict=True):
        if isinstance(value, Slot):
            high = max(extents.get(value.offset, 0), value.offset + 1)
            yield Touch(value.offset, high, parameter.name, parameter.written, launch)
