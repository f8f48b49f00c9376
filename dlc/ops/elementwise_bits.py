"""Elementwise operators: bits, signs, neighbours, powers of two, C's remainder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Node, OpError, make
from dlc.ir.rounding import CORRECT, EXACT, Rounding
from dlc.ir.types import DType, Type, bool_, dtype, f32, f64, i32
from dlc.ops.convert import as_node, broadcast_shape, broadcast_to, cast
from dlc.ops.elementwise import (
    _float_function,
    _function,
    _op,
    const_like,
    float_type,
    numeric_type,
    shift_type,
    sign,
    where,
)
from dlc.ops.jumps import over_turns, unknown
from dlc.ops.samples import SHAPES, Sample, binary, integers, spread, unary

# --- signs and remainders -------------------------------------------------------------------------

trunc = _float_function(_op("trunc", "nearest integer towards 0", np.trunc, float_type, unary(),
                            rounding=EXACT))


def _grad_copysign(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, None]:
    return g * copysign(const_like(a, 1.0), b) * sign(a), None


copysign = _float_function(_op("copysign", "|x| with the sign of y, also of zeros and NaN",
                               np.copysign, float_type, binary(nonzero=True), _grad_copysign,
                               rounding=EXACT))


def _eval_fmod(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.fmod(a, b)


def _grad_fmod(g: Node, y: Node, a: Node, b: Node) -> tuple[Node, Node]:
    return g, -g * trunc(a / b)


fmod = _function(_op("fmod", "x - y * trunc(x / y), exact, with x's sign; integers: 0 where y is 0",
                     _eval_fmod, numeric_type, binary(nonzero=True, kinks=True), _grad_fmod,
                     rounding=Rounding(exact=True, jumps=over_turns), precision="full"))

# --- neighbours and powers of two -----------------------------------------------------------------


def _infer_nextafter(*types: Type) -> Type:
    if types[0].dtype not in (f32, f64):
        raise OpError(f"needs f32 or f64, not {types[0].dtype}", "cast first")
    return float_type(*types)


def _eval_nextafter(a: Any, b: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.nextafter(a, b)


nextafter = _float_function(_op("nextafter", "the float next to x in the direction of y",
                                _eval_nextafter, _infer_nextafter, binary(ties=True),
                                gradient="none", rounding=Rounding(exact=True, bits=True),
                                precision="full"))


def _infer_ldexp(x: Type, n: Type) -> Type:
    if n.dtype is not i32:
        raise OpError(f"the exponent is {n.dtype}", "it must be i32: cast first")
    if tuple(x.shape) != tuple(n.shape):
        raise OpError(f"operands differ: {x.describe()} and {n.describe()}")
    return float_type(x)


def _eval_ldexp(x: Any, n: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.ldexp(x.astype(np.float64), n)


def _sample_ldexp() -> Iterator[Sample]:
    rng = np.random.default_rng(7)
    for shape in SHAPES:
        yield (spread(rng, shape, -3, 3), np.asarray(rng.integers(-6, 6, shape), np.int32)), {}


_LDEXP = _op("ldexp", "x * 2 ** n for i32 n, rounded once", _eval_ldexp, _infer_ldexp,
             _sample_ldexp, lambda g, y, x, n: (ldexp(g, n), None), linear=(0,),
             rounding=CORRECT, precision="full")


def ldexp(x: Any, n: Any) -> Node:
    """x * 2 ** n for integers n, rounded once; both broadcast."""
    a, b = as_node(x), as_node(n)
    shape = broadcast_shape("ldexp", [a, b])
    a = a if a.dtype.is_float else cast(a, f32)
    return make(_LDEXP, [broadcast_to(a, shape), broadcast_to(cast(b, i32), shape)])


# --- bits -----------------------------------------------------------------------------------------


def _unsigned(x: Any) -> Any:
    return x.view(f"u{x.itemsize}")


def _eval_clz(x: Any) -> Any:
    left, count = _unsigned(x), np.full(x.shape, x.itemsize * 8, x.dtype)
    for _ in range(x.itemsize * 8):
        count = np.where(left != 0, count - 1, count).astype(x.dtype)
        left = left >> 1
    return count


def _one_integer() -> Iterator[Sample]:
    return ((arrays[:1], attrs) for arrays, attrs in integers()())


popcount = _function(_op("popcount", "how many bits are set",
                         lambda x: np.bitwise_count(_unsigned(x)).astype(x.dtype), shift_type,
                         _one_integer))
clz = _function(_op("clz", "how many zeros stand above the highest set bit", _eval_clz,
                    shift_type, _one_integer))


def _infer_bitcast(x: Type, *, dtype: DType) -> Type:
    if bool_ in (x.dtype, dtype) or x.dtype.bytes != dtype.bytes or (
            (x.dtype.is_float or dtype.is_float) and dtype.bytes < 4):
        raise OpError(f"{x.dtype} has no bits of {dtype}",
                      "f32, i32 and u32 share theirs, f64, i64 and u64 do, i16 and u16, i8 and u8")
    return x.with_(dtype=dtype, layout=None)


_BITCAST = _op("bitcast", "the same bits as another dtype of the same width",
               lambda x, *, dtype: np.ascontiguousarray(x).view(dtype.numpy).reshape(x.shape),
               _infer_bitcast, unary(attrs={"dtype": i32}), gradient="none", precision="full",
               emit=lambda k, x, *, dtype: k.bitcast(x, dtype),
               rounding=Rounding(exact=True, bits=True, jumps=unknown))


def bitcast(x: Any, kind: Any) -> Node:
    """The bits of `x` read as `kind`: among f32, i32 and u32, or f64, i64 and u64, or between
    i16 and u16, or i8 and u8.

    Raises DlcError for dtypes of another width.
    """
    return make(_BITCAST, (as_node(x),), dtype=dtype(kind))


def frexp(x: Any) -> tuple[Node, Node]:
    """(m, n) with x = m * 2 ** n, 1/2 <= |m| < 1, n i32; zeros, infinities and NaN have n = 0.

    f32 and f64. The gradient of m with respect to x is 2 ** -n.
    """
    node = as_node(x)
    wide = node.dtype is f64
    bias, bits = (1022, 52) if wide else (126, 23)
    word = bitcast(ldexp(node, 64), "i64" if wide else "i32")
    small = where(node == 0, 0, ((word >> bits) & (2 * bias + 3)) - (bias + 64))
    word = bitcast(node, "i64" if wide else "i32")
    plain = ((word >> bits) & (2 * bias + 3)) - bias
    n = where(plain == -bias, small, plain)
    n = cast(where(plain == bias + 3, 0, n), i32)
    # two steps: 2 ** -n alone leaves f32's range for denormals
    return ldexp(node, -n), n
