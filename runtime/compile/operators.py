"""Python's operators in kernel texts: the types of their results, and their LLVM instructions.

Numba's rules, so that its compiler gives the same numbers: integers are computed in 64 bits, signed
where an operand is; two floats in the wider; a float and an integer in f64 unless the integer is of
8 or 16 bits beside f32.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from dlc.runtime.compile.primitives import FLOATS, LLVM, bits, emit_cast

STORED = {"bool": "u8", "f16": "u16", "bf16": "u16"}  # how a dtype lies in memory


class OutsideError(Exception):
    """A construct that the dialect does not have; the message names it, and where it stands."""

    def __init__(self, what: str, where: str = "") -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.what, self.where = what, where


@dataclass(frozen=True, slots=True)
class Value:
    """A typed LLVM value; `dtype` is a name ("f32"), a pointer's ("f32*") or a tuple of names."""

    dtype: Any
    llvm: Any

    @property
    def literal(self) -> Any:
        """The number that it is at compile time, else None."""
        return getattr(self.llvm, "constant", None)


FLOAT_OPERATORS = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
INT_OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and_",
                 ast.BitOr: "or_", ast.BitXor: "xor"}
SHIFTS = (ast.LShift, ast.RShift)
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
               ast.NotEq: "!="}


def number(value: float, dtype: str = "") -> Value:
    """A constant; of a Python number without a dtype i64, f64 or b1."""
    if not dtype:
        dtype = "b1" if isinstance(value, bool) else "i64" if isinstance(value, int) else "f64"
    if dtype in FLOATS:
        return Value(dtype, ir.Constant(LLVM[dtype], float(value)))
    return Value(dtype, ir.Constant(LLVM[dtype], int(value)))


def converted(builder: Any, value: Value, dtype: str) -> Value:
    """`value` as a `dtype`, as an assignment to memory of that type converts it."""
    if value.dtype == dtype:
        return value
    if not isinstance(value.dtype, str) or value.dtype not in LLVM or dtype not in LLVM:
        raise OutsideError(f"{value.dtype} as {dtype}")
    if (value.dtype in FLOATS and dtype not in FLOATS) or dtype == "b1":
        raise OutsideError(f"{value.dtype} as {dtype} without a cast")
    if value.literal is not None and dtype not in FLOATS and value.dtype != "b1":
        return number(wrapped(value.literal, dtype), dtype)
    if value.literal is not None and dtype in FLOATS:
        return number(value.literal, dtype)
    return Value(dtype, emit_cast(builder, value.dtype, dtype, value.llvm))


def wrapped(value: int, dtype: str) -> int:
    """`value` modulo the range of `dtype`."""
    width = bits(dtype)
    value &= (1 << width) - 1
    return value - (1 << width) if dtype[0] == "i" and value >> (width - 1) else value


def whole(value: Value) -> bool:
    """Whether it is an integer or a bool."""
    return isinstance(value.dtype, str) and value.dtype[0] in "iub" and value.dtype[-1] != "*"


def signed(value: Value) -> bool:
    return bool(value.dtype[0] in "ib")


def arithmetic(builder: Any, operator: ast.operator, a: Value, b: Value) -> Value:
    """`a operator b`."""
    kind = type(operator)
    if whole(a) and whole(b):
        return _whole(builder, kind, a, b)
    if kind not in FLOAT_OPERATORS:
        raise OutsideError(f"{kind.__name__} of {a.dtype} and {b.dtype}")
    dtype = _float(a, b)
    x, y = (converted(builder, v, dtype).llvm for v in (a, b))
    return Value(dtype, getattr(builder, FLOAT_OPERATORS[kind])(x, y))


def _float(a: Value, b: Value) -> str:
    """The dtype in which two numbers, at least one of them a float, are computed."""
    for value in (a, b):
        if value.dtype not in LLVM or value.dtype in ("b1", "void"):
            raise OutsideError(f"arithmetic of {a.dtype} and {b.dtype}")
    narrow = ("f32", "i8", "i16", "u8", "u16")
    return "f32" if a.dtype in narrow and b.dtype in narrow else "f64"


def _whole(builder: Any, kind: Any, a: Value, b: Value) -> Value:
    if a.dtype == b.dtype == "b1" and kind in (ast.BitAnd, ast.BitOr, ast.BitXor):
        return Value("b1", getattr(builder, INT_OPERATORS[kind])(a.llvm, b.llvm))
    if kind is ast.Div:
        x, y = (converted(builder, v, "f64").llvm for v in (a, b))
        return Value("f64", builder.fdiv(x, y))
    if kind in SHIFTS:
        return _shift(builder, kind, a, b)
    if kind not in INT_OPERATORS:
        raise OutsideError(f"{kind.__name__} of integers")
    dtype = "i64" if signed(a) or signed(b) else "u64"
    if a.literal is not None and b.literal is not None:
        return number(wrapped(_computed(kind, a.literal, b.literal), dtype), dtype)
    x, y = (converted(builder, v, dtype).llvm for v in (a, b))
    return Value(dtype, getattr(builder, INT_OPERATORS[kind])(x, y))


def _computed(kind: Any, a: int, b: int) -> int:
    match kind:
        case ast.Add:
            return a + b
        case ast.Sub:
            return a - b
        case ast.Mult:
            return a * b
        case ast.BitAnd:
            return a & b
        case ast.BitOr:
            return a | b
    return a ^ b


def _shift(builder: Any, kind: Any, a: Value, b: Value) -> Value:
    dtype = "i64" if signed(a) else "u64"
    x, y = converted(builder, a, dtype).llvm, converted(builder, b, "i64").llvm
    if kind is ast.LShift:
        return Value(dtype, builder.shl(x, y))
    return Value(dtype, builder.ashr(x, y) if signed(a) else builder.lshr(x, y))


def negative(builder: Any, a: Value) -> Value:
    """`-a`."""
    if a.dtype in FLOATS:
        return Value(a.dtype, builder.fneg(a.llvm)) if a.literal is None else (
            number(-a.literal, a.dtype))
    if not whole(a) or not signed(a):
        raise OutsideError(f"the negative of {a.dtype}")
    if a.literal is not None:
        return number(-int(a.literal))
    return Value("i64", builder.neg(converted(builder, a, "i64").llvm))


def compared(builder: Any, operator: ast.cmpop, a: Value, b: Value) -> Value:
    """`a operator b`, a b1. Comparisons with NaN are false but for `!=`."""
    sign = COMPARISONS.get(type(operator))
    if sign is None:
        raise OutsideError(type(operator).__name__)
    if not (whole(a) and whole(b)):
        dtype = _float(a, b)
        x, y = (converted(builder, v, dtype).llvm for v in (a, b))
        compare = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
        return Value("b1", compare(sign, x, y))
    if a.dtype == b.dtype == "b1":
        return Value("b1", builder.icmp_unsigned(sign, a.llvm, b.llvm))
    dtype = _common(a, b)
    x, y = (converted(builder, v, dtype).llvm for v in (a, b))
    compare = builder.icmp_signed if dtype[0] == "i" else builder.icmp_unsigned
    return Value("b1", compare(sign, x, y))


def _common(a: Value, b: Value) -> str:
    """A dtype that holds both integers, so that comparing them there compares their values."""
    if a.dtype == b.dtype:
        return str(a.dtype)
    if "u64" not in (a.dtype, b.dtype):
        return "i64"
    other = b if a.dtype == "u64" else a
    if signed(other) and other.dtype != "b1" and (other.literal is None or other.literal < 0):
        raise OutsideError(f"comparing {a.dtype} with {b.dtype}")
    return "u64"
