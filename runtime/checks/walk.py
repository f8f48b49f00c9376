"""A kernel's text run on ranges: every load and store that a segment makes, and where.

The text is taken as Python, the launch's arguments as they are: buffers with their extents,
numbers, how many chunks. Loops are expanded, outermost first, into rows of a `Space` as long as
there are no more than `budget` of them; beyond, a loop variable is a range. With all loops expanded
what does not depend on loaded values is exact. Nothing of the compiler's own ranges comes in.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from dlc.program import TileText
from dlc.runtime.checks import names, ranges, rounds
from dlc.runtime.checks.conditions import assume
from dlc.runtime.checks.expressions import ZERO, Expressions, add_one
from dlc.runtime.checks.footprints import Box, footprint
from dlc.runtime.checks.frames import (
    Event,
    Frame,
    Memory,
    Pointer,
    Unread,
    Unsettled,
    WorkLimit,
)
from dlc.runtime.checks.ranges import UNKNOWN, WORDS, Range, Space, join, number, word

LIMIT = 1 << 22  # rows of all statements


@lru_cache(maxsize=4096)
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


class Walk(Expressions):
    """One run over a kernel's function. `seen` is called with every Event.

    `expand` names the loops that may be expanded, `free` the local buffers of which nothing is to
    be assumed. With `ends_only` a loop that is too long is its first and its last round: what is
    found outside then is outside. With `split` a loaded index of few values has a row for each.
    Raises WorkLimit, Unsettled, and Unread for other texts.
    """

    def __init__(self, text: str, name: str, tiles: Mapping[str, TileText], budget: int,
                 seen: Callable[[Event], None], expand: Callable[[ast.For], bool] | None = None,
                 free: Collection[str] = (), ends_only: bool = False,
                 split: bool = False) -> None:
        self.function = next(n for n in parsed(text).body
                             if isinstance(n, ast.FunctionDef) and n.name == name)
        self.tiles, self.budget, self.seen = tiles, budget, seen
        self.expand = expand or (lambda loop: True)
        self.path: list[ast.stmt] = []
        self.bodies: list[Space] = []
        self.broken: list[list[Frame]] = []  # for each loop around, where it was left
        self.free, self.ends_only, self.split = free, ends_only, split
        self.ends: list[Frame] = []  # of the last round
        self.left = LIMIT
        self.cut: set[ast.stmt] = set()  # loops whose variable is a range

    def run(self, arguments: Sequence[Any], chunks: int) -> None:
        """Walk all chunks with a Memory or a number for each parameter."""
        labels = [a.arg for a in self.function.args.args]
        values: dict[str, Any] = {}
        for label, given in zip(labels, arguments, strict=False):
            values[label] = Pointer(given, ZERO) if isinstance(given, Memory) else (
                number(given) if isinstance(given, int) else None)
        space = Space(1)
        if chunks <= self.budget or self.ends_only:
            space, values["chunk"] = rounds.expanded(space, ZERO, 1, chunks, chunks <= self.budget)
        else:
            values["chunk"] = Range(0, chunks - 1)
        self.block(self.function.body, Frame(values, space))

    # ---- statements ----------------------------------------------------------------------------

    def block(self, statements: Sequence[ast.stmt], frame: Frame) -> None:
        for statement in statements:
            if not frame.space.rows:
                return
            self.left -= frame.space.rows
            if self.left < 0:
                raise WorkLimit
            self.path.append(statement)
            self.bodies.append(frame.space)
            rule = getattr(self, f"do_{type(statement).__name__}", None)
            if rule is None:
                raise Unread(ast.unparse(statement))
            rule(statement, frame)
            self.path.pop()
            self.bodies.pop()

    def do_Expr(self, s: ast.Expr, frame: Frame) -> None:
        if not isinstance(s.value, ast.Constant):
            self.value(s.value, frame)

    def do_Pass(self, s: ast.Pass, frame: Frame) -> None:
        pass

    def do_Break(self, s: ast.Break, frame: Frame) -> None:
        """What holds here holds behind the loop; nothing follows in this round."""
        self.broken[-1].append(frame.inner(frame.space))
        frame.space = frame.space.kept(False)

    def do_Assign(self, s: ast.Assign, frame: Frame) -> None:
        value = self.value(s.value, frame)
        if self.split and isinstance(s.targets[0], ast.Name) and isinstance(value, Range):
            value = self.cases(value, frame)
        self.assign(s.targets[0], value, frame)

    def cases(self, value: Range, frame: Frame) -> Range:
        """A row for each value that a loaded index may have, where these are few enough."""
        width = ranges.highest(value.hi - value.lo) + 1
        if value.exact or width * frame.space.rows > self.budget:
            return value
        value = value.within(frame.space)
        trips = value.hi - value.lo + 1
        frame.space, index = rounds.expanded(
            frame.space, Range(value.lo, value.lo, value.space), 1,
            trips.astype("i8") if value.space else int(trips))
        return index

    def do_AugAssign(self, s: ast.AugAssign, frame: Frame) -> None:
        old = self.value(_loaded(s.target), frame)
        new = self.value(s.value, frame)
        self.assign(s.target, self.arithmetic(s.op, old, new, frame), frame)

    def assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        if isinstance(target, ast.Name):
            frame.values[target.id] = value
            frame.taught.clear()
        elif isinstance(target, ast.Subscript):
            pointer, index = self.value(target.value, frame), self.value(target.slice, frame)
            self.touch(target, pointer, index, (), True, frame)
            self.hold(pointer, value, frame)
        else:
            raise Unread(ast.unparse(target))

    def hold(self, pointer: Any, value: Any, frame: Frame) -> None:
        """What a local buffer of integers may hold, over all that is stored in it."""
        if not isinstance(pointer, Pointer) or not pointer.memory.local:
            return
        memory = pointer.memory
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

    def do_For(self, s: ast.For, frame: Frame) -> None:
        low, high, step = self.bounds(s, frame)
        assert isinstance(s.target, ast.Name)
        name, rows = s.target.id, frame.space.rows
        known = low.exact and high.exact and self.expand(s)
        trips = rounds.trips(low, high, step) if known else None
        total = rows * trips if isinstance(trips, int) else (
            int(trips.sum()) if trips is not None else math.inf)
        if trips is not None and (total <= self.budget or self.ends_only):
            every = total <= self.budget
            inner, index = rounds.expanded(frame.space, low, step, trips, every)
        else:
            self.cut.add(s)
            inner, index = rounds.ranged(frame.space, low, high, step)
        self.repeat(s, frame, inner, lambda f: f.values.update({name: index}))

    def bounds(self, s: ast.For, frame: Frame) -> tuple[Range, Range, int]:
        assert isinstance(s.iter, ast.Call)
        given = [self.value(a, frame) for a in s.iter.args]
        given = [g if isinstance(g, Range) else UNKNOWN for g in given]
        low, high = (number(0), given[0]) if len(given) == 1 else given[:2]
        step = int(given[2].lo) if len(given) == 3 else 1
        if step < 0:  # the same values, from the last up
            low, high, step = add_one(high, frame.space), add_one(low, frame.space), -step
            if step != 1:
                raise Unread(ast.unparse(s.iter))
        return low, high, step

    def do_While(self, s: ast.While, frame: Frame) -> None:
        self.cut.add(s)

        def enter(inner: Frame) -> None:
            self.value(s.test, inner)
            entered = assume(self, s.test, True, inner)
            inner.values, inner.space, inner.taught = entered.values, entered.space, {}
        self.repeat(s, frame, frame.space, enter)
        self.silent += 1
        after = assume(self, s.test, False, frame)
        self.silent -= 1
        if after.space is frame.space:
            frame.values = after.values

    def do_If(self, s: ast.If, frame: Frame) -> None:
        self.value(s.test, frame)
        arms = []
        for truth, body in ((True, s.body), (False, s.orelse)):
            arm = assume(self, s.test, truth, frame)
            arm.taught = {}
            self.block(body, arm)
            if arm.space.rows:
                arms.append(arm)
        if len(arms) == 2:
            for name in names.kept(self.function, s):
                rounds.merge(name, frame, arms, always=True)
        elif arms:  # the other was never taken, or left the loop
            frame.values, frame.space = arms[0].values, arms[0].space
        else:
            frame.space = frame.space.kept(False)
        frame.taught.clear()

    def repeat(self, s: Any, frame: Frame, inner: Space, enter: Callable[[Frame], None]) -> None:
        """The body of a loop in the rows of `inner`; names that it carries from one round to the
        next have the join of all their values, or any."""
        if not inner.rows:
            return
        carried = [n for n in names.carried(s) if isinstance(frame.values.get(n), Range)]
        frame.taught.clear()
        if carried:
            self.settle(s, frame, inner, enter, carried)
        for name in self.round(s, frame, inner, enter):
            rounds.merge(name, frame, self.ends, always=False)

    def round(self, s: Any, frame: Frame, inner: Space,
              enter: Callable[[Frame], None]) -> Sequence[str]:
        """One round of a loop, which leaves `ends`; the names that matter behind it."""
        round_ = frame.inner(inner)
        enter(round_)
        self.bodies[-1] = round_.space
        self.broken.append([])
        self.block(s.body, round_)
        self.ends = [f for f in (round_, *self.broken.pop()) if f.space.rows]
        return names.kept(self.function, s) if self.ends else ()

    def settle(self, s: Any, frame: Frame, inner: Space, enter: Callable[[Frame], None],
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

    def again(self, s: Any, frame: Frame, inner: Space, enter: Callable[[Frame], None],
              carried: Sequence[str], first: Mapping[str, Range] | None = None) -> None:
        """Join what a round leaves to the carried names, or to what they were at `first`."""
        self.round(s, frame, inner, enter)
        frame.values.update(first or {})
        for name in carried if self.ends else ():
            rounds.merge(name, frame, self.ends, always=False)

    # ---- memory --------------------------------------------------------------------------------

    def touch(self, node: ast.expr, pointer: Any, index: Any, sides: tuple[Any, ...],
              written: bool, frame: Frame) -> None:
        if self.silent or not frame.space.rows or not isinstance(pointer, Pointer):
            return
        offset = index if isinstance(index, Range) else UNKNOWN
        if pointer.offset is not ZERO:
            offset = ranges.add(pointer.offset.within(frame.space), offset, frame.space)
        self.seen(Event(node, pointer.memory, written, offset, sides, frame.space,
                        tuple(self.path), tuple(self.bodies)))

    def tile(self, node: ast.Call, name: str, frame: Frame) -> None:
        tile = self.tiles[name]
        values = [self.value(a, frame) for a in node.args]
        labels = tile_parameters(tile)
        given = dict(zip(labels, values, strict=True))
        numbers = {n: v for n, v in given.items() if isinstance(v, Range)}
        for box in footprint(tile, numbers, frame.space):
            self.touch(node, given[box.pointer], self.shift(box, given), box.sides, box.written,
                       frame)

    def local_name(self) -> str:
        statement = self.path[-1]
        return ast.unparse(statement.targets[0]) if isinstance(statement, ast.Assign) else "local"

    def shift(self, box: Box, given: Mapping[str, Any]) -> Range:
        if not box.table:
            return ZERO
        table = given[box.table]
        return table.memory.value() if isinstance(table, Pointer) else UNKNOWN


@lru_cache(maxsize=4096)
def tile_parameters(tile: TileText) -> tuple[str, ...]:
    """The names of a tile's parameters, from its plain body."""
    function = ast.parse(tile.plain).body[0]
    assert isinstance(function, ast.FunctionDef)
    return tuple(a.arg for a in function.args.args)


def _loaded(target: ast.expr) -> ast.expr:
    """The target of an assignment as an expression; kept with it, so that it is one node."""
    twin = getattr(target, "as_loaded", None)
    if twin is None:
        twin = ast.parse(ast.unparse(target), mode="eval").body
        target.as_loaded = twin  # type: ignore[attr-defined]
    found: ast.expr = twin
    return found
