"""The kernel IR as the Python function that Numba compiles and that users read.

Every expression has a rank, how tightly Python binds it: only operands that bind less than what is
around them stand in brackets. Types are written out: casts are calls, integers narrower than i64
wrap, which the cast around a sum says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlc.kernel.ir import (
    Alloc,
    Binary,
    Call,
    Condition,
    Expression,
    For,
    Let,
    Load,
    Negative,
    Number,
    Place,
    Position,
    Ref,
    Statement,
    Store,
    TileCall,
    Truth,
)
from dlc.types import DType, bool_, f32, i64

INDENT = "    "
# How tightly Python binds: x if c else y, comparisons, bits, sums, products, a sign, a call.
CHOICE, COMPARED, BITS, SUMMED, MULTIPLIED, SIGNED, ATOM = range(7)
RANKS = {**dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), COMPARED),
         **dict.fromkeys("&|^", BITS), **dict.fromkeys("+-", SUMMED),
         **dict.fromkeys("*/", MULTIPLIED)}


def rank(value: Expression) -> int:
    """How tightly the text of an expression binds."""
    match value:
        case Number():
            return SIGNED if value.dtype is i64 and value.value < 0 else ATOM
        case Load():
            if value.guard:
                return CHOICE
            return COMPARED if (value.memory or value.dtype) is bool_ else ATOM
        case Negative():
            return SIGNED
        case Binary():
            return ATOM if wraps(value.dtype) else RANKS[value.sign]
        case Truth():
            return CHOICE
        case Position(index=index):
            return ATOM if value.dtype is not i64 or index.text().isidentifier() else CHOICE
    return ATOM


def text(value: Expression) -> str:
    """An expression as Python source."""
    match value:
        case Number():
            return number(value)
        case Ref():
            return value.name
        case Load():
            return load(value)
        case Call():
            return f"{value.function}({', '.join(map(text, value.args))})"
        case Negative():
            return f"-{operand(value.value, SIGNED, True)}"
        case Binary():
            return binary(value)
        case Truth():
            return condition(value.condition)
        case Position():
            word = value.index.text()
            return word if value.dtype is i64 else f"{value.dtype}({word})"


def number(value: Number) -> str:
    if value.dtype is bool_:
        return str(bool(value.value))
    if value.dtype.is_float:
        return f"{value.dtype}({shortest(float(value.value), value.dtype)})"
    return str(int(value.value)) if value.dtype is i64 else f"{value.dtype}({int(value.value)})"


def shortest(value: float, dtype: DType) -> str:
    """The shortest decimal that reads back as `value` in `dtype`: 0.9, not 0.8999999761581421."""
    word = repr(float(str(np.float32(value)))) if dtype is f32 else repr(value)
    return word if np.float32(float(word)) == np.float32(value) else repr(value)


def condition(parts: Condition) -> str:
    return " and ".join(dict.fromkeys(f"{c.value.text()} {c.sign} {c.bound}" for c in parts))


def load(value: Load) -> str:
    word = unpack(value.memory or value.dtype, f"{value.buffer}[{value.index.text()}]")
    if not value.guard:
        return word
    return f"{word} if {condition(value.guard)} else {number(Number(0, value.dtype))}"


def wraps(dtype: DType) -> bool:
    """Whether arithmetic of `dtype` is brought back to it by a cast."""
    return dtype.is_integer and dtype is not i64


def binary(value: Binary) -> str:
    own = RANKS[value.sign]
    # comparisons chain, and & | ^ differ among themselves in what nobody remembers
    alone = own == COMPARED or (own == BITS and getattr(value.a, "sign", "") != value.sign)
    word = f"{operand(value.a, own, alone)} {value.sign} {operand(value.b, own, True)}"
    return f"{value.dtype}({word})" if wraps(value.dtype) else word


def operand(value: Expression, around: int, alone: bool) -> str:
    """`value` as an operand of what has rank `around`; `alone`: it may not be of the same rank."""
    word = text(value)
    return f"({word})" if rank(value) < around or (alone and rank(value) == around) else word


def unpack(dtype: DType, word: str) -> str:
    """Memory to scalar: bool lies as u8, f16 and bf16 as u16."""
    if dtype is bool_:
        return f"{word} != u8(0)"
    return f"{dtype}_to_f32({word})" if dtype.name in ("f16", "bf16") else word


def pack(dtype: DType, word: str) -> str:
    """Scalar to memory."""
    if dtype is bool_:
        return f"u8({word})"
    return f"f32_to_{dtype}({word})" if dtype.name in ("f16", "bf16") else word


def place(value: Place) -> str:
    word = value.offset.text()
    return value.buffer if word == "0" else f"at({value.buffer}, {word})"


def lines(statement: Statement, pad: str) -> list[str]:
    """A statement as lines of source, indented by `pad`."""
    match statement:
        case Alloc(name=name, dtype=dtype, size=size):
            return [f"{pad}{name} = local_{'u8' if dtype is bool_ else dtype}({size})"]
        case Let(name=name, value=value):
            return [f"{pad}{name} = {text(value)}"]
        case Store(buffer=buffer, index=index, value=value, dtype=dtype):
            return [f"{pad}{buffer}[{index.text()}] = {pack(dtype, text(value))}"]
        case TileCall(tile=tile, args=args):
            words = (place(a) if isinstance(a, Place) else a.text() for a in args)
            return [f"{pad}{tile}({', '.join(words)})"]
        case For():
            return [f"{pad}for {statement.var} in range({bounds(statement)}):",
                    *block(statement.body, pad + INDENT)]


def bounds(loop: For) -> str:
    low, high = loop.low.text(), loop.high.text()
    word = high if low == "0" and loop.step == 1 else f"{low}, {high}"
    return word if loop.step == 1 else f"{word}, {loop.step}"


def block(statements: Sequence[Statement], pad: str) -> list[str]:
    """The lines of statements; an empty block is `pass`."""
    return [line for s in statements for line in lines(s, pad)] or [pad + "pass"]


def function_text(name: str, params: Sequence[str], doc: Sequence[str],
                  statements: Sequence[Statement]) -> str:
    """The whole kernel as Python source."""
    note = [f'{INDENT}"""{doc[0]}', *(INDENT + d for d in doc[1:])] if doc else []
    if note:
        note[-1] += '"""'
    head = signature(name, [*params, "chunk"])
    return "\n".join([head, *note, *block(statements, INDENT), ""])


def signature(name: str, params: Sequence[str]) -> str:
    """The line that begins a function; a long one over several lines of at most 100 columns."""
    whole = f"def {name}({', '.join(params)}):"
    return whole if len(whole) <= 100 else wrap_signature(name, params)


def wrap_signature(name: str, params: Sequence[str]) -> str:
    found, current = [], f"def {name}("
    pad = " " * len(current)
    for i, p in enumerate(params):
        word = p + (", " if i < len(params) - 1 else "):")
        if len(current) + len(word) > 100:
            found.append(current.rstrip())
            current = pad
        current += word
    return "\n".join([*found, current])
