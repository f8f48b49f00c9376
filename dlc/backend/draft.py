"""Draft: an entry during compilation, with its schedule, its lowered launches and their buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlc.backend.emit.work import Lowered, Work
from dlc.ir.graph import Graph, Node
from dlc.ops import tuples
from dlc.passes.schedule.lives import Scratch
from dlc.passes.schedule.order import Schedule
from dlc.passes.schedule.plan_memory import Plan
from dlc.passes.schedule.supersteps import Stage


@dataclass(eq=False)
class Draft:
    """One entry on its way: scheduled, lowered, then planned."""

    name: str
    schedule: Schedule
    shared: Mapping[Node, Node]
    lowered: dict[Node, list[Lowered]]
    stages: dict[Node, list[Stage]] = field(default_factory=dict)
    plan: Plan | None = None

    @property
    def schedules(self) -> list[Schedule]:
        """The order of the entry, and those of the bodies of its loops and branches."""
        found = [self.schedule]
        for outer in found:  # it grows: inner orders follow the outer ones
            found += [inner for launch in outer.launches for inner in outer.inner.get(launch, ())]
        return found


def scratch_of(parts: Sequence[Lowered]) -> list[Scratch]:
    """The workspaces of a launch."""
    return list(dict.fromkeys(o for p in parts for stage in p.stages for w in stage
                              for o in w.operands if isinstance(o, Scratch)))


def works_of(parts: Sequence[Lowered]) -> list[list[Work]]:
    """What runs in each stage of a launch."""
    stages: list[list[Work]] = []
    for part in parts:
        for depth, works in enumerate(part.stages):
            while len(stages) <= depth:
                stages.append([])
            stages[depth] += works
    return stages


def values_of(schedule: Schedule, launch: Node) -> dict[Node, Node]:
    """The value that each input and output of a launch's body stands for."""
    body: Graph = launch.attrs["body"]
    found = dict(zip(body.inputs, launch.args, strict=True))
    for value in schedule.values[launch]:
        index = value.attrs["index"] if value.op is tuples.ITEM else 0
        found[body.outputs[index]] = value
    return found


def stages_of(schedule: Schedule, launch: Node, parts: Sequence[Lowered]) -> list[Stage]:
    """What each stage of a launch reads and writes."""
    values = values_of(schedule, launch)
    found = []
    for works in works_of(parts):
        touched = [(values[o] if isinstance(o, Node) else o, p.written) for w in works
                   for p, o in zip(w.kernel.params, w.operands, strict=True)
                   if isinstance(o, (Node, Scratch))]
        found.append(Stage(tuple(dict.fromkeys(v for v, written in touched if not written)),
                           tuple(dict.fromkeys(v for v, written in touched if written))))
    return found
