"""Equivalent programs: random graphs and the same rewritten by algebraic identities, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dlc import runtime
from dlc.graph import Graph
from tests.conformance.cut import Tally, chosen
from tests.fuzzing.bounds import Array, balls_of, mistakes
from tests.fuzzing.run import Setting, draw, execute
from tests.identities import rewritten

pytestmark = pytest.mark.conformance
PAIRS, EACH, STEPS = 2000, 20, 6
SETTING = Setting("cpu", small=False, steps=5, sizes=(1500,))
SEEDS = chosen("equivalent", [str(seed) for seed in range(PAIRS)])


def apart(graph: Graph, arrays: dict[str, Array], got: dict[str, Array],
          found: dict[str, Array]) -> list[str]:
    """Where `found` of a rewritten program differs from `got` although nothing rounds."""
    return [f"{name}: other bits" for name, ball in zip(graph.output_names, balls_of(
        graph, arrays), strict=True) if ball.exact and not np.array_equal(
            got[name], found[name], equal_nan=True)]


@pytest.mark.parametrize("seeds", [SEEDS[i:i + EACH] for i in range(0, len(SEEDS), EACH)],
                         ids=lambda seeds: f"{seeds[0]}-and-{len(seeds) - 1}")
def test_rewritten_programs_compiled(seeds: list[str], tally: Callable[[str], Tally]) -> None:
    """Both of each pair within their bounds; equal bits where nothing rounds."""
    count, used, pairs, bad = tally("equivalent rewrites"), Counter[str](), [], []
    for seed in map(int, seeds):
        drawn = draw(70000 + seed, SETTING)
        graph, arrays = drawn.graph, drawn.arrays
        other, names = rewritten(graph, dict(arrays), np.random.default_rng(seed), STEPS)
        used.update(names)
        pairs.append((graph, replace(other, name=f"{graph.name}_rewritten"), dict(arrays)))
    program = SETTING.together([g for pair in pairs for g in pair[:2]]).program
    running = runtime.load(program, "cpu", 2)
    try:
        for graph, other, arrays in pairs:
            wrong = differing(running, graph, other, arrays)
            count.fail() if wrong else count.add()
            bad += [f"{graph.name}: {problem}" for problem in wrong]
    finally:
        running.close()
    print(f"pairs {seeds[0]} to {seeds[-1]}: {sum(used.values())} rewrites, {len(used)} identities")
    assert not bad, "\n".join(bad)


def differing(running: Any, graph: Graph, other: Graph, arrays: dict[str, Array]) -> list[str]:
    """What is wrong with the results of a program or of its rewritten twin."""
    got, found = execute(running, graph, arrays), execute(running, other, arrays)
    return [*mistakes(graph, arrays, got), *mistakes(other, arrays, found),
            *apart(graph, arrays, got, found)]
