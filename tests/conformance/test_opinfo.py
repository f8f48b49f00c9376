"""torch's OpInfo samples: values and gradients of dlc against PyTorch, and what PyTorch refuses."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc.graph import Graph
from dlc.trace import trace
from dlc.types import Type, dtype
from tests.conformance.adapters import TABLE, Adapter, Excluded
from tests.conformance.closeness import LENIENCE, RELATIVE, close, error, size
from tests.conformance.cut import Tally, chosen
from tests.conformance.torch_samples import SEED, Case, cases

pytestmark = pytest.mark.conformance
# Programs that the compiled share is spread over, and samples of each operator in it.
BUNDLES, PER_OPERATOR = 10, 3
# What the cut of the day takes: so many operators' values and gradients, so many programs.
DAILY, DAILY_BUNDLES = 200, 3


def outputs_of(adapter: Adapter, case: Case, leaves: Sequence[Any]) -> list[Any]:
    """The adapter's results on `leaves`, in a flat list."""
    found = case.call(adapter.function, list(leaves))
    return list(found) if isinstance(found, (list, tuple)) else [found]


def function_of(adapter: Adapter, case: Case) -> Callable[..., dict[str, Any]]:
    """(tensors..., cotangents...) -> the outputs y0, y1, ... and the gradients d0, d1, ..."""
    count = len(case.arrays)

    def both(*inputs: Any) -> dict[str, Any]:
        leaves, cotangents = inputs[:count], inputs[count:]
        named = {f"y{i}": y for i, y in enumerate(outputs_of(adapter, case, leaves))}
        if not case.smooth:
            return named

        def total(*moved: Any) -> Any:
            ys = outputs_of(adapter, case, moved)
            parts = [dlc.sum(ys[i] * g) for i, g in zip(case.graded, cotangents, strict=True)]
            return sum(parts[1:], parts[0])

        grads = dlc.grad(total, wrt=case.smooth)(*leaves)
        return {**named, **{f"d{i}": d for i, d in enumerate(grads)}}

    return both


def setting(function: Callable[..., Any], *args: Any, **more: Any) -> bool:
    """Whether torch's call is one in training mode."""
    bound = inspect.signature(function).bind(*args, **more)
    bound.apply_defaults()
    return bool(bound.arguments.get("training", True))


def graph_of(pairs: Sequence[tuple[Adapter, Case]]) -> Graph:
    """One graph over many cases: the outputs of case 3 are c3_y0, c3_d0, ...; state is left out."""
    types = [Type(dtype(a.dtype), a.shape) for _, c in pairs for a in (*c.arrays, *c.cotangents)]
    modes = {c.call(partial(setting, a.function), list(c.arrays)) for a, c in pairs}
    assert len(modes) == 1

    def whole(*inputs: Any) -> dict[str, Any]:
        left, named = list(inputs), {}
        for i, (adapter, case) in enumerate(pairs):
            count = len(case.arrays) + len(case.cotangents)
            own, left = left[:count], left[count:]
            found = function_of(adapter, case)(*own)
            named.update({f"c{i}_{name}": y for name, y in found.items()})
        return named

    # a function of any number of arguments is none of no arguments
    graph = trace(whole if types else lambda: whole(), *types, training=modes.pop())
    kept = [(n, o) for n, o in zip(graph.output_names, graph.outputs, strict=True)
            if n == "fault" or re.fullmatch(r"c\d+_[yd]\d+", n)]
    return Graph("opinfo", graph.inputs, tuple(o for _, o in kept), tuple(n for n, _ in kept))


def arrays_of(graph: Graph, pairs: Sequence[tuple[Adapter, Case]]) -> list[np.ndarray]:
    """Inputs of the graph: the cases' arrays, and zeros for running statistics nobody reads."""
    given = [a for _, c in pairs for a in (*c.arrays, *c.cotangents)]
    return given + [np.zeros(n.shape, n.dtype.numpy) for n in graph.inputs[len(given):]]


def results(found: Any, graph: Graph, pairs: Sequence[tuple[Adapter, Case]]) -> list[Any]:
    """Outputs y0, d0, ... of each case; `found` is what dlc gives, one array or a dict."""
    named = found if isinstance(found, dict) else {graph.output_names[0]: found}
    each: list[dict[str, Any]] = [{} for _ in pairs]
    for name, value in named.items():
        if name != "fault":
            number, _, own = name[1:].partition("_")
            each[int(number)][own] = value
    return each


def compare(found: dict[str, Any], case: Case, scale: float) -> None:
    """Shapes and integers exact, floats of one dtype and within rounding."""
    want = case.expected()
    assert set(found) == set(want), f"{case}: {sorted(found)} for {sorted(want)}"
    for name, value in want.items():
        got = np.asarray(found[name])
        assert got.shape == value.shape, f"{case} {name}: {got.shape} for {value.shape}"
        if value.dtype.kind not in "fV":
            np.testing.assert_array_equal(got, value, err_msg=f"{case} {name}")
            continue
        assert got.dtype == value.dtype, f"{case} {name}: {got.dtype} for {value.dtype}"
        if not close(got, value, scale):
            exact = case.exact()[name].astype(np.float64)
            np.testing.assert_array_less(
                error(got, exact), LENIENCE * error(value, exact) + RELATIVE * scale * size(exact),
                err_msg=f"{case} {name}: {got} for {value}, exactly {exact}")


@pytest.mark.parametrize("name", chosen("opinfo", list(TABLE), DAILY))
def test_values_and_gradients(name: str, tally: Callable[[str], Tally]) -> None:
    """Every sample of the operator through the evaluator, in every dtype its adapter lists."""
    adapter, counts = TABLE[name], tally("torch OpInfo")
    for kind in adapter.dtypes:
        for case in cases(name, getattr(torch, kind)):
            pair = [(adapter, case)]
            try:
                graph = graph_of(pair)
            except Excluded as reason:
                counts.leave_out(str(reason))
                continue
            found = dlc.evaluate(graph, *arrays_of(graph, pair))
            if isinstance(found, dict) and int(found.get("fault", 0)) and adapter.refuses:
                counts.leave_out(adapter.refuses)
                continue
            compare(results(found, graph, pair)[0], case, adapter.scale)
            counts.add()
    assert counts.passed
    assert set(counts.excluded) == set(adapter.excludes) | ({adapter.refuses} - {""})


def runnable(adapter: Adapter, case: Case) -> bool:
    """Whether dlc has a way to say the case, and accepts its data."""
    try:
        graph = graph_of([(adapter, case)])
    except Excluded:
        return False
    if "fault" not in graph.output_names:
        return True
    found = dlc.evaluate(graph, *arrays_of(graph, [(adapter, case)]))
    return not int(found["fault"])


def share(names: Sequence[str]) -> list[tuple[Adapter, Case]]:
    """PER_OPERATOR samples of each operator in training mode, drawn by SEED."""
    rng, chosen = np.random.default_rng(SEED), []
    for name in names:
        adapter = TABLE[name]
        found = list(cases(name, getattr(torch, adapter.dtypes[0])))
        fit = (c for c in map(found.__getitem__, rng.permutation(len(found)))
               if c.call(partial(setting, adapter.function), list(c.arrays))
               and runnable(adapter, c))
        chosen += [(adapter, c) for c in islice(fit, PER_OPERATOR)]
    return chosen


@pytest.mark.parametrize("part", chosen("opinfo_cpu", [str(i) for i in range(BUNDLES)],
                                        DAILY_BUNDLES))
def test_on_the_cpu(part: str) -> None:
    """A share of the samples through passes, kernels and threads: many in one program."""
    pairs = share(list(TABLE)[int(part)::BUNDLES])
    graph = graph_of(pairs)
    arrays = arrays_of(graph, pairs)
    inputs = [n for n in graph.inputs if n.attrs["role"] not in ("param", "state")]
    with dlc.compile(graph, name=f"opinfo{part}").load(threads=2) as program:
        found = program(*arrays[:len(inputs)])
        kernels = len(program.compiled.kernels)
    for (adapter, case), got in zip(pairs, results(found, graph, pairs), strict=True):
        compare(got, case, adapter.scale)
    print(f"{len(pairs)} samples of {len(TABLE) // BUNDLES} operators on the CPU, "
          f"{kernels} kernels, seed {SEED}")
