"""Equivalent programs: random graphs and the same rewritten by algebraic identities, compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from dlc import runtime
from dlc.ir.graph import Graph, Node
from tests.conformance.cut import Tally, chosen
from tests.fuzzing.bounds import Array, Ball, balls_of, wrong_outputs
from tests.fuzzing.run import Setting, draw, execute
from tests.identities import rewritten

pytestmark = pytest.mark.conformance
PAIRS, EACH, STEPS = 2000, 20, 6
SETTING = Setting("cpu", small=False, steps=5, sizes=(1500,))
SEEDS = chosen("equivalent", [str(seed) for seed in range(PAIRS)])


@dataclass(frozen=True)
class Twin:
    """A program, the same rewritten, and the balls of the outputs of each."""

    graph: Graph
    other: Graph
    arrays: dict[str, Array]
    balls: list[Ball]
    others: list[Ball]


def twin(seed: int, used: Counter[str]) -> Twin:
    """The program of a seed and its rewritten twin; what both hold is bounded once."""
    drawn = draw(70000 + seed, SETTING)
    graph, arrays, known = drawn.graph, dict(drawn.arrays), dict[Node, Any]()
    other, names = rewritten(graph, arrays, np.random.default_rng(seed), STEPS, known)
    used.update(names)
    return Twin(graph, replace(other, name=f"{graph.name}_rewritten"), arrays,
                balls_of(graph, arrays, known), balls_of(other, arrays, known))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [SEEDS[i:i + EACH] for i in range(0, len(SEEDS), EACH)],
                         ids=lambda seeds: f"{seeds[0]}-and-{len(seeds) - 1}")
def test_rewritten_programs_compiled(seeds: list[str], tally: Callable[[str], Tally]) -> None:
    """Both of each pair within their bounds; equal bits where nothing rounds."""
    count, used, bad = tally("equivalent rewrites"), Counter[str](), []
    twins = [twin(int(seed), used) for seed in seeds]
    program = SETTING.together([g for pair in twins for g in (pair.graph, pair.other)]).program
    running = runtime.load(program, "cpu", 2)
    try:
        for pair in twins:
            wrong = differing(running, pair)
            count.fail() if wrong else count.add()
            bad += [f"{pair.graph.name}: {problem}" for problem in wrong]
    finally:
        running.close()
    print(f"pairs {seeds[0]} to {seeds[-1]}: {sum(used.values())} rewrites, {len(used)} identities")
    assert not bad, "\n".join(bad)


def differing(running: Any, pair: Twin) -> list[str]:
    """What is wrong with the results of a program or of its rewritten twin, and where the bits of
    the two differ although nothing rounds."""
    got, found = (execute(running, g, pair.arrays) for g in (pair.graph, pair.other))
    apart = [f"{name}: other bits" for name, ball in zip(
        pair.graph.output_names, pair.balls, strict=True) if ball.exact and not np.array_equal(
            got[name], found[name], equal_nan=True)]
    return [*wrong_outputs(pair.graph, pair.balls, got),
            *wrong_outputs(pair.other, pair.others, found), *apart]
