"""What one training step of a network comes to: launches, barriers, packings, bytes, arena.

    python -m tests.scheduling.figures [NETWORK ...] [--isa avx2]     a row for each network
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, fields

import dlc
from dlc.backend.assemble import assembled
from dlc.backend.contract import lower as contract
from dlc.backend.contract.conv import DotsWriter, TapsWriter
from dlc.backend.contract.gemm import GemmWriter
from dlc.backend.cpu.isa import ISAS, Isa
from dlc.backend.draft import Draft
from dlc.compiler import task_source
from dlc.derive import higher
from dlc.derive.control import SCAN
from dlc.ir.graph import Graph, Node, toposort
from dlc.passes import run_pipeline
from dlc.passes.fuse.components import components
from dlc.passes.schedule.order import Schedule
from dlc.program import Entry
from tests.scheduling.networks import NETWORKS


@dataclass(frozen=True)
class Figures:
    """Of one step: `barriers` that threads wait at, `packings` of weights (each time that one is
    laid out whole for a tile), `packed` bytes of all operands so laid out, `moved` bytes that
    launches read and write; of the program: bytes of the arena. Loops count each iteration."""

    launches: int
    barriers: int
    packings: int
    packed: int
    moved: int
    arena: int


def figures(task: dlc.Task, isa: str) -> Figures:
    """The figures of a task's training step on an instruction set; no kernel is compiled."""
    source = task_source(task, None, {})
    graphs = {name: run_pipeline(graph)[-1].graph for name, graph in source.graphs.items()}
    program, drafts = assembled(task.name, graphs, "cpu", isa)
    entry, draft = program.entries["train"], drafts[list(graphs).index("train")]
    runs = list(zip(entry.flat, entry.runs, strict=True))
    found = list(packings(draft, ISAS[isa]))
    return Figures(sum(n for _, n in runs), barriers(entry),
                   sum(p.times for p in found if p.weight), sum(p.bytes for p in found),
                   sum(launch.bytes * n for launch, n in runs), program.arena_bytes)


def barriers(entry: Entry) -> int:
    """Barriers of a step, those of an iteration as often as it runs."""
    return sum((launch.barrier + len(launch.stages) - 1) * n
               for launch, n in zip(entry.flat, entry.runs, strict=True) if launch.stages)


@dataclass(frozen=True)
class Packing:
    """An operand laid out for a tile, `times` a step; `weight` is its parameter if it is one."""

    weight: str
    times: int
    bytes: int


def packings(draft: Draft, isa: Isa) -> Iterator[Packing]:
    """Every packing of a step."""
    yield from _of_level(draft.schedule, isa, 1, {})


def _of_level(schedule: Schedule, isa: Isa, runs: int,
              weights: dict[Node, str]) -> Iterator[Packing]:
    known = {**weights, **{i: i.attrs["label"] for i in schedule.graph.inputs
                           if i.attrs.get("role") == "param"}}
    for launch in schedule.launches:
        if launch.op is higher.FUSED:
            body = launch.attrs["body"]
            named = {i: known[a] for i, a in zip(body.inputs, launch.args, strict=True)
                     if a in known}
            if body.name == "fused_pack":
                (out,) = body.outputs
                yield Packing(_weight(out, named), runs, runs * int(out.type.bytes))
            seen: set[object] = set()
            for part in components(body):
                yield from _of_part(part, isa, runs, named, seen)
        for inner in schedule.inner.get(launch, ()):
            inputs, args = inner.graph.inputs, launch.args
            if launch.op is not SCAN:
                args = args[1:]
            count = launch.attrs["length"] if launch.op is SCAN else 1
            still = {i: known[a] for i, a in zip(inputs, args, strict=True) if a in known}
            yield from _of_level(inner, isa, runs * count, still)


def _of_part(part: Graph, isa: Isa, runs: int, named: Mapping[Node, str],
             seen: set[object]) -> Iterator[Packing]:
    """`seen`: what siblings have packed before."""
    if not part.outputs or not contract.uses_tiles(part, isa.limits):
        return
    y = contract.contraction_of(part)
    assert y is not None
    loads = {i: i.name or f"x{at}" for at, i in enumerate(part.inputs)}
    for residue in contract.residues_of(y):
        job = contract.job_of(residue, y, loads, {}, isa)
        if not job.shape.k:
            continue
        writer = contract.writer_of(job, lambda *_: None, isa)
        for side in ("a", "b"):
            times, size = how_often(writer, side)
            access = job.read(side, [0] * len(job.c.batch), [0] * len(
                job.c.rows if side == "a" else job.c.cols), [0] * len(job.c.extents))
            operand = y.args[access.pieces[0].operand]
            key = (side, operand, type(writer), size, job.c.extents)
            if times and key not in seen:
                yield Packing(_weight(operand, named), times * runs, times * runs * size)
            if side == "a":
                seen.add(key)


def how_often(writer: GemmWriter, side: str) -> tuple[int, int]:
    """(times that an operand is packed, bytes of it packed)."""
    shape, cuts, bytes_ = writer.shape, writer.cuts, writer.job.kind.bytes
    if writer.ready[side] is not None:
        return 0, 0
    if isinstance(writer, DotsWriter) or (isinstance(writer, TapsWriter) and side == "b"):
        return 0, 0  # read in place, as images with a border
    if side == "a":
        return 1 if writer.packs_first else cuts.cols.count, writer.packed * bytes_
    groups = 1 if cuts.splits else -(-writer.panels // cuts.panels)
    return groups, shape.b * shape.k * cuts.cols.count * cuts.stride * bytes_


def _weight(operand: Node, named: Mapping[Node, str]) -> str:
    """The parameter that an operand is made of; "" if it is made of none."""
    return next((named[i] for i in toposort([operand]) if i in named), "")


def main() -> None:
    """Print a row for each network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    parser.add_argument("--isa", default="avx512")
    asked = parser.parse_args()
    print("| network | " + " | ".join(f.name for f in fields(Figures)) + " |")
    print("|---" * (len(fields(Figures)) + 1) + "|")
    for name in asked.names:
        row = astuple(figures(NETWORKS[name](), asked.isa))
        print(f"| {name} | " + " | ".join(f"{n:,}" for n in row) + " |", flush=True)


if __name__ == "__main__":
    main()
