"""The kernel IR: loops over flat buffers, as plain data with types (docs/ir.md has the grammar).

    statement  := Alloc | Let | Store | For | While | If | Break | TileCall | UserCall
    expression := Number | Ref | Load | Call | Negative | Binary | Truth | Position
                | Logical | Choice

A kernel is emitted over parallel axes (`For` of kind "parallel", around all that it does), which
mapping.py cuts into chunks. Indices, bounds and lengths are `Sum`s, conditions are comparisons of
them with numbers, so a stage never reads text. `level` is the depth of the loop that an expression
depends on while it is emitted: a statement is placed in the outermost loop where its values are
known. printer.py writes a `Function` as Python, parser.py reads that again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from dlc.backend.ir.index import Sum, sum_of
from dlc.ir.types import DType, bool_, f32
from dlc.program import Parameter

START = Sum()  # the first element
Kind: TypeAlias = Literal["serial", "parallel", "vector", "reduce", "threads"]
Space: TypeAlias = Literal["stack", "shared", "thread"]

# ---- expressions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Number:
    """A literal, rounded to its dtype. -0 and 0 are two of them, NaN is one."""

    value: float | int | bool = field(compare=False)
    dtype: DType
    level: int = field(default=0, compare=False)
    same: float | int | str = field(default=0, init=False, repr=False)  # what is compared
    sign: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        value = exact(self.value, self.dtype)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "same", value if value == value else "nan")
        object.__setattr__(self, "sign", math.copysign(1.0, value))


@dataclass(frozen=True)
class Ref:
    """A local scalar."""

    name: str
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Compare:
    """value sign bound, of an index: `i >= 2`, `imod(i, 3) == 0`. sign: "<", ">=" or "=="."""

    value: Sum
    sign: str
    bound: int


Condition: TypeAlias = tuple[Compare, ...]
"""All of these hold; the empty one always does."""


@dataclass(frozen=True)
class Load:
    """buffer[index], converted from how `memory` (if not given, the dtype itself) lies in memory; 0
    without an access where `guard` does not hold."""

    buffer: str
    index: Sum
    dtype: DType
    level: int = field(default=0, compare=False)
    guard: Condition = ()
    memory: DType | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", self.memory or self.dtype)


@dataclass(frozen=True)
class Call:
    """function(operands): a primitive, a function of the prelude or of a custom operator."""

    function: str
    args: tuple[Expression, ...]
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Negative:
    """-x, of floats."""

    value: Expression
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Binary:
    """a sign b; integers narrower than i64 wrap around."""

    sign: str
    a: Expression
    b: Expression
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Truth:
    """Whether a condition holds, as a bool."""

    condition: Condition
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Position:
    """An index as a scalar of `dtype`."""

    index: Sum
    dtype: DType
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Logical:
    """not a; or a and b, a or b, of which b is computed where a does not decide."""

    word: Literal["not", "and", "or"]
    parts: tuple[Expression, ...]
    dtype: DType = bool_
    level: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Choice:
    """a if condition else b: one of them is computed."""

    condition: Expression
    a: Expression
    b: Expression
    dtype: DType
    level: int = field(default=0, compare=False)


Expression: TypeAlias = (Number | Ref | Load | Call | Negative | Binary | Truth | Position | Logical
                         | Choice)


def exact(value: float | int | bool, dtype: DType) -> float | int | bool:
    """The value as `dtype` holds it."""
    if dtype is bool_:
        return bool(value)
    if not dtype.is_float:
        return int(value)
    if math.isnan(value):
        return math.nan
    with np.errstate(over="ignore"):
        return float(np.float32(value)) if dtype is f32 else float(value)

# ---- statements ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pointer:
    """A pointer `offset` elements into `buffer`."""

    buffer: str
    offset: Sum = START

    def __add__(self, elements: int | Sum) -> Pointer:
        return Pointer(self.buffer, self.offset + elements)


@dataclass(frozen=True)
class Alloc:
    """name = a buffer of `size` elements, gone when the position of the parallel axes around it is
    done. `space`: "stack" is this position's own, "shared" is that of the parallel axis inside,
    whose positions read it. "thread" is a CUDA block's: an equal part for each of its threads,
    which keeps it from region to region. What outlives a kernel is a parameter: a workspace.
    """

    name: str
    dtype: DType
    size: int
    space: Space = "stack"


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
    args: tuple[Pointer | Sum, ...]


@dataclass(frozen=True)
class View:
    """A buffer from a place on as the array that a user's function takes, `written` by it or not.
    """

    place: Pointer
    dtype: DType
    sizes: tuple[int, ...]
    written: bool


@dataclass(frozen=True)
class UserCall:
    """A call of a user's function on arrays and numbers (dlc/lang/custom.py), a Python text."""

    function: str
    args: tuple[View | int | float | bool | tuple[int | float | bool, ...], ...]


@dataclass(frozen=True)
class For:
    """for var in range(low, high, step): body. The positions of a "parallel" one may run in any
    order and at one time: it stands around all that its kernel does, behind what its positions
    read, and runs from 0 on by 1. Rounds of a "vector" one may run side by side. Those of a
    "reduce" one leave nothing to each other but the names and local buffers of `into`, which begin
    with the identity of a combination: they may be folded in several runs of rounds, the results
    of which are combined in their order, two at a time: `by` is what each of `into` becomes, made
    of these names for the earlier rounds and of those that `later` gives for the later ones. A
    "threads" one is a region of a CUDA block: its rounds are threads, all of which meet behind it.
    A "serial" one runs as it is written."""

    var: str
    low: Sum
    high: Sum
    body: Sequence[Statement] = ()
    step: int = 1
    kind: Kind = "serial"
    into: tuple[str, ...] = ()
    by: tuple[Expression, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", tuple(self.body))


@dataclass(frozen=True)
class While:
    """while condition: body"""

    condition: Expression
    body: tuple[Statement, ...]


@dataclass(frozen=True)
class If:
    """if condition: then, else: otherwise"""

    condition: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Break:
    """Leave the innermost loop."""


Statement: TypeAlias = (Alloc | Let | Store | TileCall | UserCall | For | While | If | Break)


@dataclass(frozen=True)
class Function:
    """A kernel: its parameters in order, what it does, and for the reader the lines of its
    docstring. `helpers` is the text of the functions of custom operators that it calls; one that
    `raises` calls one that may (dlc/program.py, Kernel). `chunked`: it does one chunk, whose number
    `chunk` follows the parameters; else all that its parallel axes say."""

    name: str
    params: tuple[Parameter, ...]
    doc: tuple[str, ...]
    body: tuple[Statement, ...]
    helpers: str = ""
    raises: bool = False
    chunked: bool = True


def block_of(function: Function) -> int:
    """The threads of a block of a CUDA kernel that has regions; 0 for one without."""
    found = 0
    pending = list(function.body)
    for s in pending:  # it grows: regions may stand in loops, not in each other
        if isinstance(s, For):
            found = max(found, s.high.const if s.kind == "threads" else 0)
            pending += s.body if s.kind == "serial" else ()
    return found


def later(name: str) -> str:
    """What a combination calls that which later rounds have left in `name`."""
    return f"{name}_"


def tile_call(tile: str, *args: Pointer | Sum | int) -> TileCall:
    """A call of `tile`; numbers may be given as they are."""
    return TileCall(tile, tuple(a if isinstance(a, Pointer) else sum_of(a) for a in args))


def computing(dtype: DType) -> DType:
    """The dtype in which a kernel computes values of `dtype`."""
    return f32 if dtype.name in ("f16", "bf16") else dtype
