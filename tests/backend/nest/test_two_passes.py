"""When logsumexp is a maximum and a sum, and when loops are cut where guards change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cuda.machine import CUDA
from dlc.backend.ir import Compare, For, Load, Store
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.backend.ir.printer import kernel_of
from dlc.backend.ir.walks import expressions, flattened
from dlc.backend.lower import lower
from dlc.backend.nest.segments import MOST, segments
from dlc.ir.graph import Graph, Node
from dlc.ir.types import DType, Type
from dlc.ops.reduce import LOGSUMEXP
from dlc.ops.view import concat
from tests.backend.nest.test_loops import bodies, optimized
from tests.instruction_sets import on_every_instruction_set

EPS = float(np.finfo(np.float32).eps)


def kernels(body: Graph, isa: Any) -> list[str]:
    """The texts of a group's kernels."""
    return [kernel_of(w.kernel).text for low in lower(body, isa, {}, {}) for stage in low.stages
            for w in stage]


@pytest.mark.parametrize("kind", [f32, f64], ids=str)
def test_a_cpu_takes_one_exponential_an_element(kind: DType) -> None:
    (body,) = bodies(optimized([kind[40, 30]], lambda x: dlc.logsumexp(x, 1)))
    assert LOGSUMEXP in {n.op for n in body.nodes()}  # fusion has seen one reduction
    (kernel,) = kernels(body, ISAS["avx2"])
    assert kernel.count("exp_") == 1 and kernel.count("rmax") == 1
    for found in kernels(body, CUDA):  # a GPU's threads read what lies far away once
        assert "rmax" not in found


def total(x: Any) -> Any:
    """Row by row, column by column, and of all in parts."""
    return dlc.logsumexp(x, 1), dlc.logsumexp(x, 0), dlc.logsumexp(x)


@pytest.mark.parametrize("x", [np.inf, -np.inf, np.nan, 0.0])
def test_of_numbers_that_are_none(x: float) -> None:
    """One element in a row of small ones, and a row of nothing else."""
    values = np.full((5, 40), -3.0, np.float32)
    values[1, 7] = values[2] = x
    with np.errstate(all="ignore"):
        wanted = dlc.evaluate(dlc.trace(total, f32[5, 40]), values)
    assert len(wanted) == 3
    for which, found in on_every_instruction_set(typed(total, f32[5, 40]), values):
        for got, want in zip(found.values(), wanted.values(), strict=True):
            # of a sum of 200: a rounding for each term, and some for exp and log
            np.testing.assert_allclose(got, want, EPS, 208 * EPS, err_msg=which)


def typed(function: Callable[..., Any], *types: Type) -> Callable[..., Any]:
    """The function with its inputs' types."""
    names = function.__code__.co_varnames[:len(types)]
    function.__annotations__ = dict(zip(names, types, strict=True))
    return function


# ---- pieces of a loop ----------------------------------------------------------------------------

R = Var("r", 0, 99)


def a_loop(*guards: Compare, low: int = 0, high: int = 100) -> For:
    """A loop that loads under a guard."""
    load = Load("x", sum_of(R), f32, 1, guards)
    return For("r", Sum(low), Sum(high), (Store("y", sum_of(R), load, f32),))


@pytest.mark.parametrize("guards,pieces", [
    ([Compare(sum_of(R), ">=", 40)], [(0, 40), (40, 100)]),
    ([Compare(sum_of(R), "<", 40), Compare(sum_of(R), ">=", 60)], [(0, 40), (40, 60), (60, 100)]),
    ([Compare(sum_of(R) * 3, ">=", 70)], [(0, 24), (24, 100)]),  # 3 * 24 = 72
    ([Compare(sum_of(R) * -2, ">=", -101)], [(0, 51), (51, 100)]),  # r <= 50
    ([Compare(sum_of(R) * -1, "<", -29)], [(0, 30), (30, 100)]),  # r >= 30
    ([Compare(sum_of(R), ">=", 5)], []),  # a piece of less than a vector
    ([Compare(sum_of(R), ">=", 100)], []),  # never
    ([Compare(sum_of(R), "==", 50)], []),
    ([Compare(sum_of(R) + Var("i", 0, 9), ">=", 50)], []),  # another row, another place
])
def test_a_loop_is_cut_where_its_conditions_change(guards: list[Compare], pieces: Any) -> None:
    found = segments(a_loop(*guards), 16)
    assert found == pieces
    for c in guards if found else ():  # a condition holds in all of a piece or in none
        values = [[c.value.coefficient("r") * r for r in range(*piece)] for piece in found]
        for piece in values:
            assert len({v >= c.bound if c.sign == ">=" else v < c.bound for v in piece}) == 1


def test_many_pieces_are_one() -> None:
    many = [Compare(sum_of(R), ">=", 10 * i) for i in range(1, MOST + 1)]
    assert segments(a_loop(*many), 10) == []
    assert len(segments(a_loop(*many[1:]), 10)) == MOST


def parts(a: Node, b: Node) -> Node:
    """A concatenation with something of both."""
    return concat((a * 2.0, b + 1.0, a * a), 1)


def test_concatenated_columns_are_loops_without_guards() -> None:
    (body,) = bodies(optimized([f32[6, 32]] * 2, parts))
    (low,) = lower(body, ISAS["avx2"], {}, {})
    ((work,),) = low.stages
    loops = [s for s in flattened(work.kernel.body) if isinstance(s, For)]
    assert [(s.low.const, s.high.const) for s in loops if not s.low.terms and s.low.const] == [
        (32, 64), (64, 96)]
    loads = [e for s in flattened(work.kernel.body) for e in expressions(s) if isinstance(e, Load)]
    assert loads and not any(e.guard for e in loads)


def slices(g: Any, h: Any) -> Any:
    """The gradients of slices: each is padded, and all are added up."""
    def loss(x: Any) -> Any:
        a, b, c, d = (x[:, 20 * i:20 * i + 20] for i in range(4))
        return (a * b * h + dlc.tanh(c) * d * a).sum()

    return dlc.grad(loss)(g)


def test_pieces_give_what_the_evaluator_gives(rng: np.random.Generator) -> None:
    a, b = (rng.integers(-8, 8, (6, 32)).astype(np.float32) for _ in range(2))
    for which, got in on_every_instruction_set(typed(parts, *[f32[6, 32]] * 2), a, b):
        np.testing.assert_array_equal(got, np.concatenate([a * 2, b + 1, a * a], 1), which)
    g, h = rng.uniform(-1, 1, (6, 80)), rng.uniform(-1, 1, (6, 20))
    g, h = g.astype(np.float32), h.astype(np.float32)
    wanted = dlc.evaluate(dlc.trace(slices, f32[6, 80], f32[6, 20]), g, h)
    for which, got in on_every_instruction_set(typed(slices, f32[6, 80], f32[6, 20]), g, h):
        # products of at most 4 factors below 1, of which 2 are added up
        np.testing.assert_allclose(got, wanted, 8 * EPS, 16 * EPS, err_msg=which)
