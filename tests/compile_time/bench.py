"""`make bench-compile`: processor seconds that compiling takes without kernels, stage by stage.

    python -m tests.compile_time.bench [NETWORK ...]     e.g. chain-10 gpt2 resnet152
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import dlc
from dlc.backend import assemble
from dlc.compiler import Source, instruction_set, task_source
from dlc.passes import PIPELINE
from dlc.passes.collection import without_collection
from dlc.passes.loops.bodies import through_bodies
from dlc.program import Program
from tests.compile_time import networks

LENGTHS = (10, 20, 40, 80, 160)
NETWORKS: Mapping[str, Callable[[], dlc.Task]] = {
    **{f"chain-{n}": lambda n=n: networks.chain(n) for n in LENGTHS},  # type: ignore[misc]
    "gpt2": networks.gpt2,
    "resnet152": networks.resnet,
}
# the functions that assembling calls once an entry or launch, or once in all
STAGES = ("prepack", "order", "take_overs", "lower", "plan_memory", "share", "merge_equal",
          "entry_of", "buffers_of")
ALL_STAGES = ("trace", "text", *(step.__name__ for step in PIPELINE), *STAGES, "rest")


class Clock:
    """Processor seconds by stage; a stage within another counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(ALL_STAGES, 0.0)
        self._within = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        outer, self._within = self._within, 0.0
        began = time.process_time()
        try:
            yield
        finally:
            spent = time.process_time() - began
            self.seconds[name] += spent - self._within
            self._within = outer + spent

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            with self.stage(name):
                return function(*args, **more)

        return call


def compile_timed(task: dlc.Task, clock: Clock) -> Program:
    """The steps of `task`, training and evaluation, from its function to a Program."""
    source = traced(task, clock)
    optimized = {}
    for entry, graph in source.graphs.items():
        with without_collection():  # as run_pipeline does
            for step in PIPELINE:
                with clock.stage(step.__name__):
                    graph = through_bodies(step, graph)
        optimized[entry] = graph
    with ExitStack() as stack:
        for name in STAGES:
            timed = clock.timed(name, getattr(assemble, name))
            stack.enter_context(patch.object(assemble, name, timed))
        with clock.stage("rest"):
            return assemble.assembled(task.name, optimized, "cpu", instruction_set())[0]


def traced(task: dlc.Task, clock: Clock) -> Source:
    """The steps as graphs, and their text, by which a kept Program is found."""
    with clock.stage("trace"):
        source = task_source(task, None, {})
    with clock.stage("text"):
        assert source.texts
    return source


def main(names: list[str]) -> None:
    """Print a row for each stage and a column for each network."""
    clocks = {}
    for name in names or list(NETWORKS):
        clocks[name] = Clock()
        compile_timed(NETWORKS[name](), clocks[name])
        print(f"{name}: {sum(clocks[name].seconds.values()):.2f} s", file=sys.stderr, flush=True)
    print("| processor seconds | " + " | ".join(clocks) + " |")
    print("|---|" + "---|" * len(clocks))
    for stage in ALL_STAGES:
        print(f"| {stage} | " + " | ".join(f"{c.seconds[stage]:.2f}" for c in clocks.values())
              + " |")
    print("| all | " + " | ".join(f"{sum(c.seconds.values()):.2f}" for c in clocks.values()) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
