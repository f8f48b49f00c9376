"""The steps of random programs: each draws one operator, with every attribute it takes."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.graph import Build, Graph, Node, building, make
from dlc.ops import contract, elementwise, gather, leaf, reduce
from dlc.ops.convert import cast
from dlc.types import DTYPES, Type, bool_, f32, f64, i32, i64, u32
from tests.random_programs import FLOATS, OTHERS, Maker
from tests.random_views import (
    flipped,
    folded,
    is_float,
    is_number,
    joined,
    padded,
    pooled,
    repeated,
    reshaped,
    sliced,
    transposed,
    windowed,
)

SMOOTH = ("exp", "tanh", "sigmoid", "sin", "cos", "erf", "expm1")
POSITIVE = ("log", "log1p", "sqrt", "rsqrt")
WHOLE = ("floor", "ceil", "round_", "sign", "isfinite")
ANY_PAIR = ("add", "sub", "mul", "maximum", "minimum")
INTEGER_PAIR = ("floordiv", "rem", "shl", "shr", "and_", "or_", "xor")
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")


def unary(m: Maker) -> Node | None:
    x = m.find(is_float)
    if x is None:
        return None
    if m.chance(25) and m.exact(x):
        return getattr(elementwise, m.pick(WHOLE))(x)
    if m.chance(30):
        small = elementwise.abs_(x) + 0.5
        return getattr(elementwise, m.pick(POSITIVE))(small)
    # keep the argument small: what overflows says little
    return getattr(elementwise, m.pick(SMOOTH))(elementwise.clip(x, -4, 4))


def sign_or_absolute(m: Maker) -> Node | None:
    x = m.find(lambda n: is_number(n) and m.exact(n))
    return None if x is None else getattr(elementwise, m.pick(("neg", "abs_", "sign", "neg")))(x)


def pair(m: Maker) -> Node | None:
    x = m.find(is_number)
    if x is None:
        return None
    return getattr(elementwise, m.pick(ANY_PAIR))(x, m.like(x))


def number(m: Maker) -> Node | None:
    x = m.find(is_number)
    if x is None:
        return None
    value: Any = m.pick((1, 2, 3)) if x.dtype.is_integer else m.pick((0.5, 1.0, -1.0, 3.0, 0.25))
    function = getattr(elementwise, m.pick((*ANY_PAIR, "sub")))
    return function(value, x) if m.chance(40) else function(x, value)


def quotient(m: Maker) -> Node | None:
    x = m.find(is_float)
    if x is None:
        return None
    below = elementwise.abs_(m.like(x)) + 1
    return elementwise.power(below, 1.5) if m.chance(20) else elementwise.div(x, below)


def integer_pair(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype.is_integer or n.dtype is bool_)
    if x is None:
        return None
    names = ("and_", "or_", "xor") if x.dtype is bool_ else INTEGER_PAIR
    return getattr(elementwise, m.pick(names))(x, m.like(x))


def whole_quotient(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and m.exact(n))
    y = None if x is None else m.like(x)
    if x is None or y is None or not m.exact(y):
        return None
    return getattr(elementwise, m.pick(("floordiv", "rem")))(x, y)


def compare(m: Maker) -> Node | None:
    x = m.find(m.exact)
    y = None if x is None else m.like(x)
    if x is None or y is None or not m.exact(y):
        return None
    return getattr(elementwise, m.pick(COMPARE))(x, y)


def select(m: Maker) -> Node | None:
    x = m.find(lambda n: True)
    assert x is not None
    return elementwise.where(m.like(x, bool_), x, m.like(x))


def inverted(m: Maker) -> Node | None:
    x = m.find(lambda n: n.dtype is bool_)
    return None if x is None else elementwise.not_(x)


def converted(m: Maker) -> Node | None:
    x = m.find(lambda n: True)
    assert x is not None
    kind = m.pick(list(DTYPES.values()))
    if x.dtype.is_float and not kind.is_float and not m.exact(x):
        return None
    return cast(x, kind)


# --- reductions, contractions, gathers ----------------------------------------------------------


def axes_for(m: Maker, x: Node) -> tuple[int, ...]:
    axes = tuple(a for a in range(x.ndim) if m.chance(50))
    return axes or (m.draw.below(x.ndim),)


def reduction(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0)
    if x is None:
        return None
    axes, keep = axes_for(m, x), m.chance(40)
    empty = any(x.shape[a] == 0 for a in axes)
    if x.dtype is bool_ and not empty:
        return m.pick((reduce.any_, reduce.all_, reduce.sum_))(x, axes, keep)
    if m.chance(25) and m.exact(x) and not empty:
        return m.pick((reduce.argmax, reduce.argmin))(x, axes, keep)
    if m.chance(15) and is_float(x):
        return reduce.logsumexp(x, axes, keep)
    options = [reduce.sum_, reduce.sum_, reduce.mean]
    options += [] if empty else [reduce.max_, reduce.min_]
    options += [reduce.prod] if x.dtype.is_integer else []
    return m.pick(options)(x, axes, keep)


def softmax(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and n.ndim > 0 and 0 not in n.shape)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    e = elementwise.exp(elementwise.clip(x, -6, 6) - reduce.max_(x, axis, True) * 0.5)
    return e / reduce.sum_(e, axis, True)


def product(m: Maker) -> Node | None:
    x = m.find(lambda n: is_float(n) and n.ndim >= 2)
    if x is None:
        return None
    y = m.find(lambda n: n.dtype is x.dtype and n.ndim == 2 and n.shape[0] == x.shape[-1])
    if y is None:
        y = m.input(Type(x.dtype, (int(x.shape[-1]), m.pick(m.dims))), "param")
    return contract.matmul(x, y)


def convolution(m: Maker) -> Node | None:
    """Any padding, strides and dilations; with five axes the second is the group."""
    x = m.find(lambda n: is_float(n) and n.ndim in (3, 4, 5) and min(n.shape) > 0)
    if x is None:
        return None
    lead = 3 if x.ndim > 3 and m.chance(40) else 2
    size = [1 + m.draw.below(min(3, int(d))) for d in x.shape[lead:]]
    channels = m.pick([d for d in m.dims if d] or [1])
    head = (int(x.shape[1]), channels, int(x.shape[2])) if lead == 3 else (
        channels, int(x.shape[1]))
    w = m.input(Type(x.dtype, (*head, *size)), "param")
    n = len(size)
    wide = [m.pick((1, 1, 2)) if k > 1 else 1 for k in size]
    padding = tuple((m.draw.below(3) + d, m.draw.below(3)) for d in wide)
    return make(contract.CONV, (x, w), grouped=lead == 3, padding=padding,
                stride=tuple(1 + m.draw.below(2) for _ in range(n)),
                lhs_dilation=tuple(m.pick((1, 1, 2)) for _ in range(n)), rhs_dilation=tuple(wide))


def taken(m: Maker) -> Node | None:
    x = m.find(lambda n: n.ndim > 0 and min(n.shape) > 0)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    batch = m.draw.below(axis + 1) if m.chance(40) else 0
    lead = tuple(map(int, x.shape[:batch]))
    index = m.input(Type(m.pick((i32, i64)), (*lead, *m.shape(1))), low=-1,
                    high=int(x.shape[axis]) + 1)
    return make(gather.GATHER, (x, index), axis=axis, batch=batch)


def scattered(m: Maker) -> Node | None:
    x = m.find(lambda n: is_number(n) and 0 < n.ndim < 4 and min(n.shape) > 0)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    batch = m.draw.below(axis + 1) if m.chance(40) else 0
    lead = tuple(map(int, x.shape[:batch]))
    size = m.pick([d for d in m.dims if d] or [1])
    index = m.input(Type(i32, (*lead, int(x.shape[axis]))), low=-1, high=size + 1)
    if batch != axis:
        batch = 0
        index = m.input(Type(i32, (int(x.shape[axis]),)), low=-1, high=size + 1)
    shape = tuple(size if a == axis else int(d) for a, d in enumerate(x.shape))
    return make(gather.SCATTER_ADD, (index, x), shape=shape, axis=axis, batch=batch)


def ramp(m: Maker) -> Node | None:
    shape = m.shape()
    if not shape:
        return leaf.constant(m.draw.below(4), Type(m.pick((f32, i32))))
    return leaf.iota(shape, m.draw.below(len(shape)), m.pick((i32, i64, f32)))


def noise(m: Maker) -> Node | None:
    seed = m.find(lambda n: n.dtype is u32 and n.ndim == 0)
    step = m.find(lambda n: n.dtype is i32 and n.ndim == 0)
    seed = m.input(Type(u32, ())) if seed is None else seed
    step = m.input(Type(i32, ())) if step is None else step
    bits = leaf.random_bits(seed, step, m.shape(), m.draw.below(3))
    m.add(bits)
    # 16 bits: exact as a float
    return cast(elementwise.shr(bits, leaf.constant(16, bits.type)), f32) * (1.0 / 65536)


def gradient(m: Maker) -> Node | None:
    """A derivative, backwards, forwards or second, of a smooth chain of other steps."""
    x = m.find(lambda n: n.dtype in (f32, f64) and 0 < n.type.size <= m.largest // 4)
    if x is None:
        return None
    kept, values = m.pool, m.values
    y = m.find(lambda n: n.dtype is x.dtype and n is not x and n.type.size > 0)

    def loss(*args: Node) -> Node:
        for node, source in zip(args, (x, y), strict=False):
            values.feed(node, values.of(source))
            values.exact[node] = values.exact[source]
        m.pool = list(args)
        for _ in range(2 + m.draw.below(4)):
            m.add(m.pick(CHAIN)(m))
        last = m.find(is_float)
        return reduce.sum_(last * last) if m.chance(50) else reduce.mean(last)

    args = [x] if y is None or m.chance(40) else [x, y]
    if m.chance(25):
        found = dlc.jvp(loss, args, args)
    elif len(args) == 1 and m.chance(25):
        found = (dlc.hvp(loss, x, x),)
    else:
        found = dlc.grad(loss, wrt=tuple(range(len(args))))(*args)
    m.pool = kept
    for extra in found[1:]:
        m.add(extra)
    return found[0]


CHAIN = (unary, pair, number, quotient, reshaped, transposed, repeated, flipped, sliced, joined,
         windowed, pooled, reduction, softmax, product, convolution, select, gradient)
STEPS = (unary, unary, sign_or_absolute, pair, pair, pair, number, number, quotient, integer_pair,
         whole_quotient, compare, select, inverted, converted, reshaped, reshaped, transposed,
         repeated, flipped, sliced, sliced, padded, padded, joined, windowed, folded, pooled,
         reduction, reduction, reduction, reduction, softmax, product, product, convolution, taken,
         scattered, ramp, noise, gradient)


def new_value(m: Maker, old: Node) -> Node:
    """A new value for the parameter `old`: another parameter, a step, or something of the pool."""
    twin = m.find(lambda n: n.type == old.type and n is not old)
    if twin is not None and m.chance(50):
        return twin
    if old.dtype is bool_:
        return elementwise.not_(old)
    return elementwise.sub(old, elementwise.mul(m.like(old), 2))


def program(m: Maker, steps: int) -> Graph:
    """Draw a whole program of about `steps` operators, its outputs and updates."""
    m.dims = tuple(m.pick((1, 2, 3, 4, 5, 6, 8, 13)) for _ in range(3))
    if m.chance(6):
        m.dims = (*m.dims, 0)
    if m.largest > 5000:
        m.dims = (*m.dims, m.pick((33, 64, 130, 300)))
    with building(Build()):
        for i in range(2 + m.draw.below(3)):
            kind = m.pick(FLOATS if i < 2 or m.chance(50) else OTHERS)
            m.add(m.input(Type(kind, m.shape()), m.pick(("arg", "arg", "param", "data"))))
        for _ in range(steps):
            m.add(m.pick(STEPS)(m))
        names = {f"{m.prefix}out{i}": m.find(lambda n: True) for i in range(1 + m.draw.below(4))}
        names[f"{m.prefix}last"] = m.pool[-1]
        updates = {}
        for old in [i for i in m.inputs if i.attrs["role"] == "param"][:3]:
            if m.chance(70):
                label = old.attrs["label"]
                new = new_value(m, old)
                m.values.of(new)
                names[label], updates[label] = new, label
    return Graph(f"{m.prefix}random", tuple(m.inputs), tuple(names.values()), tuple(names), updates)
