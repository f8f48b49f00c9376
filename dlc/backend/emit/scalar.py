"""Scalars: the builder `k` that an operator's `emit` receives; it makes loop-IR expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dlc.backend.ir import Binary, Call, Expression, Negative, Number, computing
from dlc.backend.ir.whole import settled
from dlc.ir.types import DType, Type, bf16, bool_, f16, f32, f64, i32, i64, u16, u32, u64

PRIMITIVES = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "abs": "abs", "round": "rint",
              "maximum": "maximum", "minimum": "minimum", "trunc": "trunc",
              "copysign": "copysign"}


class Typed(Protocol):
    """What has a type: a node, or what stands in for one."""

    type: Type


class ScalarBuilder:
    """Makes expressions of the loop IR, each in the outermost loop where its operands are known."""

    def __init__(self, let: Callable[[str, Expression], Expression]) -> None:
        self.let = let  # (hint, value) -> a reference to the value under a name

    def number(self, value: float, dtype: DType) -> Number:
        return Number(value, computing(dtype))

    def is_zero(self, x: Expression) -> bool:
        """Whether `x` is known to be 0."""
        return isinstance(x, Number) and x.value == 0

    def binary(self, sign: str, a: Expression, b: Expression) -> Expression:
        return settled(Binary(sign, a, b, a.dtype, max(a.level, b.level)))

    def compare(self, sign: str, a: Expression, b: Expression) -> Expression:
        return settled(Binary(sign, a, b, bool_, max(a.level, b.level)))

    def or_(self, a: Expression, b: Expression) -> Expression:
        return self.binary("|", a, b)

    def logical_not(self, x: Expression) -> Expression:
        return self.compare("==", x, Number(False, bool_))

    def negate(self, x: Expression) -> Expression:
        if x.dtype.is_float:
            return Negative(x, x.dtype, x.level)
        return self.binary("-", Number(0, x.dtype), x)

    def select(self, condition: Expression, a: Expression, b: Expression) -> Expression:
        level = max(condition.level, a.level, b.level)
        if a.dtype is bool_:
            # booleans have no select: (c & a) | (~c & b)
            kept = self.binary("&", condition, a)
            return self.or_(kept, self.binary("&", self.logical_not(condition), b))
        return Call("select", (condition, a, b), a.dtype, level)

    def cast(self, x: Expression, dtype: DType) -> Expression:
        to = computing(dtype)
        if x.dtype is to:
            return x
        if to is bool_:
            return self.compare("!=", x, Number(0, x.dtype))
        if dtype in (f16, bf16) and x.dtype in (f64, i64, i32, u64, u32):
            return Call(f"odd_{x.dtype}", (x,), f32, x.level)  # the half's rounding comes after
        return settled(Call(to.name, (x,), to, x.level))

    def bitcast(self, x: Expression, dtype: DType) -> Expression:
        """The bits of x as a dtype of the same width."""
        return x if x.dtype is dtype else Call(f"bitcast_{dtype}", (x,), dtype, x.level)

    def rounded(self, x: Expression, dtype: DType) -> Expression:
        """x as it would be after a store in a half precision; other dtypes unchanged."""
        if dtype.name not in ("f16", "bf16"):
            return x
        stored = Call(f"f32_to_{dtype}", (x,), u16, x.level)
        return Call(f"{dtype}_to_f32", (stored,), f32, x.level)

    def fold(self, primitive: str, a: Expression, b: Expression) -> Expression:
        """One step of a reduction that may be reordered into lanes."""
        if a.dtype is bool_:
            return self.binary("|" if primitive == "rmax" else "&", a, b)
        if primitive in ("rmax", "rmin") and not a.dtype.is_float:
            return settled(Call(primitive[1:], (a, b), a.dtype, max(a.level, b.level)))
        word = Call(primitive, (a, b), a.dtype, max(a.level, b.level))
        return word if a.dtype.is_float or primitive in ("rmax", "rmin") else self.binary(
            "+" if primitive == "radd" else "*", a, b)

    def first_nan(self, x: Expression, best: Expression) -> Expression:
        """x is NaN and best is not yet."""
        if not x.dtype.is_float:
            return Number(False, bool_)
        return self.binary("&", self.compare("!=", x, x), self.compare("==", best, best))

    def same(self, x: Expression, y: Expression) -> Expression:
        """x and y are equal, or both NaN."""
        equal = self.compare("==", x, y)
        if not x.dtype.is_float:
            return equal
        return self.or_(equal, self.binary("&", self.compare("!=", x, x),
                                           self.compare("!=", y, y)))

    def call(self, name: str, *args: Expression) -> Expression:
        """A function of the reals or integers: a primitive, or the prelude's `name_dtype`."""
        dtype, level = args[0].dtype, max(a.level for a in args)
        if name == "isfinite":
            infinity = Number(float("inf"), dtype)
            return self.compare("<", Call("abs", (args[0],), dtype, level), infinity)
        if dtype is bool_:
            raise TypeError(f"{name} has no kernel form for bool")
        if name == "abs" and dtype.category == "uint":
            return args[0]
        if name in ("maximum", "minimum") and not dtype.is_float:
            return settled(Call(name[:3], args, dtype, level))
        function = PRIMITIVES.get(name, f"{name}_{dtype}")
        return Call(function, args, dtype, level)

    def function(self, name: str, args: tuple[Expression, ...], dtype: DType) -> Expression:
        """A call of a custom operator's function, its result brought to `dtype`."""
        to, level = computing(dtype), max((a.level for a in args), default=0)
        found = Call(name, args, to, level)
        return found if to is bool_ else Call(to.name, (found,), to, level)


def result_dtype(node: Typed) -> DType:
    """The dtype in which a kernel holds the value of `node`."""
    return computing(node.type.dtype)
