"""The CPU backend against the evaluator: every sample of every operator, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.derive.autodiff import reverse
from dlc.ir.graph import Build, Graph, OpError, building
from dlc.ir.types import DType, Type, bf16, dtype, f16, f64
from dlc.ops import leaf
from dlc.reference.evaluate import evaluate
from tests.conformance.cut import chosen
from tests.ops.sampled import SAMPLES, SMOOTH, Sample, graph_of

# Polynomials are within 4 units in the last place; a sum of n terms loses up to n in any order.
TOLERANCE = {"f64": 1e-12, "f32": 2e-6, "f16": 2e-3, "bf16": 2e-2}


def check(graph: Graph, arrays: tuple[np.ndarray, ...]) -> None:
    """Run `graph` on the CPU and through the evaluator; compare outputs by name."""
    with dlc.compile(graph).load(threads=2) as program:
        found = program(*arrays)
    expected = evaluate(graph, *arrays)
    names = graph.output_names
    pairs = dict.fromkeys(names, (found, expected)) if len(names) == 1 else {
        n: (found[n], expected[n]) for n in names}
    for name, node in zip(names, graph.outputs, strict=True):
        got, want = (np.asarray(a) for a in pairs[name])
        assert (got.dtype, got.shape) == (want.dtype, want.shape) == (
            node.dtype.numpy, tuple(node.shape))
        compare(got, want, TOLERANCE.get(node.dtype.name), name)


def compare(got: Any, want: Any, tolerance: float | None, name: str) -> None:
    if tolerance is None:
        np.testing.assert_array_equal(got, want, err_msg=name)
        return
    size = float(np.max(np.abs(want[np.isfinite(want)]), initial=0.0))
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=tolerance,
                               atol=tolerance * size, err_msg=name)


def first_two(suite: str, samples: Sequence[Sample]) -> list[Any]:
    """Two samples of each operator; `make conformance` compiles the day's slice of the others."""
    others = set(chosen(suite, [str(s) for s in samples if s.number >= 2]))
    return [s if s.number < 2 else pytest.param(s, marks=pytest.mark.conformance)
            for s in samples if s.number < 2 or str(s) in others]


@pytest.mark.swept(3)
@pytest.mark.parametrize("sample", first_two("operators", SAMPLES), ids=str)
def test_value_on_the_cpu(sample: Sample) -> None:
    check(graph_of(sample), sample.arrays)


@pytest.mark.swept(3)
@pytest.mark.parametrize("sample", first_two("operators, gradients", SMOOTH), ids=str)
def test_gradient_on_the_cpu(sample: Sample) -> None:
    """The derivative's operators in the types that they have there: f32."""
    with building(Build()):
        graph = graph_of(sample)
        ys = [y for y in graph.outputs if y.dtype.is_float]
        us = [leaf.input_(f"u{i}", y.type) for i, y in enumerate(ys)]
        grads = reverse(dict(zip(ys, us, strict=True)), [graph.inputs[i] for i in sample.floats()])
    names = tuple(f"dx{i}" for i in sample.floats())
    ramps = [np.linspace(-1, 1, y.type.size).reshape(tuple(y.shape)).astype(y.dtype.numpy)
             for y in ys]
    check(Graph(f"grad_{sample.op.name}", (*graph.inputs, *us), tuple(grads), names),
          (*sample.arrays, *ramps))


def other_floats() -> list[Any]:
    """The operators that take floats, each with the other float dtypes that it takes; every third
    of these is compiled in `make test`, the day's slice of the others in `make conformance`."""
    found = {f"{s.op.name} {kind}": (s.op.name, kind) for s in LARGEST.values()
             for kind in (f64, f16, bf16) if takes(s, kind)}
    usual = {name for i, name in enumerate(found) if i % 3 == (i // 3) % 3}
    others = set(chosen("operators, other floats", [n for n in found if n not in usual]))
    return [pytest.param(*case, id=name, marks=[] if name in usual else pytest.mark.conformance)
            for name, case in found.items() if name in usual or name in others]


def takes(sample: Sample, kind: DType) -> bool:
    types = [Type(kind if a.dtype.kind == "f" else dtype(a.dtype), a.shape) for a in sample.arrays]
    try:
        sample.op.infer(*types, **sample.attrs)
    except OpError:
        return False
    return True


LARGEST = {s.op.name: s for s in SAMPLES if s.floats()}


@pytest.mark.swept(3)
@pytest.mark.parametrize(("name", "kind"), other_floats())
def test_other_floats_on_the_cpu(name: str, kind: DType) -> None:
    """The last sample of every operator that takes floats, in the other float dtypes."""
    sample = LARGEST[name]
    arrays = tuple(a.astype(kind.numpy) if a.dtype.kind == "f" else a for a in sample.arrays)
    check(graph_of(Sample(sample.op, sample.number, arrays, sample.attrs)), arrays)
