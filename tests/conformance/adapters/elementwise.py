"""torch's elementwise operators in dlc's DSL."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc.graph import Node
from tests.conformance.adapters.registry import add, cast_to, covers, number

INTEGERS = ("int32", "int64", "bool")
COUNTED = ("float32", "int32", "int64")
LARGEST = 3.4028234663852886e38

# --- one operand ----------------------------------------------------------------------------------


def trunc(x: Node) -> Node:
    return dlc.where(x < 0, dlc.ceil(x), dlc.floor(x))


def itself(x: Node, **_: Any) -> Node:
    return x


for names, function in {
    "ceil": dlc.ceil, "cos": dlc.cos, "erf": dlc.erf, "exp": dlc.exp, "expm1": dlc.expm1,
    "floor": dlc.floor, "isfinite": dlc.isfinite, "log": dlc.log, "log1p": dlc.log1p,
    "round": dlc.round, "rsqrt": dlc.rsqrt, "sigmoid": dlc.sigmoid, "sin": dlc.sin,
    "sqrt": dlc.sqrt, "tanh": dlc.tanh, "trunc": trunc, "reciprocal": lambda x: 1.0 / x,
    "clone contiguous conj conj_physical resolve_conj resolve_neg real alias_copy": itself,
    "isnan": lambda x: x != x, "isinf": lambda x: dlc.abs(x) == math.inf,
    "isposinf": lambda x: x == math.inf, "isneginf": lambda x: x == -math.inf,
    "frac": lambda x: x - trunc(x),
    "rad2deg": lambda x: x * (180 / math.pi), "deg2rad": lambda x: x * (math.pi / 180),
    "cosh": lambda x: (dlc.exp(x) + dlc.exp(-x)) * 0.5, "tan": lambda x: dlc.sin(x) / dlc.cos(x),
    "log2": lambda x: dlc.log(x) * (1 / math.log(2)),
    "log10": lambda x: dlc.log(x) * (1 / math.log(10)), "exp2": lambda x: dlc.power(2.0, x),
}.items():
    add(names, function)
for names, function in {
    "abs": dlc.abs, "sign sgn": dlc.sign, "square": dlc.square, "neg": lambda x: -x,
    "positive": itself, "logical_not": lambda x: x == 0,
    "float": lambda x, **_: dlc.cast(x, dlc.f32), "double": lambda x, **_: dlc.cast(x, dlc.f64),
    "half": lambda x, **_: dlc.cast(x, dlc.f16), "bfloat16": lambda x, **_: dlc.cast(x, dlc.bf16),
    "int": lambda x, **_: dlc.cast(x, dlc.i32), "long": lambda x, **_: dlc.cast(x, dlc.i64),
    "bool": lambda x, **_: x != 0,
}.items():
    add(names, function, dtypes=COUNTED)
add("bitwise_not", lambda x: x ^ -1 if x.dtype.is_integer else ~x, dtypes=INTEGERS)


@covers("sinh")
def sinh(x: Node) -> Node:
    e = dlc.expm1(dlc.abs(x))
    size = (e + e / (e + 1.0)) * 0.5
    return dlc.where(x < 0, -size, size)


@covers("nan_to_num")
def nan_to_num(x: Node, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Node:
    high = LARGEST if posinf is None else posinf
    low = -LARGEST if neginf is None else neginf
    finite = dlc.where(x == math.inf, high, dlc.where(x == -math.inf, low, x))
    return dlc.where(x != x, 0.0 if nan is None else nan, finite)


@covers("logit")
def logit(x: Node, eps: Any = None) -> Node:
    p = x if eps is None else dlc.clip(x, eps, 1 - eps)
    return dlc.log(p / (1.0 - p))


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
add("div/trunc_rounding", lambda a, b, rounding_mode: trunc(a / b))
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
    "hypot": lambda a, b: dlc.sqrt(a * a + b * b),
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
    "logical_and": lambda a, b: (a != 0) & (b != 0), "logical_or": lambda a, b: (a != 0) | (b != 0),
    "logical_xor": lambda a, b: (a != 0) ^ (b != 0),
}.items():
    add(names, function, dtypes=("float32", *INTEGERS))


@covers("fmod")
def fmod(a: Node, b: Node) -> Node:
    """The remainder with the dividend's sign."""
    size = dlc.abs(a) % dlc.abs(b)
    return dlc.where(a < 0, -size, size)


@covers("fmax")
def fmax(a: Node, b: Node) -> Node:
    return dlc.where(a != a, b, dlc.where(b != b, a, dlc.maximum(a, b)))


@covers("fmin")
def fmin(a: Node, b: Node) -> Node:
    return dlc.where(a != a, b, dlc.where(b != b, a, dlc.minimum(a, b)))


@covers("xlogy")
def xlogy(a: Node, b: Node) -> Node:
    """a * log(b), 0 where a is 0."""
    zero = (a == 0) & (b == b)
    return dlc.where(zero, 0.0, a * dlc.log(dlc.where(zero, 1.0, b)))


@covers("special.xlog1py")
def xlog1py(a: Node, b: Node) -> Node:
    zero = (a == 0) & (b == b)
    return dlc.where(zero, 0.0, a * dlc.log1p(dlc.where(zero, 0.0, b)))


@covers("logaddexp")
def logaddexp(a: Node, b: Node) -> Node:
    return dlc.logsumexp(stacked(a, b), 0)


@covers("logaddexp2")
def logaddexp2(a: Node, b: Node) -> Node:
    two = math.log(2)
    return dlc.logsumexp(stacked(a * two, b * two), 0) * (1 / two)


def stacked(a: Node, b: Node) -> Node:
    """Both, broadcast together, along a new first axis."""
    shape = (a + b).shape
    wide = [dlc.broadcast_to(v, shape) for v in (a, b)]
    return dlc.concat([v.reshape(1, *shape) for v in wide], 0)


@covers("heaviside")
def heaviside(a: Node, b: Node) -> Node:
    return dlc.where(a == 0, b, dlc.where(a > 0, 1.0, dlc.where(a < 0, 0.0, a)))


@covers("isclose")
def isclose(a: Node, b: Node, rtol: float = 1e-5, atol: float = 1e-8,
            equal_nan: bool = False) -> Node:
    close = (dlc.abs(a - b) <= atol + rtol * dlc.abs(b)) & dlc.isfinite(b)
    same = (a == b) | close
    return same | ((a != a) & (b != b)) if equal_nan else same


# --- three operands -------------------------------------------------------------------------------


@covers("clamp", dtypes=COUNTED)
def clamp(x: Node, min: Any = None, max: Any = None) -> Node:
    x = x if min is None else dlc.maximum(x, min)
    return x if max is None else dlc.minimum(x, max)


add("where", lambda x, condition, other: dlc.where(condition, x, other), dtypes=COUNTED)
add("masked_fill", lambda x, mask, value: dlc.where(mask, value, x), dtypes=COUNTED)
add("lerp", lambda a, b, weight: a + (b - a) * weight)
add("addcmul", lambda x, a, b, value=1: x + a * b * value)
add("addcdiv", lambda x, a, b, value=1: x + a / b * value)
add("full_like", lambda x, value, **more: dlc.where(
    x == x, cast_to(dlc.asarray(float(value)), more.get("dtype")), value))
add("zeros_like", lambda x, **more: cast_to(x, more.get("dtype")) * 0)
add("ones_like", lambda x, **more: cast_to(x, more.get("dtype")) * 0 + 1)
