"""Equivalent programs: random graphs and the same rewritten by algebraic identities, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

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
BLOCKS = chosen("equivalent", [str(block) for block in range(PAIRS // EACH)], 8)


def apart(graph: Graph, arrays: dict[str, Array], got: dict[str, Array],
          found: dict[str, Array]) -> list[str]:
    """Where `found` of a rewritten program differs from `got` although nothing rounds."""
    return [f"{name}: other bits" for name, ball in zip(graph.output_names, balls_of(
        graph, arrays), strict=True) if ball.exact and not np.array_equal(
            got[name], found[name], equal_nan=True)]


@pytest.mark.parametrize("block", BLOCKS)
def test_rewritten_programs_compute_the_same(block: str, tally: Callable[[str], Tally]) -> None:
    counts, used, pairs = tally("equivalent rewrites"), Counter[str](), []
    for seed in range(EACH * int(block), EACH * (int(block) + 1)):
        drawn = draw(70000 + seed, SETTING)
        graph, arrays = drawn.graph, drawn.arrays
        other, names = rewritten(graph, dict(arrays), np.random.default_rng(seed), STEPS)
        used.update(names)
        pairs.append((graph, replace(other, name=f"{graph.name}_rewritten"), dict(arrays)))
    program = SETTING.together([g for pair in pairs for g in pair[:2]]).program
    running = runtime.load(program, "cpu", 2)
    try:
        for graph, other, arrays in pairs:
            got, found = execute(running, graph, arrays), execute(running, other, arrays)
            assert mistakes(graph, arrays, got) == [], graph.name
            assert mistakes(other, arrays, found) == [], graph.name
            assert apart(graph, arrays, got, found) == [], graph.name
            counts.add()
    finally:
        running.close()
    print(f"block {block}: {sum(used.values())} rewrites by {len(used)} identities")
