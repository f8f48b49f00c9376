"""A memory limit: the cheapest plan of a step that fits, or an error with what stands in the way.

Order, in-place writes and placement come first: a step that fits by them computes nothing again.
Else the candidates of dlc/passes/recompute/ are tried by rising cost; each is ordered, lowered and
placed like any step, and its arena decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dlc.backend.costs import Rates, seconds_of
from dlc.backend.draft import Draft
from dlc.derive import higher
from dlc.errors import DoesNotFit, size
from dlc.ir.graph import Node
from dlc.ops import leaf
from dlc.passes.recompute.family import Candidate, family
from dlc.passes.recompute.rebuild import scheduled
from dlc.passes.recompute.table import Table, table_of
from dlc.passes.schedule.in_place import result_of
from dlc.passes.schedule.lives import Scratch, aligned
from dlc.passes.schedule.order import Schedule, launch_of
from dlc.passes.schedule.plan_memory import Plan, most_live

SMALL = 32  # the part of a step's bytes that states may take once more, read after their update
SHOWN = 8  # values that an error names

Lower = Callable[[str, Schedule], Draft]
Place = Callable[[Draft], Plan]  # the plan that needs the fewest bytes


@dataclass(frozen=True)
class Misfit:
    """An entry that does not fit, and the smallest plan that was found."""

    draft: Draft
    needed: int


def within(limit: int, name: str, drafts: Sequence[Draft], rates: Rates, lower: Lower,
           place: Place) -> list[Draft]:
    """Drafts whose plans take `limit` bytes at most, those that compute least again. Raises
    DlcError when one of `drafts` has none."""
    found = [Search(draft, limit, rates, lower, place).run() for draft in drafts]
    misfits = [one for one in found if isinstance(one, Misfit)]
    if misfits:
        raise refusal(name, limit, max(misfits, key=lambda m: m.needed))
    return [one for one in found if isinstance(one, Draft)]


@dataclass(eq=False)
class Search:
    """The search for one entry's plan."""

    draft: Draft
    limit: int
    rates: Rates
    lower: Lower
    place: Place

    def run(self) -> Draft | Misfit:
        """The draft that fits, else the smallest."""
        plan = self.place(self.draft)
        self.draft.plan = plan
        if plan.total <= self.limit:
            return self.draft
        table = self._table(plan)
        base = plan.lower_bound - most_held(plan)
        best = Misfit(self.draft, plan.total)
        left = []
        for one in family(table, plan.total // SMALL):
            if base + one.peak > self.limit:
                left.append(one)
                continue
            tried = self._tried(one, base)
            if tried.needed <= self.limit:
                return tried.draft
            best = min(best, tried, key=lambda m: m.needed)
        for one in sorted(left, key=lambda c: c.peak):
            if base + one.peak >= best.needed:
                break
            best = min(best, self._tried(one, base), key=lambda m: m.needed)
        return best

    def _tried(self, one: Candidate, base: int) -> Misfit:
        """The real plan of a candidate; it needs what its profile says at least, by which a later
        search would pass it over."""
        draft = self.lower(self.draft.name, scheduled(one.runs))
        draft.plan = self.place(draft)
        return Misfit(draft, max(draft.plan.total, base + one.peak))

    def _table(self, plan: Plan) -> Table:
        return table_of(self.draft.schedule, lambda g: seconds_of(g, self.rates),
                        lambda n: self._spaces(n, plan), plan.total // SMALL)

    def _spaces(self, launch: Node, plan: Plan) -> list[int]:
        """Bytes of workspace of each component of a launch; of a loop or a branch, of all that its
        body holds at one time."""
        if launch.op is higher.FUSED:
            return [sum(map(space_bytes, part.scratch)) for part in self.draft.lowered[launch]]
        return [held_inside(self.draft.schedule, launch, plan)]


def space_bytes(space: Scratch) -> int:
    """What a workspace takes in the arena."""
    return aligned(space.size * space.dtype.bytes)


def most_held(plan: Plan) -> int:
    """The most bytes above what is persistent that live at one launch of a plan."""
    return most_live(plan.spans)


def held_inside(schedule: Schedule, launch: Node, plan: Plan) -> int:
    """The most bytes that the spans inside a loop or a branch hold at one of its launches."""
    outside = {v for made in schedule.values.values() for v in made} | set(schedule.graph.inputs)
    lasts = [plan.lives[n] for body in _bodies(schedule, launch) for made in body.values.values()
             for n in made if n in plan.lives]
    if not lasts:
        return 0
    first, last = min(a for a, _ in lasts), max(b for _, b in lasts)
    return most_live([s for s in plan.spans if first <= s.first and s.last <= last and not any(
        v in outside for v in s.values)])


def _bodies(schedule: Schedule, launch: Node) -> list[Schedule]:
    """The orders of the bodies of a loop or a branch, and of those inside."""
    found = list(schedule.inner[launch])
    for each in found:  # it grows
        found += [inner for n in each.launches for inner in each.inner.get(n, ())]
    return found


def refusal(name: str, limit: int, found: Misfit) -> DoesNotFit:
    """The error for a limit that no plan meets: the smallest figure, and what fills it."""
    plan = found.draft.plan
    assert plan is not None
    at = fullest(plan)
    held = sorted((s for s in plan.spans if s.first <= at <= s.last), key=lambda s: -s.bytes)
    base = plan.lower_bound - most_held(plan)
    lines = [f"    {size(base)} parameters, state and constants"] + [
        f"    {size(s.bytes)} {_described(s.values[-1])}" for s in held[:SHOWN]]
    rest = sum(s.bytes for s in held[SHOWN:])
    lines += [f"    {size(rest)} other values ({len(held) - SHOWN})"] if rest else []
    return DoesNotFit(
        f"{name} does not fit into {size(limit)} ({limit:,} bytes): even with recomputation "
        f"it needs {size(found.needed)}", None,
        f"the smallest limit that can be met is {found.needed:,} bytes; entry {found.draft.name} "
        f"then holds at its fullest launch\n" + "\n".join(lines), found.needed)


def fullest(plan: Plan) -> int:
    """The launch at which the most bytes of a plan live."""
    change: dict[int, int] = {}
    for s in plan.spans:
        change[s.first] = change.get(s.first, 0) + s.bytes
        change[s.last + 1] = change.get(s.last + 1, 0) - s.bytes
    held, best, at = 0, -1, 0
    for position in sorted(change):
        held += change[position]
        if held > best:
            best, at = held, position
    return at


def _described(value: Node | Scratch) -> str:
    """A value by its name, or by the operator that makes it, with its line."""
    if isinstance(value, Scratch):
        return f"workspace {value.name}"
    if value.op is leaf.INPUT:
        return f"input {value.attrs['label']}: {value.type}"
    launch = launch_of(value)
    made = result_of(launch, value) if launch.op is higher.FUSED else value
    name = value.name or made.name or made.op.name
    return f"{name}: {value.type}" + (f"  {value.loc}" if value.loc else "")
