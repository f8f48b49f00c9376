"""Memory placement: every value is intact when it is read, checked launch by launch.

The walk knows the order of the launches, the nodes that each reads and writes, and their offsets,
but not the live ranges of the plan. Each launch becomes the owner of the bytes it writes, and a
value that is read must still own all its bytes. Loops run all iterations, with moving offsets; both
sides of a branch are walked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlc.backend.draft import Draft, scratch_of
from dlc.backend.steps import slot
from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ops import leaf
from dlc.passes.schedule.lives import Scratch
from dlc.passes.schedule.order import Schedule
from dlc.program import place

MOST = 20_000  # launches that are walked: beyond, iterations of long loops are left out
Owner = Node | Scratch
HINT = "this is a bug in dlc, reproducible with DLC_CHECK=1; please report the program"


class PlaceError(DlcError):
    """A value whose bytes are another's when it is read."""


@dataclass(eq=False)
class Owners:
    """Byte ranges of the arena that do not overlap, in order, and who wrote each."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    who: list[Owner] = field(default_factory=list)

    def write(self, start: int, end: int, owner: Owner) -> None:
        """`owner` takes the bytes from `start` to `end`."""
        if start >= end:
            return
        first, last = bisect_right(self.ends, start), bisect_left(self.starts, end)
        pieces = [(start, end, owner)]
        if first < last and self.starts[first] < start:
            pieces.insert(0, (self.starts[first], start, self.who[first]))
        if first < last and self.ends[last - 1] > end:
            pieces.append((end, self.ends[last - 1], self.who[last - 1]))
        self.starts[first:last], self.ends[first:last], self.who[first:last] = (
            [p[0] for p in pieces], [p[1] for p in pieces], [p[2] for p in pieces])

    def other(self, start: int, end: int, owner: Owner) -> Owner | bool | None:
        """False where `owner` has all bytes from `start` to `end`; else who has some of them, None
        where nobody wrote them."""
        at, index = start, bisect_right(self.ends, start)
        while at < end:
            if index >= len(self.starts) or self.starts[index] > at:
                return None
            if self.who[index] is not owner:
                return self.who[index]
            at, index = self.ends[index], index + 1
        return False

    def copy(self) -> Owners:
        return Owners(list(self.starts), list(self.ends), list(self.who))


def check_places(drafts: Sequence[Draft]) -> None:
    """Walk every entry; raises PlaceError at the line of the value that is lost."""
    for draft in drafts:
        _Walk(draft).entry()


@dataclass(eq=False)
class _Walk:
    """One entry: the owners of its bytes, and how many launches may still be walked."""

    draft: Draft
    owners: Owners = field(default_factory=Owners)
    left: int = MOST

    def entry(self) -> None:
        graph = self.draft.schedule.graph
        literals = [n for level in self.draft.schedules for n in level.graph.nodes()
                    if n.op is leaf.ARRAY]
        for node in (*graph.inputs, *literals):
            self.leave(node, node, ())
        self.steps(self.draft.schedule, (), {})
        updated = {i.attrs["label"]: i for i in graph.inputs}
        for name, value in zip(graph.output_names, graph.outputs, strict=True):
            self.find(value, value, (), f"output {name!r}")
            old = updated.get(graph.updates.get(name, ""))
            if old is not None and self.range(old, ()) != self.range(value, ()):
                raise PlaceError(f"{self.draft.name}: {name!r} is not stored where {old.name!r} is",
                                 value.loc, HINT)

    def steps(self, schedule: Schedule, at: tuple[int, ...], given: Mapping[Node, Owner]) -> None:
        """The launches of one order in iteration `at`; `given` says who a body's inputs are."""
        for launch in schedule.launches:
            self.left -= 1
            for a in launch.args:
                self.find(a, given.get(a, a), at, f"launch {_name(launch)}")
            if launch.op is higher.FUSED:
                self.fused(schedule, launch, at)
            elif launch.op is SCAN:
                self.loop(schedule, launch, at, given)
            else:
                self.branch(schedule, launch, at, given)

    def fused(self, schedule: Schedule, launch: Node, at: tuple[int, ...]) -> None:
        assert self.draft.plan is not None
        needs = scratch_of(self.draft.lowered[launch])
        made: list[Owner] = [*needs, *schedule.values[launch]]
        for value in made:
            self.apart(value, launch, at)
        for value in made:
            self.leave(value, value, at)
        for value in made:
            self.find(value, value, at, f"the end of launch {_name(launch)}")

    def apart(self, value: Owner, launch: Node, at: tuple[int, ...]) -> None:
        """What a launch writes lies apart from what it reads, or right over one operand, by which
        the kernel knows it."""
        start, end = self.range(value, at)
        for a in launch.args:
            low, high = self.range(a, at)
            known = isinstance(value, Node) and self.draft.shared.get(value) is a
            if max(start, low) < min(end, high) and not (known and (start, end) == (low, high)):
                raise PlaceError(
                    f"{self.draft.name}: launch {_name(launch)} writes {value.name or 'a value'} "
                    f"over {a.name or 'an operand'}, which it reads", launch.loc, HINT)

    def loop(self, schedule: Schedule, launch: Node, at: tuple[int, ...],
             given: Mapping[Node, Owner]) -> None:
        """All iterations; a carry is what the last one left, a row belongs to its sequence."""
        (inner,) = schedule.inner[launch]
        body, carries, length = inner.graph, launch.attrs["carries"], launch.attrs["length"]
        items = {v.attrs["index"]: v for v in schedule.values[launch]}
        outer = {x: given.get(a, a) for x, a in zip(body.inputs, launch.args, strict=True)}
        if self.left < length * len(inner.launches):
            length = 0  # too long: what it gives is taken to be there
        for step in range(length):
            here = (*at, step)
            self.steps(inner, here, outer)
            for k, out in enumerate(body.outputs):
                self.find(out, outer.get(out, out), here, f"the end of {body.name}")
                if k < carries:
                    outer[body.inputs[k]] = outer.get(out, out)
                elif k in items:
                    self.leave(out, items[k], here)
        for k, item in items.items():
            if length and k < carries:
                last, home = outer[body.inputs[k]], self.range(item, at)
                self.found(item, last, home, f"the end of {body.name}")
            if k < carries or not length:
                self.leave(item, item, at)

    def branch(self, schedule: Schedule, launch: Node, at: tuple[int, ...],
               given: Mapping[Node, Owner]) -> None:
        """Both sides from the same owners; bytes on which they differ are nobody's."""
        before, after = self.owners, []
        for inner in schedule.inner[launch]:
            self.owners = before.copy()
            outer = {x: given.get(a, a) for x, a in zip(
                inner.graph.inputs, launch.args[1:], strict=True)}
            self.steps(inner, at, outer)
            for item in schedule.values[launch]:
                out = inner.graph.outputs[item.attrs["index"]]
                self.find(out, outer.get(out, out), at, f"the end of {inner.graph.name}")
                if self.range(out, at) != self.range(item, at):
                    raise PlaceError(f"{self.draft.name}: a result of {inner.graph.name} is not "
                                     "stored where the branch expects it", item.loc, HINT)
            after.append(self.owners)
        for start, end, owner in zip(after[1].starts, after[1].ends, after[1].who, strict=True):
            if after[0].other(start, end, owner) is not False:
                after[0].write(start, end, Scratch("either side", launch.args[0].type.dtype, 0))
        self.owners = after[0]
        for item in schedule.values[launch]:
            self.leave(item, item, at)

    # ---- places ----------------------------------------------------------------------------------

    def range(self, value: Owner, at: Sequence[int]) -> tuple[int, int]:
        """The bytes at which a value lies in an iteration of the loops around."""
        assert self.draft.plan is not None
        start = place(slot(self.draft.plan.slots[value]), at)
        return start, start + bytes_of(value)

    def leave(self, value: Owner, owner: Owner, at: Sequence[int]) -> None:
        assert self.draft.plan is not None
        if value in self.draft.plan.slots:
            self.owners.write(*self.range(value, at), owner)

    def find(self, value: Owner, owner: Owner, at: Sequence[int], reader: str) -> None:
        assert self.draft.plan is not None
        if value in self.draft.plan.slots:
            self.found(value, owner, self.range(value, at), reader)

    def found(self, value: Owner, owner: Owner, where: tuple[int, int], reader: str) -> None:
        other = self.owners.other(*where, owner)
        if other is not False:
            there = "nothing" if not isinstance(other, Owner) else other.name or "another value"
            raise PlaceError(
                f"{self.draft.name}: {reader} finds {there} in place of {value.name or 'a value'}, "
                f"bytes {where[0]} to {where[1]}",
                value.loc if isinstance(value, Node) else None, HINT)


def bytes_of(value: Owner) -> int:
    """How many bytes a value or a workspace takes."""
    return int(value.type.bytes if isinstance(value, Node) else value.size * value.dtype.bytes)


def _name(launch: Node) -> str:
    return str((launch.attrs.get("body") or launch.attrs["then"]).name)
