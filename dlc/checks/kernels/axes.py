"""Parallel axes of a kernel before chunking: positions that may run concurrently, in any order.

Some rules are syntactic: where axes may occur, which names and local buffers their positions share.
Stores are tracked as for chunks: the kernel is divided into one position per chunk, and no two of
them may access an element that either writes. Axes with more positions than a walk has rows are
shortened to the first ones; positions of different chunks are checked in the chunked kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dlc.backend.cpu.mapping import axes_of, chunked, finest
from dlc.backend.cpu.tiles import parameter_names
from dlc.backend.ir import Alloc, For, Function, Let, Pointer, Statement, Store, TileCall
from dlc.backend.ir.index import Sum
from dlc.backend.ir.walks import blocks, buffers_of, flattened
from dlc.checks.kernels.chunks import check_chunks
from dlc.checks.kernels.segment import BUDGETS, Case, Verdict

WRITTEN = ("c", "dst")  # parameters of tiles


def check_structure(function: Function) -> list[str]:
    """What is wrong with the axes of a kernel as they stand; empty if nothing is."""
    return list(_block(function.body, True, set(), {}))


def _block(statements: Sequence[Statement], outside: bool, names: set[str],
           buffers: dict[str, Alloc]) -> Iterator[str]:
    """`outside`: only parallel loops are around; `names` and `buffers` are what these share."""
    for at, s in enumerate(statements):
        if not (isinstance(s, For) and s.kind == "parallel"):
            for inner in blocks(s):
                yield from _block(inner, False, names, buffers)
            continue
        if not outside:
            yield f"the parallel axis {s.var} stands in a loop or a branch"
        if s.low != Sum() or s.step != 1 or s.high.terms:
            yield f"the parallel axis {s.var} does not run from 0 to a number by 1"
        if at + 1 < len(statements):
            yield f"statements follow the parallel axis {s.var}, whose positions may not be done"
        before = list(flattened(statements[:at]))
        known = names | {b.name for b in before if isinstance(b, Let)}
        shared = {**buffers, **{b.name: b for b in before if isinstance(b, Alloc)}}
        yield from _shares(s, known, shared)
        yield from _block(s.body, True, known, shared)


def _shares(axis: For, names: set[str], buffers: dict[str, Alloc]) -> Iterator[str]:
    """What positions of an axis assign or write of what all of them see."""
    inside = list(flattened(axis.body))
    for name in sorted(names & {s.name for s in inside if isinstance(s, Let)}):
        yield f"positions of the parallel axis {axis.var} assign {name}, which they share"
    touched = buffers_of(axis.body)
    for name, local in buffers.items():
        if name in touched and local.space != "shared":
            yield f"positions of the parallel axis {axis.var} use the stack buffer {name} of all"
    for name in sorted({b for s in inside for b in written(s)} & set(buffers)):
        yield f"positions of the parallel axis {axis.var} write the buffer {name}, which they share"


def written(statement: Statement) -> Iterator[str]:
    """The buffers that a statement itself writes."""
    if isinstance(statement, Store):
        yield statement.buffer
    if isinstance(statement, TileCall):
        for name, place in zip(parameter_names(statement.tile), statement.args, strict=True):
            if name in WRITTEN and isinstance(place, Pointer):
                yield place.buffer


def one_by_one(function: Function, most: int = BUDGETS[0]) -> tuple[Function, int]:
    """The kernel with a position of its parallel axes in each chunk, and how many these are: at
    most `most`, for which long axes are shortened."""
    extents = {axis.var: axis.high.const for axis in axes_of(function.body)}
    while True:
        longest = max(extents, key=lambda var: extents[var], default="")
        rest = 1
        for var, extent in extents.items():
            rest *= extent if var != longest else 1
        if not extents or rest * extents[longest] <= most:
            break
        extents[longest] = max(most // rest, extents[longest] // 2)
    body = _shortened(function.body, extents)
    short = replace(function, body=body)
    return chunked(short, finest(short))


def _shortened(statements: Sequence[Statement],
               extents: dict[str, int]) -> tuple[Statement, ...]:
    return tuple(replace(s, high=Sum(extents[s.var]), body=_shortened(s.body, extents))
                 if isinstance(s, For) and s.kind == "parallel" else s for s in statements)


def check_positions(case: Case) -> Verdict:
    """Positions in chunks of their own, which meet nowhere."""
    found = check_chunks(case)
    return Verdict([line.replace(": chunks ", ": positions ") for line in found.wrong],
                   found.undecided)
