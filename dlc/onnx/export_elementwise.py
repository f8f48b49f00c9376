"""How elementwise operators, reductions and leaves of dlc are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.types import bool_, i32, i64, sum_dtype
from dlc.onnx.proto import ONNX_DTYPES
from dlc.onnx.writer import EMITTERS, Emitter, Open, Writer, size_of, writes

# dlc's operator -> ONNX's of the same meaning
SAME = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "asin": "Asin",
    "asinh": "Asinh", "atan": "Atan", "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos",
    "cosh": "Cosh", "div": "Div", "eq": "Equal", "erf": "Erf", "exp": "Exp", "floor": "Floor",
    "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log", "lt": "Less",
    "maximum": "Max", "minimum": "Min", "not_": "Not",
    "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "sinh": "Sinh",
    "sqrt": "Sqrt", "stop_gradient": "Identity", "sub": "Sub", "tan": "Tan", "tanh": "Tanh",
    "where": "Where",
}


def same(operator: str) -> Emitter:
    """The emitter of an operator that ONNX has."""
    def emit(to: Writer, node: Node) -> str:
        return to.emit(operator, *to.loose(node), hint=node.name)

    return emit


EMITTERS.update({own: same(theirs) for own, theirs in SAME.items()})


@writes("eq", "ne")
def equality(to: Writer, node: Node) -> str:
    equal = to.emit("Equal", *to.loose(node))
    return equal if node.op.name == "eq" else to.emit("Not", equal)


@writes("and_", "or_", "xor")
def logic(to: Writer, node: Node) -> str:
    """Of bools; of bits from opset 18 on."""
    name = {"and_": "And", "or_": "Or", "xor": "Xor"}[node.op.name]
    if node.dtype is bool_:
        return to.emit(name, *to.loose(node))
    if to.opset < 18:
        raise DlcError(f"bitwise {node.op.name} needs opset 18", node.loc)
    return to.emit(f"Bitwise{name}", *to.loose(node))


@writes("cast")
def cast(to: Writer, node: Node) -> str:
    return to.emit("Cast", to.operand(node, 0), to=ONNX_DTYPES[node.dtype], hint=node.name)


@writes("rsqrt")
def rsqrt(to: Writer, node: Node) -> str:
    return to.emit("Reciprocal", to.emit("Sqrt", to.operand(node, 0)))


@writes("isfinite")
def isfinite(to: Writer, node: Node) -> str:
    x = to.operand(node, 0)
    return to.emit("Not", to.emit("Or", to.emit("IsInf", x), to.emit("IsNaN", x)))


@writes("expm1")
def expm1(to: Writer, node: Node) -> str:
    """Near 0 by 2 t / (1 - t) with t = tanh(x / 2), which keeps its digits."""
    x, one = to.operand(node, 0), to.scalar(1, node)
    t = to.emit("Tanh", to.emit("Mul", x, to.scalar(0.5, node)))
    near = to.emit("Div", to.emit("Add", t, t), to.emit("Sub", one, t))
    far = to.emit("Sub", to.emit("Exp", x), one)
    return to.emit("Where", to.emit("Less", to.emit("Abs", x), one), near, far)


@writes("log1p")
def log1p(to: Writer, node: Node) -> str:
    """Near 0 by 2 atanh(x / (2 + x)), which keeps its digits."""
    x, half = to.operand(node, 0), to.scalar(0.5, node)
    at = to.emit("Div", x, to.emit("Add", x, to.scalar(2, node)))
    near = to.emit("Atanh", at)
    far = to.emit("Log", to.emit("Add", x, to.scalar(1, node)))
    close = to.emit("Less", to.emit("Abs", x), half)
    return to.emit("Where", close, to.emit("Add", near, near), far)


@writes("floordiv", "rem")
def floor_division(to: Writer, node: Node) -> str:
    """floor(x / y) and what it leaves; ONNX divides integers towards zero."""
    x, y = to.loose(node)
    if node.dtype.is_integer:
        rest = to.emit("Mod", x, y)
        return rest if node.op.name == "rem" else _floored(to, node, x, y, rest)
    floor = to.emit("Floor", to.emit("Div", x, y))
    return floor if node.op.name == "floordiv" else to.emit("Sub", x, to.emit("Mul", y, floor))


def _floored(to: Writer, node: Node, x: str, y: str, rest: str) -> str:
    """The quotient of integers, one less where it was cut towards zero from below."""
    cut = to.emit("Div", x, y)
    if node.dtype.category == "uint":
        return cut
    zero = to.scalar(0, node)
    apart = to.emit("Xor", to.emit("Less", x, zero), to.emit("Less", y, zero))
    inexact = to.emit("Not", to.emit("Equal", rest, zero))
    return to.emit("Sub", cut, to.cast(to.emit("And", apart, inexact), node.dtype))


@writes("neg")
def negative(to: Writer, node: Node) -> str:
    """ONNX negates signed numbers alone."""
    x = to.operand(node, 0)
    unsigned = node.dtype.category == "uint"
    return to.emit("Sub", to.scalar(0, node), x) if unsigned else (
        to.emit("Neg", x, hint=node.name))


@writes("pow")
def power(to: Writer, node: Node) -> str:
    """ONNX has powers of floats, i32 and i64; narrower integers wrap from i64."""
    x, y = to.loose(node)
    if node.dtype.is_float or node.dtype in (i32, i64):
        return to.emit("Pow", x, y, hint=node.name)
    if node.dtype.bytes == 8:
        raise DlcError(f"ONNX has no powers of {node.dtype}", node.loc)
    return to.cast(to.emit("Pow", to.cast(x, i64), to.cast(y, i64)), node.dtype)


# --- leaves ---------------------------------------------------------------------------------------


@writes("constant")
def constant(to: Writer, node: Node) -> str:
    value = to.scalar(to.fixed(node, "value"), node)
    return to.expand(value, to.dims(node), node.dtype) if node.ndim else value


@writes("array")
def array(to: Writer, node: Node) -> str:
    to.fixed(node, "value")
    return to.constant(node.attrs["value"].array, node.dtype.numpy)


@writes("iota")
def iota(to: Writer, node: Node) -> str:
    axis, dims = node.attrs["axis"], to.dims(node)
    size = dims[axis]
    if isinstance(size, Open):
        end = to.emit("Squeeze", to.shape([size]))
        zero, one = (to.constant(v, np.int64) for v in (0, 1))
        ramp = to.cast(to.emit("Range", zero, end, one), node.dtype)
    else:
        ramp = to.constant(np.arange(size), node.dtype.numpy)
    column = to.reshape(ramp, [size if a == axis else 1 for a in range(node.ndim)])
    return to.expand(column, dims, node.dtype)


# --- reductions -----------------------------------------------------------------------------------


@writes("sum", "prod", "max", "min", "logsumexp")
def reduction(to: Writer, node: Node) -> str:
    """Sums over bools and bytes are i32; the largest and smallest of bools
    and of integers of 16 bits go through i32."""
    from dlc.onnx.export_views import pooled

    found = pooled(to, node)
    if found is not None:
        return found
    x, (arg,) = to.operand(node, 0), node.args
    axes = list(node.attrs["axes"])
    kind = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin",
            "logsumexp": "ReduceLogSumExp"}[node.op.name]
    lacks = arg.dtype is bool_ or (arg.dtype.is_integer and arg.dtype.bytes == 2)
    through = sum_dtype(arg.dtype) if kind in ("ReduceSum", "ReduceProd") else (
        i32 if lacks else arg.dtype)
    x = to.cast(x, through) if through is not arg.dtype else x
    if not axes:
        return x
    operand = kind == "ReduceSum" or to.opset >= 18
    options: dict[str, Any] = {} if operand else {"axes": axes}
    y = to.emit(kind, x, *([to.ints(axes)] if operand else []), keepdims=0, hint=node.name,
                **options)
    return y if through is node.dtype else to.cast(y, node.dtype)


@writes("argmax", "argmin")
def position(to: Writer, node: Node) -> str:
    """Over several axes by their row-major order."""
    (arg,), axes = node.args, list(node.attrs["axes"])
    kept = [a for a in range(arg.ndim) if a not in axes]
    dims = to.dims(arg)
    x = to.transpose(to.operand(node, 0), [*kept, *axes])
    flat = to.reshape(x, [*(dims[a] for a in kept), size_of([dims[a] for a in axes])])
    name = "ArgMax" if node.op.name == "argmax" else "ArgMin"
    found = to.emit(name, flat, axis=len(kept), keepdims=0)
    return found if node.dtype is i64 else to.cast(found, node.dtype)


@writes("cumsum")
def cumsum(to: Writer, node: Node) -> str:
    (arg,) = node.args
    x = to.operand(node, 0)
    x = x if arg.dtype is node.dtype else to.cast(x, node.dtype)
    reverse = int(bool(node.attrs.get("reverse", False)))
    return to.emit("CumSum", x, to.constant(node.attrs["axis"], np.int64), reverse=reverse)


