"""`dlc models`: the bundled networks by chapter, with paper, size, data, figure and command."""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dlc.cli.paper import paint, width
from dlc.cli.source import bundled_file
from dlc.cli.wrap import hang
from dlc.models import CHAPTERS, Goal

FIGURES = Path(__file__).parent.parent / "models" / "figures.json"


def models(options: argparse.Namespace) -> int:
    """Every bundled network, in its chapter."""
    edge = 2 + max(len(name) for part in CHAPTERS.values() for name in part)
    for chapter, part in CHAPTERS.items():
        print(paint(chapter, "bold"))
        for name, goal in part.items():
            title, paper = description(name)
            print_entry(name, edge, [title, paper, record_line(name, goal)])
        print()
    return 0


def print_entry(name: str, edge: int, lines: list[str]) -> None:
    """A name, and beside it what there is to say of it, wrapped in a terminal."""
    room = max(width() - edge - 2, 20)
    told = [part for line in lines if line
            for part in (hang(line, room).split("\n") if sys.stdout.isatty() else [line])]
    print(f"  {paint(f'{name:{edge}}', 'bold')}{told[0]}")
    for line in told[1:]:
        print(" " * (edge + 2) + line)


def description(name: str) -> tuple[str, str]:
    """(what a bundled network is, the paper it follows), from its file's docstring: the first line,
    and a paragraph that begins with "After", up to its year."""
    text = ast.get_docstring(ast.parse(bundled_file(name).read_text(encoding="utf-8"))) or ""
    first, *rest = (" ".join(part.split()) for part in text.split("\n\n"))
    papers = [re.match(r"After (.*?\b\d{4})\b", part) for part in rest]
    return first, next((found[1] for found in papers if found), "")


def record_line(name: str, goal: Goal) -> str:
    """Parameters, data, the figure reached beside what is required, and the command."""
    record = figures().get(name)
    told = [] if record is None else [f"{record['parameters']:,} parameters", record["data"]]
    reached = "" if record is None else f" ({told_figure(record['figures'][0])} reached)"
    return "; ".join([*told, f"{goal}{reached}", f"dlc train {name}"])


def told_figure(value: float) -> str:
    """A figure as it is printed, to four digits."""
    return f"{value:.4g}"


@cache
def figures() -> dict[str, Any]:
    """What `make networks` measured last, by network."""
    found: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found
