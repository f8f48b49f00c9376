"""A scheduled step as numbers: what a search for recomputations asks of every launch and value.

A *unit* is one component of a launch, the least that can run again with the same kernels; a loop or
a branch is a single unit. Positions are those of launches in the order of the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ops import leaf
from dlc.passes.fuse.components import components
from dlc.passes.loops.bodies import bodies_of
from dlc.passes.schedule.in_place import may_take_over, operands_of
from dlc.passes.schedule.lives import aligned
from dlc.passes.schedule.order import Schedule

PERSISTENT = ("param", "state")
ALWAYS = 1 << 60  # a position behind every launch


@dataclass
class Value:
    """One value: its bytes in the arena (none where it lies in an input's place), the unit that
    makes it (None: an input or literal), the positions of the launches that read it, whether it is
    kept to the end, and before which position it can be computed again."""

    node: Node
    bytes: int
    unit: Unit | None = None
    uses: list[int] = field(default_factory=list)
    kept: bool = False
    deadline: int = ALWAYS
    takes: tuple[int, ...] = ()  # operands whose place it may take when they die

    @property
    def last(self) -> int:
        """The position of the last launch that reads it; -1 for none."""
        return ALWAYS if self.kept else self.uses[-1] if self.uses else -1


@dataclass(eq=False)
class Unit:
    """One component: its launch and that one's position, its number there, what it reads and makes,
    seconds of work, and bytes of workspace."""

    node: Node
    launch: int
    part: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    seconds: float
    scratch: int


@dataclass(eq=False)
class Table:
    """The launches of a step as lists of units, and all values by number."""

    schedule: Schedule
    units: list[list[Unit]]
    values: list[Value]
    number: dict[Node, int]

    def reads(self, launch: int) -> tuple[int, ...]:
        """What the launch at a position reads, each value once."""
        return tuple(dict.fromkeys(v for u in self.units[launch] for v in u.reads))

    def makes(self, launch: int) -> tuple[int, ...]:
        """What the launch at a position makes."""
        return tuple(v for u in self.units[launch] for v in u.makes)

    def put(self, rows: list[list[Unit]], small: int) -> None:
        """Have the units run in the order of `rows`."""
        self.units = rows
        for value in self.values:
            value.uses, value.deadline = [], ALWAYS
        for at, units in enumerate(rows):
            for unit in units:
                unit.launch = at
            for v in self.reads(at):
                self.values[v].uses.append(at)
        _set_deadlines(self, small)

    def is_fixed(self, value: Value) -> bool:
        """Whether a value is never computed again."""
        return value.unit is None or value.kept or not value.bytes


Priced = Callable[[Graph], float]  # seconds that a fused body or component takes
Spaces = Callable[[Node], Sequence[int]]  # bytes of workspace of each component of a launch


def table_of(schedule: Schedule, priced: Priced, spaces: Spaces, small: int) -> Table:
    """The table of `schedule`. State of `small` bytes at most, all together, is taken to be
    overwritten at the end: what follows from it (running statistics, the number of the step) can be
    computed again until then."""
    made = Table(schedule, [], [], {})
    for node in schedule.graph.inputs:
        _add(made, node, 0 if node.attrs["role"] in PERSISTENT else aligned(node.type.bytes))
    for node in schedule.graph.nodes():
        if node.op is leaf.ARRAY:
            _add(made, node, 0)
    for launch in schedule.launches:
        for value in schedule.values[launch]:
            _add(made, value, 0 if value in schedule.home else aligned(value.type.bytes))
    for out in schedule.graph.outputs:
        made.values[made.number[out]].kept = True
    made.put([_units(made, launch, at, priced, spaces(launch))
              for at, launch in enumerate(schedule.launches)], small)
    return made


def _add(table: Table, node: Node, size: int) -> None:
    if node not in table.number:
        table.number[node] = len(table.values)
        table.values.append(Value(node, size))


def _units(table: Table, launch: Node, at: int, priced: Priced,
           spaces: Sequence[int]) -> list[Unit]:
    """The units of one launch; each value that they make learns its own."""
    number, values = table.number, table.schedule.values[launch]
    if launch.op is higher.FUSED:
        found = _components(table, launch, at, priced, spaces)
    else:
        seconds = launch.attrs.get("length", 1) * sum(map(priced, bodies_of(launch)))
        found = [Unit(launch, at, 0, tuple(dict.fromkeys(number[a] for a in launch.args)),
                      tuple(number[v] for v in values), seconds, sum(spaces))]
    for unit in found:
        for v in unit.makes:
            table.values[v].unit = unit
    return found


def _components(table: Table, launch: Node, at: int, priced: Priced,
                spaces: Sequence[int]) -> list[Unit]:
    body: Graph = launch.attrs["body"]
    outer = dict(zip(body.inputs, launch.args, strict=True))
    results = results_by_output(table.schedule, launch)
    found = []
    for k, part in enumerate(components(body)):
        made = [results[o] for o in part.outputs if o in results]
        reads = tuple(dict.fromkeys(table.number[outer[i]] for i in part.inputs))
        found.append(Unit(launch, at, k, reads, tuple(table.number[v] for v in made),
                          priced(part), spaces[k]))
        for v in made:
            if v not in table.schedule.home:
                taken = (a for a in operands_of(launch, v) if may_take_over(launch, v, a))
                table.values[table.number[v]].takes = tuple(table.number[a] for a in taken)
    return found


def results_by_output(schedule: Schedule, launch: Node) -> dict[Node, Node]:
    """Output of a fused launch's body -> the value that it is outside."""
    body: Graph = launch.attrs["body"]
    return {body.outputs[v.attrs["index"] if v is not launch else 0]: v
            for v in schedule.values[launch]}


def _set_deadlines(table: Table, small: int) -> None:
    """What follows from an input that a launch overwrites can be computed again before that launch
    only."""
    for value, old in sorted(table.schedule.home.items(), key=lambda pair: pair[0].type.bytes):
        small -= aligned(value.type.bytes)
        unit = table.values[table.number[value]].unit
        if small < 0 and unit is not None:
            table.values[table.number[old]].deadline = unit.launch
    for units in table.units:
        for unit in units:
            behind = min((table.values[r].deadline for r in unit.reads), default=ALWAYS)
            for v in unit.makes:
                if not table.values[v].kept:
                    table.values[v].deadline = behind
