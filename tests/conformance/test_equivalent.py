"""Equivalent programs: random graphs and the same rewritten by algebraic identities, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dlc import runtime
from dlc.graph import Graph
from dlc.passes.differentiate import differentiate
from tests.conformance.cut import Tally, chosen
from tests.identities import rewritten
from tests.random_programs import Array, difference, mistakes, values_of
from tests.test_random_graphs import draw, execute, together

pytestmark = pytest.mark.conformance
PAIRS, EACH, STEPS = 2000, 20, 6
BLOCKS = chosen("equivalent", [str(block) for block in range(PAIRS // EACH)], 8)


def apart(graph: Graph, other: Graph, arrays: dict[str, Array], got: dict[str, Array],
          found: dict[str, Array]) -> list[str]:
    """Where the results `found` of `other` are not those `got` of `graph`, up to the rounding that
    either of them has."""
    right = values_of(graph, arrays)
    plain = [differentiate(graph), differentiate(other)]
    shaken = [(p, values_of(p, arrays, 4.0, seed)) for p in plain for seed in (1, 2)]
    wrong = []
    for i, (name, node) in enumerate(zip(graph.output_names, graph.outputs, strict=True)):
        others = [s.arrays[p.outputs[i]] for p, s in shaken]
        problem = difference(found[name], got[name], others, right.exact[node])
        if problem:
            wrong.append(f"{name}: {node.type}: {problem}")
    return wrong


@pytest.mark.parametrize("block", BLOCKS)
def test_rewritten_programs_compute_the_same(block: str, tally: Callable[[str], Tally]) -> None:
    counts, used, pairs = tally("equivalent rewrites"), Counter[str](), []
    for seed in range(EACH * int(block), EACH * (int(block) + 1)):
        graph, arrays = draw(70000 + seed, 8, 1500)
        other, names = rewritten(graph, dict(arrays), np.random.default_rng(seed), STEPS)
        used.update(names)
        pairs.append((graph, replace(other, name=f"{graph.name}_rewritten"), dict(arrays)))
    program = together([g for pair in pairs for g in pair[:2]])
    running = runtime.load(program, "cpu", 2)
    try:
        for graph, other, arrays in pairs:
            got, found = execute(running, graph, arrays), execute(running, other, arrays)
            assert mistakes(graph, arrays, got) == [], graph.name
            assert apart(graph, other, arrays, got, found) == [], graph.name
            counts.add()
    finally:
        running.close()
    print(f"block {block}: {sum(used.values())} rewrites by {len(used)} identities")
