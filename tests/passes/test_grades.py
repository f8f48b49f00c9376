"""What every pass says it keeps: a pass that is exact changes no value of a random graph."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli.listing import passes
from dlc.ir.graph import Build, Graph, Node, building, make, rebuild, replace
from dlc.ir.types import f32, f64
from dlc.ops.elementwise import ADD
from dlc.passes import PIPELINE, run_pipeline
from dlc.reference.evaluate import run
from dlc.reference.rewrite import Grade, grade_of, keeps
from tests.random_graphs import random_arrays, random_graph
from tests.random_loops import LoopMaker, arrays_for

EXACT = {step.__name__ for step in PIPELINE if grade_of(step) is Grade.EXACT}


def same(a: Any, b: Any) -> bool:
    """Every value alike: NaN where the other has it, zeros of any sign."""
    alike = (a == b) | ((a != a) & (b != b))
    return (a.dtype, a.shape) == (b.dtype, b.shape) and bool(np.all(alike))


def keeps_values(arrays: list[Any]) -> Callable[[str, Graph, Graph], None]:
    """A check for run_pipeline: what follows an exact pass gives what went before."""
    def check(name: str, before: Graph, after: Graph) -> None:
        if name in EXACT:
            pairs = zip(run(before, arrays), run(after, arrays), strict=True)
            assert all(same(np.asarray(a), np.asarray(b)) for a, b in pairs), (name, before.name)

    return check


def test_every_pass_says_what_it_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    """And `dlc passes` shows it."""
    assert passes(argparse.Namespace(names=[], rules=False)) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    shown = dict(line.split()[:2] for line in lines)
    assert shown == {step.__name__: grade_of(step).value for step in PIPELINE}
    with pytest.raises(ValueError, match="the pass test_every_pass_says_what_it_keeps"):
        grade_of(test_every_pass_says_what_it_keeps)


@pytest.mark.parametrize("seed", range(24))
def test_exact_passes_change_no_value(seed: int) -> None:
    graph = random_graph(seed, 24) if seed % 3 else random_graph(seed, 24, f64)
    run_pipeline(graph, keeps_values(random_arrays(graph, seed)))


@pytest.mark.parametrize("seed", range(8))
def test_exact_passes_change_no_value_of_a_loop(seed: int) -> None:
    graph = LoopMaker(seed).graph()
    run_pipeline(graph, keeps_values(arrays_for(graph, seed)))


def test_a_pass_that_regroups_is_seen() -> None:
    """add(add(a, b), c) -> add(a, add(b, c)) is not an exact pass."""
    @keeps(Grade.EXACT)
    def cse(graph: Graph) -> Graph:
        def change(node: Node, args: tuple[Node, ...]) -> Node:
            if node.op is ADD and args[0].op is ADD:
                return make(ADD, (args[0].args[0], make(ADD, (args[0].args[1], args[1]))))
            return rebuild(node, args)

        with building(Build()):
            return graph.with_outputs(replace(graph.outputs, change))

    graph = dlc.trace(lambda a, b, c: a + b + c, f32[100], f32[100], f32[100])
    arrays = [np.random.default_rng(i).normal(size=100).astype(np.float32) for i in range(3)]
    run_pipeline(graph, keeps_values(arrays))
    with pytest.raises(AssertionError, match="cse"):
        run_pipeline(graph, keeps_values(arrays), (cse,))
