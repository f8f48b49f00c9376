"""Steps of random programs: loops, branches, derivatives of any order, vmap, checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dlc
from dlc.ir.graph import Node
from dlc.ir.types import Type, bool_, f32, f64, i32
from dlc.ops import reduce
from tests.fuzzing.bounds import Ball
from tests.fuzzing.draw import Maker, filled, is_float

Step = Callable[[Maker], Any]


def of_type(m: Maker, node: Node) -> Node:
    """A value of a body like `node`: carries keep their type."""
    found = m.find(lambda n: n.type == node.type and n is not node)
    if found is None:
        found = m.find(lambda n: n.type == node.type)
    assert found is not None
    return dlc.tanh(found) if is_float(found) and m.chance(40) else found


def grow(m: Maker, steps: Sequence[Step], count: int) -> None:
    """Some steps in a body; loops in loops come seldom."""
    for _ in range(count):
        m.add(m.pick(steps)(m))


def element(ball: Ball) -> Ball:
    return Ball(ball.value[0], ball.error[0])


def loop(m: Maker, steps: Sequence[Step]) -> Any:
    """A scan over a sequence of the pool, with one or two carries of it."""
    rows = m.find(lambda n: filled(n) and is_float(n) and n.shape[0] <= 6)
    start = m.find(lambda n: is_float(n) and n.type.size <= m.largest // 8)
    if rows is None or start is None or m.depth > 1:
        return None
    other = m.find(lambda n: n.dtype in (f32, f64, i32) and n.type.size <= m.largest // 8)
    carries = [start] if other is None or m.chance(50) else [start, other]
    count, back = 1 + m.draw.below(4), m.chance(40)

    def body(carry: Any, row: Any) -> Any:
        symbols = [*carry, row]
        balls = [*(m.ball(c) for c in carries), element(m.ball(rows))]
        with m.body(symbols, balls, m.chance(50)):
            grow(m, steps, count)
            ys = m.pool[-1]
            return tuple(of_type(m, c) for c in carry), ys

    final, ys = dlc.scan(body, tuple(carries), rows, reverse=back)
    return [*final, ys]


def counted(m: Maker, steps: Sequence[Step]) -> Any:
    """fori, or a while loop that counts whole numbers to a bound."""
    start = m.find(lambda n: is_float(n) and n.type.size <= m.largest // 4)
    if start is None or m.depth > 1:
        return None
    times, count = m.draw.below(4), 1 + m.draw.below(3)

    def inside(x: Node) -> Node:
        with m.body([x], [m.ball(start)], m.chance(40)):
            grow(m, steps, count)
            return of_type(m, x)

    if m.chance(50):
        return dlc.fori(times, lambda i, x: inside(x), start)
    limit = m.find(lambda n: n.dtype is i32 and n.ndim == 0)
    upto = dlc.clip(m.input(Type(i32, ())) if limit is None else limit, 0, 3)
    (final, _), done = dlc.while_loop(
        lambda c: c[1] < upto, lambda c: (inside(c[0]), c[1] + 1),
        (start, dlc.asarray(0, i32) * upto), bound=4)
    return [final, done]


def branch(m: Maker, steps: Sequence[Step]) -> Any:
    flag = m.find(lambda n: n.dtype is bool_ and n.ndim == 0)
    x = m.find(lambda n: is_float(n) and n.type.size <= m.largest // 2)
    if x is None or m.depth > 1:
        return None
    flag = m.input(Type(bool_, ())) if flag is None else flag

    def side(*args: Node) -> Node:
        with m.body(args, [m.ball(x)], m.chance(50)):
            grow(m, steps, 1 + m.draw.below(3))
            return of_type(m, args[0])

    return dlc.cond(flag, side, side, x)


def mapped(m: Maker, steps: Sequence[Step]) -> Any:
    x = m.find(lambda n: filled(n) and is_float(n) and n.ndim > 1)
    if x is None or m.depth > 1:
        return None

    def each(row: Node) -> Node:
        with m.body([row], [element(m.ball(x))], m.chance(40)):
            grow(m, steps, 1 + m.draw.below(3))
            return m.pool[-1]

    return dlc.map(each, x) if m.chance(30) else dlc.vmap(each)(x)


def ruled(m: Maker, x: Node) -> Node:
    """x through a function that has a rule for its derivative: computed again, or of its own."""
    if m.chance(50):
        return dlc.checkpoint(lambda v: dlc.tanh(v) * v)(x)

    @dlc.custom_gradient
    def scaled(v: Node) -> Any:
        return v * 0.5, lambda g: dlc.clip(g, -1.0, 1.0) * 0.25

    return scaled(x)


def derivative(m: Maker, steps: Sequence[Step]) -> Any:
    """A derivative, backwards, forwards or second, of a chain of other steps."""
    x = m.find(lambda n: n.dtype in (f32, f64) and 0 < n.type.size <= m.largest // 4)
    if x is None or m.depth > 2:
        return None
    y = m.find(lambda n: n.dtype is x.dtype and n is not x and n.type.size > 0)
    args = [x] if y is None or m.chance(40) else [x, y]
    count, outside, squared = 2 + m.draw.below(4), m.chance(40), m.chance(50)

    def loss(*symbols: Node) -> Node:
        with m.body(symbols, [m.ball(a) for a in args], outside):
            grow(m, steps, count)
            last = m.find(is_float)
            assert last is not None
            kept = ruled(m, last) if m.chance(25) else last
            return reduce.sum_(kept * last) if squared else reduce.mean(kept)

    wrt = tuple(range(len(args)))
    way = m.draw.below(10)
    if way < 2:
        return dlc.jvp(loss, args, args)
    if way < 4 and len(args) == 1:
        return dlc.hvp(loss, x, m.like(x))
    if way < 6 and m.depth == 0:
        # second order as users write it: a penalty of the gradient
        def penalty(*symbols: Node) -> Node:
            with m.body(symbols, [m.ball(a) for a in args], False):
                return sum((reduce.sum_(g * g) for g in dlc.grad(loss, wrt=wrt)(*symbols)), 0.0)
        return dlc.grad(penalty, wrt=wrt)(*args)
    if way < 8:
        value, gradients = dlc.value_and_grad(loss, wrt=wrt)(*args)
        return [value, *gradients]
    return dlc.grad(loss, wrt=wrt)(*args)
