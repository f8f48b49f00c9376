"""Pictures of docs/networks.md as SVG: panels in a row, light and dark."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Protocol

import numpy as np

from dlc.runtime.report.charts import Axis, path, short, spans_widely
from dlc.runtime.report.images import diverging, png, to_pixels

Array = np.ndarray[Any, Any]
WIDE, HIGH, GAP, HEAD = 250, 190, 20, 26
LEFT, BOTTOM = 42, 36  # room for the numbers of the axes
COLOURS = ("a", "b", "c", "d", "e")
STYLE = """
text { font: 11px system-ui, sans-serif; fill: #5a5f68 } .name { font-weight: 600; fill: #1c1e21 }
.sheet { fill: #ffffff } .grid { stroke: #e2e3e0 } .edge { fill: none; stroke: #c9cbc7 }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.a { --c: #1d5fd1 } .b { --c: #c2560a } .c { --c: #1a8a4f } .d { --c: #7c5cc4 } .e { --c: #6b7280 }
.line { stroke: var(--c) } .dot, .key { fill: var(--c) }
image { image-rendering: pixelated }
@media (prefers-color-scheme: dark) {
text { fill: #a0a7b2 } .name { fill: #e9eaec } .sheet { fill: #16181c }
.grid { stroke: #33373f } .edge { stroke: #4a4f58 }
.a { --c: #6ea8ff } .b { --c: #ff9d57 } .c { --c: #4fc88a } .d { --c: #b199f0 } .e { --c: #99a0ab }
}
"""


class Panel(Protocol):
    """A part of a picture: its title, and its drawing within WIDE x HIGH pixels."""

    title: str

    def drawn(self) -> str:
        """SVG whose origin is the panel's upper left corner."""


@dataclass(frozen=True)
class Curves:
    """Lines (and dots, for those in `dots`) over common axes: name -> (xs, ys)."""

    title: str
    x: str
    lines: dict[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    dots: dict[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)
    log: bool | None = None
    y: tuple[float, float] | None = None
    named: bool = True

    def drawn(self) -> str:
        groups = [*self.dots.items(), *self.lines.items()]
        xs = [float(v) for _, (part, _) in groups for v in part]
        ys = [float(v) for _, (_, part) in groups for v in part if np.isfinite(v)]
        log = spans_widely(ys) if self.log is None else self.log
        across = Axis(xs, LEFT, WIDE)
        if all(v.is_integer() for v in xs):
            across.ticks = [t for t in across.ticks if float(t).is_integer()]
        across.low, across.high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
        up = Axis(ys if self.y is None else list(self.y), HIGH - BOTTOM, 0, log)
        colour = {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(
            dict.fromkeys(name for name, _ in groups))}
        marks = "".join(self._mark(name, part, across, up, colour[name]) for name, part in groups)
        right = [up.pixel(float(b)) for _, (part, values) in groups
                 for a, b in zip(part, values, strict=True)
                 if a > (min(xs) + max(xs)) / 2 and np.isfinite(b)]
        below = bool(right) and float(np.mean(right)) < (HIGH - BOTTOM) / 2
        keys = legend(colour, below) if self.named else ""
        return grid(across, up, self.x) + marks + keys

    def _mark(self, name: str, part: Any, across: Axis, up: Axis, css: str) -> str:
        points = [(across.pixel(float(a)), up.pixel(float(b))) if np.isfinite(b) else None
                  for a, b in zip(*part, strict=True)]
        if name in self.lines:
            return f'<path class="line {css}" d="{path(thinned(points))}"/>'
        return "".join(f'<circle class="dot {css}" cx="{p[0]:g}" cy="{p[1]:g}" r="2.4"/>'
                       for p in points if p)


@dataclass(frozen=True)
class Tiles:
    """Pictures f32[n, h, w] in rows of `across`; `signed`: blue positive, orange negative."""

    title: str
    images: Array
    across: int
    signed: bool = False
    words: str = ""

    def drawn(self) -> str:
        count, high, wide = self.images.shape
        rows = -(-count // self.across)
        size = min(WIDE / (self.across * wide + self.across - 1),
                   (HIGH - 18) / (rows * high + rows - 1))
        low, top = float(self.images.min()), float(self.images.max())
        parts = []
        for k, image in enumerate(self.images):
            x, y = k % self.across * (wide + 1) * size, k // self.across * (high + 1) * size
            pixels = diverging(image) if self.signed else to_pixels(image[None], low, top)
            parts.append(picture_at(pixels, x, y, wide * size, high * size))
        return "".join(parts) + f'<text x="0" y="{HIGH - 2}">{escape(self.words)}</text>'


@dataclass(frozen=True)
class Region:
    """The plane [x] x [y] coloured by f32[h, w] in 0 .. 1 (first row lowest), with dots."""

    title: str
    shade: Array
    x: tuple[float, float]
    y: tuple[float, float]
    dots: dict[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)

    def drawn(self) -> str:
        side = HIGH - 18
        ground = picture_at(diverging((self.shade[::-1] - 0.5) * 2), 0, 0, side, side)
        across, down = Axis([0.0], 0, side), Axis([0.0], side, 0)
        (across.low, across.high), (down.low, down.high) = self.x, self.y
        marks = ""
        for (xs, ys), css in zip(self.dots.values(), ("b", "a"), strict=False):
            marks += "".join(f'<circle class="dot {css}" stroke="#fff" stroke-width="1.5" '
                             f'cx="{across.pixel(a):g}" cy="{down.pixel(b):g}" r="5"/>'
                             for a, b in zip(xs, ys, strict=True))
        return ground + f'<rect class="edge" width="{side}" height="{side}"/>' + marks


@dataclass(frozen=True)
class Words:
    """Lines of text, such as what a language model writes."""

    title: str
    lines: Sequence[str]

    def drawn(self) -> str:
        return "".join(f'<text x="0" y="{14 + 15 * k}" font-family="monospace" '
                       f'xml:space="preserve">{escape(line)}</text>'
                       for k, line in enumerate(self.lines[:12]))


def sheet(panels: Sequence[Panel], label: str) -> str:
    """The picture: panels from left to right, each under its title."""
    width = len(panels) * (WIDE + GAP) + GAP
    height = HEAD + HIGH + GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
             f'width="{width}" role="img" aria-label="{escape(label)}">',
             f'<style>{STYLE}</style><rect class="sheet" width="{width}" height="{height}"/>']
    for k, panel in enumerate(panels):
        parts.append(f'<g transform="translate({GAP + k * (WIDE + GAP)} {HEAD})">'
                     f'<text class="name" x="0" y="-9">{escape(panel.title)}</text>'
                     f"{panel.drawn()}</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def picture_at(pixels: Any, x: float, y: float, wide: float, high: float) -> str:
    data = base64.b64encode(png(pixels)).decode()
    return (f'<image x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" '
            f'href="data:image/png;base64,{data}" preserveAspectRatio="none"/>')


def grid(across: Axis, up: Axis, label: str) -> str:
    """Horizontal lines, the numbers of both axes, and what the x axis shows."""
    parts = []
    for tick in up.ticks:
        at = up.pixel(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDE}" y1="{at}" y2="{at}"/>'
                     f'<text x="{LEFT - 5}" y="{at + 4}" text-anchor="end">{short(tick)}</text>')
    parts += [f'<text x="{at}" y="{HIGH - BOTTOM + 15}" text-anchor="middle">{short(tick)}</text>'
              for tick in across.ticks if LEFT - 1 <= (at := across.pixel(tick)) <= WIDE + 1]
    return "".join([*parts, f'<text x="{(LEFT + WIDE) / 2}" y="{HIGH - 4}" '
                            f'text-anchor="middle">{escape(label)}</text>'])


def legend(colour: dict[str, str], below: bool) -> str:
    """Coloured names at the right, above or below; none for a single name that is empty."""
    top = HIGH - BOTTOM - 14 * len(colour) + 8 if below else 14
    parts = [f'<text class="key {css}" x="{WIDE - 4}" y="{top + 14 * k}" text-anchor="end" '
             f'style="fill: var(--c)">{escape(name)}</text>'
             for k, (name, css) in enumerate(colour.items()) if name]
    return "".join(parts)


def thinned(points: Sequence[tuple[float, float] | None]) -> list[tuple[float, float] | None]:
    """At most some 300 points of a line: more are no pixels."""
    return list(points[::max(len(points) // 300, 1)])
