"""A function evaluated as written, evaluated after differentiation, and compiled: all agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype
from dlc.passes.differentiate import differentiate
from dlc.reference.verify import verify


def traced(function: Callable[..., Any], *arrays: Any) -> Graph:
    """The graph of `function` for arrays of these types."""
    types = [Type(dtype(a.dtype), a.shape) for a in map(np.asarray, arrays)]
    return dlc.trace(function, *types)


def everywhere(function: Callable[..., Any], *arrays: Any, rtol: float = 1e-9, atol: float = 1e-10,
               compiled: bool = True) -> Any:
    """What `function` gives for `arrays`, the same on every path to a result."""
    arrays = tuple(map(np.asarray, arrays))
    graph = traced(function, *arrays)
    verify(graph)
    expanded = differentiate(graph)
    verify(expanded)
    expected = _named(dlc.evaluate(graph, *arrays))
    found = [_named(dlc.evaluate(expanded, *arrays))]
    if compiled:
        with dlc.compile(graph).load() as program:
            found.append(_named(program(*arrays)))
    for results in found:
        for name, value in results.items():
            np.testing.assert_allclose(value, expected[name], rtol=rtol, atol=atol)
    return expected["out"] if set(expected) == {"out"} else expected


def _named(result: Any) -> dict[str, Any]:
    return result if isinstance(result, dict) else {"out": result}
