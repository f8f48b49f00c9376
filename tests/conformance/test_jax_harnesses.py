"""JAX's own test harnesses of convolution, products, windows, indexing and order, run by dlc."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from jax._src.internal_test_util import test_harnesses

import dlc
from dlc.graph import Graph
from dlc.types import Type, dtype
from tests.conformance.adapters.registry import Excluded
from tests.conformance.cut import Tally, chosen
from tests.conformance.lax_in_dlc import NAMES, said_in_dlc

pytestmark = pytest.mark.conformance
GROUPS = (
    "conv_general_dilated", "dot_general", "reduce_window_add", "reduce_window_max",
    "reduce_window_min", "reduce_window_mul", "gather", "scatter", "scatter_add", "scatter_max",
    "scatter_min", "scatter_mul", "pad", "sort", "top_k", "cumsum", "cumprod", "cummax", "cummin",
    "cumlogsumexp", "select_and_gather_add", "select_and_scatter_add", "dynamic_slice",
    "dynamic_update_slice")
DTYPES = {np.dtype(d) for d in (
    np.float32, np.float16, ml_dtypes.bfloat16, np.int32, np.int16, np.int8, np.uint32, np.uint16,
    np.uint8, np.bool_)}
# An element is within this of JAX's largest: float arithmetic in another order.
CLOSE = {"f32": 2e-5, "f16": 4e-3, "bf16": 3e-2}
PER_GROUP, COMPILED = 20, 8


@cache
def harnesses() -> dict[str, dict[str, Any]]:
    """Harnesses by group and name; those of dtypes that dlc does not have are left out."""
    found: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for harness in test_harnesses.all_harnesses:
        if harness.group_name in found and np.dtype(harness.dtype) in DTYPES:
            found[harness.group_name][harness.fullname] = harness
    return found


def arrays_of(harness: Any) -> list[np.ndarray]:
    """The harness's operands, with integers as JAX takes them."""
    args = harness.dyn_args_maker(np.random.RandomState(0))
    return [np.asarray(jax.numpy.asarray(a)) for a in args]


def said(harness: Any, arrays: Sequence[np.ndarray]) -> Callable[..., list[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return said_in_dlc(harness.dyn_fun, arrays)


def expected(harness: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(r) for r in jax.tree.leaves(harness.dyn_fun(*arrays))]


def compare(name: str, got: Sequence[Any], want: Sequence[np.ndarray]) -> None:
    assert len(got) == len(want), name
    for ours, theirs in zip(got, want, strict=True):
        ours = np.asarray(ours)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
        if theirs.dtype.kind in "iub":
            np.testing.assert_array_equal(ours, theirs, err_msg=name)
            continue
        scale = CLOSE[dtype(theirs.dtype).name]
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
        np.testing.assert_allclose(a, b, scale, scale * largest, err_msg=name)


def graph_of(cases: Sequence[tuple[Callable[..., list[Any]], list[np.ndarray]]]) -> Graph:
    """One graph over many harnesses: result i of case k is c{k}_{i}."""
    def whole(*inputs: Any) -> dict[str, Any]:
        left, named = list(inputs), {}
        for k, (function, arrays) in enumerate(cases):
            own, left = left[:len(arrays)], left[len(arrays):]
            named.update({f"c{k}_{i}": y for i, y in enumerate(function(*own))})
        return named

    return dlc.trace(whole, *(Type(dtype(a.dtype), a.shape) for _, arrays in cases
                              for a in arrays))


def run(group: str, names: Sequence[str], counts: Tally) -> list[tuple[Any, ...]]:
    """Evaluate the harnesses; those that can be said, for compiling."""
    fit = []
    for name in names:
        harness = harnesses()[group][name]
        if "sort_inf_nan" in name:
            counts.leave_out("JAX orders NaNs by their sign, dlc and NumPy put all of them last")
            continue
        if "out_of_bounds" in name and "PROMISE_IN_BOUNDS" in name:
            counts.leave_out("indices out of bounds that were promised to be within: JAX gives "
                             "anything there")
            continue
        try:
            arrays = arrays_of(harness)
            want = expected(harness, arrays)
        except (TypeError, NotImplementedError, ValueError) as problem:
            counts.leave_out(f"JAX refuses it: {str(problem).splitlines()[0][:60]}")
            continue
        if strange := {a.dtype.name for a in arrays} - NAMES:
            counts.leave_out(f"operands of dtype {', '.join(sorted(strange))}")
            continue
        try:
            function = said(harness, arrays)
            graph = graph_of([(function, arrays)])
        except Excluded as reason:
            counts.leave_out(str(reason))
            continue
        found = named(dlc.evaluate(graph, *arrays), graph)
        assert not int(found.get("fault", 0)), name
        compare(name, [found[f"c0_{i}"] for i in range(len(want))], want)
        counts.add()
        fit.append((name, function, arrays, want))
    return fit


def named(found: Any, graph: Graph) -> dict[str, Any]:
    return found if isinstance(found, dict) else {graph.output_names[0]: found}


@pytest.mark.parametrize("group", GROUPS)
def test_group(group: str, tally: Callable[[str], Tally]) -> None:
    """Through the evaluator, and a share of them compiled into one program."""
    counts = tally("JAX harnesses")
    names = chosen(f"jax_{group}", list(harnesses()[group]), PER_GROUP)
    with jax.enable_x64(False):  # other files of this run ask JAX for 64 bits
        fit = run(group, names, counts)
    rng = np.random.default_rng(len(fit))
    share = [fit[i] for i in sorted(rng.permutation(len(fit))[:COMPILED])]
    if not share:
        return
    graph = graph_of([(function, arrays) for _, function, arrays, _ in share])
    with dlc.compile(graph, name=f"jax_{group}").load(threads=2) as program:
        found = named(program(*(a for _, _, arrays, _ in share for a in arrays)), graph)
    for k, (name, _, _, want) in enumerate(share):
        compare(f"compiled {name}", [found[f"c{k}_{i}"] for i in range(len(want))], want)
