"""Long reductions in parts: every fold, dtype and shape of loops, on every instruction set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bool_, f16, f32, f64, i32, nn, runtime
from dlc.backend.assemble import assembled
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.limits import DEFAULT, Limits
from dlc.compiler import instruction_set
from dlc.ir.graph import Graph, Node
from dlc.ir.types import DType, Type
from dlc.passes import run_pipeline
from dlc.program import Program
from tests.fuzzing.building import SMALL

# natively on the set that the run is for (`--isa` names another), interpreted on each
RUNS = [("", "cpu"), *((isa, "interpret") for isa in ISAS)]

# of small integers all sums and products below are exact, in any order
FOLDS: dict[str, Callable[[Node, Any], Any]] = {
    "sum": lambda x, axes: x.sum(axes),
    "squares": lambda x, axes: (x * x).sum(axes) + 1.0,
    "max": lambda x, axes: x.max(axes) * 2.0,
    "min": lambda x, axes: x.min(axes),
    "two": lambda x, axes: (x.sum(axes), x.max(axes)),
    "argmax": lambda x, axes: dlc.argmax(x, axes),
    "argmin": lambda x, axes: dlc.argmin(x, axes),
    "apart": lambda x, axes: x - x.max(axes, keepdims=True),
    "in turn": lambda x, axes: (x - x.max(axes, keepdims=True)).sum(axes),
}
SHAPES: list[tuple[tuple[int, ...], Any]] = [
    ((131,), None), ((67, 3), 0), ((2, 79), 1), ((5, 41), None), ((40, 19), 0), ((2, 33, 3), 1)]
# how many chunks a nest needs to be left alone does not change what is right
LIMITS = replace(SMALL, loop_chunks=8, in_parts=20, parts=5, chunk_elements=24)


def data(dtype: DType, shape: tuple[int, ...], seed: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.integers(-4, 5, shape)
    return (values > 2) if dtype is bool_ else values.astype(dtype.numpy)


def program_of(graphs: dict[str, Graph], isa: str, limits: Limits) -> Program:
    done = {name: run_pipeline(g)[-1].graph for name, g in graphs.items()}
    return assembled("parts", done, "cpu", isa or instruction_set(), limits=limits)[0]


def results(running: Any, program: Program, name: str, x: Any) -> list[Any]:
    """What the entry `name` makes of x."""
    running.write(program.entries[name].inputs[0].name, x, name)
    running.run(name)
    return [running.read(p.name, name) for p in program.entries[name].outputs]


def evaluated(graph: Graph, x: Any) -> list[Any]:
    found = dlc.evaluate(graph, x)
    return list(found.values()) if isinstance(found, dict) else [found]


def in_parts(program: Program, name: str) -> int:
    """Launches of an entry that fold in parts."""
    return sum(len(launch.stages) > 1 for launch in program.entries[name].flat)


def devices(program: Program, device: str) -> Iterator[Any]:
    for threads in (1, 3) if device == "cpu" else (1,):
        yield runtime.load(program, device, threads) if device == "cpu" else runtime.load(
            program, device)


def cases() -> dict[str, tuple[Graph, Any]]:
    """By name: the graph and its input."""
    found = {}
    for number, (shape, axes) in enumerate(SHAPES):
        for turn, (fold, function) in enumerate(FOLDS.items()):
            def traced(x: Node, function: Any = function, axes: Any = axes) -> Any:
                return function(x, axes)
            dtype = (f32, f64, f16, i32)[(number + turn) % 4]
            graph = dlc.trace(traced, Type(dtype, shape))
            found[f"{fold}_{number}_{dtype}".replace(" ", "_")] = graph, data(dtype, shape)
    for fold in (dlc.any, dlc.all):
        graph = dlc.trace(lambda x, fold=fold: fold(x), Type(bool_, (200,)))
        found[f"bools_{fold.__name__}"] = graph, data(bool_, (200,))
    return found


CASES = cases()


@pytest.mark.swept(2)
@pytest.mark.parametrize("isa,device", RUNS)
def test_exact_folds(isa: str, device: str) -> None:
    """Sums of integers, extremes and their places: equal to the bit, by any number of threads."""
    program = program_of({name: graph for name, (graph, _) in CASES.items()}, isa, LIMITS)
    lacking = [name for name in CASES if not in_parts(program, name)]
    assert len(lacking) < len(CASES) // 10, lacking
    for running in devices(program, device):
        for name, (graph, x) in CASES.items():
            for got, want in zip(results(running, program, name, x),
                                 evaluated(graph, x), strict=True):
                np.testing.assert_array_equal(got, want, err_msg=name)


SPECIAL = [np.array([1, 3, np.nan, 3] * 40, np.float32), np.full(160, -np.inf, np.float32),
           np.array([np.inf, 1] * 80, np.float32), np.tile(np.float32([2, 7, 7, 1]), 40)]


@pytest.mark.parametrize("isa,device", RUNS)
def test_infinities_nan_and_ties(isa: str, device: str) -> None:
    """NaN wins, the first of equals too, and no part of infinities gives inf - inf."""
    def folds(x: f32[160]) -> Any:
        return x.max(), x.min(), dlc.argmax(x), dlc.argmin(x), dlc.logsumexp(x), x.sum()

    graph = dlc.trace(folds)
    program = program_of({"main": graph}, isa, LIMITS)
    assert in_parts(program, "main") >= 1
    (running, *_) = devices(program, device)
    for x in SPECIAL:
        for got, want in zip(results(running, program, "main", x),
                             evaluated(graph, x), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-6, atol=0)


@pytest.mark.swept(2)
@pytest.mark.parametrize("isa,device", RUNS)
def test_softmax_and_moments(isa: str, device: str) -> None:
    """Each reduction waits for the one before: three stages of parts, and what is made of them."""
    def layer(x: f32[3, 70]) -> Any:
        flat = x.reshape((210,))
        return nn.softmax(flat), dlc.logsumexp(flat), dlc.variance(flat), flat - flat.mean()

    graph = dlc.trace(layer)
    program = program_of({"main": graph}, isa, LIMITS)
    x = np.random.default_rng(1).standard_normal((3, 70)).astype(np.float32)
    (running, *_) = devices(program, device)
    for got, want in zip(results(running, program, "main", x), evaluated(graph, x),
                         strict=True):
        # sums of 210 in runs of 5 and f64 totals, exp and log within 2 units: 16 roundings
        np.testing.assert_allclose(got, want, rtol=16 * 2**-23, atol=16 * 2**-23)


def test_parts_depend_on_the_shape_alone() -> None:
    """Parts of about 16,384 elements, at most 64 of them; a row of 60,000 stays whole."""
    def chunks(size: int, rows: int = 1) -> int:
        graph = dlc.trace(lambda x: x.sum(1), f32[rows, size])
        program = program_of({"main": graph}, "avx2", DEFAULT)
        return max(s.chunks for launch in program.entries["main"].flat
                   for stage in launch.stages for s in stage)

    assert [chunks(n) for n in (60_000, 65_536, 100_000, 1 << 22)] == [1, 4, 6, 64]
    assert chunks(1 << 20, 64) >= 64 and chunks(40_000, 2) >= 4


def test_long_sums_are_as_exact_as_before() -> None:
    """Ten million equal elements: only runs of 512, in at least four lanes, round in f32."""
    graph = dlc.trace(lambda x: x.sum(), f32[10_000_000])
    program = program_of({"main": graph}, "", DEFAULT)
    running = runtime.load(program, "cpu", 2)
    x = np.full(10_000_000, 0.1, np.float32)
    (got,) = results(running, program, "main", x)
    assert abs(float(got) / (1e7 * float(np.float32(0.1))) - 1) < 128 * 2**-24
    assert in_parts(program, "main") == 1


def test_f64_totals_keep_what_rounding_loses() -> None:
    """1e16 + 2501 - 1e16 in parts of two runs: the second state of a total is merged too."""
    x = np.zeros(4000)
    x[0], x[599:3100], x[3999] = 1e16, 1.0, -1e16
    program = program_of({"main": dlc.trace(lambda x: x.sum(), f64[4000])}, "scalar",
                         replace(DEFAULT, in_parts=100, chunk_elements=1000))
    (got,) = results(runtime.load(program, "interpret"), program, "main", x)
    assert got == 2501.0


def test_results_that_are_more_than_a_chunk_holds() -> None:
    """Long reductions alone, of more results than a chunk: they are cut once, not for ever."""
    graph = dlc.trace(lambda x: x.sum(1), Type(f32, (30, 40)))
    program = program_of({"main": graph}, "", replace(LIMITS, loop_chunks=64, chunk_elements=8))
    x = data(f32, (30, 40))
    with runtime.load(program, "interpret") as running:
        (found,) = results(running, program, "main", x)
    np.testing.assert_array_equal(found, x.sum(1))
    assert len(program.entries["main"].flat[0].stages) == 2
