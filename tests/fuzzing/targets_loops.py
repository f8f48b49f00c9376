"""Targets of the other lowerings, of what lies where in memory, and of the passes."""

from __future__ import annotations

from typing import Any

import dlc
from tests.fuzzing.targets import LARGER, PRIMES, Made, Rng, aims, between, one_of


def elementwise(rng: Rng) -> Any:
    """Some work on each element of what shape ever."""
    return one_of(rng, (lambda x: dlc.tanh(x) * 2.0, lambda x: dlc.sin(x) + 0.5,
                        lambda x: dlc.maximum(x, 0.125) - x * x))


# ---- loop nests ----------------------------------------------------------------------------------


@aims("one chunk")
def little(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x: (work(x),)), [(between(rng, 2, 4), between(rng, 2, 5))]


@aims("several chunks")
def more(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x: (work(x),)), [(between(rng, 20, 40), between(rng, 7, 12))]


@aims("tail of chunks")
def rows_that_do_not_divide(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x: (work(x),)), [(one_of(rng, LARGER), between(rng, 3, 6))]


@aims("columns", "blocks of columns", "tail of blocks")
def sums_of_columns(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x: (work(x).sum(0), x - x.sum(1)[:, None])), [
        (between(rng, 20, 40), one_of(rng, PRIMES))]


@aims("runs of a sum")
def long_sums(rng: Rng) -> Made:
    work = elementwise(rng)
    axis = between(rng, 0, 1)
    long, short = between(rng, 60, 200), between(rng, 2, 5)
    return (lambda x: (work(x).sum(axis),)), [(short, long) if axis else (long, short)]


@aims("lanes of a sum")
def long_sums_of_f64(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x: (dlc.cast(work(x), dlc.f64).sum(1),)), [
        (between(rng, 2, 5), between(rng, 20, 80))]


@aims("reduction in parts", "tail of parts", loop_chunks=8, in_parts=20, parts=5,
      chunk_elements=24)
def one_long_sum(rng: Rng) -> Made:
    work, fold = elementwise(rng), one_of(rng, (lambda x: x.sum(), lambda x: x.max()))
    return (lambda x: (fold(work(x)),)), [(one_of(rng, (101, 103, 107, 131, 149, 179, 199)),)]


# ---- scatters and routines -----------------------------------------------------------------------


def places(x: Any, n: int, count: int) -> Any:
    """Indices below n from the values of x [count]."""
    return dlc.cast(dlc.clip(dlc.abs(x) * 3.0, 0.0, n - 1.0), dlc.i32)[:count]


@aims("scatter")
def scatter(rng: Rng) -> Made:
    n, count, width = between(rng, 3, 9), between(rng, 2, 12), between(rng, 1, 20)
    mode = one_of(rng, ("add", "set", "max", "min"))
    return (lambda x, i, u: (dlc.scatter(x, places(i, n, count), u, 0, mode=mode),)), [
        (n, width), (count,), (count, width)]


@aims("routine")
def routine(rng: Rng) -> Made:
    n, batch = between(rng, 2, 5), between(rng, 1, 3)
    work = one_of(rng, (
        lambda x: dlc.sort(x * 0.5, 1), lambda x: dlc.argsort(x, 1),
        lambda x: dlc.linalg.cholesky(x @ dlc.swapaxes(x, 1, 2) + dlc.eye(n, dtype=x.dtype)),
        lambda x: dlc.linalg.solve(x @ dlc.swapaxes(x, 1, 2) + dlc.eye(n, dtype=x.dtype), x)))
    return (lambda x: (work(x),)), [(batch, n, n)]


# ---- loops and branches --------------------------------------------------------------------------


@aims("loop", "separate")
def recurrence(rng: Rng) -> Made:
    """A state that is also what each step gives: one node twice among the body's results."""
    steps, n = between(rng, 2, 6), between(rng, 2, 7)
    work = elementwise(rng)

    def function(h0: Any, xs: Any) -> tuple[Any, ...]:
        def body(h: Any, x: Any) -> tuple[Any, Any]:
            h = work(h * 0.5 + x)
            return h, h
        return dlc.scan(body, h0, xs)
    return function, [(n,), (steps, n)]


@aims("branch")
def branch(rng: Rng) -> Made:
    n = between(rng, 2, 30)
    yes, no = elementwise(rng), elementwise(rng)
    return (lambda x: (dlc.cond(x.sum() > 0.0, lambda: yes(x), lambda: no(x) * 0.5 + 1.0),)), [
        (n,)]


@aims("loops")
def invariant(rng: Rng) -> Made:
    """A product of what the loop does not change, and a sum of outer products in its gradient."""
    steps, n = between(rng, 2, 5), between(rng, 2, 6)

    def function(h0: Any, w: Any, xs: Any) -> tuple[Any, ...]:
        def loss(v: Any) -> Any:
            def body(h: Any, x: Any) -> tuple[Any, Any]:
                h = dlc.tanh(h @ dlc.exp(v * 0.25) + x)
                return h, h.sum()
            return dlc.scan(body, h0, xs)[1].sum()
        return (dlc.grad(loss)(w),)
    return function, [(n,), (n, n), (steps, n)]


@aims("packed before a loop")
def weights_of_a_loop(rng: Rng) -> Made:
    """A state times a matrix that stands still, perhaps turned, in two loops around each other, or
    with the gradient, whose loop multiplies by the matrix turned. Odd: rows of whole vectors are
    read as they lie."""
    steps, m, n = between(rng, 2, 4), between(rng, 2, 24), 2 * between(rng, 9, 18) + 1
    kind = one_of(rng, ("plain", "turned", "two loops", "gradient", "stack", "convolution"))
    stack = (3,) if kind == "stack" else ()

    def advance(h: Any, w: Any, x: Any) -> Any:
        if kind == "convolution":
            h = dlc.reshape(h, (1, n, m, 1))
            return dlc.reshape(dlc.tanh(dlc.conv(h, dlc.reshape(w, (n, n, 1, 1)))), (m, n)) + x
        return dlc.tanh(h @ (dlc.swapaxes(w, -1, -2) if kind == "turned" else w)) + x

    def last(h0: Any, w: Any, xs: Any) -> Any:
        return dlc.scan(lambda h, x: (advance(h, w, x), None), h0, xs)[0]

    def function(h0: Any, w: Any, xs: Any) -> tuple[Any, ...]:
        if kind == "gradient":
            return tuple(dlc.grad(lambda h, v: last(h, v, xs).sum(), (0, 1))(h0, w))
        if kind == "two loops":
            return (dlc.scan(lambda h, _: (last(h, w, xs), None), h0, xs)[0],)
        return (last(h0, w, xs),)
    return function, [(*stack, m, n), (*stack, n, n), (steps, *stack, m, n)]


def odd_product(rng: Rng) -> tuple[int, int, int]:
    """Rows, sums and columns of a product of several panels, whose columns fill no panel."""
    return between(rng, 45, 80), between(rng, 8, 20), 2 * between(rng, 9, 15) + 1


@aims("packed for chunks", "packed by copying", apart=8)
def panels_of_one_matrix(rng: Rng) -> Made:
    """Each run of panels would pack the matrix for itself; in a loop that changes it, too."""
    m, k, n = odd_product(rng)
    work = elementwise(rng)
    if rng.random() < 0.5:
        return (lambda x, w: (work(x @ w),)), [(m, k), (k, n)]

    def changing(x: Any, ws: Any) -> tuple[Any, ...]:
        first = x @ ws[0]
        return (dlc.scan(lambda y, w: (work(x @ w) + y, None), first, ws)[0],)
    return changing, [(m, k), (between(rng, 2, 3), k, n)]


@aims("packed by transposing", apart=8)
def panels_of_a_turned_matrix(rng: Rng) -> Made:
    m, k, n = odd_product(rng)
    work = elementwise(rng)
    return (lambda x, w: (work(x @ dlc.transpose(w, (1, 0))),)), [(m, k), (n, k)]


@aims("packed for launches", apart=8)
def products_with_one_matrix(rng: Rng) -> Made:
    """Two launches read the matrix in one form, as columns or as rows of A."""
    m, n, rows = between(rng, 20, 80), 2 * between(rng, 9, 15) + 1, rng.random() < 0.5

    def times(x: Any, w: Any) -> Any:
        return w @ x if rows else x @ w

    def function(x: Any, w: Any) -> tuple[Any, ...]:
        return (times(dlc.sort(times(x, w), 0), w),)
    return function, [(n, m) if rows else (m, n), (n, n)]


@aims("packed by loops")
def thinned_weights_of_a_loop(rng: Rng) -> Made:
    """Every second column or so: neither these nor rows lie side by side, no tile copies them."""
    steps, m, n = between(rng, 2, 4), between(rng, 2, 24), 2 * between(rng, 9, 18) + 1
    step = between(rng, 2, 3)

    def function(h0: Any, w: Any, xs: Any) -> tuple[Any, ...]:
        def advance(h: Any, x: Any) -> tuple[Any, None]:
            return dlc.tanh(h @ w[:, ::step]) + x, None
        return (dlc.scan(advance, h0, xs)[0],)
    return function, [(m, n), (n, step * n), (steps, m, n)]


# ---- memory --------------------------------------------------------------------------------------


@aims("written in place")
def over_an_operand(rng: Rng) -> Made:
    """A sort is a launch of its own; what becomes of its result may lie where that lies."""
    work = elementwise(rng)
    return (lambda m: (work(dlc.sort(m, 0)) - m,)), [(between(rng, 3, 12), between(rng, 3, 12))]


@aims("kernel shared", "kernel shared with numbers", apart=1 << 20)
def layers(rng: Rng) -> Made:
    """Two layers, whose operands the shared kernel packs, and of other sizes. Odd: see above."""
    work, m = elementwise(rng), between(rng, 5, 20)
    a, b, c = (between(rng, 17 + 6 * i, 22 + 6 * i) | 1 for i in range(3))
    return (lambda x, w, v: (work(x @ w) @ v,)), [(m, a), (a, b), (b, c)]


@aims("no barrier")
def independent(rng: Rng) -> Made:
    work = elementwise(rng)
    return (lambda x, y: (dlc.sort(x, 0), work(y).sum(0), work(y) @ y)), [
        (between(rng, 3, 9),), (between(rng, 9, 14),) * 2]


# ---- passes --------------------------------------------------------------------------------------


@aims("differentiate")
def derivative(rng: Rng) -> Made:
    work, n = elementwise(rng), between(rng, 2, 30)
    return (lambda x: (dlc.grad(lambda v: work(v).sum())(x),)), [(n,)]


@aims("simplify")
def simpler(rng: Rng) -> Made:
    work, n = elementwise(rng), between(rng, 2, 30)
    rest = one_of(rng, (lambda x: dlc.negative(-x), lambda x: x + 0.0, lambda x: x * 1.0,
                        lambda x: dlc.transpose(dlc.transpose(x))))
    return (lambda x: (rest(work(x)),)), [(n, 3)]


@aims("cse")
def common(rng: Rng) -> Made:
    """One product in both orders, which only `cse` takes for one."""
    work, n = elementwise(rng), between(rng, 2, 30)
    twist = one_of(rng, (lambda x, y: (x * y, y * x), lambda x, y: (x + y, y + x)))

    def function(x: Any, y: Any) -> tuple[Any, ...]:
        a, b = twist(x, y)
        return work(a), dlc.cos(b)
    return function, [(n, 3), (n, 3)]


@aims("layout")
def turned(rng: Rng) -> Made:
    """A value that all its readers transpose."""
    work, m, n = elementwise(rng), between(rng, 3, 9), between(rng, 3, 9)
    return (lambda x, w: (dlc.transpose(work(x), (1, 0)) @ w,)), [(m, n), (m, between(rng, 2, 9))]


@aims("fuse")
def fused(rng: Rng) -> Made:
    work, after, n = elementwise(rng), elementwise(rng), between(rng, 2, 30)
    return (lambda x: (after(work(x)),)), [(n,)]
