"""What a step costs at least on a device: each launch's bytes and arithmetic against its peaks.

A launch takes no less than its bytes at the memory's rate, and no less than its arithmetic at the
processors': the larger of the two is its floor (the roofline of Williams et al. 2009). Bytes count
each array that a launch reads or writes once, so no cache makes them fewer, but that of values
which one launch leaves in the L2 for the next; what launching takes is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dlc.program import Branch, Entry, Launch, Loop, Step


@dataclass(frozen=True)
class Peak:
    """A device: the rates of its memory and of its f32 arithmetic, and where they are from."""

    name: str
    architecture: str
    bytes: int
    bytes_per_second: float
    flops_per_second: float
    source: str


@dataclass(frozen=True)
class Cost:
    """Launch `number` of an entry, run `times` in a step."""

    number: int
    launch: Launch
    times: int

    def seconds(self, peak: Peak) -> float:
        """The floor of all its runs."""
        return self.times * max(self.launch.bytes / peak.bytes_per_second,
                                self.launch.flops / peak.flops_per_second)

    def bound(self, peak: Peak) -> str:
        """What the floor is of: "memory" or "arithmetic"."""
        by_memory = self.launch.bytes / peak.bytes_per_second
        return "memory" if by_memory >= self.launch.flops / peak.flops_per_second else "arithmetic"


@cache
def peaks() -> dict[str, Peak]:
    """The devices of peaks.json by their short names."""
    text = Path(__file__).with_name("peaks.json").read_text(encoding="utf-8")
    return {name: Peak(**fields) for name, fields in json.loads(text).items()}


def costs(entry: Entry) -> list[Cost]:
    """Every launch of an entry in the order of `entry.flat`, those of both sides of a branch too.
    """
    return [Cost(number, launch, times)
            for number, (launch, times) in enumerate(_launches(entry.launches, 1), 1)]


def _launches(steps: Sequence[Step], times: int) -> Iterator[tuple[Launch, int]]:
    for step in steps:
        if isinstance(step, Launch):
            yield step, times
        elif isinstance(step, Loop):
            yield from _launches(step.launches, times * step.count)
        else:
            yield from _launches(step.then, times)
            yield from _launches(step.otherwise, times)


def floor(steps: Sequence[Step], peak: Peak) -> float:
    """Seconds that steps take at least: of a branch, the side that takes less."""
    total = 0.0
    for step in steps:
        if isinstance(step, Launch):
            total += Cost(0, step, 1).seconds(peak)
        elif isinstance(step, Loop):
            total += step.count * floor(step.launches, peak)
        else:
            total += min(floor(step.then, peak), floor(step.otherwise, peak))
    return total


def has_branch(steps: Sequence[Step]) -> bool:
    """Whether steps have a branch, of which a step runs one side."""
    return any(isinstance(s, Branch) or (isinstance(s, Loop) and has_branch(s.launches))
               for s in steps)
