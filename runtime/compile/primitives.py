"""The primitives of kernel texts: for each a typing rule, its LLVM instructions, a plain body.

A compiled kernel text takes the LLVM side (expressions.py); the same text run in plain Python takes
the plain side. Both give the same bits, except that a reduction (radd, rmul) may be summed in
another order. Types are named f32 f64 i8 .. i64 u8 .. u64 b1 (a comparison's result),
pointers with a star.

Out-of-range casts of floats to integers saturate and NaN gives 0. minimum, maximum, rmin and rmax
give NaN if an operand is NaN and hold -0 < +0 (IEEE 754-2019 minimum and maximum).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from dlc.runtime.compile import halves, plain

Emit = Callable[[Any, tuple[str, ...], list[Any]], Any]  # (IRBuilder, dtype names, operands)

FLOATS = ("f32", "f64")
INTS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")
NUMBERS = (*FLOATS, *INTS)
LLVM = {"f32": ir.FloatType(), "f64": ir.DoubleType(), "b1": ir.IntType(1), "void": ir.VoidType(),
        **{name: ir.IntType(int(name[1:])) for name in INTS}}


class PrimitiveError(TypeError):
    """A primitive applied to operands that it does not take."""


@dataclass(frozen=True)
class Primitive:
    """One primitive: `result` maps operand types to the result's and raises PrimitiveError.

    `literal` asks for the value of the first operand at compile time (passed to emit as an int);
    `without_f16c` is what to emit where the machine has no instructions for f16.
    """

    name: str
    result: Callable[[tuple[str, ...]], str]
    emit: Emit
    plain: Callable[..., Any]
    literal: bool = False
    without_f16c: Emit | None = None


def bits(dtype: str) -> int:
    """The width of dtype in bits."""
    return int(dtype[1:])


def _refuse(name: str, takes: str, got: tuple[str, ...]) -> PrimitiveError:
    return PrimitiveError(f"{name} takes {takes}, got ({', '.join(got)})")


def _same(name: str, count: int, allowed: tuple[str, ...]) -> Callable[[tuple[str, ...]], str]:
    """The rule of an operation on `count` operands of one `allowed` type, which is the result's."""
    def rule(got: tuple[str, ...]) -> str:
        if len(got) != count or len(set(got)) != 1 or got[0] not in allowed:
            one = "one operand of" if count == 1 else f"{count} operands of one type among"
            raise _refuse(name, f"{one} {' '.join(allowed)}", got)
        return got[0]
    return rule


def fixed(name: str, takes: tuple[tuple[str, ...], ...], result: str,
           ) -> Callable[[tuple[str, ...]], str]:
    """The rule of an operation whose k-th operand is of a type in `takes[k]`."""
    def rule(got: tuple[str, ...]) -> str:
        ok = len(got) == len(takes) and all(g in t for g, t in zip(got, takes, strict=True))
        if not ok:
            raise _refuse(name, ", ".join("/".join(t) for t in takes) or "nothing", got)
        return result
    return rule


def call_intrinsic(builder: Any, name: str, result: Any, operands: list[Any]) -> Any:
    """A call of the LLVM intrinsic or C function `name`, declared on first use."""
    module = builder.module
    function = module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(result, [operand.type for operand in operands])
        function = ir.Function(module, kind, name)
    return builder.call(function, operands)


def _intrinsic(stem: str) -> Emit:
    """Emit llvm.<stem>.<type> on operands of one type."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        suffix = f"{'f' if types[0] in FLOATS else 'i'}{bits(types[0])}"
        return call_intrinsic(builder, f"llvm.{stem}.{suffix}", operands[0].type, operands)
    return emit


def _copysign(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """The size of the first operand with the sign of the second.

    In f64 by a choice: of llvm.copysign whose result is rounded to f16, instruction selection on
    x86 would round the sign's f64 to f16 by itself, a call of __truncdfhf2 that nothing links.
    """
    if types[0] != "f64":
        return _intrinsic("copysign")(builder, types, operands)
    size = _intrinsic("fabs")(builder, types, operands[:1])
    word = builder.bitcast(operands[1], LLVM["i64"])
    negative = builder.icmp_signed("<", word, ir.Constant(LLVM["i64"], 0))
    return builder.select(negative, builder.fneg(size), size)


# ---- casts -----------------------------------------------------------------------------------

def emit_cast(builder: Any, source: str, target: str, value: Any) -> Any:
    """Convert `value` between two numeric types (or from b1); floats to integers saturate."""
    kind = LLVM[target]
    if source == target:
        return value
    if source in FLOATS and target in FLOATS:
        wider = bits(target) > bits(source)
        return builder.fpext(value, kind) if wider else builder.fptrunc(value, kind)
    if source in FLOATS:
        return _saturated(builder, source, target, value)
    if target in FLOATS:
        signed = source[0] == "i"
        return builder.sitofp(value, kind) if signed else builder.uitofp(value, kind)
    if bits(target) < bits(source):
        return builder.trunc(value, kind)
    if bits(target) == bits(source):
        return value
    return builder.sext(value, kind) if source[0] == "i" else builder.zext(value, kind)


def _saturated(builder: Any, source: str, target: str, value: Any) -> Any:
    """Float to integer: the nearest integer towards zero, clamped; NaN is 0.

    LLVM's own fptosi.sat does not vectorize on x86, compares and selects do. The conversion is
    poison out of range, and a select drops the poison of the operand it does not take.
    """
    signed, kind, width = target[0] == "i", LLVM[target], bits(target)
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1)) if signed else (0, 2 ** width)
    result = builder.fptosi(value, kind) if signed else builder.fptoui(value, kind)

    def limit(operation: str, bound: int, replacement: int, result: Any) -> Any:
        over = builder.fcmp_ordered(operation, value, ir.Constant(LLVM[source], float(bound)))
        return builder.select(over, ir.Constant(kind, replacement), result)
    result = limit(">=", high, high - 1, result)
    result = limit("<=", low, low, result)
    nan = builder.fcmp_unordered("uno", value, value)
    return builder.select(nan, ir.Constant(kind, 0), result)


def _cast(target: str) -> Primitive:
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        return emit_cast(builder, types[0], target, operands[0])
    return Primitive(target, fixed(target, ((*NUMBERS, "b1"),), target), emit, plain.CASTS[target])


def _bitcast(target: str, sources: tuple[str, ...]) -> Primitive:
    name = f"bitcast_{target}"

    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        same = operands[0].type == LLVM[target]
        return operands[0] if same else builder.bitcast(operands[0], LLVM[target])
    return Primitive(name, fixed(name, (sources,), target), emit, plain.BITCASTS[target])


# ---- arithmetic ------------------------------------------------------------------------------

def _reassociated(operation: str) -> Emit:
    """A float operation that LLVM may reorder: what lets a reduction vectorize."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        if types[0] in FLOATS:
            return getattr(builder, f"f{operation}")(*operands, flags=("reassoc",))
        return getattr(builder, operation)(*operands)
    return emit


def _extremum(which: str) -> Emit:
    """llvm.minimum/maximum for floats, llvm.smin/umin/... for integers."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        if types[0] in FLOATS:
            return _intrinsic(f"{which}imum")(builder, types, operands)
        return _intrinsic(types[0].replace("i", "s")[0] + which)(builder, types, operands)
    return emit


def _absolute(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    if types[0] in FLOATS:
        return _intrinsic("fabs")(builder, types, operands)
    name = f"llvm.abs.i{bits(types[0])}"
    wraps = ir.Constant(ir.IntType(1), 0)
    return call_intrinsic(builder, name, operands[0].type, [operands[0], wraps])


def _divide(operation: str) -> Emit:
    """Division of non-negative integers: no sign correction and no zero check."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        return getattr(builder, operation)(*operands)
    return emit


def _mulhi(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    wide = ir.IntType(64)
    a, b = (builder.zext(operand, wide) for operand in operands)
    return builder.trunc(builder.lshr(builder.mul(a, b), ir.Constant(wide, 32)), LLVM["u32"])


def _select_rule(got: tuple[str, ...]) -> str:
    if len(got) != 3 or got[0] != "b1" or got[1] != got[2]:
        raise _refuse("select", "a condition and two values of one type", got)
    return got[1]


def _select(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    return builder.select(*operands)


# ---- memory --------------------------------------------------------------------------------------

def _at_rule(got: tuple[str, ...]) -> str:
    if len(got) != 2 or not got[0].endswith("*") or got[1] != "i64":
        raise _refuse("at", "a pointer and an i64", got)
    return got[0]


def _at(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    return builder.gep(operands[0], [operands[1]], source_etype=LLVM[types[0][:-1]])


SPACES = ("local", "shared", "thread")
"""A position's own, a CUDA block's, and a block's with a part for each thread: one on a CPU."""


def _local(dtype: str, name: str) -> Primitive:
    """A stack buffer of a literal number of elements, aligned to 64 bytes, contents undefined."""
    def emit(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
        with builder.goto_entry_block():
            buffer = builder.alloca(LLVM[dtype], ir.Constant(ir.IntType(64), operands[0]))
        buffer.align = 64
        return buffer
    return Primitive(name, fixed(name, (("i64",),), f"{dtype}*"), emit, plain.LOCALS[dtype],
                     literal=True)


def _numeric() -> list[Primitive]:
    """Arithmetic primitives: one entry each, in the order of docs/design/runtime.md."""
    def unary(name: str, body: Callable[..., Any], emit: Emit | None = None,
              allowed: tuple[str, ...] = FLOATS) -> Primitive:
        return Primitive(name, _same(name, 1, allowed), emit or _intrinsic(name), body)

    def binary(name: str, body: Callable[..., Any], emit: Emit,
               allowed: tuple[str, ...] = NUMBERS) -> Primitive:
        return Primitive(name, _same(name, 2, allowed), emit, body)

    return [
        Primitive("fma", _same("fma", 3, FLOATS), _intrinsic("fma"), plain.fma),
        binary("radd", plain.add, _reassociated("add")),
        binary("rmul", plain.multiply, _reassociated("mul")),
        binary("rmin", plain.minimum, _extremum("min")),
        binary("rmax", plain.maximum, _extremum("max")),
        binary("minimum", plain.minimum, _extremum("min")),
        binary("maximum", plain.maximum, _extremum("max")),
        binary("min", min, _extremum("min"), INTS),
        binary("max", max, _extremum("max"), INTS),
        binary("copysign", plain.copysign, _copysign, FLOATS),
        unary("sqrt", plain.sqrt), unary("floor", plain.floor), unary("ceil", plain.ceil),
        unary("rint", plain.rint), unary("trunc", plain.trunc),
        unary("abs", plain.absolute, _absolute, (*FLOATS, "i8", "i16", "i32", "i64")),
        binary("idiv", plain.idiv, _divide("udiv"), INTS),
        binary("imod", plain.imod, _divide("urem"), INTS),
        Primitive("mulhi_u32", _same("mulhi_u32", 2, ("u32",)), _mulhi, plain.mulhi_u32),
        Primitive("select", _select_rule, _select, plain.select),
    ]


def _conversions() -> list[Primitive]:
    words = ("f32", "i32", "u32")
    widen, narrow = ((("u16",),), "f32"), ((("f32",),), "u16")
    sixteen = (("f16_to_f32", widen, halves.f16_to_f32, halves.f16_to_f32_integer),
               ("f32_to_f16", narrow, halves.f32_to_f16, halves.f32_to_f16_integer),
               ("bf16_to_f32", widen, halves.bf16_to_f32, None),
               ("f32_to_bf16", narrow, halves.f32_to_bf16, None))
    return [
        *[_cast(d) for d in NUMBERS],
        *[_bitcast(d, words) for d in words],
        *[_bitcast(d, ("i16", "u16")) for d in ("i16", "u16")],
        *[_bitcast(d, ("i8", "u8")) for d in ("i8", "u8")],
        *[_bitcast(d, ("f64", "i64", "u64")) for d in ("f64", "i64", "u64")],
        *[Primitive(name, fixed(name, *rule), emit, getattr(plain, name), without_f16c=portable)
          for name, rule, emit, portable in sixteen],
    ]


def _memory() -> list[Primitive]:
    locals_ = [*(_local(d, f"{space}_{d}") for space in SPACES for d in NUMBERS),
               *(_local("u8", f"{space}_bool") for space in SPACES)]
    return [Primitive("at", _at_rule, _at, plain.at), *locals_]


PRIMITIVES: dict[str, Primitive] = {
    p.name: p for p in (*_conversions(), *_numeric(), *_memory())}

# Floats that have no literal; f32(inf) is a constant of the generated code like f32(1.0).
CONSTANTS = {"inf": math.inf, "nan": math.nan}
