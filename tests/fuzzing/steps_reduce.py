"""Steps of random programs: reductions, norms, running folds, sorts."""

from __future__ import annotations

from typing import Any

import dlc
from dlc import nn
from dlc.ir.graph import Node
from dlc.ir.types import Type, bool_, f32, f64, i32
from dlc.ops import reduce
from tests.fuzzing.draw import Maker, filled, is_float, is_number


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
        return m.pick((dlc.any, dlc.all, dlc.sum, dlc.count_nonzero))(x, axes, keep)
    if m.chance(20) and not empty:
        return m.pick((dlc.argmax, dlc.argmin))(x, axes, keep)
    if m.chance(15) and is_float(x):
        return dlc.logsumexp(x, axes, keep)
    options: list[Any] = [dlc.sum, dlc.sum, dlc.mean]
    options += [] if empty else [dlc.max, dlc.min]
    options += [dlc.prod] if x.dtype.is_integer or m.chance(30) else []
    return m.pick(options)(x, axes, keep)


def statistic(m: Maker) -> Any:
    x = m.find(lambda n: is_float(n) and filled(n))
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    way = m.draw.below(6)
    if way == 0:
        return dlc.max_with_indices(x, axis)
    if way == 1:
        return dlc.ptp(x, axis)
    if way == 2:
        return dlc.norm(dlc.abs(x) + 0.25, 2 + m.draw.below(2), axis)
    if way == 3:
        return dlc.nansum(x, axis)
    return m.pick((dlc.variance, dlc.std))(x, axis, m.chance(50))


def normalized(m: Maker) -> Node | None:
    """Softmax, and the norms of networks."""
    x = m.find(lambda n: is_float(n) and filled(n))
    if x is None:
        return None
    axes = axes_for(m, x)
    if m.chance(50):
        axis = axes[0]
        e = dlc.exp(dlc.clip(x, -6, 6) - dlc.max(x, axis, True) * 0.5)
        return e / dlc.sum(e, axis, True)
    if m.chance(40):
        return m.pick((nn.softmax, nn.log_softmax))(x, axes[0])
    centred = x - dlc.mean(x, axes, True)
    return centred * dlc.rsqrt(dlc.mean(dlc.square(centred), axes, True) + 0.25)


def loss(m: Maker) -> Node | None:
    """A loss of networks, summed to a number or row by row."""
    x = m.find(lambda n: is_float(n) and n.ndim == 2 and n.type.size > 0)
    if x is None:
        return None
    kind = m.pick(("none", "mean", "sum"))
    way = m.draw.below(4)
    if way == 0:
        label = m.input(Type(i32, (int(x.shape[0]),)), low=0, high=int(x.shape[1]))
        return nn.cross_entropy(x, label, 0.1 * m.draw.below(2), reduction=kind)
    if way == 1:
        return nn.binary_cross_entropy_with_logits(x, dlc.sigmoid(m.like(x)), reduction=kind)
    return m.pick((nn.mse, nn.huber))(x, m.like(x), reduction=kind)


def running(m: Maker) -> Any:
    """Cumulative folds and differences."""
    x = m.find(lambda n: filled(n) and n.dtype.name not in ("bool", "u8"))
    if x is None:
        return None
    axis, back = m.draw.below(x.ndim), m.chance(40)
    way = m.draw.below(7)
    if way == 0 and is_float(x):
        return dlc.linear_recurrence(dlc.tanh(m.like(x)), x, axis, back)
    if way == 1 and is_float(x):
        return dlc.logcumsumexp(x, axis, back)
    if way == 2:
        return m.pick((dlc.cummax_with_indices, dlc.cummin_with_indices))(x, axis, back)
    if way == 3:
        return dlc.diff(x, axis=axis)
    if way == 4:
        return dlc.cumprod(dlc.clip(x, -2, 2), axis, back)
    return dlc.cumsum(x, axis, back)


def sorted_(m: Maker) -> Any:
    """Orders: of whole numbers with ties, or of values far enough apart."""
    x = m.find(lambda n: filled(n) and is_number(n))
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    way = m.draw.below(5)
    if way == 0:
        return dlc.argsort(x, axis, m.chance(50))
    if way == 1:
        return dlc.top_k(x, 1 + m.draw.below(int(x.shape[axis])), axis, m.chance(60))
    if way == 2 and is_float(x):
        return dlc.median(x, axis, m.chance(40)) if m.chance(50) else dlc.quantile(
            x, 0.25, axis, m.chance(40))
    if way == 3:
        edges = dlc.sort(dlc.reshape(x, (-1,)))
        return dlc.searchsorted(edges, m.like(x), m.pick(("left", "right")))
    return dlc.sort(x, axis, m.chance(50))


def intermediate(m: Maker, x: Node) -> Node:
    """A value like x that a launch of its own makes: later ones may write over it."""
    value, axis = m.like(x), m.draw.below(x.ndim)
    return dlc.cumsum(value, axis, m.chance(30)) if m.chance(70) else dlc.sort(value, axis)


def of_each(m: Maker, x: Node, way: int) -> Node:
    """Something of x's shape that ends in a reduction at each element: long, of a window, short,
    or of an axis."""
    value = m.like(x)
    if way == 1 and min(x.shape) > 1:
        return dlc.grad(lambda v: dlc.sum(dlc.avg_pool(dlc.expand_dims(v, 0), 2, 1) * 4.0))(
            value) if x.ndim > 1 else dlc.mean(value, 0, True) + value
    if way < 3:
        weights = m.input(Type(x.dtype, (1 + m.draw.below(3) + 4 * (way == 0),)))
        return dlc.sum(dlc.expand_dims(value, -1) * weights, -1)
    axis = m.draw.below(x.ndim)
    return m.pick((dlc.sum, dlc.mean))(value, axis, True) + dlc.cast(0, x.dtype) * value


def several_results(m: Maker) -> Any:
    """Results that share work in one launch, with reductions of their own, over intermediates:
    which of them may be written over one is asked of every loop that reads it."""
    x = m.find(lambda n: n.dtype in (f32, f64) and n.ndim > 1 and min(n.shape) > 1 and
               n.type.size <= 400)
    x = m.find(lambda n: n.dtype in (f32, f64) and filled(n)) if x is None else x
    if x is None:
        return None
    one, other = m.pick(((1, 0), (1, 0), (0, 3), (0, 0), (3, 3), (2, 1), (1, 3)))
    first = of_each(m, x, one)
    a = first * intermediate(m, x)
    b = of_each(m, x, other) * intermediate(m, x) + a
    return [a, b, m.pick((dlc.sum, dlc.max))(first, axes_for(m, x))]


def small_sum(m: Maker) -> Node | None:
    """A number of everything: what losses end in."""
    x = m.find(is_float)
    return None if x is None else reduce.sum_(x * m.like(x))
