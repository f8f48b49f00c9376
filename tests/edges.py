"""What the functions of the edge tables give: values, first and second derivatives, as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dlc
from dlc.ir.types import Type, f64
from tests.edges_functions import FUNCTIONS
from tests.edges_losses import LOSSES, Edge

EDGES: dict[str, Edge] = {**LOSSES, **FUNCTIONS}
FROZEN = Path(__file__).parent / "edges.json"  # torch's results
KINDS = ("value", "first", "second")
# a handful of operators in f64, whose elementary functions are within a few units of the last place
ROUNDING = 256 * 2.0**-53
# an epsilon rounded to f32, as it stands in some of torch's losses
F32_EPSILON = 2.0**-24

Results = dict[str, list[Any]]


def cotangent(shape: Sequence[int]) -> Any:
    """Numbers from 0.5 to 2.5, all different: a gradient of zeros is none by chance."""
    count = int(np.prod(shape))
    return np.asarray(np.cos(np.arange(count) + 0.3) + 1.5).reshape(shape)


def derivatives(edge: Edge, arrays: Sequence[Any]) -> list[Any]:
    """The value, the gradients by the first `count` arrays, and the gradients of those, as far as
    `order` says."""
    wrt, rest = arrays[:edge.count], arrays[edge.count:]

    def first(*moved: Any) -> tuple[Any, ...]:
        y, pullback = dlc.vjp(lambda *d: edge.ours(*d, *rest), *moved)
        found = pullback(cotangent(tuple(map(int, y.shape))))
        return found if isinstance(found, tuple) else (found,)

    results = [edge.ours(*arrays)]
    if edge.order > 0:
        gradients, pullback = dlc.vjp(first, *wrt)
        results += gradients
    if edge.order > 1:
        found = pullback(tuple(cotangent(tuple(map(int, g.shape))) for g in gradients))
        results += found if isinstance(found, tuple) else (found,)
    return results


def graph_of(names: Sequence[str]) -> tuple[dlc.Graph, list[np.ndarray]]:
    """One graph over the arrays of all `names`, and the arrays."""
    arrays = [a for name in names for a in EDGES[name].arrays]

    def function(*inputs: Any) -> list[Any]:
        left, results = list(inputs), []
        for name in names:
            edge = EDGES[name]
            taken = [left.pop(0) for _ in edge.arrays]
            results += derivatives(edge, taken)
        return results

    return dlc.trace(function, *(Type(f64, a.shape) for a in arrays)), arrays


def sorted_out(names: Sequence[str], found: Any) -> dict[str, Results]:
    """The results of graph_of, by name and kind."""
    flat = list(found.values()) if isinstance(found, Mapping) else [found]
    results: dict[str, Results] = {}
    for name in names:
        edge = EDGES[name]
        counts = (1, edge.count, edge.count)[:edge.order + 1]
        results[name] = {kind: [flat.pop(0) for _ in range(n)]
                         for kind, n in zip(KINDS, counts, strict=False)}
    return results


def frozen() -> dict[str, Results]:
    """Torch's results, as they were written down."""
    found: dict[str, Results] = json.loads(FROZEN.read_text())
    return found


def compare(name: str, found: Results, wanted: Results, where: str = "") -> None:
    """Equal within rounding wherever torch has a number or an infinity."""
    for kind, arrays in wanted.items():
        for number, (ours, theirs) in enumerate(zip(found[kind], arrays, strict=True)):
            ours, theirs = np.asarray(ours), np.asarray(theirs, np.float64)
            told = ~np.isnan(theirs)
            tolerance = F32_EPSILON if EDGES[name].rounded else ROUNDING
            np.testing.assert_allclose(
                ours[told], theirs[told], rtol=2 * tolerance, atol=tolerance,
                err_msg=f"{name}: {kind} {number} {where}")
