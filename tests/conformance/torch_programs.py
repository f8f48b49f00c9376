"""PyTorch judges random programs: `python -m tests.conformance.torch_programs --count 500`.

The programs are those of tests/fuzzing, with all floats made f64. `dlc.evaluate` and PyTorch
(tests/conformance/torch_graph.py, whose derivatives are autograd's) must agree within what rounding
may do to the same program in f32, which tests/fuzzing/bounds.py bounds: whatever the order in which
either computes, in f64 it rounds 2^29 times less. A program with an operator that PyTorch has not
is counted and left out.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, f32, f64
from tests.conformance.torch_graph import Untranslatable, run_by_torch
from tests.fuzzing.bounds import UNIT, Ball, balls_of, distance
from tests.fuzzing.programs import SIZES, STEPS, operators
from tests.fuzzing.retyped import retyped, retyped_arrays
from tests.fuzzing.run import Drawn, Setting, draw

SETTING = Setting("interpret", steps=STEPS["interpret"], sizes=SIZES[True, "interpret"])


@dataclass
class Verdict:
    """What a run found. `left_out` counts programs by reason, `operators` programs judged."""

    judged: int = 0
    derivatives: int = 0  # programs among these that hold one
    elements: int = 0
    free: int = 0  # of these, about which rounding lets nothing be said
    left_out: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=Counter)
    wrong: dict[int, list[str]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Which part of the programs PyTorch judged."""
        return self.judged / max(1, self.judged + sum(self.left_out.values()))

    def __str__(self) -> str:
        reasons = ", ".join(f"{n} {why}" for why, n in self.left_out.most_common())
        return (f"{self.judged} programs judged by PyTorch ({self.share:.0%}; left out: "
                f"{reasons or 'none'}), {self.derivatives} with derivatives, "
                f"{len(self.operators)} operators, {self.elements} elements of which {self.free} "
                f"free, {len(self.wrong)} wrong")


def judge(seeds: Iterable[int], first: bool = False) -> Verdict:
    """Both sides of the programs of some seeds; with `first` up to the first wrong one."""
    verdict = Verdict()
    for seed in seeds:
        drawn = draw(seed, SETTING)
        try:
            problems = differences(drawn, verdict)
        except (Untranslatable, ValueError) as reason:
            verdict.left_out[str(reason)] += 1
            continue
        count_in(drawn, verdict)
        if problems:
            verdict.wrong[seed] = problems
            if first:
                break
    return verdict


def count_in(drawn: Drawn, verdict: Verdict) -> None:
    names = set(operators(drawn.graph))
    verdict.judged += 1
    verdict.derivatives += bool(names & {"grad", "jvp"})
    verdict.operators.update(names)


def differences(drawn: Drawn, verdict: Verdict) -> list[str]:
    """Where dlc.evaluate and PyTorch differ. Raises Untranslatable, and ValueError where a program
    in f64 is another one."""
    wide, arrays = retyped(drawn.graph, f64), retyped_arrays(drawn.arrays, f64)
    wanted = run_by_torch(wide, arrays)
    got = evaluated(wide, arrays)
    bounds = balls_of(retyped(drawn.graph, f32), retyped_arrays(drawn.arrays, f32))
    found = []
    for name, node, want, ball in zip(wide.output_names, wide.outputs, wanted, bounds, strict=True):
        known = np.isfinite(ball.error)
        verdict.elements += want.size
        verdict.free += int(np.sum(~known))
        problem = difference(np.asarray(got[name]), want, ball, node.type)
        if problem:
            found.append(f"{name}: {node.type}: {problem}")
    return found


def evaluated(graph: Graph, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """What dlc means, by output name."""
    found = dlc.evaluate(graph, *(arrays[n.attrs["label"]] for n in graph.inputs))
    return {graph.output_names[0]: found} if len(graph.outputs) == 1 else found


def allowed(ball: Ball, type_: Type) -> Any:
    """What f32 may do, and one rounding in f32 of the largest element or of 1: an element that one
    side finds exactly may be a difference of rounded ones on the other."""
    if not type_.dtype.is_float:
        return ball.error
    size = float(np.max(np.abs(ball.value), initial=1.0, where=np.isfinite(ball.value)))
    return ball.error + UNIT["f32"] * size


def difference(got: Any, want: Any, ball: Ball, type_: Type) -> str:
    """Why the two are not one value; "" when they are."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{got.shape}, by PyTorch {want.dtype}{want.shape}"
    off = distance(got, want)
    wrong = np.isfinite(ball.error) & ~(off <= allowed(ball, type_))
    if not np.any(wrong):
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (f"{int(np.sum(wrong))} of {wrong.size} wrong, first at {at}: {got[at]!r}, by PyTorch "
            f"{want[at]!r}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a program is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    given = parser.parse_args(arguments)
    verdict = judge(range(given.seed, given.seed + given.count))
    for seed, problems in verdict.wrong.items():
        print(f"WRONG seed {seed}:", *problems, sep="\n    ")
    print(f"from seed {given.seed}: {verdict}")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
