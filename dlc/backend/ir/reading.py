"""Parsing expressions of a kernel's text: types follow from buffers, literals and functions.

A name of an index (a loop's variable, `chunk`, a number of the kernel, a local that is used as an
index) makes `Sum`s, every other local a `Ref`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dlc.backend.ir import (
    Binary,
    Call,
    Choice,
    Expression,
    Load,
    Logical,
    Negative,
    Number,
    Pointer,
    Position,
    Ref,
    Truth,
    computing,
)
from dlc.backend.ir.index import LEAST, MOST, Computed, Quotient, Remainder, Sum, Var
from dlc.backend.ir.walks import indices, operands
from dlc.backend.ir.whole import index_of, settled
from dlc.ir.types import DTYPES, DType, bool_, f32, f64, i64, u8, u16, u32

SIGNS: Mapping[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.BitAnd: "&", ast.BitOr: "|",
    ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
    ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
FLOATS = {"inf": float("inf"), "nan": float("nan")}
# Functions whose result has another dtype than their first operand or their name's end says.
RESULTS = {"random_bits": u32, "mulhi_u32": u32, "f16_to_f32": f32, "bf16_to_f32": f32,
           "f32_to_f16": u16, "f32_to_bf16": u16,
           **{f"odd_{d}": f32 for d in DTYPES}}
OF_THE_FIRST = {"fma", "radd", "rmul", "rmin", "rmax", "minimum", "maximum", "min", "max", "idiv",
                "copysign", "sqrt", "floor", "ceil", "rint", "trunc", "abs", "imod"}
MEMORY = {"f16_to_f32": "f16", "bf16_to_f32": "bf16"}
Node = TypeVar("Node", bound=ast.AST)


class KernelSyntaxError(ValueError):
    """A text that is not a kernel: the message has its line and what it says there."""


@dataclass(eq=False)
class Scope:
    """What names mean: buffers by the dtype in which they lie, locals by theirs, and which of them
    are indices. `helpers` are the functions of custom operators, whose result a cast names."""

    buffers: dict[str, DType]
    locals: dict[str, DType] = field(default_factory=dict)
    indices: set[str] = field(default_factory=set)
    helpers: set[str] = field(default_factory=set)


def refused(node: ast.AST) -> KernelSyntaxError:
    return KernelSyntaxError(f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node)} is not part "
                             "of a kernel (docs/ir.md has the grammar)")


def read(node: ast.expr, scope: Scope) -> Expression:
    """An expression; raises KernelSyntaxError for what the grammar does not have."""
    rule = RULES.get(type(node))
    if rule is None:
        raise refused(node)
    return settled(rule(node, scope))


def index(node: ast.expr, scope: Scope) -> Sum:
    """An expression where an index stands."""
    return sum_in_order(read(node, scope))


def sum_in_order(value: Expression) -> Sum:
    """An i64 expression as a Sum, its terms in the order in which they are written."""
    known = index_of(value)
    if known is not None:
        return known
    if isinstance(value, Binary) and value.dtype is i64 and value.sign in ("+", "-"):
        a, b = sum_in_order(value.a), sum_in_order(value.b)
        return plus(a, b if value.sign == "+" else -b)
    if isinstance(value, Binary) and value.dtype is i64 and value.sign == "*":
        for part, by in ((value.a, value.b), (value.b, value.a)):
            if isinstance(by, Number):
                return sum_in_order(part) * int(by.value)
    return Sum(0, ((Computed(value, names_in(value)), 1),))


def plus(a: Sum, b: Sum) -> Sum:
    """a + b, the terms of a first."""
    return Sum(a.const + b.const, (*a.terms, *b.terms))


def names_in(value: Expression) -> frozenset[str]:
    """The locals and indices that an expression is made of."""
    found = {value.name} if isinstance(value, Ref) else set()
    for held in indices(value):
        found |= held.variables()
    for part in operands(value):
        found |= names_in(part)
    return frozenset(found)


# ---- names and numbers ---------------------------------------------------------------------------


def constant(node: ast.Constant, scope: Scope) -> Expression:
    if isinstance(node.value, bool):
        return Number(node.value, bool_)
    if isinstance(node.value, int):
        return Number(node.value, i64)
    if isinstance(node.value, float):
        return Number(node.value, f64)
    raise refused(node)


def name(node: ast.Name, scope: Scope) -> Expression:
    if node.id in scope.indices:
        return Position(Sum(0, ((Var(node.id, LEAST, MOST), 1),)), i64)
    if node.id in scope.locals:
        return Ref(node.id, scope.locals[node.id])
    if node.id in FLOATS:
        return Number(FLOATS[node.id], f64)
    raise refused(node)


def unary(node: ast.UnaryOp, scope: Scope) -> Expression:
    value = read(node.operand, scope)
    if isinstance(node.op, ast.Not):
        return Logical("not", (value,))
    if not isinstance(node.op, ast.USub):
        raise refused(node)
    if isinstance(value, Number) and isinstance(node.operand, (ast.Constant, ast.Name)):
        return Number(-value.value, value.dtype)
    known = index_of(value)
    if known is not None:
        return Position(-known, i64)
    return Negative(value, value.dtype) if value.dtype.is_float else Binary(
        "-", Number(0, value.dtype), value, i64)


# ---- operators -----------------------------------------------------------------------------------


def binary(node: ast.BinOp, scope: Scope) -> Expression:
    sign = SIGNS.get(type(node.op))
    if sign is None:
        raise refused(node)
    a, b = read(node.left, scope), read(node.right, scope)
    x, y = index_of(a), index_of(b)
    if x is not None and y is not None and sign in ("+", "-") and (x.terms or y.terms):
        return Position(plus(x, y if sign == "+" else -y), i64)
    return Binary(sign, a, b, common(a.dtype, b.dtype))


def common(a: DType, b: DType) -> DType:
    """The dtype in which Numba computes: narrow integers are i64 until a cast says otherwise."""
    if a.is_float or b.is_float:
        return a if a is b else f64
    return bool_ if a is b is bool_ else i64


def compare(node: ast.Compare, scope: Scope) -> Expression:
    if len(node.ops) != 1:
        raise refused(node)
    sign = SIGNS.get(type(node.ops[0]))
    if sign is None:
        raise refused(node)
    a, b = read(node.left, scope), read(node.comparators[0], scope)
    if sign == "!=" and isinstance(a, Load) and a.memory is bool_ and b == Number(0, u8):
        return replace(a, dtype=bool_)
    return Binary(sign, a, b, bool_)


def logical(node: ast.BoolOp, scope: Scope) -> Expression:
    parts = tuple(read(v, scope) for v in node.values)
    if isinstance(node.op, ast.And) and all(isinstance(p, Truth) for p in parts):
        return Truth(tuple(c for p in parts if isinstance(p, Truth) for c in p.condition), bool_)
    return Logical("and" if isinstance(node.op, ast.And) else "or", parts)


def choice(node: ast.IfExp, scope: Scope) -> Expression:
    """A load under a condition, or one of two values."""
    condition, a, b = (read(n, scope) for n in (node.test, node.body, node.orelse))
    if isinstance(a, Load) and isinstance(condition, Truth) and b == Number(0, a.dtype):
        return replace(a, guard=condition.condition)
    return Choice(condition, a, b, a.dtype)


# ---- loads and calls -----------------------------------------------------------------------------


def load(node: ast.Subscript, scope: Scope) -> Expression:
    """A load as it lies in memory: what converts it comes around."""
    if not isinstance(node.value, ast.Name) or node.value.id not in scope.buffers:
        raise refused(node)
    memory = scope.buffers[node.value.id]
    stored = u8 if memory is bool_ else u16 if memory is not computing(memory) else memory
    return Load(node.value.id, index(node.slice, scope), stored, 0, (), memory)


def call(node: ast.Call, scope: Scope) -> Expression:
    if not isinstance(node.func, ast.Name) or node.keywords:
        raise refused(node)
    function = node.func.id
    args = tuple(read(a, scope) for a in node.args)
    only = args[0] if len(args) == 1 else None
    if function in MEMORY and isinstance(only, Load) and only.memory is DTYPES[MEMORY[function]]:
        return replace(only, dtype=f32)
    if function in DTYPES and only is not None:
        if isinstance(only, Number) and isinstance(node.args[0], ast.Call):
            return Call(function, args, DTYPES[function])  # a literal that has its dtype already
        return cast(DTYPES[function], only, scope)
    if function in ("idiv", "imod"):
        return divided(function, args)
    return Call(function, args, result(function, args, scope))


def cast(to: DType, value: Expression, scope: Scope) -> Expression:
    """A literal, arithmetic that wraps around, or a conversion."""
    if isinstance(value, Number) and to.is_float and value.dtype is f64:
        return Number(value.value, to)
    if isinstance(value, Binary) and to.is_integer and to is not i64 and (
            value.a.dtype is value.b.dtype is to and value.dtype is not bool_):
        return replace(value, dtype=to)
    if isinstance(value, Call) and value.function in scope.helpers:
        value = replace(value, dtype=to)
    return Call(to.name, (value,), to)


def divided(function: str, args: tuple[Expression, ...]) -> Expression:
    """A quotient or a remainder of an index by a number; of anything else a call."""
    value, by = args
    if by.dtype is i64 and isinstance(by, Number) and value.dtype is i64:
        inner = sum_in_order(value)
        kind = Quotient if function == "idiv" else Remainder
        return Position(Sum(0, ((kind(inner, int(by.value)), 1),)), i64)
    return Call(function, args, value.dtype)


def result(function: str, args: tuple[Expression, ...], scope: Scope) -> DType:
    """The dtype that a function gives."""
    if function in RESULTS:
        return RESULTS[function]
    if function == "select":
        return args[1].dtype
    if function in OF_THE_FIRST:
        return args[0].dtype
    last = function.rpartition("_")[2]
    return bool_ if function in scope.helpers else DTYPES.get(last, f64)


def place(node: ast.expr, scope: Scope) -> Pointer | Sum:
    """An argument of a tile: a pointer or a number."""
    if isinstance(node, ast.Name) and node.id in scope.buffers:
        return Pointer(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "at":
        buffer, offset = node.args
        if isinstance(buffer, ast.Name) and buffer.id in scope.buffers:
            return Pointer(buffer.id, index(offset, scope))
    return index(node, scope)


RULES: dict[type, Callable[..., Expression]] = {
    ast.Constant: constant, ast.Name: name, ast.UnaryOp: unary, ast.BinOp: binary,
    ast.Compare: compare, ast.BoolOp: logical, ast.IfExp: choice, ast.Subscript: load,
    ast.Call: call}
