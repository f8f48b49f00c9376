"""What a check or a replay has found, on the page of the program that it was found in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.errors import DlcError, Loc, printable, short_path
from dlc.inspector.gather import inspect
from dlc.inspector.record import Finding, Inspection

if TYPE_CHECKING:
    from dlc.compiler import Compiled

LONGEST = 2000  # characters of a finding


def finding(found: Inspection, text: str, loc: Loc | None, stage: str = "") -> Finding:
    """A finding at a line of the program, if it has that line."""
    place = -1
    if loc is not None:
        files = [k for k, f in enumerate(found.files) if f.path == short_path(loc.file)]
        place = next((p for p, (file, line) in enumerate(found.places)
                      if file in files and line == loc.line), -1)
    return Finding(printable(text, LONGEST), place, stage)


def write_findings(path: Path, compiled: Compiled, told: Sequence[tuple[str, Loc | None]],
                   stage: str = "") -> str:
    """Write the inspector's page of `compiled` with what was found in it: texts with their lines,
    and the pass that shows it. Returns what to tell the user. Raises OSError."""
    from dlc.inspector.page import page
    from dlc.runtime.train.checkpoint import replace_file

    found = inspect(compiled)
    findings = tuple(finding(found, text, loc, stage) for text, loc in told)
    replace_file(path, page(replace(found, findings=findings)).encode("utf-8"))
    return f"{path}: the program, with what was found in it; opens in a browser"


def of_error(problem: DlcError) -> tuple[str, Loc | None]:
    """An error as a finding."""
    return problem.message, problem.loc
