"""The open loops of a kernel being written, and its parallel axes around them.

A statement goes into the outermost block in which its operands are known: hoisting happens at
placement, not in a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dlc.backend.emit.scalar import ScalarBuilder
from dlc.backend.ir import (
    Alloc,
    Expression,
    For,
    Kind,
    Let,
    Number,
    Pointer,
    Position,
    Ref,
    Space,
    Statement,
    later,
    tile_call,
)
from dlc.backend.ir.carried import folded_into, is_vector
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.backend.ir.names import Names
from dlc.ir.access import Combine
from dlc.ir.access import Condition as Guarded
from dlc.ir.graph import Node
from dlc.ir.types import DType, i64

Index: TypeAlias = tuple[Sum, ...]
Guard: TypeAlias = tuple[Guarded, ...]


class Block:
    """An open loop body: its statements, the values known in it, the loop variable's name."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.known: dict[tuple[Node, Index, Guard], Expression] = {}


@dataclass(frozen=True)
class States:
    """The states of a reduction, and what each becomes when two results are combined."""

    names: tuple[str, ...]
    by: tuple[Expression, ...]


class Blocks:
    """A stack of open loop bodies. `axes`: the extents of the parallel axes around all of them, by
    variable; `home`: the block that each position of all parallel axes runs."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.names = Names(taken)
        self.stack = [Block()]
        self.levels: dict[str, int] = {}
        self.axes: dict[str, int] = {}
        self.home = 0
        self.states: dict[str, States] = {}

    def states_of(self, states: Sequence[Ref], combine: Combine) -> None:
        """Remember how two results are combined that a reduction leaves in these states."""
        k = ScalarBuilder(lambda _, value: value)
        a, b = ([Ref(word(s.name), s.dtype) for s in states] for word in (str, later))
        found = States(tuple(s.name for s in states), tuple(combine.merge(k, a, b)))
        self.states.update(dict.fromkeys(found.names, found))

    def folded(self, var: Var, body: Sequence[Statement]) -> States | None:
        """The states into which a loop folds, if it leaves nothing else to its next round."""
        into = folded_into(var.name, body)
        groups = list(dict.fromkeys(self.states.get(n) for n in into or ()))
        known = [g for g in groups if g is not None]
        names = tuple(n for g in known for n in g.names)
        if not into or len(known) < len(groups) or set(names) != set(into):
            return None
        return States(names, tuple(value for g in known for value in g.by))

    def axis(self, hint: str, extent: int, leads: bool = False) -> Sum:
        """Where a parallel axis around the whole kernel stands; 0 for one of a single position,
        but for that which `leads`: its extent may be another one when the text is used again."""
        if extent == 1 and not leads:
            return Sum()
        var = Var(self.names.new(hint), 0, max(extent, 2) - 1)
        self.levels[var.name] = 0
        self.axes[var.name] = extent
        return sum_of(var)

    def body(self) -> tuple[Statement, ...]:
        """All that was written, under its parallel axes."""
        found = tuple(self.stack[0].statements)
        for name, extent in reversed(self.axes.items()):
            found = (For(name, Sum(), Sum(extent), found, kind="parallel"),)
        return found

    def open(self, hint: str, low: int, high: int) -> Var:
        """Open `for hint in range(low, high)`; `close` may give other bounds within these."""
        var = Var(self.names.new(hint), low, high - 1)
        self.stack.append(Block())
        self.levels[var.name] = len(self.stack) - 1
        return var

    def open_axis(self, hint: str, extent: int) -> Var:
        """Open the loop of a parallel axis behind what its positions share. Its extent may be
        another one when the text is used again: it is never taken for 1."""
        var = self.open(hint, 0, max(extent, 2))
        self.home = len(self.stack) - 1
        return var

    def close_axis(self, var: Var, extent: int) -> None:
        """Close the loop of a parallel axis."""
        self.home = 0
        self.close(var, None, Sum(extent), kind="parallel")

    def close(self, var: Var, low: Sum | None = None, high: Sum | None = None,
              step: int = 1, kind: Kind = "serial") -> None:
        """Close the innermost loop, which `var` runs over, and write it into the block around it,
        unless there is nothing in it. One in which a reduction folds says so (`kind`)."""
        body = self.stack.pop().statements
        if not body:
            return
        first = sum_of(var.low) if low is None else low
        end = sum_of(var.high + 1) if high is None else high
        states = self.folded(var, body) if kind == "reduce" else None
        if states is not None:
            self.write(For(var.name, first, end, body, step, kind, states.names, states.by))
            return
        if kind not in ("parallel", "threads"):
            kind = "vector" if is_vector(var.name, body) else "serial"
        self.write(For(var.name, first, end, body, step, kind))

    def level_of(self, index: Iterable[Sum]) -> int:
        """The innermost loop that `index` depends on."""
        return max((self.levels[n] for i in index for n in i.variables()), default=0)

    def at_level(self, level: int) -> _Lifted:
        """A context in which statements go to the block at `level`."""
        return _Lifted(self, level)

    def let(self, hint: str, value: Expression) -> Expression:
        """Name `value` in the outermost block where it is valid."""
        if isinstance(value, (Number, Ref)):
            return value
        name = self.names.new(hint)
        self.stack[value.level].statements.append(Let(name, value))
        return Ref(name, value.dtype, value.level)

    def write(self, statement: Statement) -> None:
        """A statement at the end of the current block."""
        self.stack[-1].statements.append(statement)

    def tile(self, name: str, *args: Pointer | Sum | int) -> None:
        """A call of tile `name` in the current block."""
        self.write(tile_call(name, *args))

    def allocate(self, hint: str, dtype: DType, size: int, space: Space = "stack") -> str:
        """A local buffer of `size` elements, in the current block."""
        name = self.names.new(hint)
        self.write(Alloc(name, dtype, size, space))
        return name

    def named(self, hint: str, value: Sum, low: int, high: int) -> Sum:
        """An index expression under a name, in the current block; known to lie in low .. high."""
        name, level = self.names.new(hint), len(self.stack) - 1
        self.write(Let(name, Position(value, i64, level)))
        self.levels[name] = level
        return sum_of(Var(name, low, high))


class _Lifted:
    """Statements go to an outer block while this context is open."""

    def __init__(self, blocks: Blocks, level: int) -> None:
        self.blocks, self.level = blocks, level

    def __enter__(self) -> None:
        self.rest = self.blocks.stack[self.level + 1:]
        del self.blocks.stack[self.level + 1:]

    def __exit__(self, *_: object) -> None:
        self.blocks.stack.extend(self.rest)
