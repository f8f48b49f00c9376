"""The loop-level IR, which prints as the Python function that Numba compiles (docs/ir.md).

    statement  := For | Let | Store | Line
    expression := Number | Ref | Load | Call | Binary | Cond

Scalars carry a dtype and the depth of the loop that they depend on, so that a statement can be
placed in the outermost loop where it is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlc.kernel.index import Sum
from dlc.types import DType, bool_, f32, i64

INDENT = "    "


@dataclass(frozen=True)
class Number:
    """A literal."""

    value: float | int | bool
    dtype: DType
    level: int = 0

    def text(self) -> str:
        if self.dtype is bool_:
            return str(bool(self.value))
        if not self.dtype.is_float:
            return str(int(self.value)) if self.dtype is i64 else f"{self.dtype}({int(self.value)})"
        word = shortest(float(self.value), self.dtype)
        word = {"inf": "1e999", "-inf": "-1e999", "nan": "1e999 - 1e999"}.get(word, word)
        return f"{self.dtype}({word})"


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

    def text(self) -> str:
        word = unpack(self.memory or self.dtype, f"{self.buffer}[{self.index.text()}]")
        return f"({word} if {self.guard} else {self.fill})" if self.guard else word


@dataclass(frozen=True)
class Call:
    """function(operands)"""

    function: str
    args: tuple[Any, ...]
    dtype: DType
    level: int

    def text(self) -> str:
        return f"{self.function}({', '.join(a.text() for a in self.args)})"


@dataclass(frozen=True)
class Binary:
    """a sign b; integers narrower than i64 wrap, which the cast says."""

    sign: str
    a: Any
    b: Any
    dtype: DType
    level: int

    def text(self) -> str:
        word = f"{self.a.text()} {self.sign} {self.b.text()}"
        if self.dtype.is_integer and self.dtype is not i64:
            return f"{self.dtype}({word})"
        return f"({word})"


@dataclass(frozen=True)
class Cond:
    """A condition's text: the value of an index guard."""

    word: str
    dtype: DType
    level: int

    def text(self) -> str:
        return self.word


Scalar = Number | Ref | Load | Call | Binary | Cond


@dataclass
class Let:
    """name = value"""

    name: str
    value: Any

    def lines(self, pad: str) -> list[str]:
        return [f"{pad}{self.name} = {strip(self.value.text())}"]


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


Statement = Let | Store | Line | For


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


# --- folding single-use lets into their use: the text reads as a person would write it
# -----------------


def references(value: Any, count: dict[str, int]) -> None:
    """Count how often each local scalar is used in an expression."""
    if isinstance(value, Ref):
        count[value.name] = count.get(value.name, 0) + 1
    elif isinstance(value, Call):
        for a in value.args:
            references(a, count)
    elif isinstance(value, Binary):
        references(value.a, count)
        references(value.b, count)
    elif isinstance(value, Load):
        for name in value.index.variables():
            count[name] = count.get(name, 0) + 2
        _count_words(value.guard, count)
    elif isinstance(value, Cond):
        _count_words(value.word, count)


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
    for s in statements:
        if isinstance(s, For):
            _flush(pending, out)
            out.append(For(s.var, s.low, s.high, _fold_block(s.body, once), s.step))
        elif isinstance(s, Let):
            value = _fold(s.value, pending)
            # what is still pending meant the old value of a name that is assigned again
            _flush({n: pending.pop(n) for n in list(pending) if _mentions(pending[n], s.name)}, out)
            if s.name in once and len(value.text()) < 60:
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
    parts = value.args if isinstance(value, Call) else (
        (value.a, value.b) if isinstance(value, Binary) else ())
    return any(_reads(p, buffer) for p in parts)


def _fold(value: Any, pending: dict[str, Any]) -> Any:
    if isinstance(value, Ref) and value.name in pending:
        return pending.pop(value.name)
    if isinstance(value, Call):
        args = tuple(_fold(a, pending) for a in value.args)
        return Call(value.function, args, value.dtype, value.level)
    if isinstance(value, Binary):
        a, b = _fold(value.a, pending), _fold(value.b, pending)
        return Binary(value.sign, a, b, value.dtype, value.level)
    return value
