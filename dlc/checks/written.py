"""What a launch gives is written, all of it, and its workspaces before they are read.

Every element of every output is stored by some kernel of the launch (one that is written over its
operand has the others' from there), and what a later stage loads from a workspace an earlier one
has stored. Buffers of more than 4,096 elements are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dlc.backend.draft import Draft
from dlc.backend.ir import Function
from dlc.backend.ir.printer import kernel_of
from dlc.backend.lower import Lowered, Work
from dlc.checks.kernels.initialised import LONGEST, Touched, touched
from dlc.checks.kernels.segment import case_of
from dlc.checks.places import HINT
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node
from dlc.passes.schedule.lives import Scratch
from dlc.program import Kernel, Program

Row = tuple[int, Work, str]  # stage, work, by which name its kernel knows a buffer
_known: dict[tuple[object, ...], dict[str, Touched]] = {}
_printed: dict[int, tuple[Function, Kernel]] = {}  # of the programs that are looked at


def check_written(program: Program, drafts: Sequence[Draft]) -> None:
    """Raises DlcError at the line of a launch that leaves an element of a result unwritten, or
    loads one of a workspace that nothing has stored."""
    _printed.clear()
    for draft in drafts:
        for launch, parts in draft.lowered.items():
            for wrong in _in_launch(program, launch.attrs["body"], parts):
                raise DlcError(f"{draft.name}: {wrong}", launch.loc, HINT)


def _in_launch(program: Program, body: Graph, parts: Sequence[Lowered]) -> Iterator[str]:
    inputs = {id(i) for i in body.inputs}
    for part in parts:
        rows: dict[int, tuple[Node | Scratch, list[Row]]] = {}
        for stage, works in enumerate(part.stages):
            for work in works:
                for parameter, operand in zip(work.kernel.params, work.operands, strict=False):
                    if isinstance(operand, (Node, Scratch)) and id(operand) not in inputs:
                        rows.setdefault(id(operand), (operand, []))[1].append(
                            (stage, work, parameter.name))
        for operand, uses in rows.values():
            size = operand.size if isinstance(operand, Scratch) else int(operand.type.size)
            if size > LONGEST:
                continue
            yield from (_workspace(program, operand, size, uses) if isinstance(operand, Scratch)
                        else _output(program, operand, size, uses))


def _output(program: Program, output: Node, size: int, uses: Sequence[Row]) -> Iterator[str]:
    """An element of a result that no kernel stores."""
    found = np.zeros(size, bool)
    for _, work, name in uses:
        mask = _touched(program, work, name).stored
        if mask is None:
            return
        found |= mask
    if not found.all():
        yield (f"no kernel of {uses[0][1].kernel.name} writes element {int(np.argmin(found))} of "
               f"{output.name or 'a result'}")


def _workspace(program: Program, space: Scratch, size: int, uses: Sequence[Row]) -> Iterator[str]:
    """An element of a workspace that is loaded after the stages that do not store it."""
    for stage, work, name in uses:
        read = _touched(program, work, name).loaded
        found = np.zeros(size, bool)
        for other, writer, label in uses:
            if other < stage or writer is work:
                mask = _touched(program, writer, label).stored
                found |= True if mask is None else mask
        if read is not None and (read & ~found).any():
            yield (f"{work.kernel.name} loads element {int(np.argmax(read & ~found))} of "
                   f"{space.name}, which no earlier stage has stored")


def _touched(program: Program, work: Work, name: str) -> Touched:
    """What a work touches of a buffer, from the last time where all is the same."""
    if id(work.kernel) not in _printed:
        _printed[id(work.kernel)] = work.kernel, kernel_of(work.kernel)
    kernel = _printed[id(work.kernel)][1]
    extents = [o.size if isinstance(o, Scratch) else int(o.type.size) if isinstance(o, Node)
               else None for o in work.operands]
    numbers = [o if isinstance(o, (int, float)) else 0 for o in work.operands]
    case = case_of(kernel, program.tiles, extents, numbers, work.chunks)
    if case.key not in _known:
        _known[case.key] = touched(case)
    return _known[case.key][name]
