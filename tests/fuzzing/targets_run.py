"""Draws of the targets' generators: how many fire, and what is wrong with their results."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dlc import runtime
from dlc.ir.graph import Graph
from dlc.passes import PIPELINE
from tests.fuzzing import fired, targets_contract, targets_loops
from tests.fuzzing.bounds import balls_of, labelled, wrong_outputs
from tests.fuzzing.building import Built, build
from tests.fuzzing.contractions import poison, results
from tests.fuzzing.targets import TARGETS, Target, arrays
from tests.instruction_sets import NATIVE

GENERATORS = (targets_contract, targets_loops)  # importing them fills the table
PASSES = tuple(step.__name__ for step in PIPELINE)
KNOWN = (*PASSES, *fired.CONTRACTIONS, *fired.LOOPS, *fired.REDUCTIONS, *fired.OTHERS,
         *fired.APART, *fired.MEMORY)
LEAST = 0.9  # of the draws have to fire


@dataclass
class Shots:
    """What came of some draws: how many fired, texts of wrong results, and what was compared."""

    drawn: int = 0
    hits: int = 0
    wrong: list[str] = field(default_factory=list)
    elements: int = 0
    free: int = 0  # of these, about which rounding lets nothing be said

    @property
    def enough(self) -> bool:
        return self.hits >= LEAST * self.drawn


def seeded(name: str, number: int) -> np.random.Generator:
    """The generator of draw `number` for a target."""
    return np.random.default_rng([number, zlib.crc32(name.encode())])


def shoot(name: str, isa: str, numbers: Sequence[int], run: int | None = None,
          target: Target | None = None, interpret: bool = False) -> Shots:
    """Draws `numbers` of a target for an instruction set; the first `run` of them (default: all)
    are run, natively where this machine can and `interpret` does not say otherwise."""
    target = target or TARGETS[name]
    graphs = [target.draw(seeded(name, n), f"t{n}") for n in numbers]
    found = Shots(len(graphs))
    for graph in graphs:  # each alone: what kernels of several share is no hit of one
        alone = build({graph.name: graph}, isa, target.limits)
        found.hits += fires(name, alone)
    chosen = graphs[:len(graphs) if run is None else run]
    if chosen:
        device = "interpret" if interpret or isa not in NATIVE else "cpu"
        compare(chosen, isa, target, device, found)
    return found


def fires(name: str, built: Built) -> bool:
    """Whether the target shows in a program, or changed one of its graphs."""
    if name in PASSES:
        return bool(fired.fired_passes(built.records.values())[name])
    return bool(fired.fired(built.program)[name])


def compare(graphs: Sequence[Graph], isa: str, target: Target, device: str,
            found: Shots) -> None:
    """Run the programs as entries of one, in an arena full of NaN, and hold them to their bounds.
    """
    program = build({g.name: g for g in graphs}, isa, target.limits).program
    running = runtime.load(program, device, 2)
    for graph in graphs:
        given = arrays(graph, seeded(graph.name, len(graph.inputs)))
        poison(running, program)
        got = results(running, graph, given)
        balls = balls_of(graph, labelled(graph, given))
        found.wrong += [f"{graph.name} on {isa}: {text}\n{graph}"
                        for text in wrong_outputs(graph, balls, got)]
        found.elements += sum(b.value.size for b in balls)
        found.free += sum(int((~np.isfinite(b.error)).sum()) for b in balls)
    if hasattr(running, "close"):
        running.close()
