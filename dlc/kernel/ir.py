"""The loop-level IR, which prints as the Python function that Numba compiles (docs/ir.md).

    statement  := For | Let | Store | Line
    expression := Number | Ref | Load | Call | Negative | Binary | Cond

Every expression has a `rank`, how tightly Python binds it: only operands that bind less than what
is around them stand in brackets. Scalars carry a dtype and the depth of the loop that they depend
on, so that a statement can be placed in the outermost loop where it is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlc.kernel.index import Sum
from dlc.types import DType, bool_, f32, i64

INDENT = "    "
# How tightly Python binds: x if c else y, comparisons, bits, sums, products, a sign, a call.
CHOICE, COMPARED, BITS, SUMMED, MULTIPLIED, SIGNED, ATOM = range(7)
RANKS = {**dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARED),
         **dict.fromkeys("&|^", BITS), **dict.fromkeys("+-", SUMMED),
         **dict.fromkeys("*/", MULTIPLIED)}


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float | int | bool
    dtype: DType
    level: int = 0

    @property
    def rank(self) -> int:
        return SIGNED if self.dtype is i64 and self.value < 0 else ATOM

    def text(self) -> str:
        if self.dtype is bool_:
            return str(bool(self.value))
        if not self.dtype.is_float:
            return str(int(self.value)) if self.dtype is i64 else f"{self.dtype}({int(self.value)})"
        return f"{self.dtype}({shortest(float(self.value), self.dtype)})"


def shortest(value: float, dtype: DType) -> str:
    """The shortest decimal that reads back as `value` in `dtype`: 0.9, not 0.8999999761581421."""
    word = repr(float(str(np.float32(value)))) if dtype is f32 else repr(value)
    return word if np.float32(float(word)) == np.float32(value) else repr(value)


@dataclass(frozen=True)
class Ref:
    """A local scalar."""

    name: str
    dtype: DType
    level: int
    rank = ATOM

    def text(self) -> str:
        return self.name


@dataclass(frozen=True)
class Load:
    """buffer[index], converted from how `memory` (or else the dtype itself) lies in memory; `guard`
    protects the access."""

    buffer: str
    index: Sum
    dtype: DType
    level: int
    guard: str = ""
    fill: str = ""
    memory: DType | None = None

    @property
    def rank(self) -> int:
        if self.guard:
            return CHOICE
        return COMPARED if (self.memory or self.dtype) is bool_ else ATOM

    def text(self) -> str:
        word = strip(unpack(self.memory or self.dtype, f"{self.buffer}[{self.index.text()}]"))
        return f"{word} if {self.guard} else {self.fill}" if self.guard else word


@dataclass(frozen=True)
class Call:
    """function(operands)"""

    function: str
    args: tuple[Any, ...]
    dtype: DType
    level: int
    rank = ATOM

    def text(self) -> str:
        return f"{self.function}({', '.join(a.text() for a in self.args)})"


@dataclass(frozen=True)
class Negative:
    """-x, of floats."""

    value: Any
    dtype: DType
    level: int
    rank = SIGNED

    def text(self) -> str:
        return f"-{operand(self.value, SIGNED, True)}"


@dataclass(frozen=True)
class Binary:
    """a sign b; integers narrower than i64 wrap, which the cast says."""

    sign: str
    a: Any
    b: Any
    dtype: DType
    level: int

    @property
    def rank(self) -> int:
        return ATOM if self.wraps else RANKS[self.sign]

    @property
    def wraps(self) -> bool:
        return self.dtype.is_integer and self.dtype is not i64

    def text(self) -> str:
        rank = RANKS[self.sign]
        # comparisons chain, and & | ^ differ among themselves in what nobody remembers
        alone = rank == COMPARED or (rank == BITS and getattr(self.a, "sign", "") != self.sign)
        word = f"{operand(self.a, rank, alone)} {self.sign} {operand(self.b, rank, True)}"
        return f"{self.dtype}({word})" if self.wraps else word


@dataclass(frozen=True)
class Cond:
    """The truth of an index guard, or an index as a value: source text."""

    word: str
    dtype: DType
    level: int

    @property
    def rank(self) -> int:
        rest = self.word.removeprefix(str(self.dtype))
        cast = rest != self.word and strip(rest) != rest
        return ATOM if cast or self.word.isidentifier() else CHOICE

    def text(self) -> str:
        return strip(self.word)


def operand(value: Any, rank: int, alone: bool) -> str:
    """`value` as an operand of what has `rank`; `alone`: it may not be of the same rank."""
    word: str = value.text()
    return f"({word})" if value.rank < rank or (alone and value.rank == rank) else word


@dataclass
class Let:
    """name = value"""

    name: str
    value: Any

    def lines(self, pad: str) -> list[str]:
        return [f"{pad}{self.name} = {self.value.text()}"]


@dataclass
class Store:
    """buffer[index] = value, converted to how the dtype lies in memory."""

    buffer: str
    index: Sum
    value: Any
    dtype: DType

    def lines(self, pad: str) -> list[str]:
        word = strip(pack(self.dtype, self.value.text()))
        return [f"{pad}{self.buffer}[{self.index.text()}] = {word}"]


@dataclass
class Line:
    """One line of source: a note, a stack buffer, a call of a tile."""

    word: str

    def lines(self, pad: str) -> list[str]:
        return [pad + self.word]


@dataclass
class For:
    """for var in range(low, high, step): body"""

    var: str
    low: str
    high: str
    body: list[Any] = field(default_factory=list)
    step: int = 1

    def lines(self, pad: str) -> list[str]:
        bounds = f"{self.low}, {self.high}" if self.low != "0" or self.step != 1 else self.high
        bounds += f", {self.step}" if self.step != 1 else ""
        return [f"{pad}for {self.var} in range({bounds}):", *block(self.body, pad + INDENT)]


def block(statements: Sequence[Any], pad: str) -> list[str]:
    """The lines of statements; an empty block is `pass`."""
    return [line for s in statements for line in s.lines(pad)] or [pad + "pass"]


def strip(word: str) -> str:
    """`word` without the parentheses around the whole of it."""
    if not (word.startswith("(") and word.endswith(")")):
        return word
    depth = 0
    for at, letter in enumerate(word):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and at < len(word) - 1:
            return word
    return word[1:-1]


def unpack(dtype: DType, word: str) -> str:
    """Memory to scalar: bool lies as u8, f16 and bf16 as u16."""
    if dtype is bool_:
        return f"({word} != u8(0))"
    return f"{dtype}_to_f32({word})" if dtype.name in ("f16", "bf16") else word


def pack(dtype: DType, word: str) -> str:
    """Scalar to memory."""
    if dtype is bool_:
        return f"u8({word})"
    return f"f32_to_{dtype}({word})" if dtype.name in ("f16", "bf16") else word


def computing(dtype: DType) -> DType:
    """The dtype in which a kernel computes values of `dtype`."""
    return f32 if dtype.name in ("f16", "bf16") else dtype


def function_text(name: str, params: Sequence[str], doc: Sequence[str],
                  statements: Sequence[Any]) -> str:
    """The whole kernel as Python source."""
    signature = f"def {name}({', '.join([*params, 'chunk'])}):"
    if len(signature) > 100:
        signature = wrap_signature(name, [*params, "chunk"])
    note = [f'{INDENT}"""{doc[0]}', *(INDENT + d for d in doc[1:])] if doc else []
    if note:
        note[-1] += '"""'
    return "\n".join([signature, *note, *block(fold_lets(list(statements)), INDENT), ""])


def wrap_signature(name: str, params: Sequence[str]) -> str:
    """A long signature over several lines of at most 100 columns."""
    lines, current = [], f"def {name}("
    pad = " " * len(current)
    for i, p in enumerate(params):
        word = p + (", " if i < len(params) - 1 else "):")
        if len(current) + len(word) > 100:
            lines.append(current.rstrip())
            current = pad
        current += word
    return "\n".join([*lines, current])


def parts(value: Any) -> tuple[Any, ...]:
    """The operands of an expression."""
    if isinstance(value, Call):
        return value.args
    if isinstance(value, Binary):
        return value.a, value.b
    return (value.value,) if isinstance(value, Negative) else ()


def references(value: Any, count: dict[str, int]) -> None:
    """Count how often each local scalar is used in an expression."""
    if isinstance(value, Ref):
        count[value.name] = count.get(value.name, 0) + 1
    elif isinstance(value, Load):
        for name in value.index.variables():
            count[name] = count.get(name, 0) + 2
        _count_words(value.guard, count)
    elif isinstance(value, Cond):
        _count_words(value.word, count)
    for part in parts(value):
        references(part, count)


def _count_words(word: str, count: dict[str, int]) -> None:
    """Names inside source text stay lets: they count as used twice."""
    for name in "".join(c if c.isalnum() or c == "_" else " " for c in word).split():
        count[name] = count.get(name, 0) + 2


def _count_statements(statements: Sequence[Any], count: dict[str, int],
                      assigned: dict[str, int]) -> None:
    for s in statements:
        if isinstance(s, Let):
            assigned[s.name] = assigned.get(s.name, 0) + 1
            references(s.value, count)
        elif isinstance(s, Store):
            references(s.value, count)
            for name in s.index.variables():
                count[name] = count.get(name, 0) + 2
        elif isinstance(s, For):
            _count_words(f"{s.low} {s.high}", count)
            _count_statements(s.body, count, assigned)
        else:
            _count_words(s.word, count)


def fold_lets(statements: list[Any]) -> list[Any]:
    """Put each let that is assigned once and used once, in the same block, into its use."""
    count: dict[str, int] = {}
    assigned: dict[str, int] = {}
    _count_statements(statements, count, assigned)
    once = {n for n, c in assigned.items() if c == 1 and count.get(n, 0) == 1}
    return _fold_block(statements, once)


def _fold_block(statements: list[Any], once: set[str]) -> list[Any]:
    pending: dict[str, Any] = {}
    out: list[Any] = []
    for s, following in zip(statements, [*statements, None][1:], strict=True):
        if isinstance(s, For):
            _flush(pending, out)
            out.append(For(s.var, s.low, s.high, _fold_block(s.body, once), s.step))
        elif isinstance(s, Let):
            value = _fold(s.value, pending)
            # what is still pending meant the old value of a name that is assigned again
            _flush({n: pending.pop(n) for n in list(pending) if _mentions(pending[n], s.name)}, out)
            if s.name in once and (len(value.text()) < 50 or _stores(following, s.name)):
                pending[s.name] = value
            else:
                out.append(Let(s.name, value))
        elif isinstance(s, Store):
            value = _fold(s.value, pending)
            # a load that is still pending must not move past a store into its buffer
            _flush({n: pending.pop(n) for n in list(pending) if _reads(pending[n], s.buffer)}, out)
            out.append(Store(s.buffer, s.index, value, s.dtype))
        else:
            _flush(pending, out)
            out.append(s)
    _flush(pending, out)
    return out


def _stores(statement: Any, name: str) -> bool:
    """Whether a statement does nothing but store the local `name`."""
    return isinstance(statement, Store) and isinstance(statement.value, Ref) and (
        statement.value.name == name)


def _flush(pending: dict[str, Any], out: list[Any]) -> None:
    out.extend(Let(n, v) for n, v in pending.items())
    pending.clear()


def _mentions(value: Any, name: str) -> bool:
    count: dict[str, int] = {}
    references(value, count)
    return name in count


def _reads(value: Any, buffer: str) -> bool:
    if isinstance(value, Load):
        return value.buffer == buffer
    return any(_reads(p, buffer) for p in parts(value))


def _fold(value: Any, pending: dict[str, Any]) -> Any:
    if isinstance(value, Ref) and value.name in pending:
        return pending.pop(value.name)
    if isinstance(value, Call):
        args = tuple(_fold(a, pending) for a in value.args)
        return Call(value.function, args, value.dtype, value.level)
    if isinstance(value, Negative):
        return Negative(_fold(value.value, pending), value.dtype, value.level)
    if isinstance(value, Binary):
        a, b = _fold(value.a, pending), _fold(value.b, pending)
        return Binary(value.sign, a, b, value.dtype, value.level)
    return value
