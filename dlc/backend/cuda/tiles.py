"""Groups around a product of matrices or a convolution, as blocks of threads with tiles of it.

The operands come through the contraction's index maps and the results go through the group's own,
as for the CPU's tiles (docs/design/contractions.md): a transposed, windowed, grouped or batched
product is none of its own, nor is what the group makes of its result. Where blocks are few and
sums are long, these are cut into parts, which a second stage adds up in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dlc.backend.contract.gemm import Finish
from dlc.backend.contract.lower import (
    contraction_of,
    emitted,
    finisher,
    job_of,
    residues_of,
    uses_tiles,
)
from dlc.backend.contract.pack import Index, Job
from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.mapping import Cuts
from dlc.backend.cuda.tile_plan import cut_of, is_tiled
from dlc.backend.cuda.tile_writer import TileWriter
from dlc.backend.emit.emitter import Emitter
from dlc.backend.emit.fold import folded, mapped
from dlc.backend.emit.work import Lowered, Work
from dlc.backend.ir import Alloc, Expression, For, Function, Kind, Let, Statement, block_of
from dlc.backend.ir.index import sum_of
from dlc.ir.access import Residue
from dlc.ir.graph import Graph, Node
from dlc.ir.types import f32
from dlc.passes.schedule.lives import Scratch


def lower_tiled(name: str, doc: Sequence[str], body: Graph, loads: Mapping[Node, str],
                stores: Mapping[Node, str], isa: Isa) -> Lowered | None:
    """The stages of a group around one contraction; None for a group that plain loops serve: one
    of few products, of few rows or columns, or that adds up in another dtype than f32."""
    y = contraction_of(body)
    if y is None or not uses_tiles(body, isa.limits):
        return None
    jobs = [(residue, job_of(residue, y, loads, stores, isa)) for residue in residues_of(y)]
    if not all(job.kind is f32 and is_tiled(job.shape, isa.limits) for _, job in jobs):
        return None
    finish, stages = finisher(y, body.outputs), []
    for number, (residue, job) in enumerate(jobs):
        title = f"{name}_residue{number}" if number else name
        found = _stages(title, doc, job, placed(finish, residue))
        if found is None:
            return None
        stages += found
    return Lowered(tuple((work,) for work in stages))


def placed(finish: Finish, residue: Residue) -> Finish:
    """What stores an element of a residue where it stands among all."""
    def store(e: Emitter, index: Index, value: Expression) -> None:
        finish(e, tuple(map(sum_of, residue.place(index))), value)
    return store


def _stages(name: str, doc: Sequence[str], job: Job, finish: Finish) -> list[Work] | None:
    """The tiles, and the sum of their parts where there are several."""
    cut = cut_of(job.shape, job.limits)
    writer = TileWriter(job, finish, cut)
    if cut.parts == 1:
        alone = _blocks(name, doc, job, None, writer)
        return None if alone is None else [alone]
    space = Scratch("parts", job.kind, cut.parts * job.shape.b * job.shape.m * job.shape.n)
    tiles = _blocks(f"{name}_parts", doc, job, space, writer)
    whole, places, _ = _emitted(name, doc, job, space, writer.write_sums, False)
    kernel, chunks = mapped(whole, {})
    return None if tiles is None else [tiles, Work(kernel, places, chunks, whole)]


def _blocks(name: str, doc: Sequence[str], job: Job, space: Scratch | None,
            writer: TileWriter) -> Work | None:
    """The kernel of tiles; None where a part of the group is the same for all threads, but is no
    single value."""
    whole, places, _ = _emitted(name, doc, job, space, writer.write_tiles, space is not None)
    kernel = replace(folded(whole), body=tuple(map(_as_run, folded(whole).body)), chunked=True)
    if any(not _stands_outside(s) for s in kernel.body):
        return None
    return Work(kernel, places, writer.cut.blocks(job.shape))


def _as_run(s: Statement) -> Statement:
    """A statement as it runs: what its loops declare was for who cuts them otherwise."""
    if not isinstance(s, For):
        return s
    kind: Kind = "threads" if s.kind == "threads" else "serial"
    return replace(s, kind=kind, into=(), by=(), body=tuple(map(_as_run, s.body)))


def _stands_outside(statement: object) -> bool:
    """Whether a statement may stand outside of regions, where all threads run it alike."""
    if isinstance(statement, For) and statement.kind != "threads":
        return any(isinstance(s, For) and s.kind == "threads" for s in statement.body)
    return isinstance(statement, (Let, For)) or (
        isinstance(statement, Alloc) and statement.space != "stack")


def _emitted(name: str, doc: Sequence[str], job: Job, space: Scratch | None,
             write: Callable[[Emitter, str], None], fills: bool,
             ) -> tuple[Function, tuple[Node | Scratch, ...], Cuts]:
    """What `write` emits, with its buffers."""
    def written(e: Emitter, label: str) -> Cuts:
        write(e, label)
        return {}
    return emitted(name, doc, job, space, written, fills)


def is_block(work: Work) -> bool:
    """Whether a kernel was written for blocks of threads."""
    return block_of(work.kernel) > 0
