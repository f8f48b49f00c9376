"""Paths over the contours of a surface as SVG: small panels of one picture, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
COLUMNS, WIDE, HIGH, GAP, HEAD, TITLE = 5, 196, 150, 14, 34, 34
GRID, LEVELS, NEAREST = 56, 9, 0.6  # pixels between two points of a path that are told apart
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1b1b1b }
.title { font-size: 15px; font-weight: 600 } .name { font-weight: 600 } .note { fill: #5a5a5a }
.sheet { fill: #ffffff } .frame { fill: #fbfbfb; stroke: #d0d0d0 }
.level { fill: none; stroke: #b9c4d0; stroke-width: .8 }
.path { fill: none; stroke: #c2410c; stroke-width: 1.5; stroke-linejoin: round }
.dot { fill: #c2410c } .start { fill: #1b1b1b }
.goal { fill: none; stroke: #15803d; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #ececec } .note { fill: #a8a8a8 } .sheet { fill: #16181c }
.frame { fill: #1d2026; stroke: #3b4048 } .level { stroke: #47525f }
.path { stroke: #fb923c } .dot { fill: #fb923c } .start { fill: #ececec } .goal { stroke: #4ade80 }
}
"""


@dataclass(frozen=True)
class Panel:
    """One path: points [n, 2], with its name and a note."""

    name: str
    note: str
    points: Array


@dataclass(frozen=True)
class Place:
    """Where the coordinates x and y stand within a panel, in pixels."""

    x: tuple[float, float]
    y: tuple[float, float]

    def pixels(self, points: Array) -> Array:
        across = (points[:, 0] - self.x[0]) / (self.x[1] - self.x[0]) * WIDE
        down = (self.y[1] - points[:, 1]) / (self.y[1] - self.y[0]) * HIGH
        return np.stack([across, down], 1)


def picture(title: str, panels: Sequence[Panel], value: Callable[[Any, Any], Any],
            x: tuple[float, float], y: tuple[float, float],
            goals: Sequence[tuple[float, float]]) -> str:
    """The whole picture; contours are drawn once and used in every panel."""
    place = Place(x, y)
    rows = -(-len(panels) // COLUMNS)
    width = COLUMNS * (WIDE + GAP) + GAP
    height = TITLE + rows * (HIGH + HEAD + GAP) + GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             f'width="{width}" role="img" aria-label="{escape(title)}">',
             f"<style>{STYLE}</style><defs><g id=\"ground\">"
             f'<rect class="frame" width="{WIDE}" height="{HIGH}"/>{contours(value, place)}</g>'
             f'<clipPath id="inside"><rect width="{WIDE}" height="{HIGH}"/></clipPath></defs>'
             f'<rect class="sheet" width="{width}" height="{height}"/>'
             f'<text class="title" x="{GAP}" y="24">{escape(title)}</text>']
    for k, panel in enumerate(panels):
        at = (GAP + k % COLUMNS * (WIDE + GAP), TITLE + k // COLUMNS * (HIGH + HEAD + GAP))
        parts.append(f'<g transform="translate({at[0]} {at[1]})">{drawn(panel, place, goals)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def drawn(panel: Panel, place: Place, goals: Sequence[tuple[float, float]]) -> str:
    """One panel: its name, the contours, the path, its start, its end and the goals."""
    points = place.pixels(panel.points)
    rings = "".join(f'<circle class="goal" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
                    for x, y in place.pixels(np.array(goals)))
    (x0, y0), (x1, y1) = points[0], np.clip(points[-1], -1e4, 1e4)
    return (f'<text class="name" x="0" y="13">{escape(panel.name)}</text>'
            f'<text class="note" x="0" y="28">{escape(panel.note)}</text>'
            f'<g transform="translate(0 {HEAD})"><use href="#ground"/>'
            f'<g clip-path="url(#inside)"><path class="path" d="{line(thinned(points))}"/>{rings}'
            f'<circle class="start" cx="{x0:.1f}" cy="{y0:.1f}" r="3"/>'
            f'<circle class="dot" cx="{x1:.1f}" cy="{y1:.1f}" r="3"/></g></g>')


def thinned(points: Array) -> Array:
    """The points without those that stand where the one before does; far ones are cut."""
    kept = [points[0]]
    for point in np.clip(points[1:], -1e4, 1e4):
        if np.abs(point - kept[-1]).max() >= NEAREST:
            kept.append(point)
    return np.stack(kept)


def line(points: Array) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def contours(value: Callable[[Any, Any], Any], place: Place) -> str:
    """Lines of equal value, at levels that are even in the square root of the height."""
    xs, ys = (np.linspace(*ends, GRID) for ends in (place.x, place.y))
    z = value(*np.meshgrid(xs, ys))
    root = np.sqrt(z - z.min())
    found = []
    for level in np.linspace(0, root.max(), LEVELS + 2)[1:-1]:
        pieces = [place.pixels(piece) for piece in crossings(root - level, xs, ys)]
        found.append("".join(line(piece) for piece in pieces))
    return f'<path class="level" d="{"".join(found)}"/>'


def crossings(z: Array, xs: Array, ys: Array) -> list[Array]:
    """The segments [2, 2] in which z = 0 crosses the cells of the grid: marching squares."""
    found = []
    for i in range(len(ys) - 1):
        for j in range(len(xs) - 1):
            corners = [(i, j), (i, j + 1), (i + 1, j + 1), (i + 1, j)]
            ends = []
            for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
                if (z[a] > 0) != (z[b] > 0):
                    share = z[a] / (z[a] - z[b])
                    ends.append((xs[a[1]] + share * (xs[b[1]] - xs[a[1]]),
                                 ys[a[0]] + share * (ys[b[0]] - ys[a[0]])))
            found += [np.array(ends[k:k + 2]) for k in range(0, len(ends) - 1, 2)]
    return found
