"""Routines of extents 0 and 1: an index times nothing, loops of no rounds, matrices of no rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

import dlc
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Kind, OpError
from tests.ops.sampled import SAMPLES, Sample, graph_of, results_of


def shrunk(sample: Sample) -> Iterator[Sample]:
    """The sample with each of its extents cut to 0 or 1, wherever it stands."""
    for extent in sorted({n for a in sample.arrays for n in a.shape if n > 1}):
        for size in (0, 1):
            arrays = tuple(a[tuple(slice(size if n == extent else n) for n in a.shape)]
                           for a in sample.arrays)
            attrs = {k: size if v == extent and type(v) is int else v
                     for k, v in sample.attrs.items()}
            yield Sample(sample.op, sample.number, arrays, attrs)


def small_graph(sample: Sample) -> Graph | None:
    """The sample's graph; None where the operator refuses its shapes."""
    try:
        return graph_of(sample)
    except (OpError, DlcError):
        return None


ROUTINES = [s for s in SAMPLES if s.op.kind is Kind.ROUTINE]


@pytest.mark.swept(4)
@pytest.mark.parametrize("sample", ROUTINES, ids=str)
def test_kernels_of_extents_0_and_1(sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", "1")
    for small in shrunk(sample):
        graph = small_graph(small)
        if graph is None:
            continue
        want = results_of(graph, dlc.evaluate(graph, *small.arrays))
        with dlc.compile(graph).load(device="interpret") as program:
            found = results_of(graph, program(*small.arrays))
        compare(want, found)


def compare(want: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> None:
    for a, b in zip(want, found, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(b.astype(np.float64), a.astype(np.float64), rtol=1e-5, atol=1e-6)
