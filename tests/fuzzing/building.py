"""Graphs through the whole compiler at other limits than its own, and small limits for that.

At SMALL every scheme, box, tail and split of the lowering is met by programs of a few hundred
elements: by fuzzers, and by whoever has to see one of them in a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlc.backend.assemble import assembled
from dlc.backend.cpu.limits import Limits
from dlc.ir.graph import Graph
from dlc.passes import PIPELINE, Pass, Record, run_pipeline
from dlc.passes.check import structure
from dlc.passes.fuse.fuse import fuse
from dlc.passes.fuse.limits import FusionLimits
from dlc.program import Program

SMALL = Limits(plain_products=48, chunks=4, columns=16, local_bytes=2048, split_sum=40, turned=8,
               turned_rows=4, images=3, chunk_elements=64, loop_chunks=3, one_chunk=24, column=8,
               unrolled=4, products=12, run=16, chain=5, lanes=3, in_parts=60, parts=4, cores=6,
               chunk_products=600, wide=30, apart=600, packing=1000, long_column=9)
SMALL_FUSION = FusionLimits(small=128, rows=4, long_rows=2, operators=16, inlined=3, cheap_reads=2,
                            again=8, twins_bytes=512)


@dataclass(frozen=True)
class Built:
    """A Program, and what every pass did for each of its entries."""

    program: Program
    records: Mapping[str, list[Record]]


def pipeline_at(fusion: FusionLimits) -> tuple[Pass, ...]:
    """PIPELINE with a fusion that keeps to these limits."""
    def fuse_at(graph: Graph) -> Graph:
        return fuse(graph, fusion)
    fuse_at.__name__ = fuse.__name__
    return tuple(fuse_at if step is fuse else step for step in PIPELINE)


def build(graphs: Mapping[str, Graph], isa: str, limits: Limits = SMALL,
          fusion: FusionLimits = SMALL_FUSION) -> Built:
    """One Program with an entry for each graph: all kernels compile in one go."""
    steps = pipeline_at(fusion)
    records = {name: run_pipeline(graph, structure, steps) for name, graph in graphs.items()}
    done = {name: found[-1].graph for name, found in records.items()}
    return Built(assembled("fuzzed", done, "cpu", isa, limits=limits)[0], records)
