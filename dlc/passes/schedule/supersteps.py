"""Supersteps: the launches between two barriers.

    p = pack(x)             superstep 0    p and q could lie on the same bytes, since p is dead
    a = multiply(p)         superstep 1    when q is made. Then making q would have to wait for
    q = pack(y)             superstep 1    `a`, and four supersteps would run instead of three:
    b = multiply(q)         superstep 2    within one, nothing takes the place of anything.

The word is that of bulk-synchronous programs (Valiant 1990): all threads finish one superstep
before any begins the next.

The numbers are those of a step in which values share bytes only by decision (an in-place update, a
result over its operand). Placement preserves them where that costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import Node
from dlc.passes.schedule.lives import Value
from dlc.passes.schedule.order import Schedule

Roots = Callable[[Value], frozenset[object]]
Clashes = Mapping[object, frozenset[object]]  # of a root: others that share bytes with it


@dataclass(frozen=True)
class Stage:
    """What one stage of a launch touches; a value that is written may be read as well."""

    reads: tuple[Value, ...]
    writes: tuple[Value, ...]


Stages = Mapping[Node, Sequence[Stage]]
# of each stage of a launch: the roots of what it reads, and of what it writes
Touched = Mapping[Node, Sequence[tuple[frozenset[object], frozenset[object]]]]


def touched_by(stages: Stages, roots: Roots) -> Touched:
    """The roots of what each stage of each launch reads and writes."""
    return {launch: [(frozenset().union(*map(roots, stage.reads)),
                      frozenset().union(*map(roots, stage.writes))) for stage in of]
            for launch, of in stages.items()}


@dataclass(eq=False)
class Supersteps:
    """The first and the last superstep of each launch, by its position, and how often threads wait
    in a step: in loops as often as these run."""

    numbers: list[tuple[int, int]] = field(default_factory=list)
    waits: int = 0


def supersteps(schedule: Schedule, touched: Touched, clashes: Clashes,
               waiting: frozenset[int]) -> Supersteps:
    """The supersteps of a step in which no values share bytes but those of one root and `clashes`,
    and the launches at the positions `waiting` wait in any case."""
    numbering = Numbering(touched, clashes, waiting)
    numbering.level(schedule, 1)
    return numbering.found


@dataclass(eq=False)
class Numbering:
    """Walks over launches as they run. A loop or a branch begins and ends a superstep."""

    touched: Touched
    clashes: Clashes
    waiting: frozenset[int]
    now: int = 0
    found: Supersteps = field(default_factory=Supersteps)

    def level(self, schedule: Schedule, runs: int) -> None:
        """Number the launches of one order, and those of the loops and branches in it."""
        reads: set[object] = set()  # with what shares bytes with it, as `writes`
        writes: set[object] = set()
        for launch in schedule.launches:
            if launch.op is not higher.FUSED:
                self._inside(schedule, launch, runs)
                reads, writes = set(), set()
                continue
            first = self.now
            for number, (mine_r, mine_w) in enumerate(self.touched[launch]):
                meets = not writes.isdisjoint(mine_r) or not writes.isdisjoint(mine_w) or (
                    not reads.isdisjoint(mine_w))
                if number or meets or len(self.found.numbers) in self.waiting:
                    self.now += 1
                    self.found.waits += runs
                    reads, writes = set(), set()
                    first = first if number else self.now
                for near, mine in ((reads, mine_r), (writes, mine_w)):
                    near |= mine
                    for root in mine:
                        near |= self.clashes.get(root, frozenset())
            self.found.numbers.append((first, self.now))

    def _inside(self, schedule: Schedule, launch: Node, runs: int) -> None:
        count = launch.attrs["length"] if launch.op is SCAN else 1
        for body in schedule.inner[launch]:
            self.now += 1
            self.found.waits += runs * count
            self.level(body, runs * count)
        self.now += 1
        self.found.waits += runs
