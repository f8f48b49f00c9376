"""For each pass and each thing that the lowering may do, a generator of programs that make it fire.

TARGETS is the table: name -> Target. The names are those that tests/fuzzing/fired.py counts, and
those of PIPELINE; tests/fuzzing/test_targets.py draws from each generator, asserts that its target
fires, and holds the results to what they mean. A generator draws sizes and surroundings so that
nothing but the target is certain about its programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dlc.backend.cpu.limits import Limits
from dlc.ir.graph import Graph
from dlc.ir.types import DType, f32, f64
from tests.fuzzing.building import SMALL
from tests.fuzzing.draw_contractions import traced

Rng = np.random.Generator
Shape = tuple[int, ...]
Made = tuple[Callable[..., tuple[Any, ...]], Sequence[Shape]]  # a function, shapes of its inputs
# of no panel of rows, box of columns or vector a multiple
PRIMES = (17, 19, 23, 29, 31, 37)
LARGER = (53, 59, 61, 67, 71, 79, 83, 97)


@dataclass(frozen=True)
class Target:
    """A generator, and the limits at which its programs are compiled."""

    make: Callable[[Rng], Made]
    limits: Limits = SMALL

    def draw(self, rng: Rng, name: str) -> Graph:
        """A random program, called `name`."""
        function, shapes = self.make(rng)
        kind: DType = f64 if rng.random() < 0.25 else f32
        return traced(function, shapes, kind, name)


TARGETS: dict[str, Target] = {}


def aims(*names: str, **limits: int) -> Callable[[Callable[[Rng], Made]], Callable[[Rng], Made]]:
    """Decorator: the function makes programs for the targets `names`, at SMALL with `limits`."""
    def enter(make: Callable[[Rng], Made]) -> Callable[[Rng], Made]:
        for name in names:
            if name in TARGETS:
                raise ValueError(f"{name} has two generators")
            TARGETS[name] = Target(make, replace(SMALL, **limits))
        return make
    return enter


def between(rng: Rng, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return int(rng.integers(low, high + 1))


def one_of(rng: Rng, values: Sequence[Any]) -> Any:
    return values[int(rng.integers(len(values)))]


def arrays(graph: Graph, rng: Rng) -> list[Any]:
    """Values for the inputs of a program."""
    return [rng.standard_normal([int(d) for d in n.shape]).astype(n.dtype.numpy)
            for n in graph.inputs]
