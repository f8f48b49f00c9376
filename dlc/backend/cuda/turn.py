"""Transposes through shared memory: what lies along another axis is read along it.

    for i in parallel(65536):                           for t in threads(256):
        y[i] = x[imod(i, 256) * 256 + idiv(i, 256)]         tile[...] = x[...]    neighbours along x
                                                ->      for t2 in threads(256):
                                                            y[...] = tile[...]    neighbours along y

A block takes 32 x 32 positions, those of an axis along which loads read neighbouring elements and
of the innermost one, along which stores write them. A row of the tile has 33 elements, so a column
of it lies in 32 banks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dlc.backend.cpu.mapping import is_plain
from dlc.backend.ir import (
    Alloc,
    Expression,
    For,
    Function,
    Let,
    Load,
    Position,
    Statement,
    Store,
)
from dlc.backend.ir.index import Quotient, Remainder, Sum, Var, least, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.substitute import substituted
from dlc.backend.ir.walks import expressions, names_of, with_operands
from dlc.ir.access import unravel
from dlc.ir.types import i64

SIDE = 32
THREADS = 256
LEAST = 1 << 16
"""Positions from which reading along memory pays: what fewer read lies in the caches."""
MOST_BYTES = 48 << 10
"""Shared memory of a block that needs no more than a launch as usual."""
LEAST_AXIS = 16
"""Positions of either axis: half of a tile."""


@dataclass(frozen=True)
class Axes:
    """The digits of a position: outer, along, between, last, with these extents."""

    outer: int
    along: int
    between: int
    last: int

    def place(self, outer: Sum, along: Sum, between: Sum, last: Sum) -> Sum:
        return ((outer * self.along + along) * self.between + between) * self.last + last

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Blocks along each: one position, or SIDE of them."""
        return self.outer, self.between, -(-self.along // SIDE), -(-self.last // SIDE)


def turned(whole: Function) -> tuple[Function, int] | None:
    """The kernel by blocks of 32 x 32 positions, and how many; None where all loads are along the
    stores, or where anything else is in a position than values and stores at its own place."""
    match whole.body:
        case (For(kind="parallel") as axis,) if axis.high.const >= LEAST:
            pass
        case _:
            return None
    own = sum_of(Var(axis.var, 0, axis.high.const - 1))
    if not all(isinstance(s, Let) or (isinstance(s, Store) and s.index == own) for s in axis.body):
        return None
    for axes in dict.fromkeys(axes_of(axis)):
        writer = Writer(whole, axis, axes)
        if writer.loads and writer.bytes <= MOST_BYTES:
            return writer.written()
    return None


def axes_of(axis: For) -> Iterator[Axes]:
    """The digits of a position in which a load may read along another axis than the last."""
    count = axis.high.const
    for load in (e for s in axis.body for e in expressions(s) if isinstance(e, Load)):
        own = [_digit(atom, count, axis.var) for atom, _ in load.index.terms]
        lasts = [n for step, n in (d for d in own if d) if step == 1]
        steps = [d for d, (_, c) in zip(own, load.index.terms, strict=True) if d and c == 1]
        for step, along in steps:
            for last in lasts[:1]:
                if step > 1 and step % last == 0 and count % (step * along) == 0 and min(
                        along, last) >= LEAST_AXIS:
                    yield Axes(count // (step * along), along, step // last, last)


def _digit(atom: object, count: int, var: str) -> tuple[int, int] | None:
    """(step, extent) of a term that is a digit of the position."""
    whole = sum_of(Var(var, 0, count - 1))
    match atom:
        case Quotient(value=value, by=step) if value == whole and count % step == 0:
            return step, count // step
        case Remainder(value=value, by=extent) if value == whole:
            return 1, extent
        case Remainder(value=Sum(const=0, terms=((Quotient(value=value, by=step), 1),)),
                       by=extent) if value == whole:
            return step, extent
    return None


class Writer:
    """Writes a kernel of two regions for given axes."""

    def __init__(self, whole: Function, axis: For, axes: Axes) -> None:
        self.whole, self.axes, self.names = whole, axes, Names(names_of(whole))
        self.along = Var(self.names.new("a"), 0, axes.along - 1)
        self.last = Var(self.names.new("n"), 0, axes.last - 1)
        self.before: list[Statement] = []
        outer, between, self.a0, self.n0 = self._block()
        place = axes.place(outer, sum_of(self.along), between, sum_of(self.last))
        self.body = substituted(axis.body, {axis.var: place})
        self.loads = list(dict.fromkeys(
            e for s in self.body for e in expressions(s)
            if isinstance(e, Load) and self._is_turned(e)))
        self.tiles = [self.names.new("tile") for _ in self.loads]

    @property
    def bytes(self) -> int:
        """Bytes of all tiles."""
        return sum(SIDE * (SIDE + 1) * load.dtype.bytes for load in self.loads)

    def _block(self) -> tuple[Sum, Sum, Sum, Sum]:
        """Where a block stands, each number under a name."""
        counts = self.axes.counts
        high = max(counts[0] * counts[1] * counts[2] * counts[3], 2) - 1
        digits = unravel(sum_of(Var("chunk", 0, high)), counts)
        outer, between, a, n = (d if count > 1 else Sum()
                                for d, count in zip(digits, counts, strict=True))
        return (self._named("outer", outer), self._named("between", between),
                self._named("a0", a * SIDE), self._named("n0", n * SIDE))

    def _named(self, hint: str, value: Sum) -> Sum:
        if is_plain(value):
            return value
        name = self.names.new(hint)
        self.before.append(Let(name, Position(value, i64)))
        return sum_of(Var(name, value.low, value.high))

    def _is_turned(self, load: Load) -> bool:
        """Whether neighbours along the one axis read neighbouring elements, along the last not."""
        names = {n for c in (load.index, *(g.value for g in load.guard)) for n in c.variables()}
        known = {self.along.name, self.last.name, "chunk"} | {
            s.name for s in self.before if isinstance(s, Let)}
        return (load.index.coefficient(self.along.name) == 1 and names <= known
                and load.index.coefficient(self.last.name) not in (0, 1))

    def written(self) -> tuple[Function, int]:
        """The kernel, and how many blocks there are."""
        spaces = [Alloc(tile, load.dtype, SIDE * (SIDE + 1), "shared")
                  for tile, load in zip(self.tiles, self.loads, strict=True)]
        place = self._place()
        fills = [Store(tile, place, load, load.dtype)
                 for tile, load in zip(self.tiles, self.loads, strict=True)]
        first = self._region(fills, (self.last, self.n0, self.axes.last),
                             (self.along, self.a0, self.axes.along))
        second = self._region([self._with_tiles(s) for s in self.body],
                              (self.along, self.a0, self.axes.along),
                              (self.last, self.n0, self.axes.last))
        body = (*self.before, *spaces, first, second)
        outer, between, a, n = self.axes.counts
        kernel = Function(self.whole.name, self.whole.params, self.whole.doc, body,
                          self.whole.helpers, self.whole.raises)
        return kernel, outer * between * a * n

    def _place(self) -> Sum:
        """Where a position lies in a tile."""
        return (sum_of(self.last) - self.n0) * (SIDE + 1) + sum_of(self.along) - self.a0

    def _region(self, body: Sequence[Statement], far: tuple[Var, Sum, int],
                near: tuple[Var, Sum, int]) -> For:
        """All positions of a block, neighbouring threads along `near`."""
        t = sum_of(Var(self.names.new("t"), 0, THREADS - 1))
        for (var, first, extent), own, step in ((near, t % SIDE, SIDE),
                                                (far, t // SIDE, THREADS // SIDE)):
            body = (For(var.name, first + own, least(first + SIDE, extent), tuple(body), step),)
        return For(t.text(), Sum(), Sum(THREADS), tuple(body), kind="threads")

    def _with_tiles(self, s: Statement) -> Statement:
        """A statement that takes from tiles what was read into them."""
        assert isinstance(s, (Let, Store))
        value = self._from_tile(s.value)
        return Let(s.name, value) if isinstance(s, Let) else Store(s.buffer, s.index, value,
                                                                   s.dtype)

    def _from_tile(self, value: Expression) -> Expression:
        if isinstance(value, Load) and value in self.loads:
            return Load(self.tiles[self.loads.index(value)], self._place(), value.dtype)
        return with_operands(value, self._from_tile)
