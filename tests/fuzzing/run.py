"""Random programs through the whole compiler: many as the entries of one Program, on one device."""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc import evaluate, runtime
from dlc.backend.cpu import limits as kernel_limits
from dlc.compiler import instruction_set
from dlc.ir.graph import Graph
from dlc.passes.fuse import limits as fusion_limits
from tests.fuzzing.bounds import Array, Ball, wrong_outputs
from tests.fuzzing.building import SMALL, SMALL_FUSION, Built, build
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.fired import fired, fired_passes
from tests.fuzzing.steps import program

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Setting:
    """How programs are drawn and run. `device` is "cpu" or "interpret"; `isa` a value of DLC_CPU.

    A program has at least `steps` values; no value has more than one of `sizes` elements. With
    `small` limits, programs of a few hundred elements reach every scheme.
    """

    device: str = "cpu"
    isa: str = ""
    small: bool = True
    steps: int = 10
    sizes: tuple[int, ...] = (300, 300, 600, 2000)

    def apply(self) -> None:
        """Make this process compile for the instruction set."""
        if self.isa:
            os.environ["DLC_CPU"] = self.isa

    def together(self, graphs: Sequence[Graph]) -> Built:
        """One Program with an entry for each graph: all kernels compile in one go."""
        named = {g.name: g for g in graphs}
        if self.small:
            return build(named, instruction_set(), SMALL, SMALL_FUSION)
        return build(named, instruction_set(), kernel_limits.DEFAULT, fusion_limits.DEFAULT)

    def load(self, built: Built) -> list[Any]:
        """The Program on its device; natively with one thread and with three."""
        if self.device == "interpret":
            return [runtime.load(built.program, "interpret")]
        return [runtime.load(built.program, "cpu", n) for n in (1, 3)]


@dataclass(frozen=True)
class Drawn:
    """One program: its graph, arrays for its inputs, what its outputs must be."""

    seed: int
    graph: Graph
    arrays: Arrays
    balls: Sequence[Ball]


def draw(seed: int, setting: Setting) -> Drawn:
    """The program of a seed: the same for the same setting."""
    rng = np.random.default_rng(seed)
    maker = Maker(Seeded(rng), prefix=f"g{seed}_", largest=int(rng.choice(setting.sizes)))
    graph = program(maker, setting.steps + int(rng.integers(setting.steps)))
    return Drawn(seed, graph, maker.arrays, [maker.ball(o) for o in graph.outputs])


def execute(running: Any, graph: Graph, arrays: Arrays) -> dict[str, Any]:
    """Results and updated parameters of one entry, by name."""
    for node in graph.inputs:
        label, kept = node.attrs["label"], node.attrs["role"] in ("param", "state")
        running.write(label, arrays[label], None if kept else graph.name)
    running.run(graph.name)
    return {n: running.read(n, None if n in graph.updates else graph.name)
            for n in graph.output_names}


def close(running: Sequence[Any]) -> None:
    for each in running:
        if hasattr(each, "close"):
            each.close()


def wrong(drawn: Drawn, running: Sequence[Any]) -> list[str]:
    """The mistakes of one entry of a loaded Program, and whether threads change a bit."""
    got = execute(running[0], drawn.graph, drawn.arrays)
    problems = wrong_outputs(drawn.graph, drawn.balls, got)
    for other in running[1:]:
        again = execute(other, drawn.graph, drawn.arrays)
        problems += [f"{name}: other bits on other threads" for name, value in got.items()
                     if value.tobytes() != again[name].tobytes()]
    return problems + evaluated(drawn)


def evaluated(drawn: Drawn) -> list[str]:
    """Where the evaluator leaves the bounds: then these are wrong, or it is."""
    labels = [n.attrs["label"] for n in drawn.graph.inputs]
    found = evaluate(drawn.graph, *(drawn.arrays[x] for x in labels))
    if len(drawn.graph.outputs) == 1:
        found = {drawn.graph.output_names[0]: found}
    return [f"evaluate: {p}" for p in wrong_outputs(drawn.graph, drawn.balls, found)]


def alone(drawn: Drawn, setting: Setting) -> list[str]:
    """What is wrong with one program compiled alone; a crash of the compiler is a mistake too."""
    running: Sequence[Any] = ()
    try:
        running = setting.load(setting.together([drawn.graph]))
        return wrong(drawn, running)
    except Exception as problem:  # whatever goes wrong is to be reported with its seed
        return [f"{type(problem).__name__}: {problem}", traceback.format_exc(limit=-4)]
    finally:
        close(running)


def check(drawn: Sequence[Drawn], setting: Setting) -> tuple[dict[int, list[str]], Counter[str]]:
    """The mistakes of programs compiled together, by seed, and what the compiler did.

    A wrong program is run again alone: so it is told from one that its neighbours spoil.
    """
    found: dict[int, list[str]] = {}
    try:
        built = setting.together([d.graph for d in drawn])
        running = setting.load(built)
    except Exception:  # one of them: which one, each alone tells
        return {d.seed: problems for d in drawn if (problems := alone(d, setting))}, Counter()
    try:
        for d in drawn:
            try:
                problems = wrong(d, running)
            except Exception as problem:
                problems = [f"{type(problem).__name__}: {problem}"]
            if problems:
                found[d.seed] = alone(d, setting) or ["only together with others:", *problems]
    finally:
        close(running)
    return found, fired(built.program) + fired_passes(built.records.values())
