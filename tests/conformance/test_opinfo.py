"""torch's OpInfo samples: values and gradients of dlc against PyTorch, and what PyTorch refuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype
from dlc.lang.trace import trace
from tests.conformance.adapters import TABLE, Adapter, Excluded
from tests.conformance.closeness import LENIENCE, RELATIVE, close, error, size
from tests.conformance.cut import Tally, chosen
from tests.conformance.together import Entry, Outputs, computed
from tests.conformance.torch_samples import Case, cases

pytestmark = pytest.mark.conformance
TOGETHER = 4  # operators whose samples are entries of one program


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
    """One graph over many cases: the outputs of case 3 are c3_y0, c3_d0, ...; it reads the cases'
    arrays and nothing else."""
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
    assert not graph.updates and len(graph.inputs) == len(types), graph
    return graph


def arrays_of(pairs: Sequence[tuple[Adapter, Case]]) -> list[np.ndarray]:
    """Inputs of the cases' graph, in order."""
    return [a for _, c in pairs for a in (*c.arrays, *c.cotangents)]


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


NAMES = chosen("opinfo", list(TABLE))


@pytest.mark.parametrize("name", NAMES)
def test_evaluated(name: str, tally: Callable[[str], Tally]) -> None:
    """Every sample of the operator through the evaluator, in every dtype its adapter lists."""
    adapter, counts = TABLE[name], tally("torch OpInfo")
    for case, graph in said(adapter, counts):
        found = dlc.evaluate(graph, *arrays_of([(adapter, case)]))
        if isinstance(found, dict) and int(found.get("fault", 0)) and adapter.refuses:
            counts.leave_out(adapter.refuses)
            continue
        compare(results(found, graph, [(adapter, case)])[0], case, adapter.scale)
        counts.add()
    assert counts.passed
    assert set(counts.excluded) == set(adapter.excludes) | ({adapter.refuses} - {""})


def said(adapter: Adapter, counts: Tally) -> Iterator[tuple[Case, Graph]]:
    """The samples in all dtypes that dlc can say, each with its graph; the others are counted."""
    for kind in adapter.dtypes:
        for case in cases(adapter.name, getattr(torch, kind)):
            try:
                yield case, graph_of([(adapter, case)])
            except Excluded as reason:
                counts.leave_out(str(reason))


@pytest.mark.parametrize("names", [NAMES[i:i + TOGETHER] for i in range(0, len(NAMES), TOGETHER)],
                         ids=lambda names: f"{names[0]}-and-{len(names) - 1}")
def test_compiled(names: Sequence[str], tally: Callable[[str], Tally]) -> None:
    """The same samples through passes, kernels and threads, as entries of one program."""
    counts = tally("torch OpInfo")
    kept = {f"{case} {case.outputs[0].dtype} {i}": (TABLE[name], case, graph)
            for name in names for i, (case, graph) in enumerate(said(TABLE[name], counts))}
    found = computed([Entry(name, graph, arrays_of([(adapter, case)]))
                      for name, (adapter, case, graph) in kept.items()])
    wrong = [problem for name, (adapter, case, graph) in kept.items()
             if (problem := judged(found[name], adapter, case, graph, counts))]
    assert not wrong, "\n".join(wrong)


def judged(found: Outputs | Exception, adapter: Adapter, case: Case, graph: Graph,
           counts: Tally) -> str:
    """What is wrong with the results of a sample; it is counted."""
    try:
        if isinstance(found, Exception):
            raise AssertionError(f"{case}: {type(found).__name__}: {found}") from found
        if int(found.get("fault", 0)) and adapter.refuses:
            counts.leave_out(adapter.refuses)
            return ""
        compare(results(found, graph, [(adapter, case)])[0], case, adapter.scale)
    except AssertionError as problem:
        counts.fail()
        return f"{case}: {problem}"
    counts.add()
    return ""
