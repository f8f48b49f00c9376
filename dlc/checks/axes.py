"""Every kernel over parallel axes, as it was before it was cut into chunks (kernels/axes.py)."""

from __future__ import annotations

from dlc.backend.emit.fold import folded
from dlc.backend.emit.work import Work
from dlc.backend.ir.printer import kernel_of
from dlc.checks.kernels.axes import check_positions, check_structure, one_by_one
from dlc.checks.kernels.kinds import check_kinds
from dlc.checks.kernels.program import judged
from dlc.checks.places import HINT
from dlc.checks.texts import other
from dlc.checks.works import Works
from dlc.errors import DlcError


def check_axes(works: Works) -> list[str]:
    """Raises DlcError at the user's line for a kernel whose positions share what one of them
    writes, or that is another one when it is printed and read; gives what is not decided."""
    undecided: list[str] = []
    for draft, launch, work in works.all():
        found, left = _in_work(works, work)
        if found:
            raise DlcError(f"{draft.name}: kernel {work.kernel.name}: {found[0]}",
                           launch.loc, HINT)
        undecided += [f"{draft.name}: {line}" for line in left]
    return undecided


def _in_work(works: Works, work: Work) -> tuple[list[str], list[str]]:
    """What is wrong with the axes of a work, and what is left undecided of them."""
    if work.whole is None or work.kernel.raises:
        return [], []
    whole = folded(work.whole)
    kernel = kernel_of(whole)
    wrong = [w for w in (*check_structure(whole), *check_kinds(whole), other(whole, kernel)) if w]
    if wrong:
        return wrong, []
    single, positions = one_by_one(whole)
    if positions < 2 or positions == work.chunks:  # then its chunks are looked at
        return [], []
    operands = work.operands[:len(whole.params)]
    verdict = judged(check_positions, works.case_of(kernel, operands, positions, single))
    return verdict.wrong, verdict.undecided
