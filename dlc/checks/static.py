"""The static checkers of assembled programs: DLC_CHECK=1, and every program of the tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.backend.draft import Draft
from dlc.checks.agreement import check_agreement
from dlc.checks.axes import check_axes
from dlc.checks.kernels.program import check_static
from dlc.checks.overwriting import check_overwriting
from dlc.checks.places import HINT, check_places
from dlc.checks.texts import check_texts
from dlc.checks.works import Works
from dlc.checks.written import check_written
from dlc.errors import DlcError, here
from dlc.program import Program


def check_assembled(program: Program, drafts: Sequence[Draft]) -> list[str]:
    """Types, places, texts, barriers, bounds, chunks, axes, in-place writing, what nobody wrote;
    gives what stays undecided.

    Raises DlcError, whose message names entry, launch and line.
    """
    check_agreement(program, drafts)
    check_places(drafts)
    works = Works(program, drafts)
    check_texts(works)
    try:
        findings = check_static(program)
    except ValueError as problem:
        raise DlcError(str(problem), here(), HINT) from None
    check_written(works)
    return [*findings.undecided, *check_axes(works), *check_overwriting(works)]
