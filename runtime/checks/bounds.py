"""Every load and store of a segment inside its buffer, for every value of its loops."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dlc.program import Kernel, TileText
from dlc.runtime.checks.footprints import reach
from dlc.runtime.checks.frames import Event, Memory, Unread, Unsettled, WorkLimit
from dlc.runtime.checks.ranges import highest, lowest
from dlc.runtime.checks.walk import Walk

BUDGETS = (1 << 11, 1 << 15, 1 << 19)  # rows at most, one after the other until all is proven


@dataclass
class Verdict:
    """What is known of a segment: accesses that leave their buffer, and those nobody decided."""

    wrong: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Loose:
    """An access that was not proven inside, and the widest reach that it had."""

    event: Event
    low: float
    high: float


def check_bounds(kernel: Kernel, tiles: Mapping[str, TileText], extents: Sequence[int | None],
                 args: Sequence[Any], chunks: int) -> Verdict:
    """Walk a segment, ever more exactly, until every access is proven inside its buffer.

    `extents` are the elements of each pointer, `args` the segment's arguments.
    """
    if kernel.raises or not chunks:
        return Verdict()  # a user's function on array views, which checks its own indices
    try:
        return _look_closer(kernel, tiles, memories(kernel, extents, args), chunks)
    except (WorkLimit, Unread) as reason:
        return Verdict(undecided=[f"{kernel.name}: {type(reason).__name__} {reason}"])


def _look_closer(kernel: Kernel, tiles: Mapping[str, TileText], arguments: Sequence[Any],
                 chunks: int) -> Verdict:
    """Ever larger budgets, for the loops around what is not proven; then the ends of these."""
    around: Collection[ast.stmt] | None = None
    loose: dict[int, Loose] = {}
    free: set[str] = set()
    for budget in BUDGETS:
        loose, cut = _walk(kernel, tiles, arguments, chunks, budget, around, free)
        around = {s for found in loose.values() for s in found.event.path}
        open_ = bool(cut & around) or chunks > budget
        if not loose or not (chunks > budget or any(
                isinstance(s, ast.For) for s in cut & around)):
            break
    if loose and open_ and not any(isinstance(s, ast.While) for s in around or ()):
        found, _ = _walk(kernel, tiles, arguments, chunks, BUDGETS[0], around, free, True)
        if found:
            return _verdict(kernel, found, False)
    return _verdict(kernel, loose, open_)


def _walk(kernel: Kernel, tiles: Mapping[str, TileText], arguments: Sequence[Any], chunks: int,
          budget: int, around: Collection[ast.stmt] | None, free: set[str],
          ends_only: bool = False) -> tuple[dict[int, Loose], set[ast.stmt]]:
    """One walk, begun again where a local buffer turned out to change after it was read."""
    while True:
        loose: dict[int, Loose] = {}
        walk = Walk(kernel.text, kernel.name, tiles, budget, partial(_look, loose),
                    None if around is None else around.__contains__, free, ends_only)
        try:
            walk.run(arguments, chunks)
        except Unsettled as local:
            free.add(str(local))
            continue
        return loose, walk.cut


def _look(loose: dict[int, Loose], event: Event) -> None:
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
    text = ast.unparse(event.node)
    return (f"{kernel.name}, line {event.node.lineno}: {text} "
            f"{'stores' if event.written else 'loads'} {event.memory.name}[{found.low:.0f} .. "
            f"{found.high:.0f}] of {event.memory.extent} elements")


def memories(kernel: Kernel, extents: Sequence[int | None], args: Sequence[Any]) -> list[Any]:
    """The arguments of a walk: a Memory for every pointer, the number for every scalar."""
    found: list[Any] = []
    for parameter, extent, value in zip(kernel.params, extents, args, strict=True):
        found.append(Memory(
            parameter.name, parameter.dtype, extent or 0, written=parameter.written)
            if parameter.kind == "pointer" else value)
    return found
