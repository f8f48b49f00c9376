"""The commands that docs/inspect.md shows: what they are run on, and what they say."""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import dlc.passes
from dlc.cli import main
from dlc.ir.graph import Build, Graph, building
from dlc.passes import PIPELINE
from dlc.reference.rewrite import Grade, RuleSet, keeps, rewrite, rule
from tests.documents import ROOT

PAGE = ROOT / "docs" / "inspect.md"
NAN, WRONG = "nan.html", "wrong.html"  # pages that the commands write


@dataclass(frozen=True)
class Shown:
    """A command, and the lines below it."""

    command: str
    lines: tuple[str, ...]


def shown() -> list[Shown]:
    """The commands of the page, in order: blocks that begin with `    $ dlc`."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^((?:   )? {4}\$ dlc .*\n(?:(?:   )? {4}.*\n)*)", text, re.MULTILINE)
    found = []
    for block in blocks:
        first, *rest = (line.strip() for line in block.splitlines())
        found.append(Shown(first.removeprefix("$ "), tuple(rest)))
    return found


def bad() -> str:
    """The file bad.py of the page."""
    match = re.search(r"`bad\.py`.*?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert match is not None
    return match[1]


def said(command: str, folder: Path) -> tuple[int, str]:
    """(exit status, all that a command prints), run in a folder."""
    before, out = Path.cwd(), io.StringIO()
    os.chdir(folder)
    try:
        with redirect_stdout(out), redirect_stderr(out):
            status = main(shlex.split(command)[1:])
    finally:
        os.chdir(before)
    return status, out.getvalue()


@keeps(Grade.EXACT)
def drop_the_sign(graph: Graph) -> Graph:
    with building(Build()):
        return rewrite(graph, RuleSet([rule("sub(a, b) -> add(a, b)")]))


@contextmanager
def wrong_pass() -> Iterator[Callable[[Graph], Graph]]:
    """A compiler with a pass that computes something else."""
    dlc.passes.PIPELINE = (PIPELINE[0], drop_the_sign, *PIPELINE[1:])
    try:
        yield drop_the_sign
    finally:
        dlc.passes.PIPELINE = PIPELINE


def walk(folder: Path) -> list[tuple[Shown, int, str]]:
    """Every command of the page, run in order in a folder with bad.py, with its status and what it
    says. The check runs with the wrong pass."""
    (folder / "bad.py").write_text(bad(), encoding="utf-8")
    found = []
    for each in shown():
        if each.command.startswith("dlc check"):
            with wrong_pass():
                found.append((each, *said(each.command, folder)))
        else:
            found.append((each, *said(each.command, folder)))
    return found
