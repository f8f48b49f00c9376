"""The kernel IR: loops over flat buffers, as plain data with types (docs/ir.md has the grammar).

    statement  := Alloc | Let | Store | For | TileCall
    expression := Number | Ref | Load | Call | Negative | Binary | Truth | Position

Indices, bounds and lengths are `Sum`s, conditions are comparisons of them with numbers, so a stage
never reads text. `level` is the depth of the loop that an expression depends on: a statement is
placed in the outermost loop where its values are known. printer.py writes it as Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from dlc.kernel.index import Sum, sum_of
from dlc.types import DType, f32

START = Sum()  # the first element

# ---- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float | int | bool
    dtype: DType
    level: int = 0


@dataclass(frozen=True)
class Ref:
    """A local scalar."""

    name: str
    dtype: DType
    level: int


@dataclass(frozen=True)
class Compare:
    """value sign bound, of an index: `i - 2 >= 0`, `imod(i, 3) == 0`. sign: "<", ">=" or "=="."""

    value: Sum
    sign: str
    bound: int


Condition: TypeAlias = tuple[Compare, ...]
"""All of these hold; the empty one always does."""


@dataclass(frozen=True)
class Load:
    """buffer[index], converted from how `memory` (or else the dtype itself) lies in memory; 0
    without an access where `guard` does not hold."""

    buffer: str
    index: Sum
    dtype: DType
    level: int
    guard: Condition = ()
    memory: DType | None = None


@dataclass(frozen=True)
class Call:
    """function(operands): a primitive, a function of the prelude or of a custom operator."""

    function: str
    args: tuple[Expression, ...]
    dtype: DType
    level: int


@dataclass(frozen=True)
class Negative:
    """-x, of floats."""

    value: Expression
    dtype: DType
    level: int


@dataclass(frozen=True)
class Binary:
    """a sign b; integers narrower than i64 wrap around."""

    sign: str
    a: Expression
    b: Expression
    dtype: DType
    level: int


@dataclass(frozen=True)
class Truth:
    """Whether a condition holds, as a bool."""

    condition: Condition
    dtype: DType
    level: int


@dataclass(frozen=True)
class Position:
    """An index as a scalar of `dtype`."""

    index: Sum
    dtype: DType
    level: int


Expression: TypeAlias = Number | Ref | Load | Call | Negative | Binary | Truth | Position

# ---- statements ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A pointer `offset` elements into `buffer`."""

    buffer: str
    offset: Sum = START

    def __add__(self, elements: int | Sum) -> Place:
        return Place(self.buffer, self.offset + elements)


@dataclass(frozen=True)
class Alloc:
    """name = a buffer of `size` elements on the stack, gone when the chunk is done."""

    name: str
    dtype: DType
    size: int


@dataclass(frozen=True)
class Let:
    """name = value; a name may be assigned again, as the state of a reduction is."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Store:
    """buffer[index] = value, converted to how `dtype` lies in memory."""

    buffer: str
    index: Sum
    value: Expression
    dtype: DType


@dataclass(frozen=True)
class TileCall:
    """A call of a tile (gemm, taps, dots, copy, transpose), which loads and stores by itself."""

    tile: str
    args: tuple[Place | Sum, ...]


@dataclass(frozen=True)
class For:
    """for var in range(low, high, step): body"""

    var: str
    low: Sum
    high: Sum
    body: list[Statement] = field(default_factory=list)
    step: int = 1


Statement: TypeAlias = Alloc | Let | Store | TileCall | For

# ---- walks ---------------------------------------------------------------------------------------


def tile_call(tile: str, *args: Place | Sum | int) -> TileCall:
    """A call of `tile`; numbers may be given as they are."""
    return TileCall(tile, tuple(a if isinstance(a, Place) else sum_of(a) for a in args))


def operands(value: Expression) -> tuple[Expression, ...]:
    """The expressions that an expression is made of."""
    match value:
        case Call():
            return value.args
        case Binary():
            return value.a, value.b
        case Negative():
            return (value.value,)
    return ()


def with_operands(value: Expression, change: Callable[[Expression], Expression]) -> Expression:
    """The expression with each of its operands changed."""
    match value:
        case Call():
            return replace(value, args=tuple(map(change, value.args)))
        case Binary():
            return replace(value, a=change(value.a), b=change(value.b))
        case Negative():
            return replace(value, value=change(value.value))
    return value


def indices(item: Expression | Statement) -> tuple[Sum, ...]:
    """The index expressions that an expression or a statement itself holds."""
    match item:
        case Load():
            return (item.index, *(c.value for c in item.guard))
        case Truth():
            return tuple(c.value for c in item.condition)
        case Position() | Store():
            return (item.index,)
        case For():
            return item.low, item.high
        case TileCall():
            return tuple(a.offset if isinstance(a, Place) else a for a in item.args)
    return ()


def flattened(statements: Sequence[Statement]) -> Iterator[Statement]:
    """Every statement, those inside loops too, in order."""
    for statement in statements:
        yield statement
        if isinstance(statement, For):
            yield from flattened(statement.body)


def expressions(statement: Statement) -> Iterator[Expression]:
    """Every expression of a statement itself."""
    if not isinstance(statement, (Let, Store)):
        return
    stack = [statement.value]
    while stack:
        value = stack.pop()
        yield value
        stack += reversed(operands(value))


def buffers_of(statements: Sequence[Statement]) -> set[str]:
    """The names of the buffers that are loaded, stored or given to tiles."""
    found: set[str] = set()
    for statement in flattened(statements):
        found |= {e.buffer for e in expressions(statement) if isinstance(e, Load)}
        if isinstance(statement, Store):
            found.add(statement.buffer)
        if isinstance(statement, TileCall):
            found |= {a.buffer for a in statement.args if isinstance(a, Place)}
    return found


def tiles_of(statements: Sequence[Statement]) -> tuple[str, ...]:
    """The names of the tiles that are called, sorted."""
    return tuple(sorted({s.tile for s in flattened(statements) if isinstance(s, TileCall)}))


def computing(dtype: DType) -> DType:
    """The dtype in which a kernel computes values of `dtype`."""
    return f32 if dtype.name in ("f16", "bf16") else dtype
