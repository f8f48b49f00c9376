"""Rules of arithmetic that hold for every float, including NaN and infinities."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.registry import REGISTRY
from dlc.passes.rules.names import NAMES
from dlc.reference.rewrite import Grade, Rule
from dlc.reference.rewrite import rule as _rule


def rule(text: str, where: str = "", grade: Grade = Grade.EXACT,
         examples: Sequence[str] = ()) -> Rule:
    """A rule that may call rule_names."""
    return _rule(text, where, grade, examples, NAMES)


_COMMUTATIVE = tuple(name for name, op in REGISTRY.items() if op.commutative)
_MIRRORED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}

ARITHMETIC: tuple[Rule, ...] = (
    # constants stand on the right
    *(rule(f"{op}(C, x) -> {op}(x, C)", "not is_constant(x)") for op in _COMMUTATIVE),
    *(rule(f"{a}(C, x) -> {b}(x, C)", "not is_constant(x)") for a, b in _MIRRORED.items()),
    # neutral elements; -0.0 + 0 is 0.0, the one freedom that an exact rule has
    rule("add(x, 0) -> x"),
    rule("sub(x, 0) -> x"),
    rule("sub(0, x) -> neg(x)"),
    rule("mul(x, 1) -> x"),
    rule("div(x, 1) -> x"),
    rule("floordiv(x, 1) -> x", "x.dtype.is_integer"),
    rule("pow(x, 1) -> x"),
    rule("pow(x, 0) -> 1"),
    # a float times 0 is NaN for infinities, so these are for integers
    rule("mul(x, 0) -> 0", "x.dtype.is_integer"),
    rule("sub(x, x) -> 0", "x.dtype.is_integer"),
    # signs move outwards, where they meet and cancel
    rule("neg(neg(x)) -> x"),
    rule("mul(x, -1) -> neg(x)"),
    rule("div(x, -1) -> neg(x)"),
    rule("add(a, neg(b)) -> sub(a, b)"),
    rule("add(neg(a), b) -> sub(b, a)"),
    rule("sub(a, neg(b)) -> add(a, b)"),
    rule("neg(sub(a, b)) -> sub(b, a)"),
    rule("mul(neg(a), neg(b)) -> mul(a, b)"),
    rule("div(neg(a), neg(b)) -> div(a, b)"),
    rule("mul(neg(x), C) -> mul(x, constant(-C))", "x.dtype.is_float"),
    rule("div(neg(x), C) -> div(x, constant(-C))"),
    rule("neg(mul(x, C)) -> mul(x, constant(-C))", "x.dtype.is_float"),
    rule("neg(div(x, C)) -> div(x, constant(-C))"),
    rule("mul(neg(a), b) -> neg(mul(a, b))"),
    rule("mul(a, neg(b)) -> neg(mul(a, b))"),
    rule("div(neg(a), b) -> neg(div(a, b))"),
    rule("div(a, neg(b)) -> neg(div(a, b))"),
    rule("abs(abs(x)) -> abs(x)"),
    rule("abs(neg(x)) -> abs(x)", "x.dtype.is_float"),
    # scaling by powers of two rounds nowhere
    rule("div(x, C) -> mul(x, constant(1 / C))", "power_of_two(C) and fits(1 / C, x.dtype)",
         examples=("x: f32[144]; C = 8", "x: f16[144]; C = -0.25", "x: f64[144]; C = 1024.0")),
    rule("mul(mul(x, A), B) -> mul(x, constant(A * B))",
         "x.dtype.is_float and power_of_two(A) and abs(A) >= 1 and abs(B) >= 1 "
         "and fits(A * B, x.dtype)",
         examples=("x: f32[144]; A = 2; B = 3.3", "x: f16[144]; A = -4; B = 1.5")),
    # integers wrap, so their constants always combine
    rule("add(add(x, A), B) -> add(x, constant(wrapped(A + B, x.dtype)))", "x.dtype.is_integer",
         examples=("x: i32[144]; A = 2147483647; B = 2", "x: u8[144]; A = 200; B = 100")),
    rule("mul(mul(x, A), B) -> mul(x, constant(wrapped(A * B, x.dtype)))", "x.dtype.is_integer",
         examples=("x: i32[144]; A = 65537; B = -40000", "x: u32[144]; A = 65537; B = 65536")),
    # extremes
    rule("maximum(x, x) -> x"),
    rule("minimum(x, x) -> x"),
    rule("maximum(maximum(x, A), B) -> maximum(x, constant(max(A, B)))", "A == A and B == B",
         examples=("x: f32[144]; A = 0.5; B = 2", "x: i32[144]; A = 3; B = -1")),
    rule("minimum(minimum(x, A), B) -> minimum(x, constant(min(A, B)))", "A == A and B == B",
         examples=("x: f32[144]; A = 0.5; B = 2", "x: i32[144]; A = 3; B = -1")),
    # a product is nearer to the true power than a library's pow
    rule("pow(x, 2) -> mul(x, x)", grade=Grade.ROUNDING),
    rule("pow(x, -1) -> div(1, x)", "x.dtype.is_float", grade=Grade.ROUNDING),
)
