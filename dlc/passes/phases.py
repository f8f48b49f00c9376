"""Phases: what runs between two places where all threads wait for one another.

    p = pack(x)             phase 0        p and q could lie on the same bytes, since p is dead when
    a = multiply(p)         phase 1        q is made. Then making q would have to wait for `a`, and
    q = pack(y)             phase 1        four phases would run instead of three: within a phase
    b = multiply(q)         phase 2        nothing takes the place of anything.

The numbers here are those of a step in which no two values share a byte but by decision (an update
in place, a result over its operand): what placement should keep to, where it costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.graph import Node
from dlc.ops import higher
from dlc.ops.control import SCAN
from dlc.passes.lives import Value
from dlc.passes.order import Schedule

Roots = Callable[[Value], frozenset[object]]
Clashes = Mapping[object, frozenset[object]]  # of a root: others that share bytes with it


@dataclass(frozen=True)
class Stage:
    """What one stage of a launch touches; a value that is written may be read as well."""

    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


Stages = Mapping[Node, Sequence[Stage]]


@dataclass(eq=False)
class Phases:
    """The first and the last phase of each launch, by its position, and how often threads wait in
    a step: in loops as often as these run."""

    numbers: list[tuple[int, int]] = field(default_factory=list)
    waits: int = 0


def phases(schedule: Schedule, stages: Stages, roots: Roots, clashes: Clashes,
           waiting: frozenset[int]) -> Phases:
    """The phases of a step in which no values share bytes but those of one root and `clashes`, and
    the launches at the positions `waiting` wait in any case."""
    numbering = Numbering(stages, roots, clashes, waiting)
    numbering.level(schedule, 1)
    return numbering.found


@dataclass(eq=False)
class Numbering:
    """Walks over launches as they run. A loop or a branch begins and ends a phase."""

    stages: Stages
    roots: Roots
    clashes: Clashes
    waiting: frozenset[int]
    now: int = 0
    found: Phases = field(default_factory=Phases)

    def level(self, schedule: Schedule, runs: int) -> None:
        """Number the launches of one order, and those of the loops and branches in it."""
        reads: set[object] = set()
        writes: set[object] = set()
        for launch in schedule.launches:
            if launch.op is not higher.FUSED:
                self._inside(schedule, launch, runs)
                reads, writes = set(), set()
                continue
            first = self.now
            for number, stage in enumerate(self.stages[launch]):
                mine_r, mine_w = self._touched(stage.reads), self._touched(stage.writes)
                near_r, near_w = self._near(mine_r), self._near(mine_w)
                meets = near_r & writes or near_w & (reads | writes)
                if number or meets or len(self.found.numbers) in self.waiting:
                    self._wait(runs)
                    reads, writes = set(), set()
                    first = first if number else self.now
                reads |= mine_r
                writes |= mine_w
            self.found.numbers.append((first, self.now))

    def _inside(self, schedule: Schedule, launch: Node, runs: int) -> None:
        count = launch.attrs["length"] if launch.op is SCAN else 1
        for body in schedule.inner[launch]:
            self._wait(runs * count)
            self.level(body, runs * count)
        self._wait(runs)

    def _wait(self, runs: int) -> None:
        self.now += 1
        self.found.waits += runs

    def _touched(self, values: Sequence[Value]) -> set[object]:
        return {root for value in values for root in self.roots(value)}

    def _near(self, roots: set[object]) -> set[object]:
        """The roots, and those that share bytes with them."""
        return roots.union(*(self.clashes[r] for r in roots if r in self.clashes))
