"""The passes, and PIPELINE, the only statement of their order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dlc.ir.graph import Graph
from dlc.passes.collection import without_collection
from dlc.passes.cse import cse
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse.fuse import fuse
from dlc.passes.layout import layout
from dlc.passes.loops.bodies import through_bodies
from dlc.passes.loops.loops import loops
from dlc.passes.loops.separate import separate
from dlc.passes.rules.simplify import simplify

Pass = Callable[[Graph], Graph]

PIPELINE: tuple[Pass, ...] = (
    differentiate, simplify, loops, cse, layout, separate, fuse)


@dataclass(frozen=True)
class Record:
    """What one pass did: the graph after it, its size, and the time it took in seconds."""

    name: str
    graph: Graph
    nodes: int
    seconds: float


@without_collection()
def run_pipeline(graph: Graph, check: Callable[[str, Graph, Graph], None] | None = None,
                 pipeline: tuple[Pass, ...] = PIPELINE) -> list[Record]:
    """Run the passes, each on the bodies of loops and branches too; the first record is the graph
    as given. `check(name, before, after)` is called after every pass and raises when the pass broke
    something."""
    records = [Record("input", graph, len(graph.nodes()), 0.0)]
    for step in pipeline:
        began = time.perf_counter()
        after = through_bodies(step, graph)
        seconds = time.perf_counter() - began
        if check is not None:
            check(step.__name__, graph, after)
        records.append(Record(step.__name__, after, len(after.nodes()), seconds))
        graph = after
    return records
