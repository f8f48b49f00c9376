"""Expressions of a kernel text: typing and LLVM instructions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from llvmlite import ir

from dlc.program import TileText
from dlc.runtime.compile.llvm_module import Lowered, llvm_type
from dlc.runtime.compile.operators import (
    STORED,
    OutsideError,
    Value,
    arithmetic,
    compared,
    converted,
    negative,
    number,
    whole,
)
from dlc.runtime.compile.primitives import (
    CONSTANTS,
    FLOATS,
    LLVM,
    Primitive,
    PrimitiveError,
    call_intrinsic,
)
from dlc.runtime.compile.slots import plain


class Names(Protocol):
    """What a function may call (frontend.Scope)."""

    primitives: Mapping[str, Primitive]
    tiles: Mapping[str, TileText]
    has_f16: bool
    region: Callable[[Any, str, ast.For], None] | None

    def defines(self, name: str) -> bool: ...

    def function(self, name: str, types: tuple[str, ...]) -> Lowered: ...


class Expressions:
    """Where a function is being made, and its expressions as typed values there."""

    def __init__(self, scope: Names, function: ast.FunctionDef, made: Any) -> None:
        self.scope, self.function, self.made = scope, function, made
        self.calls: dict[str, Lowered] = {}
        self.names: dict[str, Value] = {}
        self.slots: dict[str, Value] = {}
        self.entry = made.append_basic_block("entry")
        self.builder = ir.IRBuilder(made.append_basic_block("body"))

    def block(self, name: str) -> Any:
        return self.made.append_basic_block(name)

    def value(self, expression: ast.expr) -> Value:
        method = getattr(self, f"value_{type(expression).__name__}", None)
        if method is None:
            raise OutsideError(f"{type(expression).__name__} is not in the dialect")
        found: Value = method(expression)
        return found

    def value_Constant(self, expression: ast.Constant) -> Value:
        if not isinstance(expression.value, (bool, int, float)):
            raise OutsideError(f"{expression.value!r}")
        return number(expression.value)

    def value_Name(self, expression: ast.Name) -> Value:
        return self.named(expression.id)

    def named(self, name: str) -> Value:
        if name in self.slots:
            slot = self.slots[name]
            return Value(slot.dtype, self.builder.load(slot.llvm, typ=llvm_type(slot.dtype)))
        if name in self.names:
            return self.names[name]
        if name in CONSTANTS:
            return number(CONSTANTS[name])
        raise OutsideError(f"the name {name}")

    def value_Tuple(self, expression: ast.Tuple) -> Value:
        values = [self.value(e) for e in expression.elts]
        dtypes = tuple(v.dtype for v in values)
        if not all(isinstance(d, str) and d in LLVM for d in dtypes):
            raise OutsideError(f"a tuple of {dtypes}")
        made: Any = ir.Constant(llvm_type(dtypes), ir.Undefined)
        for i, value in enumerate(values):
            made = self.builder.insert_value(made, value.llvm, i)
        return Value(dtypes, made)

    def value_UnaryOp(self, expression: ast.UnaryOp) -> Value:
        operand = self.value(expression.operand)
        match expression.op:
            case ast.USub():
                return negative(self.builder, operand)
            case ast.Not() if operand.dtype == "b1":
                return Value("b1", self.builder.not_(operand.llvm))
            case ast.Invert() if whole(operand) and operand.dtype != "b1":
                dtype = "i64" if operand.dtype[0] == "i" else "u64"
                return Value(dtype, self.builder.not_(
                    converted(self.builder, operand, dtype).llvm))
        raise OutsideError(f"{type(expression.op).__name__} of {operand.dtype}")

    def value_BinOp(self, expression: ast.BinOp) -> Value:
        left = self.value(expression.left)
        return arithmetic(self.builder, expression.op, left, self.value(expression.right))

    def value_Compare(self, expression: ast.Compare) -> Value:
        left, found = self.value(expression.left), None
        for operator, right in zip(expression.ops, expression.comparators, strict=True):
            after = self.value(right)
            one = compared(self.builder, operator, left, after).llvm
            found, left = one if found is None else self.builder.and_(found, one), after
        return Value("b1", found)

    def truth(self, expression: ast.expr) -> Any:
        """A condition as an i1."""
        value = self.value(expression)
        if value.dtype != "b1":
            raise OutsideError(f"{value.dtype} as a condition")
        return value.llvm

    def value_BoolOp(self, expression: ast.BoolOp) -> Value:
        """`a and b`: both where that has no effect and costs little, else `b` only if it counts."""
        found, every = self.truth(expression.values[0]), isinstance(expression.op, ast.And)
        for operand in expression.values[1:]:
            if plain(operand):
                combine = self.builder.and_ if every else self.builder.or_
                found = combine(found, self.truth(operand))
                continue
            before, more, after = self.builder.block, self.block("more"), self.block("known")
            self.builder.cbranch(found, *((more, after) if every else (after, more)))
            self.builder.position_at_end(more)
            other = self.truth(operand)
            last = self.builder.block
            self.builder.branch(after)
            self.builder.position_at_end(after)
            found = self.merged(LLVM["b1"], (found, before), (other, last))
        return Value("b1", found)

    def merged(self, kind: Any, *ways: tuple[Any, Any]) -> Any:
        joined = self.builder.phi(kind)
        for value, block in ways:
            joined.add_incoming(value, block)
        return joined

    def value_IfExp(self, expression: ast.IfExp) -> Value:
        """`a if condition else b`: only the one that is taken is computed."""
        condition = self.truth(expression.test)
        then, other, after = self.block("if"), self.block("else"), self.block("either")
        self.builder.cbranch(condition, then, other)
        ways, dtypes = [], []
        for block, operand in ((then, expression.body), (other, expression.orelse)):
            self.builder.position_at_end(block)
            value = self.value(operand)
            dtypes.append(value.dtype)
            ways.append((value.llvm, self.builder.block))
            self.builder.branch(after)
        if dtypes[0] != dtypes[1] or dtypes[0] not in LLVM:
            raise OutsideError(f"{dtypes[0]} or {dtypes[1]}")
        self.builder.position_at_end(after)
        return Value(dtypes[0], self.merged(LLVM[dtypes[0]], *ways))

    def value_Subscript(self, expression: ast.Subscript) -> Value:
        place, dtype = self.element(expression)
        found = self.builder.load(place, typ=LLVM[dtype], align=alignment(expression))
        return Value(dtype, found)

    def element(self, expression: ast.Subscript) -> tuple[Any, str]:
        """The address of an element, and its dtype."""
        base, index = self.value(expression.value), self.value(expression.slice)
        if not isinstance(base.dtype, str) or not base.dtype.endswith("*") or not whole(index):
            raise OutsideError(f"{base.dtype}[{index.dtype}]")
        dtype = base.dtype[:-1]
        place = converted(self.builder, index, "i64").llvm
        return self.builder.gep(base.llvm, [place], inbounds=True,
                                source_etype=LLVM[dtype]), dtype

    def value_Call(self, expression: ast.Call) -> Value:
        if not isinstance(expression.func, ast.Name) or expression.keywords:
            raise OutsideError("this form of a call")
        name = expression.func.id
        if name in self.names or name in self.slots:
            raise OutsideError(f"a call of the variable {name}")
        values = [self.value(a) for a in expression.args]
        if self.scope.defines(name):
            return self.called(name, values)
        if name in self.scope.primitives:
            return self.primitive(self.scope.primitives[name], values)
        if name in self.scope.tiles:
            return self.tile(self.scope.tiles[name], values)
        raise OutsideError(f"a call of {name}")

    def called(self, name: str, values: Sequence[Value]) -> Value:
        types = tuple(v.dtype for v in values)
        if not all(isinstance(t, str) for t in types):
            raise OutsideError(f"a tuple given to {name}")
        found = self.calls[f"{name}{types}"] = self.scope.function(name, types)
        made = call_intrinsic(self.builder, found.symbol, llvm_type(found.result),
                              [v.llvm for v in values])
        return Value(found.result, made)

    def primitive(self, primitive: Primitive, values: Sequence[Value]) -> Value:
        """A call of a primitive; of a number a cast to a float is one, too."""
        types = tuple(v.dtype for v in values)
        try:
            result = primitive.result(types)
        except (PrimitiveError, TypeError, IndexError) as error:
            raise OutsideError(str(error)) from None
        literals = [v.literal for v in values]
        if primitive.name in FLOATS and literals[0] is not None:
            return number(literals[0], primitive.name)
        if primitive.literal and not isinstance(literals[0], int):
            raise OutsideError(f"the size given to {primitive.name} must be a literal")
        emit = primitive.emit
        if not self.scope.has_f16 and primitive.without_f16c is not None:
            emit = primitive.without_f16c
        operands = literals if primitive.literal else [v.llvm for v in values]
        return Value(result, emit(self.builder, types, operands))

    def tile(self, tile: TileText, values: Sequence[Value]) -> Value:
        expected = tuple(p if not p.endswith("*") else STORED.get(p[:-1], p[:-1]) + "*"
                         for p in tile.params)
        got = tuple(str(v.dtype) for v in values)
        if got != expected:
            raise OutsideError(f"tile {tile.name} takes ({', '.join(tile.params)}), "
                               f"got ({', '.join(got)})")
        made = call_intrinsic(self.builder, tile.name, LLVM[tile.result],
                              [v.llvm for v in values])
        return Value(tile.result, made)


def alignment(expression: ast.Subscript) -> int | None:
    """Bytes to which an element is aligned, where who made the text ready has said so; else None:
    its own size."""
    found: int = getattr(expression, "aligned", 0)
    return found or None
