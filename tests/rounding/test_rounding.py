"""Intervals of rounding: every operator's results lie inside, and hardly anything else (8 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn
from dlc.ir.graph import Graph, Kind
from dlc.ir.types import DType, bf16, f16, f64
from dlc.ir.types import f32 as single
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import run
from dlc.reference.rounding import Interval, enclose, outside
from dlc.reference.rounding.interval import UNIT
from tests.ops.sampled import SAMPLES, Sample, graph_of
from tests.ops.test_backend import takes

KINDS = (single, f64, f16, bf16)


def cast_to(sample: Sample, kind: DType) -> Sample | None:
    """The sample in another float dtype, where the operator takes that."""
    if kind is single:
        return sample
    if sample.op.name == "cast" or not sample.floats() or not takes(sample, kind):
        return None
    arrays = tuple(a.astype(kind.numpy) if a.dtype.kind == "f" else a for a in sample.arrays)
    return Sample(sample.op, sample.number, arrays, sample.attrs)


def named(graph: Graph, arrays: Any) -> dict[str, Any]:
    return dict(zip((n.attrs["label"] for n in graph.inputs), arrays, strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_sample_of_every_operator_lies_inside(kind: DType) -> None:
    """In the dtype of each node, where `evaluate` rounds; exact operands leave nothing free.
    Integers stand in the node's dtype: what reads them counts its bits, and wraps as it does."""
    for sample in filter(None, (cast_to(s, kind) for s in SAMPLES)):
        graph = graph_of(sample)
        found = enclose(graph, named(graph, sample.arrays))
        for node, interval, got in zip(graph.outputs, found, run(graph, sample.arrays),
                                       strict=True):
            dtype = np.float64 if node.dtype.is_float else node.dtype.numpy
            assert {x.dtype for x in (interval.mid, interval.low, interval.high)} == {
                np.dtype(dtype)}, f"{sample} in {kind}"
            assert not np.any(outside(interval, got)), f"{sample} in {kind}"
            assert not np.any(interval.free), f"{sample} in {kind} is free"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_elementwise_intervals_are_a_few_units_wide(kind: DType) -> None:
    """Exact operands: nothing that is off by 200 units in the last place is let through."""
    for sample in filter(None, (cast_to(s, kind) for s in SAMPLES)):
        graph = graph_of(sample)
        (node, *_) = graph.outputs
        if node.op.kind is not Kind.ELEMENTWISE or node.dtype is not kind or node.op.functions:
            continue
        (found,) = enclose(graph, named(graph, sample.arrays))
        size = np.abs(found.mid) + (8 if node.op.rounding.terms else 0)
        off = found.mid + 400 * UNIT[kind.name] * size + 1e-30
        known = np.isfinite(found.mid) & (np.abs(off) < 1e4)
        assert np.all(outside(found, off) | ~known), f"{sample} in {kind}"


def evaluated(function: Any, *arrays: Any) -> tuple[Interval, Any]:
    graph = dlc.trace(function)
    (found,) = enclose(differentiate(graph), named(graph, arrays))
    return found, dlc.evaluate(graph, *arrays)


def test_whole_numbers_are_exact(rng: np.random.Generator) -> None:
    def counts(x: f32[40, 30], w: f32[30, 20]):
        return dlc.floor((x @ w).sum(1) * 2.0 + 1.0)

    x, w = (rng.integers(-9, 9, s).astype(np.float32) for s in ((40, 30), (30, 20)))
    found, value = evaluated(counts, x, w)
    assert found.certain and np.array_equal(found.mid, value)
    assert np.all(outside(found, value + 1))


def test_choices_that_rounding_decides_allow_both(rng: np.random.Generator) -> None:
    def steps(x: f32[1000]):
        return dlc.floor((x / 3.0) * 3.0)

    x = rng.integers(0, 50, 1000).astype(np.float32)
    found, value = evaluated(steps, x)
    assert not np.any(outside(found, value))
    assert not np.any(outside(found, np.where(found.low < x, x - 1, x)))
    assert np.all(outside(found, x + 1)) and np.all(outside(found, x - 2))


def test_a_pole_is_free(rng: np.random.Generator) -> None:
    def pole(x: f32[8]):
        return 1.0 / (dlc.sin(x) - dlc.sin(x + 0.0))

    found, _ = evaluated(pole, rng.normal(size=8).astype(np.float32))
    assert np.all(found.free) and not np.any(outside(found, np.full(8, np.nan)))


def test_not_a_number_is_expected_where_it_is_certain() -> None:
    def roots(x: f32[3]):
        return dlc.sqrt(x)

    found, value = evaluated(roots, np.array([-1.0, 4.0, np.nan], np.float32))
    assert not np.any(outside(found, value))
    assert list(outside(found, np.array([0.0, np.nan, 1.0], np.float32))) == [True, True, True]


def test_a_sum_is_allowed_its_terms_and_no_more(rng: np.random.Generator) -> None:
    """n rounding errors of the sum of magnitudes: (n - 1) u for n terms in any order."""
    def total(x: f32[5000]):
        return x.sum()

    x = rng.normal(size=5000).astype(np.float32)
    found, _ = evaluated(total, x)
    backwards = np.float32(0)
    for term in np.sort(x)[::-1]:
        backwards += term
    assert not outside(found, backwards)
    off = 1.01 * 5000 * UNIT["f32"] * np.sum(np.abs(x), dtype=np.float64)
    assert outside(found, found.mid + off) and outside(found, found.mid - off)


def test_loops_and_branches_carry_intervals(rng: np.random.Generator) -> None:
    def run_(x: f32[6, 3], w: f32[3, 3]):
        def step(h, row):
            h = dlc.tanh(h @ w + row)
            return h, h * h
        last, rows = dlc.scan(step, dlc.zeros((3,)), x)
        return dlc.cond(last.sum() > 9.0, lambda: rows * 0.0, lambda: nn.softmax(rows, 1) + last)

    x, w = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    found, value = evaluated(run_, x, w)
    assert not np.any(outside(found, value)) and not np.any(found.free)
    assert np.all(outside(found, value * (1 + 1e-4)))


def test_kernels_lie_inside(rng: np.random.Generator) -> None:
    """A network's loss and gradient through compiled kernels."""
    def loss(x: f32[16, 3, 9, 9], w: f32[4, 3, 3, 3], v: f32[4, 5]):
        def f(w, v):
            h = dlc.avg_pool(dlc.tanh(dlc.conv(x, w)), 2).sum((2, 3)) / 9.0
            return nn.log_softmax(h @ v, 1)[:, 0].sum()
        return dlc.grad(f, wrt=(0, 1))(w, v)

    arrays = [rng.normal(size=s).astype(np.float32) for s in (
        (16, 3, 9, 9), (4, 3, 3, 3), (4, 5))]
    graph = dlc.trace(loss)
    found = enclose(differentiate(graph), named(graph, arrays))
    with dlc.compile(graph).load() as program:
        results = program(*arrays).values()
    for interval, got in zip(found, results, strict=True):
        assert not np.any(outside(interval, got)) and not np.any(interval.free)
        assert np.all(outside(interval, got + 0.01 * np.abs(got).max()))
