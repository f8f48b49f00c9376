"""ONNX's elementwise operators: arithmetic, comparison, selection, activations, casts."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import DType, bool_, f32, i8, u8
from dlc.onnx.call import CONVERTERS, Call, Converter, Results, array, chosen, converts, own
from dlc.onnx.proto import dtype_of

# ONNX's operator -> dlc's function of the same meaning
SAME = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin",
    "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh", "Ceil": "ceil", "Cos": "cos",
    "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor", "Log": "log", "Relu": "relu",
    "Round": "round", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh",
    "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh", "Where": "where",
}


def same(name: str) -> Converter:
    """The converter of an operator that dlc has as the function `name`."""
    def convert(call: Call) -> Results:
        result: Node = own(name)(*call.nodes())
        return result

    return convert


for _onnx, _own in SAME.items():
    CONVERTERS["", _onnx] = same(_own)


@converts("Identity")
def identity(call: Call) -> Results:
    return call.operands[0]


@converts("Div")
def div(call: Call) -> Results:
    """Integers are divided towards zero."""
    a, b = call.x(0), call.x(1)
    return truncated(a, b) if a.dtype.is_integer else a / b


def truncated(a: Node, b: Node) -> Node:
    """a / b of integers, towards zero."""
    if a.dtype.category == "uint":
        return a // b
    quotient = dlc.abs(a) // dlc.abs(b)
    return dlc.where((a < 0) ^ (b < 0), -quotient, quotient)


@converts("Pow")
def power(call: Call) -> Results:
    """The result has the base's dtype, whatever the exponent's is."""
    x, y = call.x(0), call.x(1)
    if x.dtype.is_integer and y.dtype.is_integer:
        return integer_power(x, y)
    return dlc.cast(dlc.power(dlc.cast(x, f32) if x.dtype.is_integer else x, dlc.cast(
        y, x.dtype if x.dtype.is_float else f32)), x.dtype)


def integer_power(x: Node, y: Node) -> Node:
    """By squaring, over the bits of the exponent; a negative one gives 0 except of 1 and -1."""
    y = dlc.cast(y, x.dtype)
    result, base = x * 0 + y * 0 + 1, x + y * 0
    for bit in range(6 if x.dtype.bytes == 8 else 5):
        odd = (y >> bit) & 1
        result = dlc.where(odd.cast(bool_), result * base, result)
        base = base * base
    unit = dlc.where(x * x == 1, dlc.where((y & 1).cast(bool_), x, x * x), x * 0)
    return dlc.where(y < 0, unit, result)


@converts("Mod")
def mod(call: Call) -> Results:
    """The sign of the divisor; with fmod of the dividend."""
    x, y = call.x(0), call.x(1)
    if not call.flag("fmod"):
        return x % y
    rest = dlc.abs(x) % dlc.abs(y)
    return dlc.where(x < 0, -rest, rest)


def variadic(function: Any) -> Converter:
    def convert(call: Call) -> Results:
        result: Node = reduce(function, call.nodes())
        return result

    return convert


for _onnx, _function in (
        ("Max", lambda a, b: dlc.maximum(a, b)), ("Min", lambda a, b: dlc.minimum(a, b)),
        ("Add", lambda a, b: a + b), ("Sub", lambda a, b: a - b), ("Mul", lambda a, b: a * b),
        ("Sum", lambda a, b: a + b), ("And", lambda a, b: a & b), ("Or", lambda a, b: a | b),
        ("Xor", lambda a, b: a ^ b), ("Equal", lambda a, b: a == b),
        ("Greater", lambda a, b: a > b), ("Less", lambda a, b: a < b),
        ("GreaterOrEqual", lambda a, b: a >= b), ("LessOrEqual", lambda a, b: a <= b),
        ("BitwiseAnd", lambda a, b: a & b), ("BitwiseOr", lambda a, b: a | b),
        ("BitwiseXor", lambda a, b: a ^ b)):
    CONVERTERS["", _onnx] = variadic(_function)


@converts("Mean")
def mean(call: Call) -> Results:
    total: Node = reduce(lambda a, b: a + b, call.nodes())
    return total * (1.0 / len(call))


@converts("BitShift")
def bit_shift(call: Call) -> Results:
    """By the width or more (a negative number counts as more) all bits leave."""
    x, by = call.x(0), call.x(1)
    if chosen("direction", call.text("direction"), ("LEFT", "RIGHT")) == "LEFT":
        return x << by
    gone = (by < 0) | (by >= 8 * x.dtype.bytes)
    if x.dtype.category == "uint":
        return x >> by
    return dlc.where(gone, dlc.cast(dlc.where(x < 0, -1, 0), x.dtype), x >> by)


@converts("Not")
def not_(call: Call) -> Results:
    return ~call.x()


@converts("BitwiseNot")
def bitwise_not(call: Call) -> Results:
    return call.x() ^ array(-1 if call.x().dtype.category == "int" else np.iinfo(
        call.x().dtype.numpy).max, call.x().dtype)


@converts("Neg")
def neg(call: Call) -> Results:
    return -call.x()


@converts("Reciprocal")
def reciprocal(call: Call) -> Results:
    return 1.0 / call.x()


@converts("IsNaN")
def isnan(call: Call) -> Results:
    return call.x() != call.x()


@converts("IsInf")
def isinf(call: Call) -> Results:
    x = call.x()
    above, below = x == math.inf, x == -math.inf
    up, down = call.flag("detect_positive", True), call.flag("detect_negative", True)
    if up and down:
        return above | below
    return above if up else below if down else (above & below)


@converts("Cast")
def cast(call: Call) -> Results:
    return converted(call.x(), dtype_of(call.integer("to"), "to"))


@converts("BitCast")
def bit_cast(call: Call) -> Results:
    x, kind = call.x(), dtype_of(call.integer("to"), "to")
    if x.dtype is bool_ and kind in (i8, u8):
        return dlc.cast(x, kind)
    return dlc.bitcast(x, kind)


@converts("CastLike")
def cast_like(call: Call) -> Results:
    return converted(call.x(), call.x(1).dtype)


def converted(x: Node, kind: DType) -> Node:
    """To bool: whether it is not 0."""
    if kind is bool_ and x.dtype is not bool_:
        return x != 0
    return dlc.cast(x, kind)


@converts("Clip")
def clip(call: Call) -> Results:
    """The limits are attributes before opset 11."""
    x = call.x()
    low: Any = call.maybe(1) if call.opset >= 11 else call.get("min")
    high: Any = call.maybe(2) if call.opset >= 11 else call.get("max")
    x = x if low is None else dlc.maximum(x, low)
    return x if high is None else dlc.minimum(x, high)


# --- activations ----------------------------------------------------------------------------------


@converts("LeakyRelu")
def leaky_relu(call: Call) -> Results:
    return dlc.where(call.x() < 0, call.x() * call.number("alpha", 0.01), call.x())


@converts("PRelu")
def prelu(call: Call) -> Results:
    return dlc.where(call.x() < 0, call.x() * call.x(1), call.x())


@converts("ThresholdedRelu")
def thresholded_relu(call: Call) -> Results:
    return dlc.where(call.x() > call.number("alpha", 1.0), call.x(), 0.0)


@converts("Elu")
def elu(call: Call) -> Results:
    x = call.x()
    return dlc.where(x < 0, dlc.expm1(dlc.minimum(x, 0.0)) * call.number("alpha", 1.0), x)


@converts("Selu")
def selu(call: Call) -> Results:
    """Klambauer et al. 2017."""
    x, alpha = call.x(), call.number("alpha", 1.67326319217681884765625)
    below = dlc.expm1(dlc.minimum(x, 0.0)) * alpha
    return dlc.where(x > 0, x, below) * call.number("gamma", 1.05070102214813232421875)


@converts("Celu")
def celu(call: Call) -> Results:
    """Barron 2017."""
    x, alpha = call.x(), call.number("alpha", 1.0)
    return dlc.relu(x) + dlc.minimum(dlc.expm1(dlc.minimum(x, 0.0) / alpha) * alpha, 0.0)


@converts("HardSigmoid")
def hard_sigmoid(call: Call) -> Results:
    return dlc.clip(call.x() * call.number("alpha", 0.2) + call.number("beta", 0.5), 0.0, 1.0)


@converts("HardSwish")
def hard_swish(call: Call) -> Results:
    return call.x() * dlc.clip(call.x() * (1 / 6) + 0.5, 0.0, 1.0)


@converts("Softplus")
def softplus(call: Call) -> Results:
    return dlc.nn.softplus(call.x())


@converts("Softsign")
def softsign(call: Call) -> Results:
    return call.x() / (dlc.abs(call.x()) + 1.0)


@converts("Mish")
def mish(call: Call) -> Results:
    return call.x() * dlc.tanh(dlc.nn.softplus(call.x()))


@converts("Swish")
def swish(call: Call) -> Results:
    return call.x() * dlc.sigmoid(call.x() * call.number("alpha", 1.0))


@converts("Shrink")
def shrink(call: Call) -> Results:
    x, edge, bias = call.x(), call.number("lambd", 0.5), call.number("bias", 0.0)
    if x.dtype.is_integer:
        raise DlcError("Shrink of integers")
    return dlc.where(x < -edge, x + bias, dlc.where(x > edge, x - bias, 0.0))


@converts("Gelu")
def gelu(call: Call) -> Results:
    """Hendrycks and Gimpel 2016; with tanh, the approximation of their section 2."""
    x = call.x()
    if chosen("approximate", call.text("approximate", "none"), ("none", "tanh")) == "none":
        return x * 0.5 * (1.0 + dlc.erf(x * math.sqrt(0.5)))
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return x * 0.5 * (1.0 + dlc.tanh(inner))
