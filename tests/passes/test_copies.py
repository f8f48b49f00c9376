"""Kernels of chains in which every step reads the one before at several indices stay short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import Node, f32
from dlc.backend.cpu.isa import ISAS
from dlc.backend.ir import Compare, Function
from dlc.backend.lower import lower
from dlc.compiler import instruction_set
from dlc.derive import higher
from dlc.ir.graph import Graph
from dlc.passes import run_pipeline

ROWS = 32
MOST = 12_000  # objects of a kernel's IR; without a bound a chain of 16 has millions
Step = Callable[[Node], Node]


def shifted(rng: np.random.Generator, x: Node) -> Node:
    """The rows of x moved in one of several ways, as many as before."""
    by, axis = int(rng.integers(1, 6)), int(rng.integers(2))
    n = int(x.shape[axis])
    def part(low: int, high: int, step: int = 1) -> Node:
        return x[low:high:step] if axis == 0 else x[:, low:high:step]
    pads = [(by, 0) if a == axis else (0, 0) for a in range(2)]
    ways: list[Callable[[], Node]] = [
        lambda: dlc.roll(x, by, axis),
        lambda: dlc.concat([part(0, n, 2), part(1, n, 2)], axis),
        lambda: dlc.pad(part(0, n - by), pads),
        lambda: dlc.pad(part(0, n - by), pads, mode="reflect"),
        lambda: dlc.flip(x, axis),
    ]
    return ways[int(rng.integers(len(ways)))]()


def step(rng: np.random.Generator, x: Node) -> Node:
    """Two of them joined, or x between them, or one chosen by another."""
    a, b = shifted(rng, x), shifted(rng, x)
    ways: list[Callable[[], Node]] = [lambda: a + b, lambda: a + b, lambda: a + x + b,
                                      lambda: dlc.where(a > 0.0, x, b)]
    return ways[int(rng.integers(len(ways)))]()


def chain(seed: int, length: int) -> Graph:
    def function(x: Node) -> Any:
        rng = np.random.default_rng(seed)
        for _ in range(length):
            x = step(rng, x)
        return dlc.sum(x, axis=1) if rng.random() < 0.3 else x

    return dlc.trace(function, f32[ROWS, 16])


def kernels(graph: Graph) -> list[Function]:
    """What the launches of a graph are lowered to."""
    nodes = run_pipeline(graph)[-1].graph.nodes()
    return [w.kernel for n in nodes if n.op is higher.FUSED
            for low in lower(n.attrs["body"], ISAS[instruction_set()], {}, {})
            for stage in low.stages for w in stage]


def objects(item: Any) -> Iterator[Any]:
    """All parts of a kernel's IR, each as often as its text writes it."""
    yield item
    if is_dataclass(item) and not isinstance(item, type):
        for each in fields(item):
            yield from objects(getattr(item, each.name))
    elif isinstance(item, (tuple, list)):
        for each in item:
            yield from objects(each)


def sizes(graph: Graph) -> list[int]:
    return [sum(is_dataclass(o) for o in objects(k.body)) for k in kernels(graph)]


@pytest.mark.swept(4)
@pytest.mark.parametrize("seed", range(12))
def test_a_longer_chain_has_more_kernels_but_no_longer_ones(seed: int) -> None:
    """The whole grows with the chain, and no kernel beyond a bound."""
    short, long = (sizes(chain(seed, length)) for length in (8, 16))
    assert max(long) <= MOST, seed
    assert sum(long) <= 4 * max(sum(short), MOST), seed


@pytest.mark.parametrize("seed", range(4))
def test_chains_keep_their_meaning(seed: int) -> None:
    """What is cut differently computes the same, up to the order of roundings in a sum."""
    graph = chain(seed, 5)
    x = np.random.default_rng(seed).integers(-4, 5, (ROWS, 16)).astype(np.float32)
    with dlc.compile(graph).load(threads=1) as loaded:  # powers of 1/2 of small integers are exact
        np.testing.assert_array_equal(loaded(x), dlc.evaluate(graph, x))


@pytest.mark.parametrize("seed", range(6))
def test_a_condition_and_its_opposite_compare_one_value(seed: int) -> None:
    """i < 16 and i >= 16, never i - 16 >= 0: LLVM has to see that one of them holds. With 16 pairs
    in a loop that it did not see through it compiled for minutes."""
    graph = dlc.trace(lambda x: dlc.grad(lambda y: dlc.sum(dlc.stack(
        [dlc.roll(y, -k, 0) for k in range(1, 17)], 1) ** 2.0))(x), f32[64, 16])
    for made in (graph, chain(seed, 4)):
        compared = [o for k in kernels(made) for o in objects(k.body) if isinstance(o, Compare)]
        assert compared
        assert all(c.value.const == 0 for c in compared if c.sign != "==")
