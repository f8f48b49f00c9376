"""Rules of selection, comparison, bits and conversion."""

from __future__ import annotations

from dlc.passes.rules.arithmetic import rule
from dlc.reference.rewrite import Rule

_SELF = {"eq": True, "le": True, "ge": True, "ne": False, "lt": False, "gt": False}
_NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}

LOGIC: tuple[Rule, ...] = (
    rule("where(True, a, b) -> a"),
    rule("where(False, a, b) -> b"),
    rule("where(c, a, a) -> a"),
    rule("where(not_(c), a, b) -> where(c, b, a)"),
    rule("where(c, where(c, a, b), d) -> where(c, a, d)"),
    rule("where(c, a, where(c, b, d)) -> where(c, a, d)"),
    rule("where(c, True, False) -> c"),
    rule("where(c, False, True) -> not_(c)"),
    rule("not_(not_(x)) -> x"),
    rule("not_(eq(a, b)) -> ne(a, b)"),
    rule("not_(ne(a, b)) -> eq(a, b)"),
    # a comparison with NaN is false, and so is its opposite
    *(rule(f"not_({a}(a, b)) -> {b}(a, b)", "not a.dtype.is_float") for a, b in _NEGATED.items()),
    *(rule(f"{op}(x, x) -> {answer}", "not x.dtype.is_float") for op, answer in _SELF.items()),
    rule("and_(x, x) -> x"),
    rule("or_(x, x) -> x"),
    rule("xor(x, x) -> 0"),
    rule("and_(x, True) -> x"),
    rule("and_(x, False) -> False"),
    rule("or_(x, True) -> True"),
    rule("or_(x, False) -> x"),
    rule("xor(x, False) -> x"),
    rule("xor(x, True) -> not_(x)"),
    rule("and_(x, 0) -> 0"),
    rule("or_(x, 0) -> x"),
    rule("xor(x, 0) -> x"),
    rule("shl(x, 0) -> x"),
    rule("shr(x, 0) -> x"),
    rule("cast(x, dtype=p) -> x", "x.dtype is p", examples=("x: f32[144]; p = f32",)),
    rule("cast(cast(x, dtype=p), dtype=q) -> cast(x)", "lossless(x.dtype, p, q)",
         examples=("x: f16[144]; p = f32; q = i32", "x: i32[144]; p = i64; q = u8",
                   "x: u8[144]; p = bf16; q = f64", "x: bool[144]; p = f32; q = bool",
                   "x: bf16[144]; p = f32; q = bf16", "x: i32[144]; p = f64; q = f32",
                   "x: u32[144]; p = f64; q = i64")),
    # only gradients look at it, and this runs on what is no longer differentiated
    rule("stop_gradient(x) -> x"),
)
