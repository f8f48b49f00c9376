"""Rules of the repository that a machine holds: sizes, docstrings, packages, licence, switches."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest

from dlc import env
from tests.wheel import built

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("dlc", "runtime", "models", "tests")
# golden texts are what the compiler prints, not what somebody wrote
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")
                 if not path.is_relative_to(ROOT / "tests" / "golden"))
SHIPPED = [path for path in SOURCES if path.relative_to(ROOT).parts[0] != "tests"]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PROSE = sorted([*DOCUMENTS, ROOT / "Makefile", ROOT / ".ci" / "run"])
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

VAGUE_NAMES = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "tools.py"}
UNFINISHED = re.compile("|".join((r"\bTO" + "DO", r"\bFIX" + "ME", r"\bX" + "XX\\b")))
SKIPPED = re.compile(r"mark\.(?:skip|xfail)|pytest\.(?:skip|xfail|importorskip)\(")


def name(path: Path) -> str:
    """`path` as the repository knows it."""
    return str(path.relative_to(ROOT))


FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file, for all rules about it."""
    return ast.parse(path.read_text())


def length(node: ast.stmt) -> int:
    """Lines from the first to the last of `node`."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether `handler` catches everything and does nothing."""
    broad = handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")
    return broad and all(isinstance(statement, ast.Pass) for statement in handler.body)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_source_file_keeps_the_house_rules(path: Path) -> None:
    """Under 400 lines, a docstring first, functions of at most 60 lines, nothing unfinished."""
    text = path.read_text()
    tree = parsed(path)
    assert path.name not in VAGUE_NAMES, "name the file after what lives in it"
    assert text.count("\n") < 400
    assert ast.get_docstring(tree), "the first line is a docstring that says what lives here"
    assert tree.body[0].lineno == 1
    nodes = list(ast.walk(tree))
    assert not [f"{f.name}:{f.lineno}" for f in nodes if isinstance(f, FUNCTIONS) and
                length(f) > 60]
    raised = [ast.unparse(n.exc) for n in nodes if isinstance(n, ast.Raise) and n.exc]
    assert not [text for text in raised if text.startswith("NotImplementedError")]
    handlers = [n for n in nodes if isinstance(n, ast.ExceptHandler)]
    assert not [f"line {h.lineno}" for h in handlers if swallows(h)]
    assert not UNFINISHED.findall(text)


@pytest.mark.parametrize("path", [p for p in SOURCES if "tests" in p.parts], ids=name)
def test_no_test_is_skipped(path: Path) -> None:
    """A test that does not run proves nothing; what needs a peer carries the conformance marker."""
    if path != Path(__file__).resolve():
        assert not SKIPPED.findall(path.read_text())


INSTALLED = {re.match(r"[\w-]+", line).group().replace("-", "_")  # type: ignore[union-attr]
             for line in (*PYPROJECT["project"]["dependencies"],
                          *PYPROJECT["project"]["optional-dependencies"]["test"])} | {"PIL"}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "tests")
                                  and "conformance" not in p.parts], ids=name)
def test_make_test_installs_what_tests_import(path: Path) -> None:
    """The peers are there for `make conformance` alone; a module that needs one ends the run."""
    tree = parsed(path)
    plain = {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    named = {n.module for n in tree.body if isinstance(n, ast.ImportFrom) and n.module}
    tops = {word.split(".")[0] for word in plain | named}
    assert tops <= {*INSTALLED, *sys.stdlib_module_names, "dlc", "tests"}


def test_package_list_equals_the_folders() -> None:
    """pyproject names every folder of Python files under dlc, through the two symlinks."""
    listed = PYPROJECT["tool"]["setuptools"]["packages"]
    found = set()
    for path in SHIPPED:
        parts = path.parent.relative_to(ROOT).parts
        found.add(".".join(parts if parts[0] == "dlc" else ("dlc", *parts)))
    assert sorted(listed) == listed
    assert set(listed) == found
    for package in listed:
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file(), package


def test_runtime_and_models_are_relative_symlinks() -> None:
    assert os.readlink(ROOT / "dlc" / "runtime") == "../runtime"
    assert os.readlink(ROOT / "dlc" / "models") == "../models"


def test_run_time_dependencies() -> None:
    """Seven, each with its reason in docs/dependencies.md."""
    names = {re.split(r"[<>=\[ ]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    reasons = set(re.findall(r"^\| (\w+) \|", (ROOT / "docs/dependencies.md").read_text(), re.M))
    assert names == reasons - {"package"}


def test_licence_and_attribution() -> None:
    """Apache-2.0 in full, and the CC BY 4.0 attribution of the bundled digits."""
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    notice = (ROOT / "NOTICE").read_text()
    assert "CC BY 4.0" in notice and "Alpaydin" in notice and "runtime/digits.npz" in notice


def test_every_switch_that_is_named_exists() -> None:
    """A DLC_* name in code, docs or tests is one of dlc/env.py."""
    known = {switch.name for switch in env.SWITCHES}
    named = set()
    for path in [*SOURCES, *PROSE]:
        if "unknown" not in path.stem:
            named |= set(re.findall(r"\bDLC_[A-Z]+\b", path.read_text()))
    misspelt = {"DLC_DEBUGG"}  # in a test of what such a name is answered with
    assert named - misspelt <= known


def test_env_page_has_every_switch_in_order(request: pytest.FixtureRequest) -> None:
    """docs/env.md's table is dlc/env.py's, word for word; --update-golden writes it."""
    page = ROOT / "docs" / "env.md"
    head = [line for line in page.read_text().splitlines() if not line.startswith("| `DLC_")]
    rows = [
        (f"`{s.name}`", f"`{s.default}`" if s.default else "", s.values, s.doc)
        for s in env.SWITCHES
    ]
    table = ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
    text = "\n".join([*head, *table]) + "\n"
    if request.config.getoption("--update-golden"):
        page.write_text(text)
    assert page.read_text() == text


def test_ci_script_runs_and_is_executable() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.slow
def test_wheel_holds_dlc_and_nothing_beside_it(tmp_path: Path) -> None:
    """The wheel carries all files under dlc/, nothing else, and imports from where it lies."""
    built("sdist", tmp_path)
    wheel = built("wheel", tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names} == {"dlc", "dlc-0.1.0.dist-info"}
    expected = {f"dlc/{name(p).removeprefix('dlc/')}" for p in SHIPPED} | {"dlc/runtime/digits.npz"}
    assert expected <= set(names)
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    probe = "import dlc.runtime, dlc.models; print(dlc.__file__)"
    site = tmp_path / "site"
    command = [sys.executable, "-c", probe]
    found = subprocess.run(command, cwd=site, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(site))


def test_make_test_leaves_out_what_has_a_gate_of_its_own() -> None:
    """A marker that names another command of make runs there, and not in `make test` as well."""
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    for marker in options["markers"]:
        name, _, what = marker.partition(":")
        if re.search(r"\(`make (?!test)[\w-]+`\)$", what):
            assert re.search(rf"not {name}\b", options["addopts"][-1]), marker
