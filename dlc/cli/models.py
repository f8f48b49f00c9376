"""`dlc models`: the bundled networks by chapter, with paper, size, data, figure and command."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from dlc.cli.paper import paint, width
from dlc.cli.source import bundled_file
from dlc.cli.wrap import hang
from dlc.models import CHAPTERS, GOALS, command, file_of

FIGURES = Path(__file__).parent.parent / "models" / "figures.json"


def models(options: argparse.Namespace) -> int:
    """Every bundled network in its chapter, those of one file together; a command for each."""
    edge = max(len(f"dlc train {name}") for name in GOALS)
    for chapter, part in CHAPTERS.items():
        print(paint(chapter, "bold"))
        for _, names in groupby(part, file_of):
            listed = list(names)
            title, paper = description(listed[0])
            print_wrapped(f"{title} {paper}.", "  ", 2)
            for name in listed:
                print_wrapped(record_line(name), f"    {command(name):{edge}}  ", edge + 6)
        print()
    return 0


def print_wrapped(text: str, before: str, column: int) -> None:
    """`text` behind `before`, in a terminal wrapped between `column` and its edge."""
    wraps = sys.stdout.isatty()
    if wraps and len(before) > column:
        print(before.rstrip())
        before = " " * column
    lines = hang(text, max(width() - column, 20)).split("\n") if wraps else [text]
    for line in lines:
        print(before + line)
        before = " " * len(before)


def description(name: str) -> tuple[str, str]:
    """(what a bundled network is, the paper it follows), from its file's docstring: the first line,
    and a paragraph that begins with "After", up to its year."""
    text = ast.get_docstring(ast.parse(bundled_file(name).read_text(encoding="utf-8"))) or ""
    first, *rest = (" ".join(part.split()) for part in text.split("\n\n"))
    papers = [re.match(r"After (.*?\b\d{4})\b", part) for part in rest]
    return first, next((found[1] for found in papers if found), "")


def record_line(name: str) -> str:
    """Parameters, data, and the figure reached beside what is required."""
    goal, record = GOALS[name], figures().get(name)
    if record is None:
        return str(goal)
    told = f"{goal.metric} {told_figure(record['figures'][0])} ({goal.sign} {goal.bound:g})"
    return f"{record['parameters']:>9,}  {told}; {record['data']}"


def told_figure(value: float) -> str:
    """A figure as it is printed, to four digits."""
    return f"{value:.4g}"


@cache
def figures() -> dict[str, Any]:
    """What `make networks` measured last, by network."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found
