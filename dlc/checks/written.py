"""A launch writes all of its results, and its workspaces before they are read.

Every element of every output is stored by some kernel of the launch (a result written in place may
keep its operand's elements), and a later stage loads from a workspace only what an earlier one
stored. Buffers of more than 4,096 elements are not tracked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dlc.backend.emit.work import Lowered, Work
from dlc.checks.kernels.initialised import LONGEST, Touched, touched
from dlc.checks.kernels.known import Known
from dlc.checks.places import HINT
from dlc.checks.works import Works
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node
from dlc.passes.schedule.lives import Scratch

Row = tuple[int, Work, str]  # stage, work, by which name its kernel knows a buffer
_known: Known[dict[str, Touched]] = Known()


def check_written(works: Works) -> None:
    """Raises DlcError at the line of a launch that leaves an element of a result unwritten, or
    loads one of a workspace that nothing has stored."""
    for draft in works.drafts:
        for launch, parts in draft.lowered.items():
            for wrong in _in_launch(works, launch.attrs["body"], parts):
                raise DlcError(f"{draft.name}: {wrong}", launch.loc, HINT)


def _in_launch(works: Works, body: Graph, parts: Sequence[Lowered]) -> Iterator[str]:
    inputs = {id(i) for i in body.inputs}
    for part in parts:
        rows: dict[int, tuple[Node | Scratch, list[Row]]] = {}
        for stage, at_once in enumerate(part.stages):
            for work in at_once:
                for parameter, operand in zip(work.kernel.params, work.operands, strict=False):
                    if isinstance(operand, (Node, Scratch)) and id(operand) not in inputs:
                        rows.setdefault(id(operand), (operand, []))[1].append(
                            (stage, work, parameter.name))
        for operand, uses in rows.values():
            size = operand.size if isinstance(operand, Scratch) else int(operand.type.size)
            if size > LONGEST:
                continue
            yield from (_workspace(works, operand, size, uses) if isinstance(operand, Scratch)
                        else _output(works, operand, size, uses))


def _output(works: Works, output: Node, size: int, uses: Sequence[Row]) -> Iterator[str]:
    """An element of a result that no kernel stores."""
    found = np.zeros(size, bool)
    for _, work, name in uses:
        mask = _touched(works, work, name).stored
        if mask is None:
            return
        found |= mask
    if not found.all():
        yield (f"no kernel of {uses[0][1].kernel.name} writes element {int(np.argmin(found))} of "
               f"{output.name or 'a result'}")


def _workspace(works: Works, space: Scratch, size: int, uses: Sequence[Row]) -> Iterator[str]:
    """An element of a workspace that is loaded after the stages that do not store it."""
    for stage, work, name in uses:
        read = _touched(works, work, name).loaded
        found = np.zeros(size, bool)
        for other, writer, label in uses:
            if other < stage or writer is work:
                mask = _touched(works, writer, label).stored
                found |= True if mask is None else mask
        if read is not None and (read & ~found).any():
            yield (f"{work.kernel.name} loads element {int(np.argmax(read & ~found))} of "
                   f"{space.name}, which no earlier stage has stored")


def _touched(works: Works, work: Work, name: str) -> Touched:
    """What a work touches of a buffer, from the last time where all is the same."""
    case = works.case(work)
    return _known.get(case.key, lambda: touched(case))[name]
