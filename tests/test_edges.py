"""Losses, norms, distances and functions at their edges give what torch gives, in f64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f16, f32, f64, nn
from tests.edges import EDGES, compare, frozen, graph_of, sorted_out
from tests.instruction_sets import RUNS, loaded

WANTED = frozen()


def test_every_edge_is_frozen() -> None:
    assert set(WANTED) == set(EDGES)


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", EDGES)
def test_value_and_derivatives(name: str) -> None:
    """Wherever torch has a number or an infinity; kernels are in the conformance tests."""
    graph, arrays = graph_of([name])
    compare(name, sorted_out([name], dlc.evaluate(graph, *arrays))[name], WANTED[name])


# --- what went wrong, through kernels -------------------------------------------------------------

SEEN = ("cross_entropy", "cross_entropy ignored smoothed", "cross_entropy weighted", "nll ignored",
        "multi_margin of squares", "multilabel_margin", "binary_cross_entropy", "focal 0.0",
        "std", "std corrected", "cosine_similarity", "power 0.0", "huber")


@pytest.mark.swept(2)
@pytest.mark.parametrize(("isa", "device"), RUNS)
def test_what_went_wrong_on_every_instruction_set(isa: str, device: str) -> None:
    """Masked classes, probabilities of 0 and 1, equal elements, an infinite error: all were NaN."""
    graph, arrays = graph_of(SEEN)
    with loaded(graph, isa, device) as program:
        results = sorted_out(SEEN, program(*arrays))
    for name in SEEN:
        compare(name, results[name], WANTED[name], f"{isa} {device}")


def test_ignored_rows_may_hold_anything() -> None:
    logits = np.array([[1.0, 2.0], [math.nan, math.inf], [-math.inf, -math.inf]], np.float32)

    def function(x: Any) -> Any:
        return dlc.value_and_grad(lambda x: nn.cross_entropy(x, [1, -1, -1], ignore=-1))(x)

    found = dlc.evaluate(dlc.trace(function, f32[3, 2]), logits)
    value, gradient = list(found.values())[:2]
    np.testing.assert_allclose(value, math.log1p(math.exp(-1.0)), rtol=1e-6)
    assert (gradient[0] != 0).all() and (gradient[1:] == 0).all()


def test_probabilities_in_half_precision() -> None:
    """The limit of 1e-12 holds in f32; the gradient of 1e12 is beyond f16, as in PyTorch."""
    p = np.array([0.0, 1.0, 0.0, 1.0], np.float16)
    t = np.array([0.0, 1.0, 1.0, 0.0], np.float16)
    graph = dlc.trace(dlc.grad(lambda p, t: nn.binary_cross_entropy(p, t, reduction="sum")),
                      f16[4], f16[4])
    np.testing.assert_array_equal(dlc.evaluate(graph, p, t), [0.0, 0.0, -math.inf, math.inf])


def test_roots_keep_what_is_no_number() -> None:
    """Of NaN the standard deviation is NaN, and so is its gradient: only equal elements give 0."""
    graph = dlc.trace(dlc.value_and_grad(dlc.std), f64[2])
    value, gradient = dlc.evaluate(graph, np.array([1.0, math.nan])).values()
    assert np.isnan(value) and np.isnan(gradient).all()
