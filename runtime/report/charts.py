"""Charts of the report as SVG text: lines, points, histograms; values in an attribute."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 18, 44
LOG_RATIO = 30.0  # a series that spans more than this is drawn on a logarithmic axis


@dataclass(frozen=True)
class Series:
    """A named line: one y for every x of the chart; None or not finite leaves a gap."""

    name: str
    css: str  # the class that gives it its colour: "train", "test", "single"
    values: Sequence[float | None]


def is_drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def short(value: float) -> str:
    """A number as an axis shows it."""
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at most `low` to at least `high`."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


class Axis:
    """Maps values to pixels, linear or logarithmic, and knows its ticks."""

    def __init__(self, values: Sequence[float], start: float, end: float, log: bool = False,
                 zero: bool = False) -> None:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        self.log = log
        if log:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            self.ticks = [10.0 ** p for p in powers]
        else:
            self.ticks = nice_ticks(min(low, 0.0) if zero else low, high)
        self.low, self.high = self.scale(self.ticks[0]), self.scale(self.ticks[-1])
        if self.high == self.low:
            self.high += 1.0
        self.start, self.end = start, end

    def scale(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def pixel(self, value: float) -> float:
        part = (self.scale(value) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 2)


def spans_widely(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_RATIO


def frame(x: Axis, y: Axis, x_label: str, height: int = HEIGHT, y_label: str = "") -> str:
    """Grid lines, tick texts and the labels of both axes."""
    parts = [f'<text class="tick" x="{LEFT}" y="{TOP - 5}">{escape(y_label)}</text>'] if (
        y_label) else []
    for tick in y.ticks:
        at = y.pixel(tick)
        if not TOP - 1 <= at <= height - BOTTOM + 1:
            continue
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>'
                     f'<text class="tick" x="{LEFT - 7}" y="{at + 4}" text-anchor="end">'
                     f"{short(tick)}</text>")
    for tick in x.ticks:
        at = x.pixel(tick)
        if LEFT - 1 <= at <= WIDTH - RIGHT + 1:
            parts.append(f'<text class="tick" x="{at}" y="{height - BOTTOM + 19}" '
                         f'text-anchor="middle">{short(tick)}</text>')
    parts.append(f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 5}" '
                 f'text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """SVG path data; None lifts the pen."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{point[0]:g} {point[1]:g}")
        pen = "L"
    return "".join(parts)


def line_chart(title: str, x_label: str, xs: Sequence[float], series: Sequence[Series],
               unit: str = "", zero: bool = False) -> str:
    """A figure with one line a series; hovering or the arrow keys show the values at an x.

    `zero` makes the y axis linear and begin at 0; otherwise it is logarithmic where values span
    widely.
    """
    values = [float(v) for s in series for v in s.values if v is not None and is_drawable(v)]
    log = not zero and spans_widely(values)
    x = Axis(list(xs), LEFT, WIDTH - RIGHT)
    x.low, x.high = (xs[0], xs[-1]) if len(xs) > 1 else (xs[0] - 1, xs[0] + 1)
    if all(float(v).is_integer() for v in xs):
        x.ticks = [t for t in x.ticks if float(t).is_integer()]
    y = Axis(values, HEIGHT - BOTTOM, TOP, log, zero)
    lines, points = [], []
    for s in series:
        at = [(x.pixel(a), y.pixel(b)) if b is not None and is_drawable(b) else None
              for a, b in zip(xs, s.values, strict=True)]
        lines.append(f'<path class="line {s.css}" d="{path(at)}"/>')
        points.append({"name": s.name, "css": s.css, "y": [p and p[1] for p in at],
                       "text": [short_value(v) + unit for v in s.values]})
        if len(xs) == 1 and at[0]:
            lines.append(f'<circle class="dot {s.css}" cx="{at[0][0]}" cy="{at[0][1]}" r="3"/>')
    data = {"x": [x.pixel(a) for a in xs], "label": [f"{x_label} {short(a)}" for a in xs],
            "series": points}
    label = f"{title} by {x_label}: " + "; ".join(describe_line(s) for s in series)
    axis = f"{title}{' (logarithmic)' if log else ''}"
    return (f'<figure class="card"><figcaption>{escape(axis)}{legend(series)}</figcaption>'
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
            f'aria-label="{escape(label)}" data-chart="{escape(json.dumps(data))}">'
            f"{frame(x, y, x_label)}{''.join(lines)}</svg></figure>")


def short_value(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}" if math.isfinite(value) else str(value)


def describe_line(series: Series) -> str:
    """What a reader who cannot see the line needs: its first, best and last value."""
    values = [v for v in series.values if v is not None and math.isfinite(v)]
    if not values:
        return f"{series.name} has no value"
    return (f"{series.name} from {values[0]:.4g} to {values[-1]:.4g}, lowest {min(values):.4g}, "
            f"highest {max(values):.4g}")


def legend(series: Sequence[Series]) -> str:
    keys = "".join(f'<span class="key {s.css}">{escape(s.name)}</span>' for s in series)
    return f'<span class="legend">{keys}</span>' if len(series) > 1 else ""


@dataclass(frozen=True)
class Line:
    """A named curve in a plane."""

    name: str
    css: str
    xs: Sequence[float]
    ys: Sequence[float]


@dataclass(frozen=True)
class Cloud:
    """A named group of points; "" for a group without a name."""

    name: str
    css: str
    xs: Sequence[float]
    ys: Sequence[float]


def plane(title: str, x_label: str, y_label: str, lines: Sequence[Line],
          diagonal: bool = False) -> str:
    """Curves over [0, 1] by [0, 1]."""
    x, y = Axis([0.0, 1.0], LEFT, WIDTH - RIGHT), Axis([0.0, 1.0], HEIGHT - BOTTOM, TOP)
    drawn = "".join(
        f'<path class="line {s.css}" d="'
        f'{path([(x.pixel(a), y.pixel(b)) for a, b in zip(s.xs, s.ys, strict=True)])}"/>'
        for s in lines)
    label = f"{title}, {y_label} against {x_label}: " + "; ".join(s.name for s in lines)
    across = (f'<line class="diagonal" x1="{x.pixel(0)}" y1="{y.pixel(0)}" x2="{x.pixel(1)}" '
              f'y2="{y.pixel(1)}"/>' if diagonal else "")
    return figure(title, keys([(s.name, s.css) for s in lines]), label,
                  frame(x, y, x_label, y_label=y_label) + across + drawn)


def figure(title: str, legend_: str, label: str, marks: str, height: int = HEIGHT) -> str:
    """A chart in its card."""
    return (f'<figure class="card"><figcaption>{escape(title)}{legend_}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
            f"{marks}</svg></figure>")


def keys(names: Sequence[tuple[str, str]]) -> str:
    """A legend of (name, css)."""
    parts = "".join(f'<span class="key {css}">{escape(name)}</span>' for name, css in names if name)
    return f'<span class="legend">{parts}</span>' if parts else ""


def cloud(title: str, axes: tuple[str, str], parts: Sequence[Cloud], tall: bool = False) -> str:
    """Points in a plane, a colour for each group, whose name stands at the middle of its points."""
    height = WIDTH * 3 // 4 if tall else HEIGHT
    x = close(Axis([v for p in parts for v in p.xs], LEFT, WIDTH - RIGHT), parts, "xs")
    y = close(Axis([v for p in parts for v in p.ys], height - BOTTOM, TOP), parts, "ys")
    dots = "".join(
        f'<g class="{p.css}">' + "".join(
            f'<circle class="dot" cx="{x.pixel(a)}" cy="{y.pixel(b)}" r="2.6"/>'
            for a, b in zip(p.xs, p.ys, strict=True)) + "</g>" for p in parts)
    names = "".join(
        f'<text class="name" x="{x.pixel(median(p.xs))}" y="{y.pixel(median(p.ys)) + 5}" '
        f'text-anchor="middle">{escape(p.name)}</text>' for p in parts
        if tall and p.name and len(p.xs))
    label = f"{title}: {sum(len(p.xs) for p in parts)} points, {axes[1]} against {axes[0]}"
    return figure(title, keys([(p.name, p.css) for p in parts]), label,
                  frame(x, y, axes[0], height, axes[1]) + dots + names, height)


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[:max(length - 1, 1)] + "…"


def close(axis: Axis, parts: Sequence[Cloud], side: str) -> Axis:
    """`axis` from just below the least value to just above the largest."""
    values = [v for p in parts for v in getattr(p, side)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.03 or 1.0
    axis.low, axis.high = low - margin, high + margin
    return axis


def marks(title: str, x_label: str, xs: Sequence[float], ys: Sequence[float], log: bool,
          names: Sequence[str] = ()) -> str:
    """Points over numbers, or over `names` at 0, 1, 2, ..."""
    x = Axis(list(xs), LEFT, WIDTH - RIGHT, log)
    y = Axis(list(ys), HEIGHT - BOTTOM, TOP)
    scaled = [x.scale(v) for v in xs] or [0.0]
    margin = (max(scaled) - min(scaled)) * 0.05 or 0.5
    x.low, x.high = min(scaled) - margin, max(scaled) + margin
    if names:
        x.low, x.high, x.ticks = -0.5, len(names) - 0.5, []
    elif log:
        x.ticks = [t for p in x.ticks for t in (p, 2 * p, 5 * p)] if len(x.ticks) < 4 else x.ticks
    dots = "".join(f'<circle class="dot train" cx="{x.pixel(a)}" cy="{y.pixel(b)}" r="4">'
                   f"<title>{escape(names[int(a)] if names else short(a))}: {b:.4g}</title>"
                   "</circle>" for a, b in zip(xs, ys, strict=True))
    under = "".join(f'<text class="tick" x="{x.pixel(float(k))}" y="{HEIGHT - BOTTOM + 19}" '
                    f'text-anchor="middle">{escape(shortened(name, 48 // len(names)))}</text>'
                    for k, name in enumerate(names))
    label = f"{title}: {len(xs)} points"
    return figure(title, "", label, frame(x, y, x_label) + under + dots)


def histogram(title: str, x_label: str, edges: Sequence[float],
              parts: Sequence[tuple[str, str, Sequence[float]]], log: bool = False) -> str:
    """Counts between `edges` for each (name, css, counts), drawn over one another."""
    top = max((max(c, default=0.0) for _, _, c in parts), default=0.0)
    x = Axis([edges[0], edges[-1]], LEFT, WIDTH - RIGHT)
    x.low, x.high = edges[0], edges[-1]
    y = Axis([0.0, top or 1.0], HEIGHT - BOTTOM, TOP)
    bars = "".join(f'<path class="area {css}" d="{steps(x, y, edges, counts)}"/>'
                   for _, css, counts in parts)
    label = f"{title}: " + "; ".join(f"{name} {sum(c):g} values" for name, _, c in parts)
    return figure(title, keys([(name, css) for name, css, _ in parts]), label,
                  frame(x, y, x_label) + bars)


def steps(x: Axis, y: Axis, edges: Sequence[float], counts: Sequence[float]) -> str:
    """Path data of a histogram's outline, closed at zero."""
    points: list[tuple[float, float] | None] = [(x.pixel(edges[0]), y.pixel(0.0))]
    for k, count in enumerate(counts):
        points += [(x.pixel(edges[k]), y.pixel(count)), (x.pixel(edges[k + 1]), y.pixel(count))]
    points.append((x.pixel(edges[-1]), y.pixel(0.0)))
    return path(points) + "Z"


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def scatter(title: str, x_label: str, y_label: str, xs: Sequence[float],
            ys: Sequence[float]) -> str:
    """Predicted against true values, with the diagonal where both are equal."""
    both = [*xs, *ys]
    x = Axis(both, LEFT, WIDTH - RIGHT)
    y = Axis(both, HEIGHT - BOTTOM, TOP)
    low, high = x.ticks[0], x.ticks[-1]
    dots = "".join(f'<circle class="dot single" cx="{x.pixel(a)}" cy="{y.pixel(b)}" r="2.5">'
                   f"<title>{escape(x_label)} {a:.4g}, {escape(y_label)} {b:.4g}</title></circle>"
                   for a, b in zip(xs, ys, strict=True))
    diagonal = (f'<line class="diagonal" x1="{x.pixel(low)}" y1="{y.pixel(low)}" '
                f'x2="{x.pixel(high)}" y2="{y.pixel(high)}"/>')
    label = f"{title}: {len(xs)} points, {y_label} against {x_label}"
    return figure(title, "", label, frame(x, y, x_label, y_label=y_label) + diagonal + dots)


def show_bytes(count: float) -> str:
    """Bytes as 512 B, 1.5 KiB, 20.3 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1024
    return ""
