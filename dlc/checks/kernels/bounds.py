"""Every load and store of a segment inside its buffer, for every value of its loops."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dlc.backend.ir import While
from dlc.checks.kernels.footprints import reach
from dlc.checks.kernels.frames import Event
from dlc.checks.kernels.ranges import highest, lowest
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict, can_expand
from dlc.checks.kernels.spots import Spot
from dlc.program import Kernel


@dataclass(eq=False)
class Loose:
    """An access that was not proven inside, and the widest reach that it had."""

    event: Event
    low: float
    high: float


Seen = tuple[dict[int, Loose], set[Spot]]  # what a walk found, and loops that were cut short


def check_bounds(case: Case, first: Seen | None = None) -> Verdict:
    """Ever larger budgets, for the loops around what is not proven; then the ends of these alone,
    which show that an access does leave its buffer. `first` is what a first walk has seen."""
    around: set[Spot] | None = None
    loose: dict[int, Loose] = {}
    cut: set[Spot] = set()

    def look_again(found: dict[int, Loose], event: Event) -> None:
        # what a walk has proven is proven, though a later one does not expand its loops
        if id(event.node) in loose:
            look(found, event)

    for budget in BUDGETS:
        see = look if around is None else look_again
        loose, cut = first or case.walk(budget, around, dict[int, Loose], see)
        first = None
        around = {s for found in loose.values() for s in found.event.path}
        cut = cut & around
        if not loose or (case.chunks <= budget and not can_expand(cut)):
            break
    open_ = bool(cut) or case.chunks > budget
    if loose and open_ and not any(isinstance(s.statement, While) for s in around or ()):
        found, _ = case.walk(BUDGETS[0], around, dict[int, Loose], look_again, True)
        if found:
            return _verdict(case.kernel, found, False)
    return _verdict(case.kernel, loose, open_)


def look(loose: dict[int, Loose], event: Event) -> None:
    """Note an access that may leave its buffer."""
    space = event.space
    for count, _ in event.sides:
        space = space.kept(count.within(space).hi > 0)
    if not space.rows:
        return
    sides = tuple((c.within(space), s.within(space)) for c, s in event.sides)
    where = reach(sides, event.offset.within(space), space)
    low, high = lowest(where.lo), highest(where.hi)
    if low < 0 or high >= event.memory.extent:
        loose[id(event.node)] = Loose(event, low, high)


def _verdict(kernel: Kernel, loose: Mapping[int, Loose], cut: bool) -> Verdict:
    verdict = Verdict()
    for found in loose.values():
        line = _line(kernel, found)
        open_ = cut or math.inf in (found.high, -found.low)
        (verdict.undecided if open_ else verdict.wrong).append(line)
    return verdict


def _line(kernel: Kernel, found: Loose) -> str:
    event = found.event
    return (f"{kernel.name}, line {event.line}: {event.text} "
            f"{'stores' if event.written else 'loads'} {event.memory.name}[{found.low:.0f} .. "
            f"{found.high:.0f}] of {event.memory.extent} elements")
