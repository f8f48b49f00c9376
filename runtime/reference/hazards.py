"""Hazards: launches with no barrier between them must not touch what another of them writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlc.program import Entry, Launch, Loop, Program, Segment, Slot, Step, may_meet
from dlc.runtime.cpu.check import ProgramError, extents_of


@dataclass(frozen=True)
class Touch:
    """`bytes` at `slot` that launch `launch` reads or writes as parameter `name`."""

    slot: Slot
    bytes: int
    name: str
    written: bool
    launch: str


def check_hazards(program: Program) -> None:
    """Raise ProgramError where two launches may run at once and one writes what the other touches.

    Launches run together from one barrier to the next: a launch without `barrier` starts while the
    last stage of the one before may still run. Loops and branches begin and end at barriers.
    """
    for entry in program.entries.values():
        _check_steps(program, entry, entry.launches, 0, ())


def _check_steps(program: Program, entry: Entry, steps: Sequence[Step], index: int,
                 counts: tuple[int, ...]) -> int:
    """Check launches side by side; the number of the launch after them."""
    running: list[Touch] = []
    for step in steps:
        if isinstance(step, Launch):
            extents = extents_of(program, entry, index)
            for number, stage in enumerate(step.stages):
                label = f"launch {index} ({step.name})"
                mine = [t for s in stage for t in _touches(program, s, extents, label)]
                if number or step.barrier:
                    running = []
                _compare(entry, running, mine, counts)
                running += mine
            index += 1
            continue
        running = []
        if isinstance(step, Loop):
            index = _check_steps(program, entry, step.launches, index, (*counts, step.count))
        else:
            index = _check_steps(program, entry, step.then, index, counts)
            index = _check_steps(program, entry, step.otherwise, index, counts)
    return index


def _compare(entry: Entry, running: list[Touch], mine: list[Touch],
             counts: Sequence[int]) -> None:
    for new in mine:
        for old in running:
            if (new.written or old.written) and may_meet(
                    new.slot, new.bytes, old.slot, old.bytes, counts):
                writer, other = (new, old) if new.written else (old, new)
                raise ProgramError(
                    f"{entry.name}: no barrier stands between {old.launch} and {new.launch}, but "
                    f"{writer.launch} writes {writer.name} ({_bytes(writer)}) "
                    f"and {other.launch} uses {other.name} ({_bytes(other)})")


def _bytes(touch: Touch) -> str:
    moving = ", moving" if touch.slot.moves else ""
    return f"bytes {touch.slot.offset} to {touch.slot.offset + touch.bytes}{moving}"


def _touches(program: Program, segment: Segment, extents: dict[Slot, int],
             launch: str) -> Iterator[Touch]:
    if not segment.chunks:
        return
    for parameter, value in zip(program.kernels[segment.kernel].params, segment.args, strict=True):
        if isinstance(value, Slot):
            yield Touch(value, max(extents.get(value, 0), 1), parameter.name, parameter.written,
                        launch)
