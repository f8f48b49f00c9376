"""From parallel axes to chunks: how a kernel is divided among the threads of a CPU.

Kernels are emitted over parallel axes, whose positions may run concurrently, in any order;
`chunked` replaces these by the chunk number:

    for box in parallel(2):                     g = idiv(chunk, 2)
        bp = shared_f32(65536)                  box = imod(chunk, 2)
        copy_f32(bp, ...)                  ->   bp = local_f32(65536)
        for p in parallel(5):                   copy_f32(bp, ...)
            gemm_f32_14x32(..., bp, ...)        for p in range(g * 2, min(g * 2 + 2, 5)):
                                                    gemm_f32_14x32(..., bp, ...)

The number of positions per chunk is decided only here, from extents and the instruction set, never
from the number of threads: results are the same on any number. Small work has few chunks, each
large enough for a thread; large work has enough for a machine with many cores (`limits.cores`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dlc.backend.cpu.limits import Limits
from dlc.backend.ir import Alloc, For, Function, Let, Position, Statement
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.substitute import substituted
from dlc.backend.ir.walks import names_of
from dlc.ir.access import unravel
from dlc.ir.types import i64

LEAST_ROWS = 112  # of a chunk of large products: each packs its columns of B for itself

Cuts: TypeAlias = Mapping[str, int]
"""How many positions of each parallel axis a chunk takes. The order is that of the chunks, the axis
in which neighbours differ last; an axis that is not named is walked whole by every chunk."""


# ---- parallel axes -------------------------------------------------------------------------------


def axes_of(statements: Sequence[Statement]) -> Iterator[For]:
    """The parallel loops around what a kernel does, outermost first."""
    for s in statements:
        if isinstance(s, For) and s.kind == "parallel":
            yield s
            yield from axes_of(s.body)


def finest(function: Function) -> Cuts:
    """Every position of all axes in a chunk of its own."""
    return {axis.var: 1 for axis in axes_of(function.body)}


def chunked(function: Function, cuts: Cuts) -> tuple[Function, int]:
    """The kernel that does one chunk of `function`, and how many chunks there are.

    The part of each axis that chunk `chunk` takes is a digit of its number. Buffers that positions
    share are the chunk's own, and those of one position serve it for all that it walks. All other
    loops run as they are written: their kinds were for who cuts otherwise.
    """
    axes = {axis.var: axis for axis in axes_of(function.body)}
    cuts = {var: grain for var, grain in cuts.items() if var in axes}
    counts = {var: -(-axes[var].high.const // grain) for var, grain in cuts.items()}
    extents = tuple(counts.values())
    # the first may be another one when the text is used again: it is never taken for 1
    last = max(extents[0], 2) * math.prod(extents[1:]) - 1 if extents else 0
    parts = unravel(sum_of(Var("chunk", 0, last)), extents)
    names = Names(names_of(function))
    named: list[Statement] = []
    places: dict[str, Sum] = {}
    for var, part in zip(counts, parts, strict=True):
        places[var] = part
        if not is_plain(part):
            name = var if cuts[var] == 1 else names.new("g")
            named.append(Let(name, Position(part, i64)))
            places[var] = sum_of(Var(name, part.low, part.high))
    body = _block(function.body, cuts, places)
    return replace(function, body=(*named, *body), chunked=True), math.prod(extents)


def is_plain(index: Sum) -> bool:
    """Whether an index is a number or a variable as it stands."""
    return not index.terms or (len(index.terms) == 1 and index.const == 0
                               and index.terms[0][1] == 1 and isinstance(index.terms[0][0], Var))


def _block(statements: Sequence[Statement], cuts: Cuts,
           places: Mapping[str, Sum]) -> list[Statement]:
    """Statements with their parallel loops cut; `places` says which part a chunk has of each."""
    found: list[Statement] = []
    for s in statements:
        if isinstance(s, Alloc):
            found.append(replace(s, space="stack"))
        elif not isinstance(s, For):
            found.append(s)
        elif s.kind != "parallel":
            body = _block(s.body, cuts, places)
            found.append(replace(s, body=body, kind="serial", into=(), by=()))
        elif cuts.get(s.var) == 1:
            place = places[s.var]
            moved = place.variables() != {s.var}
            body = _block(s.body, cuts, places)
            found += substituted(body, {s.var: place}) if moved else body
        else:
            own = [replace(b, space="stack") for b in s.body if isinstance(b, Alloc)]
            rest = _block([b for b in s.body if not isinstance(b, Alloc)], cuts, places)
            shared = [at for at, b in enumerate(statements)
                      if isinstance(b, Alloc) and b.space == "shared"]
            behind = shared[-1] + 1 if shared else len(found)
            found[behind:behind] = own
            found.append(_serial(replace(s, body=rest), cuts.get(s.var), places.get(s.var)))
    return found


def _serial(axis: For, grain: int | None, part: Sum | None) -> For:
    """The axis as the loop in which a chunk walks its part of it, or all of it."""
    if grain is None or part is None:
        return replace(axis, kind="serial")
    # the bound stands there also where it divides: another extent then takes the same kernel
    low = part * grain
    return replace(axis, low=low, high=least(low + grain, axis.high), kind="serial")


# ---- how many positions a chunk takes ------------------------------------------------------------


def rows_per_chunk(rows: int, work: int, limits: Limits) -> int:
    """Positions of the parallel loops in one chunk, each of `work` elements."""
    if rows * work <= limits.one_chunk:
        return rows
    return max(1, min(limits.chunk_elements // work, -(-rows // limits.loop_chunks)))


def contraction_chunks(products: int, limits: Limits) -> int:
    """Chunks that a contraction of so many products should have."""
    return max(limits.chunks, min(limits.cores, products // limits.chunk_products))


def least_panels(height: int) -> int:
    """Panels of `height` rows that a chunk of large products has at least."""
    return -(-LEAST_ROWS // height)


def panel_groups(panels: int, height: int, others: int, products: int, limits: Limits) -> int:
    """Runs of panels of `height` rows that a contraction is cut into, beside `others` along other
    axes."""
    few = limits.chunks // max(1, others)
    many = min(contraction_chunks(products, limits) // max(1, others),
               panels // least_panels(height))
    return max(1, min(panels, max(few, many)))


def panels_per_packing(panels: int, batch: int, elements: int, limits: Limits) -> int:
    """Panels that a chunk packs, of `batch` matrices of `panels` that hold `elements` together."""
    wanted = max(limits.chunks, min(limits.cores, elements // limits.chunk_elements))
    return -(-panels // max(1, wanted // batch))
