"""Planted faults: every patch here breaks dlc in one way, and the tests that it names must see it.

A patch starts with two lines, `What:` the fault in a sentence and `Tests:` the tests that have to
fail, then the diff. `make faults` applies some of them (tests/faults/selection.py), each to a fresh
copy of the tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.selection import FAULTS, ROOT, PlantedFault, chosen, read_fault, select

TREE = ("dlc", "runtime", "models", "tests", "docs", "README.md", "Makefile", "pyproject.toml")
FAILED = 1  # pytest's exit status when tests ran and some failed; an import error gives 2


def copy_tree(target: Path) -> None:
    """What the tests need of the repository, symlinks kept; bytecode too, which Python takes for
    files of the same time and size, so not for those that a patch writes."""
    ignore = shutil.ignore_patterns("*.egg-info", "*.patch")
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, target / name)


def run_tests(tree: Path, tests: tuple[str, ...],
              cache: Path) -> subprocess.CompletedProcess[str]:
    """pytest in `tree`, which comes before the installed dlc, up to the first failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment = {**own, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1",
                   "CACHE_OF_TESTS": str(cache), "DLC_WORKERS": "1"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled kernels, for all faults of a run: a key covers the text and all sources that an
    object depends on, so what a patch changes is compiled anew."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


@pytest.mark.faults
def test_the_named_tests_pass_without_a_fault(tmp_path: Path, shared_cache: Path) -> None:
    """A test that is red anyway catches nothing; one that was renamed is not found at all."""
    copy_tree(tmp_path)
    tests = sorted({test for fault in chosen()[0] for test in fault.tests})
    run = run_tests(tmp_path, tuple(tests), shared_cache)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr


@pytest.mark.faults
@pytest.mark.parametrize("fault", chosen()[0], ids=lambda fault: fault.path.stem)
def test_planted_fault_is_caught(fault: PlantedFault, tmp_path: Path, shared_cache: Path) -> None:
    copy_tree(tmp_path)
    applied = subprocess.run(
        ["git", "apply", "--verbose", str(fault.path)], cwd=tmp_path, capture_output=True, text=True
    )
    assert applied.returncode == 0, f"{fault.path.name} no longer applies:\n{applied.stderr}"
    # a fault in the cache itself, or in what compiles, must not leave anything to others
    own = any(name.startswith("runtime/") for name in fault.files)
    run = run_tests(tmp_path, fault.tests, tmp_path / "cache" if own else shared_cache)
    assert run.returncode == FAILED, f"not caught: {fault.what}\n{run.stdout[-3000:]}{run.stderr}"


def test_there_are_dozens_of_faults_and_each_still_applies() -> None:
    """Also those that this run does not take: `git apply --check` on the tree as it is."""
    assert len(FAULTS) >= 40
    for fault in FAULTS:
        run = subprocess.run(["git", "apply", "--check", str(fault.path)], cwd=ROOT,
                             capture_output=True, text=True)
        assert run.returncode == 0, f"{fault.path.name} no longer applies:\n{run.stderr}"
        for test in fault.tests:
            file, _, function = test.partition("[")[0].partition("::")
            assert f"def {function}" in (ROOT / file).read_text(), f"{fault.path.name}: {test}"


def test_four_turns_take_every_fault_and_each_takes_what_changed() -> None:
    changed = {FAULTS[0].files[0], FAULTS[5].tests[0].partition("::")[0]}
    turns = [select(FAULTS, changed, turn) for turn in range(700, 704)]
    assert all(touched == turns[0][0] for touched, _ in turns)
    assert FAULTS[0] in turns[0][0] and FAULTS[5] in turns[0][0]
    taken = [f.path for touched, quarter in turns for f in quarter]
    assert sorted([*taken, *(f.path for f in turns[0][0])]) == [f.path for f in FAULTS]


def test_a_patch_without_its_lines_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nameless.patch"
    path.write_text("What: something\n\n--- a/x\n+++ b/x\n")
    with pytest.raises(ValueError, match="Tests"):
        read_fault(path)
