"""Packing of a matrix as it lies in memory: one kernel for all shapes, which are its arguments.

Kernels whose texts differ only in numbers would each be compiled; this one is compiled once for
the operands that are contiguous along the rows of a contraction, once for those along the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlc.backend.contract.gemm import GemmWriter
from dlc.backend.contract.pack import ZERO, Lanes, Run, probe
from dlc.backend.contract.plan import Box, unravel
from dlc.backend.cpu.mapping import panels_per_packing
from dlc.backend.ir.index import Var, sum_of

_TEXT = '''\
def {name}(a, packed, m, k, step, leap, first, panels, each, groups, chunk):
    """A as panels of {height} rows, k by k, for the gemm tiles

    m rows, k columns; {layout}.
    leap: elements between matrices; each: panels a chunk; groups: chunks a matrix."""
    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min({height}, m - p * {height})
        {call}
'''

_CALLS = {
    "copy": "copy_{kind}(at(packed, (b * panels + p) * k * {height}), {height}, "
            "at(a, first + b * leap + p * {height}), step, k, rows)",
    "transpose": "transpose_{kind}(at(packed, (b * panels + p) * k * {height}), {height}, "
                 "at(a, first + b * leap + p * {height} * step), step, rows, k)",
}
_LAYOUTS = {"copy": "rows side by side in memory, step elements from one k to the next",
            "transpose": "k side by side in memory, step elements from one row to the next"}


@dataclass(frozen=True)
class Packing:
    """A call of the shared kernel: its text, the buffer it reads, its numbers by name."""

    name: str
    text: str
    buffer: str
    numbers: dict[str, int]
    chunks: int


def packing(writer: GemmWriter) -> Packing | None:
    """How A is packed by the shared kernel; None where A is not a stack of matrices in memory."""
    job, shape, height = writer.job, writer.shape, writer.cuts.height
    b, p = Var("b_probe", 0, max(shape.b - 1, 0)), Var("p_probe", 0, writer.panels - 1)
    batch = tuple(unravel(sum_of(b), shape.batch)) if shape.batch else ()
    lanes = Lanes("a", batch, shape.rows, sum_of(p) * height, sum_of(height),
                  min(height, shape.m), height)
    whole = Run(Box(shape.inner, 0, shape.inner[0]), (), ZERO, sum_of(shape.inner[0]))
    _, load = probe(job, lanes, whole)
    if load is None:
        return None
    by = [load.index.coefficient(v) for v in ("lane_probe", "k_probe", "b_probe", "p_probe")]
    if None in by or 1 not in by[:2]:
        return None
    lane, k, leap, panel = (int(c or 0) for c in by)
    if writer.panels > 1 and panel != height * lane:
        return None
    tile, step = ("copy", k) if lane == 1 else ("transpose", lane)
    kind = job.kind.name
    each = panels_per_packing(writer.panels, shape.b, writer.packed, job.limits)
    groups = -(-writer.panels // each)
    name = f"pack_{tile}_{kind}_{height}"
    text = _TEXT.format(name=name, height=height, layout=_LAYOUTS[tile],
                        call=_CALLS[tile].format(kind=kind, height=height))
    numbers = {"m": shape.m, "k": shape.k, "step": step, "leap": leap, "first": load.index.const,
               "panels": writer.panels, "each": each, "groups": groups}
    return Packing(name, text, load.buffer, numbers, shape.b * groups)
