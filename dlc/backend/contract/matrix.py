"""Packing of a matrix in memory: one kernel for all shapes, which are its arguments.

Kernels whose texts differ only in numbers would each be compiled; this one is compiled once for
operands that are contiguous along the rows of a contraction, and once for those contiguous along
the sum. Its chunking is an argument too: `each` panels per chunk.

    b = idiv(chunk, groups)
    g = imod(chunk, groups)
    for p in range(g * each, min(g * each + each, panels)):
        rows = min(14, m - p * 14)
        copy_f32(at(packed, (b * panels + p) * k * 14), 14,
                 at(a, first + b * leap + p * 14), step, k, rows)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from dlc.backend.contract.gemm import GemmWriter
from dlc.backend.contract.pack import ZERO, Lanes, Run, probe
from dlc.backend.contract.plan import Box
from dlc.backend.cpu.mapping import panels_per_packing
from dlc.backend.ir import (
    Binary,
    Call,
    Expression,
    For,
    Function,
    Let,
    Pointer,
    Position,
    Statement,
    tile_call,
)
from dlc.backend.ir.index import LEAST, MOST, Sum, Var, least, sum_of
from dlc.backend.ir.reading import sum_in_order
from dlc.ir.access import unravel
from dlc.ir.types import DTYPES, i64
from dlc.program import Parameter

NUMBERS = ("m", "k", "step", "leap", "first", "panels", "each", "groups")
_LAYOUTS = {"copy": "rows side by side in memory, step elements from one k to the next",
            "transpose": "k side by side in memory, step elements from one row to the next"}


@lru_cache(maxsize=64)
def pack_kernel(tile: str, kind: str, height: int) -> Function:
    """Packing by tile "copy" (rows lie side by side) or "transpose" (k does) into panels of
    `height` rows."""
    params = (Parameter("a", kind, "pointer"), Parameter("packed", kind, "pointer", True),
              *(Parameter(n, "i64", "scalar") for n in NUMBERS))
    doc = (f"A as panels of {height} rows, k by k, for the gemm tiles", "",
           f"m rows, k columns; {_LAYOUTS[tile]}.",
           "leap: elements between matrices; each: panels a chunk; groups: chunks a matrix.")
    first = times(index("g"), index("each"))
    last = Call("min", (Binary("+", first, index("each"), i64), index("panels")), i64)
    return Function(f"pack_{tile}_{kind}_{height}", params, doc, (
        Let("b", Call("idiv", (index("chunk"), index("groups")), i64)),
        Let("g", Call("imod", (index("chunk"), index("groups")), i64)),
        For("p", sum_in_order(first), sum_in_order(last), _panel(tile, kind, height))))


def _panel(tile: str, kind: str, height: int) -> tuple[Statement, ...]:
    """Panel p of matrix b, by one call of the tile."""
    p, m, k, step, rows = (sum_in_order(index(n)) for n in ("p", "m", "k", "step", "rows"))
    number = Binary("+", times(index("b"), index("panels")), index("p"), i64)
    row = Position(p * height, i64)
    skipped = row if tile == "copy" else times(row, index("step"))
    start = Binary("+", Binary("+", index("first"), times(index("b"), index("leap")), i64),
                   skipped, i64)
    extents = (k, rows) if tile == "copy" else (rows, k)
    return (Let("rows", Position(least(height, m - p * height), i64)),
            tile_call(f"{tile}_{DTYPES[kind]}",
                      Pointer("packed", sum_in_order(times(number, index("k"))) * height), height,
                      Pointer("a", sum_in_order(start)), step, *extents))


def index(name: str) -> Position:
    """A whole number of which nothing is known but its name."""
    return Position(Sum(0, ((Var(name, LEAST, MOST), 1),)), i64)


def times(a: Expression, b: Expression) -> Binary:
    return Binary("*", a, b, i64)


@dataclass(frozen=True)
class Packing:
    """A call of the shared kernel: its numbers, and how many chunks."""

    kernel: Function
    numbers: tuple[int, ...]
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
    numbers = {"m": shape.m, "k": shape.k, "step": step, "leap": leap, "first": load.index.const,
               "panels": writer.panels, "each": each, "groups": groups}
    return Packing(pack_kernel(tile, kind, height), tuple(numbers[n] for n in NUMBERS),
                   shape.b * groups)
