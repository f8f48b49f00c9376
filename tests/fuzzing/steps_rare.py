"""Steps of random programs for what other steps seldom make: no operator and no pass stays rare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dlc
from dlc.ir.graph import Node
from dlc.ir.types import Type, bool_, f32, f64, i32, i64, u32
from dlc.ops import elementwise
from tests.fuzzing.draw import Maker, filled
from tests.fuzzing.steps_contract import DENSE, dense_algebra
from tests.fuzzing.steps_control import ruled
from tests.fuzzing.steps_elementwise import INSIDE, POSITIVE, SMOOTH
from tests.fuzzing.steps_reduce import several_results

Step = Callable[[Maker], Any]

# ---- several operators in one kernel -------------------------------------------------------------

# those that are one operator; acosh and polygamma are of larger values
EVERY = (*(n for n in (*SMOOTH, *INSIDE, *POSITIVE) if n not in (
    "square", "relu", "reciprocal", "entr", "softplus", "log_sigmoid", "ndtr", "sinc")),
    "acosh", "polygamma", "polygamma", "power", "logaddexp", "logaddexp", "hypot", "atan2")


def many_functions(m: Maker) -> Node | None:
    """Functions out of all there are, each of the same value, added up."""
    x = m.find(lambda n: n.dtype in (f32, f64) and n.type.size <= 400)
    if x is None:
        return None
    small, positive = dlc.clip(x, -4, 4), dlc.abs(dlc.clip(x, -50, 50)) + 0.5
    inside, total = dlc.tanh(x) * 0.75, x * 0.25
    for _ in range(4 + m.draw.below(3)):
        name = m.pick(EVERY)
        given = {"acosh": (positive + 1.0,), "polygamma": (1 + m.draw.below(2), positive + 0.5),
                 "power": (positive, 1.5), "logaddexp": (small, inside),
                 "hypot": (positive, small), "atan2": (small, positive)}.get(name) or (
            (inside,) if name in INSIDE else (positive,) if name in POSITIVE else (small,))
        total = total + getattr(dlc, name)(*given) * 0.5
    return total


BITS: Sequence[Callable[[Node, Node], Node]] = (
    lambda x, y: dlc.clz(x), lambda x, y: dlc.popcount(x), elementwise.shl, elementwise.shr,
    elementwise.xor, elementwise.or_, elementwise.and_, elementwise.floordiv, elementwise.rem,
    dlc.minimum, lambda x, y: dlc.sign(x), lambda x, y: dlc.cast(x != y, x.dtype),
    lambda x, y: dlc.cast(x > y, x.dtype), lambda x, y: dlc.cast(x <= y, x.dtype),
    lambda x, y: dlc.cast(x < y, x.dtype))


def many_bits(m: Maker) -> Node | None:
    """Of whole numbers, added up modulo the word."""
    x = m.find(lambda n: n.dtype in (i32, u32, i64))
    x = m.input(Type(m.pick((i32, u32, i64)), m.shape(2))) if x is None else x
    y = m.like(x)
    total = x
    for _ in range(4 + m.draw.below(3)):
        total = total + m.pick(BITS)(x, y)
    return total


WHOLE: Sequence[Callable[[Node, Node], Node]] = (
    *(lambda x, y, f=f: f(x * 0.25) for f in (  # type: ignore[misc]
        dlc.floor, dlc.ceil, dlc.round, dlc.trunc, dlc.sign)),
    lambda x, y: dlc.cast(dlc.isfinite(x), x.dtype), lambda x, y: dlc.where(x > y, x, -y),
    lambda x, y: dlc.where(x != y, y, 0.5), lambda x, y: dlc.ldexp(x, dlc.cast(y, i32) & 3),
    *(lambda x, y, f=f: f(x, y * 2.0 + 1.0) for f in (  # type: ignore[misc]
        dlc.fmod, dlc.remainder, dlc.floor_divide)))


def many_whole(m: Maker) -> Node:
    """Of whole numbers as floats, which no rounding moves over a jump."""
    shape, kind = m.shape(2), m.pick((f32, f64))
    x, y = (dlc.cast(m.input(Type(i32, shape)), kind) for _ in range(2))
    total = x
    for _ in range(4 + m.draw.below(3)):
        total = total + m.pick(WHOLE)(x, y)
    return total


# ---- one operator --------------------------------------------------------------------------------


def a_bool(m: Maker) -> Node:
    x = m.find(lambda n: n.dtype is bool_)
    x = m.input(Type(bool_, m.shape(2))) if x is None else x
    return dlc.logical_not(x) | m.like(x)


def bits_of_floats(m: Maker) -> Node:
    """Of an input, which is known to the bit."""
    kind = m.pick((f32, f64))
    x = m.input(Type(kind, m.shape(2)))
    return dlc.nextafter(x, m.input(x.type)) if m.chance(50) else dlc.bitcast(
        x, i32 if kind is f32 else i64)


def off_the_zeros(function: Callable[..., Any], m: Maker) -> Any:
    """Of two values whose signs are nobody's at 0."""
    x = m.find(lambda n: n.dtype in (f32, f64))
    return None if x is None else function(x + 0.3125, m.like(x) + 0.3125)


def along_an_axis(function: Callable[..., Any], m: Maker) -> Any:
    x = m.find(lambda n: filled(n) and n.dtype in (f32, f64, i32, i64))
    return None if x is None else function(dlc.clip(x, -2, 2), m.draw.below(x.ndim))


def logarithms(m: Maker) -> Any:
    x = m.find(lambda n: filled(n) and n.dtype in (f32, f64))
    if x is None:
        return None
    return m.pick((dlc.logcumsumexp, dlc.logsumexp))(x, m.draw.below(x.ndim), m.chance(50))


def recurrence(m: Maker) -> Any:
    x = m.find(lambda n: filled(n) and n.dtype in (f32, f64))
    if x is None:
        return None
    return dlc.linear_recurrence(dlc.tanh(m.like(x)), x, m.draw.below(x.ndim), m.chance(50))


def counted_below(m: Maker) -> Any:
    """Whole numbers among sorted ones."""
    size = m.pick([d for d in m.dims if d] or [1])
    edges, x = (m.input(Type(i32, shape)) for shape in ((size,), m.shape(2)))
    return dlc.searchsorted(dlc.sort(edges), x, m.pick(("left", "right")))


def put_in_rows(mode: str, m: Maker) -> Any:
    x = m.find(lambda n: n.dtype in (f32, f64) and filled(n) and n.ndim < 4)
    if x is None:
        return None
    count = 1 + m.draw.below(4)
    index = m.input(Type(i32, (count,)), low=0, high=int(x.shape[0]))
    return dlc.scatter(x, index, m.input(Type(x.dtype, (count, *x.shape[1:]))), 0, 0, mode, "clip")


# ---- what passes and transformations are for -----------------------------------------------------


def small_value(m: Maker) -> Node | None:
    return m.find(lambda n: n.dtype in (f32, f64) and filled(n) and n.type.size <= 300)


def factors_exchanged(m: Maker) -> Any:
    """One product written twice."""
    x = small_value(m)
    if x is None:
        return None
    y = m.like(x)
    return dlc.tanh(x * y) - y * x


def with_a_rule(m: Maker) -> Any:
    """The gradient of what has a rule of its own, and of what counts as a constant."""
    x = small_value(m)
    if x is None or m.depth > 1:
        return None
    return dlc.grad(lambda v: dlc.sum(ruled(m, v) * dlc.stop_gradient(v)))(x)


def pushed(m: Maker) -> Any:
    """A value, and how it changes along a direction."""
    x = small_value(m)
    if x is None or m.depth > 1:
        return None
    return dlc.jvp(lambda v: dlc.sinh(dlc.clip(v, -2, 2)) * v, [x], [m.like(x)])


def of_each_row(m: Maker) -> Any:
    x = m.find(lambda n: n.dtype in (f32, f64) and n.ndim > 1 and 0 < n.type.size <= 300)
    if x is None or m.depth > 1:
        return None
    return dlc.vmap(lambda row: dlc.sum(row * 0.5, 0) - dlc.max(row, 0))(x)


def kept_states(m: Maker) -> Any:
    """A loop whose state is its result of each step, too, and that computes what never changes."""
    rows = small_value(m)
    if rows is None or int(rows.shape[0]) > 8 or m.depth > 1:
        return None

    def step(state: Node, row: Node) -> Any:
        new = dlc.tanh(state * 0.5 + row * dlc.exp(factor))
        return new, new
    factor = m.input(Type(rows.dtype, ()), low=-2, high=2)
    return dlc.scan(step, m.like(rows)[0], rows, reverse=m.chance(40))


# ---- schemes of convolutions ---------------------------------------------------------------------


def slope_of_weights(m: Maker) -> Any:
    """The gradient of a kernel over more images than one chunk sums, of stride 1."""
    sides = [m.pick((3, 4, 5, 6, 7)) for _ in range(m.pick((1, 2, 2)))]
    kind = m.pick((f32, f32, f64))
    x = m.input(Type(kind, (m.pick((4, 5, 7, 8)), m.pick((1, 2, 3)), *sides)))
    w = m.input(Type(kind, (m.pick((1, 2, 3)), int(x.shape[1]), *(m.pick((1, 2, 3)) for _ in sides)
                            )))
    weights = m.input(dlc.conv(x, w, padding=1).type)
    return dlc.grad(lambda v: dlc.sum(dlc.conv(x, v, padding=1) * weights))(w)


def slope_of_images(m: Maker) -> Any:
    """The gradient of an image by strides that step over some of its elements, or the last ones;
    or its convolution with a border on one side, which a kernel of one row never leaves."""
    sides = [m.pick((4, 5, 6, 7)) for _ in range(m.pick((1, 2, 2)))]
    kind = m.pick((f32, f32, f64))
    x = m.input(Type(kind, (m.pick((1, 2)), m.pick((1, 2, 4)), *sides)))
    taps = [m.pick((1, 2, 3)) for _ in sides]
    w = m.input(Type(kind, (m.pick((2, 4)), int(x.shape[1]), *taps)))
    if m.chance(50):
        return dlc.conv(x, w, padding=[(m.draw.below(2), m.draw.below(4)) for _ in sides])
    by = m.pick((2, 2, 3))
    weights = m.input(dlc.conv(x, w, stride=by).type)
    return dlc.grad(lambda v: dlc.sum(dlc.conv(v, w, stride=by) * weights))(x)


def wide_product(m: Maker) -> Any:
    """A product of more columns than are packed at a time, stored as it is or turned."""
    kind = m.pick((f32, f32, f64))
    x = m.input(Type(kind, (m.pick((2, 3, 4)), m.pick((3, 5, 8)))))
    y = x @ m.input(Type(kind, (int(x.shape[1]), m.pick((9, 33, 40, 65)))))
    return dlc.swapaxes(y, 0, 1) if m.chance(40) else y


def either(m: Maker) -> Any:
    x = small_value(m)
    if x is None or m.depth > 1:
        return None
    flag = m.input(Type(bool_, ()))
    return dlc.cond(flag, lambda v: dlc.sin(v), lambda v: dlc.flip(v, 0) * 0.5, x)


def grown(m: Maker) -> Any:
    """With a border, or another one behind it."""
    x = small_value(m)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    if m.chance(50):
        return dlc.concat([x, m.like(x), x * 0.5], axis)
    return dlc.pad(x, [int(a == axis) for a in range(x.ndim)], [1] * x.ndim)


RARE: tuple[Step, ...] = (
    either, grown,
    *[slope_of_weights] * 3, *[slope_of_images] * 4, *[wide_product] * 4,
    a_bool, bits_of_floats, bits_of_floats, logarithms, logarithms, logarithms, recurrence,
    counted_below, counted_below, factors_exchanged, factors_exchanged, with_a_rule, with_a_rule,
    pushed, pushed, of_each_row, *[kept_states] * 4,
    *(partial(off_the_zeros, f) for f in (dlc.atan2, dlc.hypot, dlc.copysign)),
    *(partial(along_an_axis, f) for f in (
        dlc.prod, dlc.prod, dlc.argmin, dlc.argmax, dlc.min, dlc.cumprod, dlc.cummax_with_indices)),
    *(partial(put_in_rows, mode) for mode in ("max", "min", "max", "min", "set")),
    *(partial(dense_algebra, name=name)
      for name in (*DENSE, "svdvals", "qr", "qr", "cholesky") if name != "inv"))
CONTROL = (either, kept_states)  # loops and branches
# drawn once each at the end of every program
LAST: tuple[tuple[Step, ...], ...] = (
    (several_results,), (many_functions,), (many_bits, many_whole), RARE, RARE, RARE, RARE)
