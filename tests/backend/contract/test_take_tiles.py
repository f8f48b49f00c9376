"""Large products run in tiles: fusion leaves no launch of a bundled network in which one has to be
written as plain loops, which are hundreds of times as slow."""

from __future__ import annotations

import pytest

from dlc.backend.contract.lower import shape_of, uses_tiles
from dlc.backend.cpu.limits import Limits
from dlc.cli.source import load_task
from dlc.derive import higher
from dlc.ir.graph import Graph, Kind
from dlc.models import GOALS
from dlc.passes import run_pipeline
from dlc.passes.fuse.components import components

LIMITS, LARGE = Limits(), 1 << 18  # products that take a hundred microseconds as plain loops


def as_loops(graph: Graph) -> list[str]:
    """The large contractions of a fused graph, and of its loops' bodies, that no tiles take."""
    found = []
    for node in graph.nodes():
        body = node.attrs.get("body")
        if node.op is not higher.FUSED:
            inner = [v for v in node.attrs.values() if isinstance(v, Graph)]
            found += [each for part in inner for each in as_loops(part)]
            continue
        for part in components(body):
            large = [n for n in part.nodes() if n.op.kind is Kind.CONTRACT
                     and shape_of(n).products > LARGE]
            if large and not uses_tiles(part, LIMITS):
                found.append(f"{[str(n.type) for n in large]} {large[0].locs}")
    return found


@pytest.mark.swept(6, keep=("lenet", "gru"))
@pytest.mark.parametrize("name", GOALS)
def test_every_large_product_of_a_training_step(name: str) -> None:
    for graph in load_task(name).graphs(32).values():
        assert as_loops(run_pipeline(graph)[-1].graph) == []
