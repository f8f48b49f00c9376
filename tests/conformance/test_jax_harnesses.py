"""JAX's own test harnesses of convolution, products, windows, indexing and order, run by dlc."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from jax._src.internal_test_util import test_harnesses

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype
from tests.conformance.adapters.registry import Excluded
from tests.conformance.cut import Tally, chosen
from tests.conformance.lax_in_dlc import NAMES, said_in_dlc
from tests.conformance.together import Entry, computed

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
PROGRAMS = 4  # that the groups of a part are compiled in


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


def graph_of(function: Callable[..., list[Any]], arrays: Sequence[np.ndarray]) -> Graph:
    """The graph of a harness, with the results r0, r1, ..."""
    def whole(*inputs: Any) -> dict[str, Any]:
        return {f"r{i}": y for i, y in enumerate(function(*inputs))}

    return dlc.trace(whole, *(Type(dtype(a.dtype), a.shape) for a in arrays))


@dataclass(frozen=True)
class Said:
    """A harness said in dlc, its operands, and what JAX gives."""

    name: str
    graph: Graph
    arrays: list[np.ndarray]
    want: list[np.ndarray]


def those(group: str, counts: Tally) -> Iterator[Said]:
    """The harnesses of this run that can be said; the others are counted with the reason."""
    for name in chosen(f"jax_{group}", list(harnesses()[group])):
        try:
            with jax.enable_x64(False):  # other files of this run ask JAX for 64 bits
                yield said_harness(name, harnesses()[group][name])
        except Excluded as reason:
            counts.leave_out(str(reason))


def said_harness(name: str, harness: Any) -> Said:
    """Raises Excluded, with the reason, for what dlc or JAX does not take."""
    if "sort_inf_nan" in name:
        raise Excluded("JAX orders NaNs by their sign, dlc and NumPy put all of them last")
    if "out_of_bounds" in name and "PROMISE_IN_BOUNDS" in name:
        raise Excluded("indices out of bounds that were promised to be within: JAX gives anything "
                       "there")
    try:
        arrays = arrays_of(harness)
        want = expected(harness, arrays)
    except (TypeError, NotImplementedError, ValueError) as problem:
        raise Excluded(f"JAX refuses it: {str(problem).splitlines()[0][:60]}") from problem
    if strange := {a.dtype.name for a in arrays} - NAMES:
        raise Excluded(f"operands of dtype {', '.join(sorted(strange))}")
    return Said(name, graph_of(said(harness, arrays), arrays), arrays, want)


def judged(case: Said, found: Any, counts: Tally) -> str:
    """What is wrong with the results of a harness; it is counted."""
    try:
        assert not isinstance(found, Exception), f"{case.name}: {found!r}"
        assert not int(found.get("fault", 0)), case.name
        compare(case.name, [found[f"r{i}"] for i in range(len(case.want))], case.want)
    except AssertionError as problem:
        counts.fail()
        return str(problem)
    counts.add()
    return ""


def named(found: Any, graph: Graph) -> dict[str, Any]:
    return found if isinstance(found, dict) else {graph.output_names[0]: found}


@pytest.mark.parametrize("group", GROUPS)
def test_evaluated(group: str, tally: Callable[[str], Tally]) -> None:
    """Through the evaluator."""
    counts = tally("JAX harnesses")
    wrong = [judged(case, named(dlc.evaluate(case.graph, *case.arrays), case.graph), counts)
             for case in those(group, counts)]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize("groups", [GROUPS[i::PROGRAMS] for i in range(PROGRAMS)],
                         ids=lambda groups: f"{groups[0]}-and-{len(groups) - 1}")
def test_compiled(groups: Sequence[str], tally: Callable[[str], Tally]) -> None:
    """Through passes, kernels and threads, as entries of one program."""
    counts = tally("JAX harnesses")
    cases = [case for group in groups for case in those(group, counts)]
    found = computed([Entry(case.name, case.graph, case.arrays) for case in cases])
    wrong = [judged(case, found[case.name], counts) for case in cases]
    assert not any(wrong), "\n".join(filter(None, wrong))
