"""Every kernel over parallel axes, as it was before it was cut into chunks (kernels/axes.py)."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.backend.draft import Draft
from dlc.backend.emit.fold import folded
from dlc.backend.ir.printer import kernel_of
from dlc.backend.lower import Work
from dlc.checks.kernels.axes import check_positions, check_structure, one_by_one
from dlc.checks.kernels.kinds import check_kinds
from dlc.checks.kernels.program import judged
from dlc.checks.kernels.segment import case_of
from dlc.checks.places import HINT
from dlc.checks.texts import other
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.passes.schedule.lives import Scratch
from dlc.program import Program


def check_axes(program: Program, drafts: Sequence[Draft]) -> list[str]:
    """Raises DlcError at the user's line for a kernel whose positions share what one of them
    writes, or that is another one when it is printed and read; gives what is not decided."""
    undecided: list[str] = []
    for draft in drafts:
        for launch, parts in draft.lowered.items():
            for work in (w for part in parts for stage in part.stages for w in stage):
                found, left = _in_work(program, work)
                if found:
                    raise DlcError(f"{draft.name}: kernel {work.kernel.name}: {found[0]}",
                                   launch.loc, HINT)
                undecided += [f"{draft.name}: {line}" for line in left]
    return undecided


def _in_work(program: Program, work: Work) -> tuple[list[str], list[str]]:
    """What is wrong with the axes of a work, and what is left undecided of them."""
    if work.whole is None or work.kernel.raises:
        return [], []
    whole = folded(work.whole)
    wrong = [w for w in (*check_structure(whole), *check_kinds(whole), other(whole)) if w]
    if wrong:
        return wrong, []
    single, positions = one_by_one(whole)
    if positions < 2 or positions == work.chunks:  # then its chunks are looked at
        return [], []
    operands = work.operands[:len(whole.params)]
    extents = [o.size if isinstance(o, Scratch) else int(o.type.size) if isinstance(o, Node)
               else None for o in operands]
    numbers = [o if isinstance(o, (int, float)) else 0 for o in operands]
    verdict = judged(check_positions, case_of(kernel_of(folded(single)), program.tiles, extents,
                                              numbers, positions))
    return verdict.wrong, verdict.undecided
