"""Steps of random programs: elementwise operators, on arguments where they are defined."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import nn
from dlc.ir.graph import Node
from dlc.ir.types import DTYPES, Type, bool_, f32, f64, i32, i64, u32
from dlc.ops import elementwise, leaf
from tests.fuzzing.draw import Maker, is_float, is_number

# by where they are smooth and of ordinary size
SMOOTH = ("exp", "tanh", "sigmoid", "sin", "cos", "erf", "expm1", "asinh", "atan", "sinh", "cosh",
          "exp2", "softplus", "log_sigmoid", "erfc", "i0e", "i1e", "square", "relu", "ndtr",
          "cbrt", "sinc")
ACTIVATIONS = ("elu", "selu", "mish", "gelu_tanh", "quick_gelu", "hard_tanh", "hard_swish",
               "softsign", "relu6")
INSIDE = ("asin", "acos", "atanh", "erfinv", "tan", "log1p")
POSITIVE = ("log", "log1p", "sqrt", "rsqrt", "log2", "log10", "lgamma", "digamma", "erfcx",
            "reciprocal", "entr")
WHOLE = ("floor", "ceil", "round", "sign", "isfinite", "trunc", "isnan", "frac", "signbit")
ANY_PAIR = ("add", "sub", "mul", "maximum", "minimum")
SMOOTH_PAIR = ("atan2", "hypot", "logaddexp", "copysign", "logaddexp2")
INTEGER_PAIR = ("floordiv", "rem", "shl", "shr", "and_", "or_", "xor")
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def unary(m: Maker) -> Node | None:
    """One to four functions of a value, added up: there are many, and in a kernel they are cheap.
    """
    x = m.find(is_float)
    if x is None:
        return None
    found = function_of(m, x)
    for _ in range(m.draw.below(4)):
        if found.dtype is x.dtype:
            found = found * 0.5 + dlc.cast(function_of(m, x), x.dtype)
    return found


def function_of(m: Maker, x: Node) -> Node:
    if m.chance(25) and m.exact(x):
        name = m.pick(WHOLE)
        # a symbol of a body may stand for a computed zero, whose sign nothing determines
        return getattr(dlc, "sign" if name == "signbit" and m.depth else name)(x)
    way = m.draw.below(12)
    if way < 3:
        return getattr(dlc, m.pick(POSITIVE))(dlc.abs(x) + 0.5)
    if way < 5:
        return getattr(dlc, m.pick(INSIDE))(dlc.tanh(x) * 0.75)
    if way < 6:
        return getattr(nn, m.pick(ACTIVATIONS))(x)
    if way < 7:
        return dlc.polygamma(1 + m.draw.below(2), dlc.abs(x) + 1.0) if m.chance(50) else (
            dlc.acosh(dlc.abs(x) + 1.5))
    # a small argument: what overflows says little
    return getattr(dlc, m.pick(SMOOTH))(dlc.clip(x, -4, 4))


def sign_or_absolute(m: Maker) -> Node | None:
    x = m.find(lambda n: is_number(n) and m.exact(n))
    return None if x is None else getattr(dlc, m.pick(("negative", "abs", "sign")))(x)


def pair(m: Maker) -> Node | None:
    x = m.find(is_number)
    if x is None:
        return None
    return getattr(elementwise, m.pick(ANY_PAIR))(x, m.like(x))


def broadcasting(m: Maker) -> Node | None:
    """Two values whose shapes broadcast, as NumPy writes it."""
    x = m.find(is_number)
    if x is None:
        return None
    y = m.find(lambda n: n.dtype is x.dtype and n is not x and _meet(n.shape, x.shape))
    return None if y is None else m.pick((dlc.maximum, Node.__add__, Node.__mul__))(x, y)


def _meet(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(p in (1, q) or q == 1 for p, q in zip(a[::-1], b[::-1], strict=False))


def smooth_pair(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype in (f32, f64))
    if x is None:
        return None
    y = m.like(x)
    if m.chance(25):
        return dlc.lerp(x, y, 0.25)
    if m.chance(15):
        return dlc.xlogy(x, dlc.abs(y) + 0.5)
    name = m.pick(SMOOTH_PAIR)
    if name in ("copysign", "atan2"):  # of a sum that is zero the sign is nobody's: off the zeros
        x, y = x + 0.3125, y + 0.3125
    return getattr(dlc, name)(x, y)


def number(m: Maker) -> Node | None:
    x = m.find(is_number)
    if x is None:
        return None
    value: Any = m.pick((1, 2, 3)) if x.dtype.is_integer else m.pick((0.5, 1.0, -1.0, 3.0, 0.25,
                                                                      0.1))
    function = getattr(elementwise, m.pick((*ANY_PAIR, "sub")))
    return function(value, x) if m.chance(40) else function(x, value)


def quotient(m: Maker) -> Node | None:
    x = m.find(is_float)
    if x is None:
        return None
    below = dlc.abs(m.like(x)) + 1
    return dlc.power(below, m.pick((1.5, -0.5, 2.0, 3.0))) if m.chance(25) else x / below


def integer_pair(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype.is_integer or n.dtype is bool_)
    if x is None:
        return None
    names = ("and_", "or_", "xor") if x.dtype is bool_ else INTEGER_PAIR
    return getattr(elementwise, m.pick(names))(x, m.like(x))


def bits(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype in (i32, u32, i64) or (n.dtype in (f32, f64) and m.exact(n)))
    if x is None:
        return None
    if x.dtype.is_integer:
        return m.pick((dlc.popcount, dlc.clz, dlc.bitwise_not))(x)
    if m.chance(30):
        return dlc.bitcast(x, i32 if x.dtype is f32 else i64)
    return dlc.nextafter(x, m.like(x)) if m.chance(50) else dlc.ldexp(
        x, m.like(x, i32) & 3)


def whole_quotient(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and m.exact(n))
    y = None if x is None else m.like(x)
    if x is None or y is None or not m.exact(y):
        return None
    return m.pick((dlc.floor_divide, dlc.remainder, dlc.fmod))(x, y)


def compare(m: Maker) -> Node | None:
    x = m.find(lambda n: is_number(n) and (m.exact(n) or m.chance(30)))
    y = None if x is None else m.like(x)
    return None if x is None or y is None else getattr(elementwise, m.pick(COMPARE))(x, y)


def select(m: Maker) -> Node | None:
    x = m.find(lambda n: True)
    return None if x is None else dlc.where(m.like(x, bool_), x, m.like(x))


def inverted(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype is bool_)
    return None if x is None else dlc.logical_not(x)


def converted(m: Maker) -> Node | None:
    x = m.find(lambda n: True)
    if x is None:
        return None
    kind = m.pick(list(DTYPES.values()))
    if x.dtype.is_float and not kind.is_float and not m.exact(x):
        return None
    return dlc.cast(x, kind)


def ramp(m: Maker) -> Node | None:
    shape = m.shape()
    if not shape:
        return leaf.constant(m.draw.below(4), Type(m.pick((f32, i32)), ()))
    if m.chance(25):
        rng = np.random.default_rng(m.draw.below(1 << 16))
        literal = leaf.array(rng.normal(size=shape).astype(np.float32), Type(f32, shape))
        # what is made of literals alone is folded
        return m.pick((lambda: literal, lambda: dlc.tanh(literal), lambda: dlc.flip(literal, 0)))()
    return leaf.iota(shape, m.draw.below(len(shape)), m.pick((i32, i64, f32)))


def noise(m: Maker) -> Node | None:
    if m.depth:
        return None
    seed = m.find(lambda n: n.dtype is u32 and n.ndim == 0)
    step = m.find(lambda n: n.dtype is i32 and n.ndim == 0)
    seed = m.input(Type(u32, ())) if seed is None else seed
    step = m.input(Type(i32, ())) if step is None else step
    random = leaf.random_bits(seed, step, m.shape(), m.draw.below(3))
    m.add(random)
    # 16 bits: exact as a float
    return dlc.cast(elementwise.shr(random, leaf.constant(16, random.type)), f32) * (1.0 / 65536)
