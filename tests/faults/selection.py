"""Which planted faults a run takes: those that the change touches, and a rotating quarter.

    FAULTS=all            all of them
    FAULTS_BASE=COMMIT    the change is what differs from COMMIT. Else: from the merge base with
                          origin/main; where that is this commit, from the commit before it
    FAULTS_TURN=N         the quarter N modulo 4 of the others. Else: the number of the day
"""

from __future__ import annotations

import datetime
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
PARTS = 4


@dataclass(frozen=True)
class PlantedFault:
    """One patch: where it lies, what it breaks, the pytest arguments that must turn red, and the
    files that it changes."""

    path: Path
    what: str
    tests: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def concerns(self) -> set[str]:
        """The files, relative to the root, a change of which may decide whether it is caught."""
        tests = {test.partition("::")[0] for test in self.tests}
        return {*self.files, *tests, str(self.path.relative_to(ROOT))}


def read_fault(path: Path) -> PlantedFault:
    """The header of a patch; raises ValueError when it lacks a line."""
    text = path.read_text()
    found = dict(re.findall(r"^(What|Tests): (.+)$", text, re.M))
    if set(found) != {"What", "Tests"}:
        raise ValueError(f"{path.name} needs a `What:` and a `Tests:` line before its diff")
    files = tuple(re.findall(r"^\+\+\+ b/(\S+)$", text, re.M))
    return PlantedFault(path, found["What"], tuple(found["Tests"].split()), files)


FAULTS = [read_fault(path) for path in sorted(FOLDER.glob("*.patch"))]


def select(faults: Sequence[PlantedFault], changed: set[str],
           turn: int) -> tuple[list[PlantedFault], list[PlantedFault]]:
    """(those that `changed` touches, the quarter number `turn` of the others)."""
    touched = [f for f in faults if f.concerns & changed]
    others = [f for f in faults if not f.concerns & changed]
    return touched, others[turn % PARTS::PARTS]


def chosen() -> tuple[list[PlantedFault], str]:
    """The faults of this run, and a line that says how they were chosen."""
    if os.environ.get("FAULTS") == "all":
        return FAULTS, f"all {len(FAULTS)} faults"
    turn = int(os.environ.get("FAULTS_TURN") or datetime.date.today().toordinal())
    base, how = base_of_change()
    touched, quarter = select(FAULTS, changed_since(base), turn)
    line = (f"{len(touched)} faults touched by the change since {how}, {len(quarter)} of the others"
            f" (FAULTS_TURN={turn}, a quarter); FAULTS=all takes all {len(FAULTS)}")
    return touched + quarter, line


def base_of_change() -> tuple[str | None, str]:
    """The commit that the change is measured from, None without history; and a name for it."""
    given = os.environ.get("FAULTS_BASE")
    if given:
        return given, given
    head, main = git("rev-parse", "HEAD"), git("merge-base", "HEAD", "origin/main")
    if main and main != head:
        return main, f"the merge base with origin/main, {main[:10]}"
    before = git("rev-parse", "--verify", "HEAD~1")
    return (before, f"the commit before, {before[:10]}") if before else (None, "(no history)")


def changed_since(base: str | None) -> set[str]:
    """The files that differ from `base`, those not committed yet among them."""
    if base is None:
        return set()
    return {*(git("diff", "--name-only", base) or "").splitlines(),
            *(git("ls-files", "--others", "--exclude-standard") or "").splitlines()}


def git(*args: str) -> str | None:
    """What git prints, None where it fails."""
    try:
        run = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
