"""docs/adding-an-op.md and adding-a-pass.md, followed to the letter in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT, Block, blocks


def steps(page: str) -> list[Block]:
    """The edits that a page tells to make."""
    kinds = ("append to: ", "new file: ", "edit: ")
    text = (ROOT / "docs" / page).read_text()
    return [b for b in blocks(text) if b.note.startswith(kinds)]


def follow(tree: Path, step: Block) -> None:
    """Make one edit in the copy at `tree`."""
    kind, _, path = step.note.partition(": ")
    file = tree / path
    if kind == "append to":
        file.write_text(file.read_text() + step.text)
    elif kind == "new file":
        assert not file.exists()
        file.write_text(step.text)
    else:
        file.write_text(edited(file.read_text(), step.text))


def edited(text: str, diff: str) -> str:
    """`text` with the lines of `diff`: a - line is replaced by the + line below it, other + lines
    come after the imports."""
    lines = diff.splitlines()
    for before, after in zip(lines, [*lines[1:], ""], strict=True):
        if before.startswith("-"):
            assert text.count(before[1:]) == 1, before
            text = text.replace(before[1:], after[1:])
        elif before.startswith("+") and "import" in before:
            place = text.index("from dlc.passes.rules.simplify")
            text = text[:place] + before[1:] + "\n" + text[place:]
    return text


def left_over(folder: str, names: list[str]) -> set[str]:
    """Packages that are gone, but for their bytecode: the type checker would count them."""
    found = {name: Path(folder, name) for name in names if name != "__pycache__"}
    return {name for name, path in found.items()
            if path.is_dir() and not path.is_symlink() and not any(path.rglob("*.py"))}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the edits and their tests need, with the bytecode of what they leave alone."""
    for folder in ("dlc", "runtime", "models"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=left_over)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns(
        "golden", "conformance", "faults"))
    for file in ("pyproject.toml", "tests/conformance/cut.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    if (ROOT / ".mypy_cache").exists():  # what `make types` has found: only the edit is new
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    return tmp_path


def run(tree: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, which comes before the installed dlc."""
    env = {**os.environ, "PYTHONPATH": str(tree), **variables}
    return subprocess.run([sys.executable, *command], cwd=tree, env=env, capture_output=True,
                          text=True)


@pytest.mark.conformance
@pytest.mark.sliced
@pytest.mark.slow
def test_an_operator_takes_one_edit_and_has_its_tests(tree: Path) -> None:
    (step,) = steps("adding-an-op.md")
    follow(tree, step)
    done = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/ops", "-k", "softsign",
               "-m", "conformance or not conformance", CONFORMANCE_FULL="1")
    passed = re.search(r"^(\d+) passed", done.stdout, re.M)
    assert passed and done.returncode == 0, done.stdout[-3000:] + done.stderr
    # type, value, text, bad input, both modes and orders, the CPU's value and gradient: 3 samples
    assert int(passed[1]) >= 20
    linted = run(tree, "-m", "ruff", "check", "--no-cache", "dlc/ops/elementwise.py")
    assert linted.returncode == 0, linted.stdout
    typed = run(tree, "-m", "mypy", "dlc/ops/elementwise.py")  # what imports it: `make types`
    assert "no issues found in 1 source file" in typed.stdout, typed.stdout + typed.stderr


def test_an_incomplete_operator_is_refused_at_import(tree: Path) -> None:
    (step,) = steps("adding-an-op.md")
    follow(tree, step)
    file = tree / "dlc" / "ops" / "elementwise.py"
    text = file.read_text()
    assert text.count("               _grad_softsign, emit") == 1
    file.write_text(text.replace("               _grad_softsign, emit",
                                 '               None, gradient="smooth", emit'))
    done = run(tree, "-c", "import dlc")
    assert "operator 'softsign' is incomplete: it lacks grad" in done.stderr


USE = """
import numpy as np
import dlc
from dlc import f32

def f(x: f32[5]):
    return x ** 8 + x ** 5 + x ** 0.5

compiled = dlc.compile(f, verify=True)
assert [r.name for r in compiled.records["main"]][:3] == ["input", "differentiate", "powers"]
before, after = (str(compiled.records["main"][i].graph) for i in (1, 2))
assert before.count("pow(") == 3 and after.count("pow(") == 1
assert after.count("mul(") == 4  # x ** 4 is shared
x = np.linspace(0.5, 1.5, 5, dtype=np.float32)
with compiled.load() as run:
    np.testing.assert_allclose(run(x), x ** 8 + x ** 5 + x ** 0.5, rtol=1e-5)
print("done")
"""


def test_a_pass_takes_one_file_and_one_line(tree: Path) -> None:
    file, line = steps("adding-a-pass.md")
    assert file.note.startswith("new file") and line.note.startswith("edit")
    follow(tree, file)
    follow(tree, line)
    done = run(tree, "-W", "error", "-c", USE)
    assert done.stdout == "done\n", done.stderr
    checked = run(tree, "-m", "ruff", "check", "--no-cache", "dlc/passes")
    assert checked.returncode == 0, checked.stdout
