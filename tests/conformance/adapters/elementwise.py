"""torch's elementwise operators in dlc's DSL."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import add, cast_to, covers, number

INTEGERS = ("int32", "int64", "bool")
COUNTED = ("float32", "int32", "int64")

# --- one operand ----------------------------------------------------------------------------------


def itself(x: Node, **_: Any) -> Node:
    return x


for names, function in {
    "ceil": dlc.ceil, "cos": dlc.cos, "erf": dlc.erf, "exp": dlc.exp, "expm1": dlc.expm1,
    "floor": dlc.floor, "isfinite": dlc.isfinite, "log": dlc.log, "log1p": dlc.log1p,
    "round": dlc.round, "rsqrt": dlc.rsqrt, "sigmoid": dlc.sigmoid, "sin": dlc.sin,
    "sqrt": dlc.sqrt, "tanh": dlc.tanh, "trunc": dlc.trunc, "reciprocal": dlc.reciprocal,
    "clone contiguous conj conj_physical resolve_conj resolve_neg real alias_copy": itself,
    "isnan": dlc.isnan, "isinf": dlc.isinf,
    "isposinf": lambda x: x == math.inf, "isneginf": lambda x: x == -math.inf,
    "frac": dlc.frac, "rad2deg": dlc.rad2deg, "deg2rad": dlc.deg2rad, "cosh": dlc.cosh,
    "sinh": dlc.sinh, "tan": dlc.tan, "log2": dlc.log2, "log10": dlc.log10, "exp2": dlc.exp2,
}.items():
    add(names, function)
for names, function in {
    "abs": dlc.abs, "sign sgn": dlc.sign, "square": dlc.square, "neg": lambda x: -x,
    "positive": itself, "logical_not": dlc.logical_not,
    "float": lambda x, **_: dlc.cast(x, dlc.f32), "double": lambda x, **_: dlc.cast(x, dlc.f64),
    "half": lambda x, **_: dlc.cast(x, dlc.f16), "bfloat16": lambda x, **_: dlc.cast(x, dlc.bf16),
    "int": lambda x, **_: dlc.cast(x, dlc.i32), "long": lambda x, **_: dlc.cast(x, dlc.i64),
    "bool": lambda x, **_: x != 0,
}.items():
    add(names, function, dtypes=COUNTED)
add("bitwise_not", lambda x: x ^ -1 if x.dtype.is_integer else ~x, dtypes=INTEGERS)


@covers("nan_to_num")
def nan_to_num(x: Node, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Node:
    return dlc.nan_to_num(x, 0.0 if nan is None else nan, posinf, neginf)


@covers("logit")
def logit(x: Node, eps: Any = None) -> Node:
    return dlc.logit(x if eps is None else dlc.clip(x, eps, 1 - eps))


@covers("to")
def to(x: Node, *args: Any, **more: Any) -> Node:
    """to(device, dtype), to(dtype), to(other); a program has one device."""
    for wanted in (*args, *more.values()):
        if isinstance(wanted, Node):
            return dlc.cast(x, wanted.dtype)
        if str(wanted).startswith(("torch.float", "torch.int", "torch.bfloat")):
            return cast_to(x, wanted)
    return x


# --- two operands ---------------------------------------------------------------------------------

add("add", lambda a, b, alpha=1: a + (b if alpha == 1 else b * alpha), dtypes=COUNTED)
add("sub", lambda a, b, alpha=1: a - (b if alpha == 1 else b * alpha), dtypes=COUNTED)
add("rsub", lambda a, b, alpha=1: b - (a if alpha == 1 else a * alpha), dtypes=COUNTED)
add("mul", lambda a, b: a * b, dtypes=COUNTED)
add("maximum max/binary", dlc.maximum, dtypes=COUNTED)
add("minimum min/binary", dlc.minimum, dtypes=COUNTED)
add("clamp_min", dlc.maximum, dtypes=COUNTED)
add("clamp_max", dlc.minimum, dtypes=COUNTED)
add("remainder", lambda a, b: a % b if not number(a) else b.__rmod__(a), dtypes=COUNTED)
add("div/no_rounding_mode true_divide", lambda a, b, rounding_mode=None: a / b, dtypes=COUNTED)
add("div/floor_rounding", lambda a, b, rounding_mode: a // b, dtypes=COUNTED)
add("floor_divide", lambda a, b: a // b, dtypes=COUNTED)
add("div/trunc_rounding", lambda a, b, rounding_mode: dlc.trunc(a / b))
add("pow", lambda a, b: a ** b)
add("float_power", lambda a, b: dlc.cast(a, dlc.f64) ** dlc.cast(b, dlc.f64))
for names, function in {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
    "__radd__": lambda a, b: b + a, "__rmul__": lambda a, b: b * a, "__rsub__": lambda a, b: b - a,
}.items():
    add(names, function, dtypes=COUNTED)
for names, function in {
    "__rdiv__": lambda a, b: b / a, "__rmod__": lambda a, b: b % a, "__rpow__": lambda a, b: b ** a,
    "hypot": dlc.hypot, "fmod": dlc.fmod, "xlogy": dlc.xlogy, "special.xlog1py": dlc.xlog1py,
    "logaddexp": dlc.logaddexp, "logaddexp2": dlc.logaddexp2, "heaviside": dlc.heaviside,
}.items():
    add(names, function)
for names, function in {
    "bitwise_and __rand__": lambda a, b: a & b, "bitwise_or __ror__": lambda a, b: a | b,
    "bitwise_xor __rxor__": lambda a, b: a ^ b,
}.items():
    add(names, function, dtypes=INTEGERS)
add("bitwise_left_shift", lambda a, b: a << b, dtypes=("int32", "int64"))
add("bitwise_right_shift", lambda a, b: a >> b, dtypes=("int32", "int64"))
for names, function in {
    "logical_and": dlc.logical_and, "logical_or": dlc.logical_or, "logical_xor": dlc.logical_xor,
}.items():
    add(names, function, dtypes=("float32", *INTEGERS))


@covers("fmax")
def fmax(a: Node, b: Node) -> Node:
    return dlc.where(a != a, b, dlc.where(b != b, a, dlc.maximum(a, b)))


@covers("fmin")
def fmin(a: Node, b: Node) -> Node:
    return dlc.where(a != a, b, dlc.where(b != b, a, dlc.minimum(a, b)))


@covers("isclose")
def isclose(a: Node, b: Node, rtol: float = 1e-5, atol: float = 1e-8,
            equal_nan: bool = False) -> Node:
    same = dlc.isclose(a, b, rtol, atol)
    return same | (dlc.isnan(a) & dlc.isnan(b)) if equal_nan else same


# --- three operands -------------------------------------------------------------------------------


@covers("clamp", dtypes=COUNTED)
def clamp(x: Node, min: Any = None, max: Any = None) -> Node:
    x = x if min is None else dlc.maximum(x, min)
    return x if max is None else dlc.minimum(x, max)


add("where", lambda x, condition, other: dlc.where(condition, x, other), dtypes=COUNTED)
add("masked_fill", lambda x, mask, value: dlc.where(mask, value, x), dtypes=COUNTED)
add("lerp", dlc.lerp)
add("addcmul", lambda x, a, b, value=1: x + a * b * value)
add("addcdiv", lambda x, a, b, value=1: x + a / b * value)
add("full_like", lambda x, value, **more: dlc.where(
    x == x, cast_to(dlc.asarray(float(value)), more.get("dtype")), value))
add("zeros_like", lambda x, **more: cast_to(x, more.get("dtype")) * 0)
add("ones_like", lambda x, **more: cast_to(x, more.get("dtype")) * 0 + 1)
