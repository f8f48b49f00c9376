"""Random programs through the whole compiler: many as the entries of one Program, on one device."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc import evaluate, runtime
from dlc.codegen.assemble import assemble
from dlc.compiler import instruction_set
from dlc.graph import Graph
from dlc.passes import PIPELINE, run_pipeline
from dlc.passes.check import structure
from dlc.program import Program
from tests.fuzzing.bounds import Array, Ball, mistakes
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Setting:
    """How programs are drawn and run. `device` is "cpu" or "interpret"; `isa` a value of DLC_CPU.

    A program has at least `steps` values; no value has more than one of `sizes` elements.
    """

    device: str = "cpu"
    isa: str = ""
    steps: int = 10
    sizes: tuple[int, ...] = (300, 300, 2000, 2000, 20000)

    def apply(self) -> None:
        """Make this process compile for the instruction set."""
        if self.isa:
            os.environ["DLC_CPU"] = self.isa


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


def outputs(graph: Graph, arrays: Arrays, device: str = "interpret",
            pipeline: Any = PIPELINE) -> dict[str, Any]:
    """The results of one graph alone."""
    running = runtime.load(together([graph], pipeline), device, 1 if device == "cpu" else None)
    try:
        return execute(running, graph, arrays)
    finally:
        close(running)


def close(running: Any) -> None:
    if hasattr(running, "close"):
        running.close()


def evaluated(drawn: Drawn) -> list[str]:
    """Where the evaluator leaves the bounds: then these are wrong, or it is."""
    labels = [n.attrs["label"] for n in drawn.graph.inputs]
    found = evaluate(drawn.graph, *(drawn.arrays[x] for x in labels))
    if len(drawn.graph.outputs) == 1:
        found = {drawn.graph.output_names[0]: found}
    problems = mistakes(drawn.graph, drawn.arrays, found, drawn.balls)
    return [f"evaluate: {p}" for p in problems]


def alone(drawn: Drawn, setting: Setting) -> list[str]:
    """What is wrong with one program compiled alone; a crash of the compiler is a mistake too."""
    try:
        got = outputs(drawn.graph, drawn.arrays, setting.device)
    except Exception as problem:  # whatever goes wrong is to be reported with its seed
        return [f"{type(problem).__name__}: {problem}", traceback.format_exc(limit=-4)]
    return mistakes(drawn.graph, drawn.arrays, got, drawn.balls) + evaluated(drawn)


def check(drawn: Sequence[Drawn], setting: Setting) -> dict[int, list[str]]:
    """The mistakes of programs compiled together, by seed; a wrong one is run again alone."""
    if not drawn:
        return {}
    found: dict[int, list[str]] = {}
    try:
        running = runtime.load(together([d.graph for d in drawn]), setting.device,
                               1 if setting.device == "cpu" else None)
    except Exception:  # one of them: which one, each alone tells
        return {d.seed: problems for d in drawn if (problems := alone(d, setting))}
    try:
        for d in drawn:
            try:
                got = execute(running, d.graph, d.arrays)
                problems = mistakes(d.graph, d.arrays, got, d.balls) + evaluated(d)
            except Exception as problem:
                problems = [f"{type(problem).__name__}: {problem}"]
            if problems:
                again = alone(d, setting)
                found[d.seed] = again or ["only together: ", *problems]
    finally:
        close(running)
    return found
