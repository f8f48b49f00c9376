"""Random programs through the whole compiler, held against `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlc import runtime
from dlc.codegen.assemble import assemble
from dlc.compiler import instruction_set
from dlc.graph import Graph
from dlc.passes import PIPELINE, run_pipeline
from dlc.passes.check import structure
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse import fuse
from dlc.program import Program
from tests.random_programs import Maker, Seeded, mistakes
from tests.random_steps import program

Arrays = Mapping[str, np.ndarray[Any, Any]]
EACH = 20  # programs compiled as the entries of one


@dataclass
class Drawn:
    """Draws from hypothesis, which makes a failing program smaller."""

    data: st.DataObject

    def below(self, n: int) -> int:
        return self.data.draw(st.integers(0, n - 1)) if n > 1 else 0


def draw(seed: int, steps: int, largest: int) -> tuple[Graph, Arrays]:
    maker = Maker(Seeded(np.random.default_rng(seed)), prefix=f"g{seed}_", largest=largest)
    return program(maker, steps), maker.arrays


def together(graphs: Sequence[Graph], pipeline: Any = PIPELINE) -> Program:
    """One Program with an entry for each graph: all kernels compile in one go."""
    done = {g.name: run_pipeline(g, structure, pipeline)[-1].graph for g in graphs}
    return assemble("random", done, "cpu", instruction_set())


def execute(running: Any, graph: Graph, arrays: Arrays) -> dict[str, Any]:
    """Results and updated parameters of one entry, by name."""
    for node in graph.inputs:
        label, kept = node.attrs["label"], node.attrs["role"] in ("param", "state")
        running.write(label, arrays[label], None if kept else graph.name)
    running.run(graph.name)
    return {n: running.read(n, None if n in graph.updates else graph.name)
            for n in graph.output_names}


def interpreted(graph: Graph, arrays: Arrays, pipeline: Any = PIPELINE) -> dict[str, Any]:
    return execute(runtime.load(together([graph], pipeline), "interpret"), graph, arrays)


@given(st.data())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_kernels_in_plain_python_compute_what_evaluate_does(data: st.DataObject) -> None:
    maker = Maker(Drawn(data), largest=300)
    graph = program(maker, 6)
    assert mistakes(graph, maker.arrays, interpreted(graph, maker.arrays)) == []


@pytest.mark.parametrize("block", range(4))
def test_long_programs_in_plain_python(block: int) -> None:
    for seed in range(1000 + 10 * block, 1010 + 10 * block):
        graph, arrays = draw(seed, 16, 400)
        assert mistakes(graph, arrays, interpreted(graph, arrays)) == [], seed


def test_unoptimized_programs_compute_the_same() -> None:
    for seed in range(2000, 2025):
        graph, arrays = draw(seed, 10, 400)
        plain = interpreted(graph, arrays, (differentiate, fuse))
        assert mistakes(graph, arrays, plain) == [], seed


def check_natively(seeds: range, steps: int, largest: int) -> None:
    """Compiled with one thread and with two: right, and the same bits."""
    drawn = [draw(seed, steps, largest) for seed in seeds]
    whole = together([g for g, _ in drawn])
    one, two = runtime.load(whole, "cpu", 1), runtime.load(whole, "cpu", 2)
    try:
        for graph, arrays in drawn:
            first, second = execute(one, graph, arrays), execute(two, graph, arrays)
            assert mistakes(graph, arrays, first) == [], graph.name
            for name, value in first.items():
                assert value.tobytes() == second[name].tobytes(), (graph.name, name)
    finally:
        one.close()
        two.close()


@pytest.mark.slow
def test_compiled_programs() -> None:
    check_natively(range(3000, 3000 + EACH), 8, 2000)


@pytest.mark.slow
def test_compiled_programs_beyond_a_chunk() -> None:
    check_natively(range(4000, 4000 + EACH), 10, 40000)


@pytest.mark.conformance
@pytest.mark.parametrize("block", range(20))
def test_many_compiled_programs(block: int) -> None:
    check_natively(range(5000 + EACH * block, 5000 + EACH * (block + 1)), 14, 20000)


@pytest.mark.conformance
@given(st.data())
@settings(max_examples=1500, suppress_health_check=list(HealthCheck))
def test_many_programs_in_plain_python(data: st.DataObject) -> None:
    maker = Maker(Drawn(data), largest=600)
    graph = program(maker, 12)
    assert mistakes(graph, maker.arrays, interpreted(graph, maker.arrays)) == []
