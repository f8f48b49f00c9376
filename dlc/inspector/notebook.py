"""What a notebook shows of a graph, a program and its memory, and `graph.to_networkx()`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from dlc.errors import printable
from dlc.inspector.draw import svg, to_networkx
from dlc.inspector.record import BufferInfo, EntryInfo, Inspection
from dlc.inspector.units import flops, size
from dlc.ir.graph import Graph

if TYPE_CHECKING:
    from dlc.compiler import Compiled

WIDE, HIGH, LEFT = 720, 240, 70  # of the picture of the arena
COLOURS = {"parameter": "#1d5fd1", "state": "#7c5cc4", "input": "#1a8f86", "activation": "#d08a1d",
           "workspace": "#8a9099", "output": "#b8467f"}
PERSISTENT = ("parameter", "state")
ROWS = 12


def graph_picture(graph: Graph) -> str | None:
    """A graph as SVG; None for one that is too large for a picture: its text is shown then."""
    try:
        return svg(graph)
    except ValueError:
        return None


def program_page(compiled: Compiled) -> str:
    """A compiled program: its totals, the lines that cost most, and its arena, for each step."""
    found = compiled.inspection
    parts = [f"<b>{escape(printable(found.program))}</b> on {escape(found.target)} "
             f"{escape(found.isa)}: {size(found.arena_bytes)} of arena"]
    for entry in found.steps():
        parts += [f"<p>{escape(entry.name)}: {sum(x.runs for x in entry.launches)} launches, "
                  f"{flops(entry.flops)}, {size(entry.bytes)} moved</p>",
                  line_table(found, entry), arena(found, entry)]
    return "\n".join(parts)


def line_table(found: Inspection, entry: EntryInfo) -> str:
    """The lines of a step that move most."""
    moved: dict[int, list[int]] = {}
    for x in entry.lines:
        row = moved.setdefault(x.place, [0, 0])
        row[0], row[1] = row[0] + x.flops, row[1] + x.bytes
    rows = "".join(
        f"<tr><td>{escape(found.place(place))}</td><td><code>{escape(found.source(place))}</code>"
        f"</td><td>{flops(work)}</td><td>{size(traffic)}</td></tr>"
        for place, (work, traffic) in sorted(moved.items(), key=lambda x: -x[1][1])[:ROWS])
    return f"<table><tr><th>line</th><th></th><th>flops</th><th>moved</th></tr>{rows}</table>"


def arena(found: Inspection, entry: EntryInfo) -> str:
    """The arena of a step as SVG: offset against launch."""
    marks = "".join(life(b, len(entry.launches), found.arena_bytes) for b in entry.buffers)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" '
            f'height="{HIGH}" font-family="sans-serif" font-size="11"><text x="0" y="12">'
            f'{size(found.arena_bytes)}</text><text x="0" y="{HIGH - 2}">0 B</text>{marks}</svg>')


def life(b: BufferInfo, count: int, whole: int) -> str:
    """A value as a box: as long as it lives, as high as it is large."""
    always = b.category in PERSISTENT
    first, last = (0, count) if always else (max(b.first, 0), min(b.last + 1, count))
    step, unit = (WIDE - LEFT) / max(count, 1), HIGH / max(whole, 1)
    if last <= first:
        return ""
    colour = COLOURS.get(b.category, "#8a9099")
    return (f'<rect x="{LEFT + first * step:.1f}" y="{HIGH - (b.offset + b.bytes) * unit:.1f}" '
            f'width="{(last - first) * step:.1f}" height="{max(b.bytes * unit, 0.5):.1f}" '
            f'fill="{colour}" fill-opacity=".6" stroke="#fff" stroke-width=".4"><title>'
            f"{escape(printable(b.name))}: {escape(b.type)}, {size(b.bytes)}</title></rect>")


Graph.to_networkx = to_networkx  # type: ignore[attr-defined]
Graph._repr_svg_ = graph_picture  # type: ignore[attr-defined]
