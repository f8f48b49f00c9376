"""The documents are true: their code runs, their outputs and excerpts are what dlc prints."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli.arguments import parse
from dlc.cli.show import launches
from dlc.compiler import Compiled
from dlc.ir.registry import REGISTRY
from dlc.lang.custom import OPERATORS
from tests.documents import PAGES, ROOT, Block, agrees, blocks, excerpt, runs, with_texts

EXECUTED = [ROOT / "docs" / page for page in ("tour.md", "onnx.md", "custom-operators.md",
                                            "layers.md", "using.md", "training.md", "report.md",
                                            "lengths.md", "from-pytorch.md", "cuda.md",
                                            "inspect.md")]


@pytest.fixture(autouse=True)
def own_operators() -> Iterator[None]:
    """The custom operators of a page are gone after its test."""
    kept = [(names, dict(names)) for names in (REGISTRY, OPERATORS)]
    yield
    for names, before in kept:
        names.clear()
        names.update(before)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# `make wheel` follows using.md in every run of CI
@pytest.mark.swept(len(EXECUTED), keep=[name(page) for page in EXECUTED
                                        if page.name not in ("using.md", "lengths.md")])
@pytest.mark.parametrize("page", EXECUTED, ids=name)
def test_code_prints_what_the_page_says(page: Path, request: pytest.FixtureRequest,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom in one namespace; --update-golden writes outputs without a `...`."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("DLC_CHECK", raising=False)
    if request.config.getoption("--update-golden"):
        # twice: outputs name lines of the page, and longer outputs move them
        for _ in range(2):
            changes = [c for c in untrue(page) if "...\n" not in c[0].text]
            page.write_text(with_texts(page.read_text(), changes))
    for block, shown in untrue(page):
        pytest.fail(f"{name(page)}:{block.line} says\n{block.text}\nbut dlc prints\n{shown}")


def untrue(page: Path) -> list[tuple[Block, str]]:
    """The outputs on the page that its code does not print, with what it prints."""
    space: dict[str, Any] = {"__name__": "page"}
    changes = []
    for code, output in runs(page.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # the page's own lines, so that a failure and every location name them
            exec(compile("\n" * (code.line - 1) + code.text, str(page), "exec"), space)
        shown = "".join(line.rstrip() + "\n" for line in printed.getvalue().rstrip().splitlines())
        if output is None:
            assert not shown, f"line {code.line} prints what the page does not show:\n{shown}"
        elif not agrees(shown, output.text):
            changes.append((output, shown))
    return changes


@lru_cache(maxsize=4)
def compiled(model: str) -> Compiled:
    module = __import__(f"dlc.models.{model}", fromlist=[model])
    return dlc.compile(getattr(module, model))


def printed(subject: str) -> str:
    """What dlc prints: `MODEL GRAPH after PASS`, `MODEL kernel NAME`, or `MODEL summary`."""
    model, what, *rest = subject.split()
    if what == "summary":
        paper = io.StringIO()
        with contextlib.redirect_stdout(paper):
            launches(compiled(model).program)
        return paper.getvalue()
    if what == "kernel":
        return next(k.text for k in compiled(model).kernels if k.name == rest[0])
    record = next(r for r in compiled(model).records[what] if r.name == rest[1])
    return str(record.graph)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_excerpts_are_what_dlc_prints(page: Path, request: pytest.FixtureRequest,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels are those for AVX-512, on any machine; --update-golden writes them anew."""
    monkeypatch.setenv("DLC_CPU", "avx512")
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    changes = []
    for block in blocks(text):
        if block.note.startswith("shown: "):
            subject, first, last = block.subject
            now = excerpt(printed(subject), first, last)
        elif block.note.startswith("file: "):
            now = (ROOT / block.note.removeprefix("file: ")).read_text()
        else:
            continue
        if now != block.text:
            changes.append((block, now))
    if request.config.getoption("--update-golden"):
        page.write_text(with_texts(text, changes))
        return
    for block, now in changes:
        pytest.fail(f"{name(page)}:{block.line} ({block.note}) is not what dlc prints:\n{now}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links name files that exist, and headings that they hold."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}
            assert heading in slugs, f"{name(page)} links to {target}; there are {sorted(slugs)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    """Every `dlc ...` that a page tells to type is taken by the command line."""
    for line in command_lines(page.read_text()):
        assert parse(shlex.split(line)[1:]).module, line


def command_lines(text: str) -> list[str]:
    """Commands in code blocks that begin with `dlc`; synopses with [ or | aside."""
    found = re.findall(r"^(?:    |\$ )(dlc [a-z][^#\n]*)", text, re.M)
    return [line.strip() for line in found if not re.search(r"[\[|]|\.\.\.", line)]


def test_commands_are_found() -> None:
    """The reader of command lines finds them, so the test above tests something."""
    text = "    dlc train lenet   # a remark\n    dlc bench [NAME ...]\nand dlc trains\n"
    assert command_lines(text) == ["dlc train lenet"]
    assert sum(len(command_lines(p.read_text())) for p in PAGES) >= 8


def test_output_with_gaps() -> None:
    assert agrees("a\nb\nc\n", "a\n...\nc\n")
    assert agrees("a\n", "a\n...\n")
    assert not agrees("a\nb\n", "a\n")
    assert not agrees("a\nb\nc\nd\n", "a\n...\nc\n")


def test_launches_of_lenet() -> None:
    """The README's figure."""
    said = re.findall(r"a step of LeNet is (\d+) launches", (ROOT / "README.md").read_text())
    entry = compiled("lenet").program.entries["train"]
    assert said == [str(len(entry.launches))]


def test_make_targets_exist() -> None:
    """Every `make TARGET` on a page is in the Makefile."""
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named: set[Any] = set()
    for page in PAGES:
        named |= set(re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(), re.M))
    assert {"train", "test", "conformance"} <= named <= known


def test_paths_that_code_and_pages_name_exist() -> None:
    """What begins with a folder of the repository, or is FOLDER/NAME.py, in a docstring, a comment
    or a page. Examples of users' files are in models/, or are made on the page itself."""
    files = [p.relative_to(ROOT).as_posix() for f in ("dlc", "runtime", "tests")
             for p in (ROOT / f).rglob("*.py")]
    pattern = (r"(?<![\w/.])(?:(?:dlc|runtime|tests|docs)/[\w/.*-]*[\w*]"
               r"|(?!models/)\w+/[\w/]*\.py\b)")
    for source in [*PAGES, *(ROOT / f for f in files if not f.startswith("tests/"))]:
        text = source.read_text()
        for path in set(re.findall(pattern, text)):
            there = (list(ROOT.glob(path)) or any(f.endswith(f"/{path}") for f in files)
                     or f"<!-- new file: {path} -->" in text)
            assert there, f"{source} names {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_imports_that_pages_show_exist(page: Path) -> None:
    """Of indented blocks too, which nothing runs."""
    pattern = r"^ *from (dlc[\w.]*) import ([\w, ]+)"
    for module, names in re.findall(pattern, page.read_text(), re.M):
        for each in names.split(","):
            imported = import_module(module)
            wanted = each.split(" as ")[0].strip()
            assert hasattr(imported, wanted) or import_module(f"{module}.{wanted}"), each


def test_index_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        short = str(path.relative_to(ROOT / "docs"))
        assert short == "README.md" or f"({short})" in index, f"docs/README.md lacks {short}"


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The indented block in which `images` and `labels` are the reader's."""
    text = (ROOT / "README.md").read_text()
    block = re.findall(r"^    import dlc\n(?:    .*\n|\n)+", text, re.M)[0]
    space: dict[str, Any] = {"images": np.zeros((64, 1, 28, 28), np.float32),
                             "labels": np.zeros(64, np.int32)}
    exec(compile(textwrap.dedent(block), "README.md", "exec"), space)
    assert "fused_matmul_tanh" in capsys.readouterr().out
    assert 2.0 < space["results"]["loss"] < 2.7 and space["scores"].shape == (5, 10)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "design").glob("*.md")), ids=name)
def test_modules_that_design_names_exist(page: Path) -> None:
    """Each NAME.py or folder/NAME.py on a page of design is a file of the repository."""
    files = [p.relative_to(ROOT).as_posix() for f in ("dlc", "runtime", "models", "tests")
             for p in (ROOT / f).rglob("*.py")]
    for module in re.findall(r"(?<![\w/])[\w/]+\.py\b", page.read_text()):
        found = [f for f in files if f"/{f}".endswith(f"/{module.removeprefix('dlc/runtime/')}")]
        assert found, f"{name(page)} names {module}"
