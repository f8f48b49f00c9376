"""A sequence of runs: every launch once, and some components again; its exact profile of bytes.

Each run makes *instances* of its values; whoever reads a value reads one of them. The profile is
what the memory plan of this sequence holds at each run, in-place reuse included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dlc.derive import higher
from dlc.passes.fuse.components import components
from dlc.passes.recompute.table import Table, Unit


@dataclass(eq=False)
class Run:
    """One launch, or with `alone` one unit of it, which with `again` has run before; the instances
    that it reads and makes, each with the number of its value."""

    units: tuple[Unit, ...]
    alone: bool
    again: bool
    reads: dict[int, int]
    makes: dict[int, int]


@dataclass(eq=False)
class Runs:
    """Runs in order; instances are numbered, those of the values that no launch makes first."""

    table: Table
    runs: list[Run] = field(default_factory=list)
    current: dict[int, int] = field(default_factory=dict)  # value -> the instance that is read now
    count: int = 0

    def __post_init__(self) -> None:
        for v, value in enumerate(self.table.values):
            if value.unit is None:
                self.current[v] = self._new()

    def _new(self) -> int:
        self.count += 1
        return self.count - 1

    def row(self, units: Sequence[Unit]) -> None:
        """Append the run of a launch, or those of some of its components."""
        if units[0].node.op is not higher.FUSED or len(units) == len(
                components(units[0].node.attrs["body"])):
            self.run(units, False)
            return
        for unit in units:
            self.run((unit,), True)

    def run(self, units: Sequence[Unit], alone: bool) -> None:
        """Append a run, which reads the current instances and makes new ones."""
        reads = {v: self.current[v] for u in units for v in u.reads}
        makes = {v: self._new() for u in units for v in u.makes}
        self.runs.append(Run(tuple(units), alone, alone, reads, makes))
        self.current.update((v, i) for v, i in makes.items() if not alone or (
            v not in self.current or not self.table.is_fixed(self.table.values[v])))

    def without_unread(self) -> Runs:
        """The sequence without the runs whose results nobody reads: what only launches behind the
        turn need runs once, late."""
        needed = {self.current[v] for v, value in enumerate(self.table.values) if value.kept}
        runs, seen = [], set[Unit]()
        for run in reversed(self.runs):
            if not needed.isdisjoint(run.makes.values()):
                runs.append(run)
                needed.update(run.reads.values())
        self.runs = runs[::-1]
        for run in self.runs:
            run.again = run.alone and seen.issuperset(run.units)
            seen.update(run.units)
        return self

    @property
    def seconds(self) -> float:
        """The work that is done again."""
        return sum(u.seconds for r in self.runs if r.again for u in r.units)

    @property
    def peak(self) -> int:
        """The most bytes held at one run."""
        return max(self.profile(), default=0)

    def profile(self) -> list[int]:
        """The bytes held while each run runs, as the memory plan counts them."""
        values, end = self.table.values, len(self.runs)
        last = [-1] * self.count
        for at, run in enumerate(self.runs):
            for i in run.reads.values():
                last[i] = at
        for v, value in enumerate(values):
            if value.kept:
                last[self.current[v]] = end
        change = [0] * (end + 2)
        span = list(range(self.count))  # instance -> the one whose place it shares
        first, until = [-1] * self.count, list(last)
        size = [0] * self.count
        for v, value in enumerate(values):
            if value.unit is None:
                size[self.current[v]] = value.bytes
        for at, run in enumerate(self.runs):
            free = {v: i for v, i in run.reads.items() if last[i] == at and size[span[i]]}
            for v, i in run.makes.items():
                value = values[v]
                taken = next((a for a in value.takes if a in free), None) if value.bytes else None
                if taken is None:
                    size[i], first[i], until[i] = value.bytes, at, max(at, last[i])
                    continue
                span[i] = span[free.pop(taken)]
                until[span[i]] = max(until[span[i]], at, last[i])
            space = sum(u.scratch for u in run.units)
            change[at] += space
            change[at + 1] -= space
        for i in range(self.count):
            if span[i] == i and size[i]:
                change[max(first[i], 0)] += size[i]
                change[min(max(until[i], 0), end) + 1] -= size[i]
        return _sums(change[:end])


def _sums(changes: Sequence[int]) -> list[int]:
    held, found = 0, []
    for change in changes:
        held += change
        found.append(held)
    return found
