"""Graphs as networkx, DOT and SVG: layers from top to bottom, an arc for each operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dlc.errors import part_of, printable
from dlc.inspector.record import PARTS
from dlc.ir.graph import Graph, Node
from dlc.reference.text.printing import spelled

if TYPE_CHECKING:
    import networkx

MOST = 600  # nodes of a picture: more are no picture
WIDE, HIGH, APART, BELOW = 190, 40, 16, 26  # of a box, and between boxes
COLOURS = ("#1d5fd1", "#d0610d", "#0f8f7a")


def named(graph: Graph) -> dict[Node, tuple[str, str]]:
    """The nodes of a graph, not of those inside, with the names and calls of its text."""
    *_, (_, _, rows) = spelled(graph)
    return {node: (name, call) for node, name, call in rows}


def to_networkx(graph: Graph) -> networkx.MultiDiGraph:
    """A MultiDiGraph with a node for each of the graph's, by name, and an edge for each operand.

    Attributes: op, type, call, lines, part; of edges: operand, the place among the reader's.
    """
    import networkx

    names = named(graph)
    made = networkx.MultiDiGraph(name=graph.name)
    for node, (name, call) in names.items():
        made.add_node(name, op=node.op.name, type=str(node.type), call=call,
                      lines=tuple(map(str, node.locs)), part=PARTS[part_of(node.locs)])
    for node, (name, _) in names.items():
        for at, arg in enumerate(node.args):
            if arg in names:
                made.add_edge(names[arg][0], name, operand=at)
    return made


def dot(graph: Graph) -> str:
    """The graph in Graphviz's language."""
    names = named(graph)
    lines = [f"digraph {quoted(graph.name)} {{",
             '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=10];']
    for node, (name, _) in names.items():
        label = f"{name}\n{node.op.name} {node.type}"
        lines.append(f"  {quoted(name)} [label={quoted(label)}, "
                     f'color="{COLOURS[part_of(node.locs)]}"];')
    lines += [f"  {quoted(names[a][0])} -> {quoted(name)};" for node, (name, _) in names.items()
              for a in node.args if a in names]
    return "\n".join((*lines, "}", ""))


def quoted(text: str) -> str:
    """A string of DOT: backslashes and quotes escaped, a line end as it writes one."""
    parts = (printable(line).replace("\\", "\\\\").replace('"', '\\"')
             for line in text.split("\n"))
    return '"' + "\\n".join(parts) + '"'


def svg(graph: Graph) -> str:
    """A picture of the graph. Raises ValueError for one that is too large for a picture."""
    names = named(graph)
    if len(names) > MOST:
        raise ValueError(f"{graph.name} has {len(names)} nodes; a picture has {MOST} at most: "
                         "dlc inspect shows any number")
    places = layout(names)
    boxes = [box(node, *names[node], *places[node]) for node in names]
    arcs = [arc(places[a], places[n]) for n in names for a in n.args if a in names]
    wide = max((x for x, _ in places.values()), default=0) + WIDE + APART
    high = max((y for _, y in places.values()), default=0) + HIGH + APART
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" '
            f'width="{wide:.0f}" height="{high:.0f}" font-family="sans-serif" font-size="11">'
            f"<title>{escape(printable(graph.name))}</title>"
            f'{"".join(arcs)}{"".join(boxes)}</svg>\n')


def layout(names: Mapping[Node, Any]) -> dict[Node, tuple[float, float]]:
    """Where each box stands: a row below all that it reads, in the row near the middle of those."""
    rank: dict[Node, int] = {}
    rows: list[list[Node]] = []
    for node in names:
        rank[node] = max((rank[a] + 1 for a in node.args if a in rank), default=0)
        rows += [] if rank[node] < len(rows) else [[]]
        rows[rank[node]].append(node)
    places: dict[Node, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        def middle(node: Node) -> float:
            above = [places[a][0] for a in node.args if a in places]
            return sum(above) / len(above) if above else 0.0

        left = APART * 1.0
        for node in sorted(row, key=middle):
            x = max(left, middle(node)) if any(a in places for a in node.args) else left
            places[node] = x, APART + number * (HIGH + BELOW)
            left = x + WIDE + APART
    return places


def box(node: Node, name: str, call: str, x: float, y: float) -> str:
    """A node: its name, and below it operator and type."""
    second = f"{node.op.name} {node.type}"
    lines = ", ".join(map(str, node.locs))
    return (f'<g><title>{escape(printable(f"{name} = {call}"))}&#10;{escape(printable(lines))}'
            f'</title><rect x="{x:.1f}" y="{y}" width="{WIDE}" height="{HIGH}" rx="5" fill="#fff" '
            f'stroke="{COLOURS[part_of(node.locs)]}" stroke-width="1.5"/>'
            f'<text x="{x + 8:.1f}" y="{y + 16}" font-weight="600">{escape(cut(name))}</text>'
            f'<text x="{x + 8:.1f}" y="{y + 31}" fill="#5f6670">{escape(cut(second))}</text></g>')


def cut(text: str, length: int = 29) -> str:
    text = printable(text)
    return text if len(text) <= length else text[:length - 1] + "…"


def arc(start: Sequence[float], end: Sequence[float]) -> str:
    """A curve from the bottom of one box to the top of another."""
    x, y, u, v = start[0] + WIDE / 2, start[1] + HIGH, end[0] + WIDE / 2, end[1]
    bend = max(BELOW / 2, (v - y) / 3)
    return (f'<path d="M{x:.1f} {y:.1f}C{x:.1f} {y + bend:.1f} {u:.1f} {v - bend:.1f} {u:.1f} '
            f'{v:.1f}" fill="none" stroke="#9aa1ab"/>')
