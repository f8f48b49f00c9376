"""Cases as entries of one Program: kernels are shared, weights are not, a bad case is found."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import f32
from dlc.ir.graph import Graph
from dlc.lang.scope import parameter
from tests.conformance.together import Entry, computed, given, loaded


def scaled(size: int) -> Graph:
    """x -> tanh(x) * w with a parameter of the same name for every size."""
    def function(x: Any) -> Any:
        return {"y": dlc.tanh(x) * parameter("w", f32[size])}

    return dlc.trace(function, f32[size])


def test_cases_of_one_name_keep_their_own_weights_and_share_kernels() -> None:
    graphs = [scaled(size) for size in (3, 50, 700)]
    x = [np.linspace(-1, 1, g.inputs[0].shape[0], dtype=np.float32) for g in graphs]
    arrays = [given(g, {n.attrs["label"]: a if n.attrs["role"] == "arg" else np.full_like(a, i)
                        for n in g.inputs}) for i, (g, a) in enumerate(zip(graphs, x, strict=True))]
    found = computed([Entry(f"case {i}", g, a) for i, (g, a) in enumerate(
        zip(graphs, arrays, strict=True))])
    for i, a in enumerate(x):
        got = found[f"case {i}"]
        assert isinstance(got, dict)
        np.testing.assert_allclose(got["y"], np.tanh(a) * i, 1e-5, 1e-7)
    with loaded(graphs) as running:
        assert len(running.program.kernels) == 1


def test_a_case_that_cannot_run_spoils_no_other() -> None:
    graph = dlc.trace(lambda x: {"y": x + 1}, f32[4])
    x = np.arange(4, dtype=np.float32)
    entries = [Entry(str(i), graph, [x[:2] if i == 3 else x]) for i in range(6)]
    found = computed(entries)
    assert isinstance(found.pop("3"), Exception)
    assert len(found) == 5
    for got in found.values():
        assert isinstance(got, dict)
        np.testing.assert_array_equal(got["y"], x + 1)


def test_no_cases_are_no_program() -> None:
    assert computed([]) == {}
