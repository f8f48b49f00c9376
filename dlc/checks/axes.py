"""Every kernel over parallel axes, as it was before it was cut into chunks (kernels/axes.py)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from dlc.backend.emit.work import Work
from dlc.backend.ir import Function
from dlc.backend.ir.whole import with_scalars
from dlc.checks.kernels.axes import check_positions, check_structure, one_by_one
from dlc.checks.kernels.kinds import check_kinds
from dlc.checks.kernels.program import judged
from dlc.checks.places import HINT
from dlc.checks.texts import other
from dlc.checks.works import Works
from dlc.errors import DlcError
from dlc.program import Kernel


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
    kernel = works.kernel(work.whole)
    wrong = _in_kernel(work.whole, kernel)
    if wrong:
        return list(wrong), []
    single, positions = one_by_one(work.whole)
    if positions < 2 or positions == work.chunks:  # then its chunks are looked at
        return [], []
    operands = work.operands[:len(work.whole.params)]
    verdict = judged(check_positions, works.case_of(kernel, operands, positions, single))
    return verdict.wrong, verdict.undecided


@lru_cache(maxsize=4096)
def _in_kernel(whole: Function, kernel: Kernel) -> tuple[str, ...]:
    """What is wrong with a kernel over its axes, whatever it runs on."""
    settled = replace(whole, body=tuple(with_scalars(whole.body)))  # as folding leaves what is cut
    return tuple(w for w in (*check_structure(whole), *check_kinds(whole), other(settled, kernel))
                 if w)
