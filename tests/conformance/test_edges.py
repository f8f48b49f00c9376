"""The tables of edges against torch itself, which froze its results for `make test`, through
kernels on every instruction set."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from tests.conformance.cut import chosen
from tests.edges import (
    EDGES,
    FROZEN,
    KINDS,
    Results,
    compare,
    cotangent,
    frozen,
    graph_of,
    sorted_out,
)
from tests.edges_losses import Edge
from tests.instruction_sets import RUNS, loaded

pytestmark = pytest.mark.conformance


def torchs_results(edge: Edge) -> Results:
    """What torch gives: values, gradients, and where it has them second derivatives."""
    inputs = [torch.tensor(a) for a in edge.arrays]
    wrt = [x.requires_grad_(True) for x in inputs[:edge.count]]
    y = edge.torchs(torch, *inputs)
    gradients = torch.autograd.grad(y, wrt, weights(y), create_graph=True, allow_unused=True)
    first = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, wrt, strict=True)]
    found = [[y], first, second_derivatives(first, wrt)]
    return {kind: [numbers(v) for v in values]
            for kind, values in zip(KINDS[:edge.order + 1], found, strict=False)
            if values is not None}


def second_derivatives(first: list[Any], wrt: list[Any]) -> list[Any] | None:
    """None where torch refuses: not every backward function has a derivative there."""
    moving = [g for g in first if g.requires_grad]
    if not moving:
        return [torch.zeros_like(x) for x in wrt]
    try:
        found = torch.autograd.grad(moving, wrt, [weights(g) for g in moving], allow_unused=True)
    except RuntimeError:
        return None
    return [torch.zeros_like(x) if h is None else h for h, x in zip(found, wrt, strict=True)]


def numbers(x: Any) -> Any:
    """x as nested lists; adding makes a tensor of what torch keeps as "all zeros"."""
    return (x.detach() + torch.zeros(x.shape, dtype=x.dtype)).tolist()


def weights(y: Any) -> Any:
    return torch.tensor(cotangent(tuple(y.shape)))


def test_what_is_frozen_is_torchs(request: pytest.FixtureRequest) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: torchs_results(edge) for name, edge in EDGES.items()}
    if request.config.getoption("--update-golden"):
        rows = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items())
        FROZEN.write_text("{" + ",\n".join(rows) + "}\n")
    kept = frozen()
    assert set(kept) == set(found)
    for name, results in found.items():
        assert set(kept[name]) == set(results), name
        for kind, arrays in results.items():
            for got, want in zip(kept[name][kind], arrays, strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-14, err_msg=name)


@pytest.mark.parametrize(("isa", "device"), RUNS)
def test_edges_through_kernels(isa: str, device: str) -> None:
    names, wanted = chosen("edges", list(EDGES)), frozen()
    for start in range(0, len(names), 12):
        some = names[start:start + 12]
        graph, arrays = graph_of(some)
        with loaded(graph, isa, device) as program:
            found = sorted_out(some, program(*arrays))
        for name in some:
            compare(name, found[name], wanted[name], f"{isa} {device}")
