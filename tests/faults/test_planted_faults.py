"""Planted faults: every patch here breaks dlc in one way, and the tests that it names must see it.

A patch starts with two lines, `What:` the fault in a sentence and `Tests:` the tests that have to
fail, then the diff. `make faults` applies one after the other, each to a fresh copy of the tree.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
TREE = ("dlc", "runtime", "models", "tests", "docs", "pyproject.toml")
FAILED = 1  # pytest's exit status when tests ran and some failed; an import error gives 2


@dataclass(frozen=True)
class PlantedFault:
    """One patch: where it lies, what it breaks, the pytest arguments that must turn red."""

    path: Path
    what: str
    tests: tuple[str, ...]


def read_fault(path: Path) -> PlantedFault:
    """The header of a patch; raises ValueError when it lacks a line."""
    found = dict(re.findall(r"^(What|Tests): (.+)$", path.read_text(), re.M))
    if set(found) != {"What", "Tests"}:
        raise ValueError(f"{path.name} needs a `What:` and a `Tests:` line before its diff")
    return PlantedFault(path, found["What"], tuple(found["Tests"].split()))


FAULTS = [read_fault(path) for path in sorted(FOLDER.glob("*.patch"))]


def copy_tree(target: Path) -> None:
    """What the tests need of the repository, symlinks kept, build results left out."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.patch")
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, target / name)


def run_tests(tree: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """pytest in `tree`, which comes before the installed dlc, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.path.stem)
def test_planted_fault_is_caught(fault: PlantedFault, tmp_path: Path) -> None:
    copy_tree(tmp_path)
    applied = subprocess.run(
        ["git", "apply", "--verbose", str(fault.path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert applied.returncode == 0, f"{fault.path.name} no longer applies:\n{applied.stderr}"
    run = run_tests(tmp_path, fault.tests)
    assert run.returncode == FAILED, f"not caught: {fault.what}\n{run.stdout[-3000:]}{run.stderr}"


@pytest.mark.faults
def test_the_named_tests_pass_without_a_fault(tmp_path: Path) -> None:
    """A test that is red anyway catches nothing; one that was renamed is not found at all."""
    copy_tree(tmp_path)
    tests = sorted({test for fault in FAULTS for test in fault.tests})
    run = run_tests(tmp_path, tuple(tests))
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr


@pytest.mark.faults
def test_there_are_a_dozen_faults() -> None:
    assert len(FAULTS) >= 12
