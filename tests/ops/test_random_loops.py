"""Random loops against their unrolled programs: values, gradients, second order, vmap, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.ir.graph import Node
from tests.conformance.cut import swept
from tests.ops.loop_programs import Program, Scan, traced, unrolled, values

SEEDS = range(12)
WIDTH = 3


class Author:
    """Writes a body from a seed: the same choices whichever `scan` it is written over."""

    def __init__(self, seed: int, scan: Scan) -> None:
        self.rng = np.random.default_rng(seed)
        self.scan = scan

    def pick(self, values_: list[Node]) -> Node:
        """One of the values known, rather a late one."""
        at = len(values_) - 1 - int(self.rng.exponential(len(values_) / 2))
        return values_[max(at, 0)]

    def expression(self, known: list[Node], depth: int) -> Node:
        """A vector [WIDTH] made from vectors `known`."""
        choice = int(self.rng.integers(0, 13 if depth < 2 else 10))
        a, b = self.pick(known), self.pick(known)
        index = self.rng.integers(0, WIDTH, WIDTH).astype(np.int32)
        simple: list[Callable[[], Node]] = [
            lambda: dlc.tanh(a * b), lambda: a + 0.5 * b, lambda: dlc.sin(a) * b,
            lambda: dlc.where(a > b, a, b * 0.5), lambda: (a[:, None] * b[None, :]) @ (a + b),
            lambda: dlc.take(a, index) - b, lambda: a * (b * b).sum(),
            lambda: dlc.sigmoid(a)[::-1], lambda: dlc.maximum(a, b) * 0.7,
            lambda: dlc.concat([a[1:], b[:1]])]
        if choice < len(simple):
            return simple[choice]()
        if choice == 10:
            inner = self.body(1, depth + 1)
            h, ys = self.scan(lambda c, e: inner([c], [e], known[:2]), a,
                              dlc.stack([a, b]), reverse=bool(self.rng.integers(2)))
            return h + ys[1]
        branches = [self.body(0, depth + 1) for _ in range(2)]
        then, other = (lambda v, f=f: f([v], [], known[:2])[0] for f in branches)
        if choice == 11:
            return dlc.cond(a.sum() > b.sum(), then, other, a)
        return dlc.cond(a[0] > 0.0, then, lambda v: b - v, a)

    def body(self, sequences: int, depth: int) -> Callable[..., Any]:
        """(carries, elements, invariants) -> (new carry, y), three expressions long."""
        seed = int(self.rng.integers(2 ** 31))

        def run(carries: list[Node], elements: list[Node], invariants: list[Node]) -> Any:
            self.rng, outer = np.random.default_rng(seed), self.rng
            known = [*invariants, *elements, *carries]
            for _ in range(3):
                known.append(self.expression(known, depth))
            result = dlc.tanh(known[-1]), self.pick(known)
            self.rng = outer
            return result

        return run


def program(seed: int) -> Program:
    """A loop over rows with weights from outside; two loops where the seed says so."""
    def run(scan: Scan, xs: Node, w: Node, h: Node) -> Node:
        author = Author(seed, scan)
        first = author.body(1, 0)
        last, ys = scan(lambda c, e: first([c], [e], [w, w * 0.5]), h, xs,
                        reverse=seed % 3 == 0)
        if seed % 2:
            second = author.body(2, 1)
            last, ys = scan(lambda c, e: second([c], list(e), [w, last]), h, (ys, xs))
        return (last * ys[1]).sum() + (ys * ys).sum()

    rng = np.random.default_rng(seed)
    return Program(run, tuple(rng.uniform(-1, 1, s) for s in ((4, WIDTH), (WIDTH,), (WIDTH,))))


def _first(f: Callable[..., Any], *a: Node) -> Any:
    v, g = dlc.value_and_grad(f, (0, 1, 2))(*a)
    return v, *g


def _second(f: Callable[..., Any], *a: Node) -> Any:
    def norm(*b: Node) -> Node:
        return sum(((g * g).sum() for g in dlc.grad(f, (0, 1, 2))(*b)), dlc.zeros((), dlc.f64))

    return dlc.jvp(norm, a, [x * 0.5 + 0.1 for x in a])[1], *dlc.grad(norm, (1, 2))(*a)


@pytest.mark.parametrize("seed", swept("derivatives of loops", 3, 36))
def test_derivatives_equal_those_of_the_unrolled_program(seed: int) -> None:
    made = program(seed)
    for derive in (_first, _second) if seed < 5 else (_first,):
        looped = values(traced(made, derive, dlc.scan), made.arrays)
        plain = values(traced(made, derive, unrolled), made.arrays)
        for a, b in zip(looped, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.swept(2)
@pytest.mark.parametrize("seed", SEEDS[::3])
def test_vmap_equals_one_after_the_other(seed: int) -> None:
    made = program(seed)
    several = [np.stack([a, a * 0.5, -a]) for a in made.arrays]
    axes = [(0, 0, 0), (None, 0, None), (0, None, None), (None, None, 0)][seed // 3 % 4]

    def each(f: Callable[..., Any], *arrays: Node) -> Any:
        return dlc.vmap(lambda *a: _first(f, *a), axes)(
            *(dlc.asarray(s) if m is not None else a
              for s, a, m in zip(several, arrays, axes, strict=True)))

    batched = values(traced(made, each, dlc.scan), made.arrays)
    graph = traced(made, _first, dlc.scan)
    for i in range(3):
        single = values(graph, [s[i] if m is not None else a for s, a, m in zip(
            several, made.arrays, axes, strict=True)])
        for a, b in zip(batched, single, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-9, atol=1e-11)


@pytest.mark.swept(2)
@pytest.mark.parametrize("seed", SEEDS[::3])
def test_compiled(seed: int) -> None:
    made = program(seed)
    graph = traced(made, _first, dlc.scan)
    with dlc.compile(graph).load(threads=2) as running:
        found = running(*made.arrays)
    for name, want in dlc.evaluate(graph, *made.arrays).items():
        np.testing.assert_allclose(found[name], want, rtol=1e-9, atol=1e-11)
