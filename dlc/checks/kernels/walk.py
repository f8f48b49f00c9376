"""Abstract interpretation of a kernel on ranges: every load and store of a segment, and where.

The IR is parsed from the kernel's text, with the launch's actual arguments: buffers with their
extents, numbers, the number of chunks. Loops are expanded, outermost first, into rows of a `Space`
of at most `budget` rows; beyond that, a loop variable is a range. With all loops expanded,
everything that does not depend on loaded values is exact. The compiler's own ranges are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from dlc.backend import ir
from dlc.backend.cpu.tiles import parameter_names
from dlc.backend.ir import (
    Alloc,
    Break,
    For,
    If,
    Let,
    Load,
    Statement,
    Store,
    TileCall,
    UserCall,
    While,
)
from dlc.checks.kernels import ranges, rounds
from dlc.checks.kernels.conditions import assume
from dlc.checks.kernels.expressions import ZERO, Expressions
from dlc.checks.kernels.footprints import Box, footprint
from dlc.checks.kernels.frames import Event, Frame, Memory, Pointer, Unsettled, WorkLimit
from dlc.checks.kernels.ranges import UNKNOWN, WORDS, Range, Space, join, number, word
from dlc.checks.kernels.spots import Spot
from dlc.program import Parameter, TileText

LIMIT = 1 << 22  # rows of all statements


class Walk(Expressions):
    """One run over a kernel's statements. `seen` is called with every Event.

    `expand` names the loops that may be expanded, `free` the local buffers of which nothing is to
    be assumed. With `ends_only` a loop that is too long is its first and its last round: what is
    found outside then is outside. With `split` a loaded index of few values has a row for each.
    Raises WorkLimit and Unsettled.
    """

    def __init__(self, spots: Sequence[Spot], params: Sequence[Parameter],
                 tiles: Mapping[str, TileText], budget: int,
                 seen: Callable[[Event], None], expand: Callable[[Spot], bool] | None = None,
                 free: Collection[str] = (), ends_only: bool = False,
                 split: bool = False) -> None:
        self.spots, self.params = spots, params
        self.tiles, self.budget, self.seen = tiles, budget, seen
        self.expand = expand or (lambda loop: True)
        self.path: list[Spot] = []
        self.bodies: list[Space] = []
        self.broken: list[list[Frame]] = []  # for each loop around, where it was left
        self.free, self.ends_only, self.split = free, ends_only, split
        self.ends: list[Frame] = []  # of the last round
        self.left = LIMIT
        self.cut: set[Spot] = set()  # loops whose variable is a range
        self.short = False  # a larger budget would tell more rows apart

    def run(self, arguments: Sequence[Any], chunks: int, only: int | None = None) -> None:
        """Walk all chunks, or one, with a Memory or a number for each parameter."""
        values: dict[str, Any] = {}
        for parameter, given in zip(self.params, arguments, strict=False):
            whole = isinstance(given, int) and parameter.dtype == "i64"
            values[parameter.name] = given if isinstance(given, Memory) else (
                number(given) if whole else None)
        space = Space(1)
        if only is not None:
            values["chunk"] = number(only)
        elif chunks <= self.budget or self.ends_only:
            space, values["chunk"] = rounds.expanded(space, ZERO, 1, chunks, chunks <= self.budget)
        else:
            self.short = True
            values["chunk"] = Range(0, chunks - 1)
        self.block(self.spots, Frame(values, space))

    # ---- statements ----------------------------------------------------------------------------

    def block(self, spots: Sequence[Spot], frame: Frame) -> None:
        for spot in spots:
            if not frame.space.rows:
                return
            self.left -= frame.space.rows
            if self.left < 0:
                raise WorkLimit
            self.path.append(spot)
            self.bodies.append(frame.space)
            self.do(spot, spot.statement, frame)
            self.path.pop()
            self.bodies.pop()

    def do(self, spot: Spot, s: Statement, frame: Frame) -> None:
        match s:
            case Let():
                self.let(s, frame)
            case Store():
                self.store(s, frame)
            case Alloc():
                frame.values[s.name] = Memory(s.name, s.dtype.name, s.size, True)
            case TileCall():
                self.tile(s, frame)
            case For():
                self.loop(spot, s, frame)
            case While():
                self.repeated(spot, s, frame)
            case If():
                self.branch(spot, s, frame)
            case Break():
                # what holds here holds behind the loop; nothing follows in this round
                self.broken[-1].append(frame.inner(frame.space))
                frame.space = frame.space.kept(False)
            case UserCall():
                pass  # a user's function on array views checks its own indices

    def let(self, s: Let, frame: Frame) -> None:
        value = self.value(s.value, frame)
        if self.split and value is not None:
            value = self.cases(value, frame)
        frame.values[s.name] = value
        frame.taught.clear()

    def cases(self, value: Range, frame: Frame) -> Range:
        """A row for each value that a loaded index may have, where these are few enough."""
        width = ranges.highest(value.hi - value.lo) + 1
        if value.exact or width * frame.space.rows > self.budget:
            self.short |= not value.exact and width < math.inf
            return value
        value = value.within(frame.space)
        trips = value.hi - value.lo + 1
        frame.space, index = rounds.expanded(
            frame.space, Range(value.lo, value.lo, value.space), 1,
            trips.astype("i8") if value.space else int(trips))
        return index

    def store(self, s: Store, frame: Frame) -> None:
        value = self.value(s.value, frame)
        memory = frame.values[s.buffer]
        index = self.index(s.index, frame)
        self.touch(s, Pointer(memory, ZERO), index, (), True, frame)
        self.hold(memory, value, frame)

    def hold(self, memory: Memory, value: Any, frame: Frame) -> None:
        """What a local buffer of integers may hold, over all that is stored in it."""
        if not memory.local:
            return
        if isinstance(value, Range) and frame.space.rows:
            whole = Range(ranges.lowest(value.lo), ranges.highest(value.hi))
            new = whole if memory.holds is None else join(memory.holds, whole, frame.space)
        elif memory.dtype in WORDS:
            new = word(memory.dtype)
        else:
            return
        if memory.name in self.free:
            return
        old, memory.holds = memory.holds, new
        if memory.looked and (old is None or new.lo < old.lo or new.hi > old.hi):
            raise Unsettled(memory.name)

    def loop(self, spot: Spot, s: For, frame: Frame) -> None:
        low, high, step = self.index(s.low, frame), self.index(s.high, frame), s.step
        name, rows = s.var, frame.space.rows
        known = low.exact and high.exact and self.expand(spot)
        trips = rounds.trips(low, high, step) if known else None
        total = rows * trips if isinstance(trips, int) else (
            int(trips.sum()) if trips is not None else math.inf)
        if trips is not None and (total <= self.budget or self.ends_only):
            every = total <= self.budget
            inner, index = rounds.expanded(frame.space, low, step, trips, every)
        else:
            self.cut.add(spot)
            self.short |= known
            inner, index = rounds.ranged(frame.space, low, high, step)
        self.repeat(spot, frame, inner, lambda f: f.values.update({name: index}))

    def repeated(self, spot: Spot, s: While, frame: Frame) -> None:
        self.cut.add(spot)

        def enter(inner: Frame) -> None:
            self.value(s.condition, inner)
            entered = assume(self, s.condition, True, inner)
            inner.values, inner.space, inner.taught = entered.values, entered.space, {}
        self.repeat(spot, frame, frame.space, enter)
        self.silent += 1
        after = assume(self, s.condition, False, frame)
        self.silent -= 1
        if after.space is frame.space:
            frame.values = after.values

    def branch(self, spot: Spot, s: If, frame: Frame) -> None:
        self.value(s.condition, frame)
        arms = []
        for truth, body in zip((True, False), spot.blocks, strict=True):
            arm = assume(self, s.condition, truth, frame)
            arm.taught = {}
            self.block(body, arm)
            if arm.space.rows:
                arms.append(arm)
        if len(arms) == 2:
            for name in spot.kept:
                rounds.merge(name, frame, arms, always=True)
        elif arms:  # the other was never taken, or left the loop
            frame.values, frame.space = arms[0].values, arms[0].space
        else:
            frame.space = frame.space.kept(False)
        frame.taught.clear()

    def repeat(self, s: Spot, frame: Frame, inner: Space, enter: Callable[[Frame], None]) -> None:
        """The body of a loop in the rows of `inner`; names that it carries from one round to the
        next have the join of all their values, or any."""
        if not inner.rows:
            return
        carried = [n for n in s.carried if isinstance(frame.values.get(n), Range)]
        frame.taught.clear()
        if carried:
            self.settle(s, frame, inner, enter, carried)
        for name in self.round(s, frame, inner, enter):
            rounds.merge(name, frame, self.ends, always=False)

    def round(self, s: Spot, frame: Frame, inner: Space,
              enter: Callable[[Frame], None]) -> Sequence[str]:
        """One round of a loop, which leaves `ends`; the names that matter behind it."""
        round_ = frame.inner(inner)
        enter(round_)
        self.bodies[-1] = round_.space
        self.broken.append([])
        self.block(s.blocks[0], round_)
        self.ends = [f for f in (round_, *self.broken.pop()) if f.space.rows]
        return s.kept if self.ends else ()

    def settle(self, s: Spot, frame: Frame, inner: Space, enter: Callable[[Frame], None],
               carried: Sequence[str]) -> None:
        """Widen the carried names in `frame` until a round changes none; then narrow them once."""
        self.silent += 1
        first = {n: frame.values[n] for n in carried}
        for attempt in range(8):
            before = {n: frame.values[n] for n in carried}
            self.again(s, frame, inner, enter, carried)
            moved = [n for n in carried if not rounds.same(before[n], frame.get(n), frame.space)]
            if not moved:
                break
            if attempt >= 2:
                for name in moved:
                    frame.values[name] = rounds.widened(before[name], frame.get(name), frame.space)
        else:
            frame.values.update(dict.fromkeys(carried, UNKNOWN))
        if attempt >= 2:
            self.again(s, frame, inner, enter, carried, first)
        self.silent -= 1

    def again(self, s: Spot, frame: Frame, inner: Space, enter: Callable[[Frame], None],
              carried: Sequence[str], first: Mapping[str, Range] | None = None) -> None:
        """Join what a round leaves to the carried names, or to what they were at `first`."""
        self.round(s, frame, inner, enter)
        frame.values.update(first or {})
        for name in carried if self.ends else ():
            rounds.merge(name, frame, self.ends, always=False)

    # ---- memory --------------------------------------------------------------------------------

    def touch(self, node: object, pointer: Any, index: Any, sides: tuple[Any, ...],
              written: bool, frame: Frame) -> None:
        if self.silent or not frame.space.rows:
            return
        offset = index if isinstance(index, Range) else UNKNOWN
        if pointer.offset is not ZERO:
            offset = ranges.add(pointer.offset.within(frame.space), offset, frame.space)
        assert isinstance(node, (Load, Store, TileCall))
        self.seen(Event(node, pointer.memory, written, offset, sides, frame.space,
                        tuple(self.path), tuple(self.bodies)))

    def tile(self, node: TileCall, frame: Frame) -> None:
        values = [self.place(a, frame) if isinstance(a, ir.Pointer) else self.index(a, frame)
                  for a in node.args]
        given = dict(zip(parameter_names(node.tile), values, strict=True))
        numbers = {n: v for n, v in given.items() if isinstance(v, Range)}
        for box in footprint(self.tiles[node.tile], numbers, frame.space):
            self.touch(node, given[box.pointer], self.shift(box, given), box.sides, box.written,
                       frame)

    def shift(self, box: Box, given: Mapping[str, Any]) -> Range:
        if not box.table:
            return ZERO
        table = given[box.table]
        return table.memory.value() if isinstance(table, Pointer) else UNKNOWN
