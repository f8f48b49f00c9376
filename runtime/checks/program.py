"""The checkers over a whole Program: each segment once, whatever repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dlc.program import Entry, Launch, Program, Segment, Slot
from dlc.runtime.check import ELEMENT_BYTES, ProgramError
from dlc.runtime.checks.bounds import Verdict, check_bounds

_known: dict[tuple[Any, ...], Verdict] = {}  # by all that a verdict depends on


@dataclass
class Findings:
    """What the checkers of a Program found: segments looked at, and accesses left undecided."""

    segments: int = 0
    undecided: list[str] = field(default_factory=list)


def check_static(program: Program) -> Findings:
    """All that can be said of a Program without running it; raises ProgramError."""
    return check_kernels(program)


def check_kernels(program: Program) -> Findings:
    """Every access of every segment; raises ProgramError for one that leaves its buffer."""
    findings = Findings()
    for entry, launch, segment, extents in segments_of(program):
        verdict = verdict_of(program, segment, extents)
        where = f"{entry.name}, launch {launch.name} ({', '.join(launch.lines)})"
        if verdict.wrong:
            raise ProgramError(f"{where}: {'; '.join(verdict.wrong)}")
        findings.segments += 1
        findings.undecided += [f"{where}: {line}" for line in verdict.undecided]
    return findings


def verdict_of(program: Program, segment: Segment, extents: tuple[int | None, ...]) -> Verdict:
    """The verdict on a segment, from the last time where kernel and arguments are the same."""
    kernel = program.kernels[segment.kernel]
    numbers = tuple(a for a in segment.args if not isinstance(a, Slot))
    key = (program.isa, kernel, extents, numbers, segment.chunks)
    found = _known.get(key)
    if found is None:
        found = _known[key] = check_bounds(kernel, program.tiles, extents, segment.args,
                                           segment.chunks)
    return found


def segments_of(program: Program) -> Iterator[
        tuple[Entry, Launch, Segment, tuple[int | None, ...]]]:
    """Every segment, with the number of elements that each of its pointers has."""
    for entry in program.entries.values():
        for index, launch in enumerate(entry.flat):
            sizes = sizes_of(program, entry, index)
            for stage in launch.stages:
                for segment in stage:
                    kernel = program.kernels[segment.kernel]
                    yield entry, launch, segment, tuple(
                        sizes.get(value, 0) // ELEMENT_BYTES[p.dtype] if isinstance(value, Slot)
                        else None for p, value in zip(kernel.params, segment.args, strict=True))


def sizes_of(program: Program, entry: Entry, index: int) -> dict[Slot, int]:
    """Bytes of the value at a slot while launch `index` runs, its alignment left out."""
    found: dict[Slot, int] = {}
    for buffer in program.buffers:
        if buffer.entry in (entry.name, "") and buffer.first <= index <= buffer.last:
            slot = Slot(buffer.offset, buffer.strides, buffer.swaps)
            found[slot] = max(buffer.type.bytes, found.get(slot, 0))
    for port in (*program.persistent, *entry.inputs, *entry.outputs):
        found.setdefault(Slot(port.offset), port.type.bytes)
    return found
