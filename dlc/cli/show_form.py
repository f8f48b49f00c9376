"""`dlc show --json`, `--dot` and `--svg`: a program, or a graph of it, for other tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from dlc.cli.arguments import UsageError
from dlc.cli.show import PLANNED, steps

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.ir.graph import Graph


def show_form(compiled: Compiled, form: str, after: str | None) -> None:
    """Print the Inspection as JSON, or the first step's graph after a pass as DOT or SVG.

    Raises UsageError for a graph that is too large for a picture.
    """
    from dlc.inspector.draw import dot, svg

    if form == "json":
        print(json.dumps(compiled.inspection.as_json()))
        return
    graph = graph_after(compiled, after or "fuse")
    try:
        print(dot(graph) if form == "dot" else svg(graph), end="")
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def graph_after(compiled: Compiled, name: str) -> Graph:
    """The graph of the first step after a pass. Raises UsageError for the memory plan, which is a
    text."""
    if name == PLANNED:
        raise UsageError(f"--after {PLANNED} is a text; --dot and --svg draw the graph after fuse")
    records = compiled.records[steps(compiled.program)[0].name]
    return next(r.graph for r in records if r.name == name)
