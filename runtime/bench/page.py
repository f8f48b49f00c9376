"""The benchmark's report as a page and as a picture: bars of time beside dlc's, and the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.runtime.bench.machine import PACKAGES, line
from dlc.runtime.bench.measure import Row
from dlc.runtime.bench.systems import BenchError
from dlc.runtime.report.charts import WIDTH, figure
from dlc.runtime.report.page import framed
from dlc.runtime.train.checkpoint import replace_file

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Report = Mapping[str, Any]
COLOURS = {"dlc": "c0", "torch-eager": "c1", "torch-compile": "c5", "jax": "c2",
           "onnxruntime": "c4"}
PAINTS = {"dlc": "#1d5fd1", "torch-eager": "#d0610d", "torch-compile": "#8a5a3c",
          "jax": "#1a8a4f", "onnxruntime": "#7c5cc4"}
NAMES, VALUES = 100, 130  # room for a system's name on the left, for its time on the right
THICK, APART = 14, 20  # of a bar, and from one to the next
ZOOM = 2  # pixels of the picture for one of the page


@dataclass(frozen=True)
class Bar:
    """One system's time for a step: `share` of the slowest system's, and what stands beside it."""

    system: str
    share: float
    text: str


def title_of(row: Row) -> str:
    """What a row measures."""
    return f"{row['model']}, batch {row['batch']}" if row["work"] == "predict" else row["model"]


def groups(report: Report) -> dict[str, list[Bar]]:
    """The bars of each network, in the order of the report."""
    found: dict[str, list[Row]] = {}
    for row in report["rows"]:
        found.setdefault(title_of(row), []).append(row)
    return {title: bars(rows) for title, rows in found.items()}


def bars(rows: Sequence[Row]) -> list[Bar]:
    slowest = max(row["step_ms"] for row in rows)
    own = next((row["step_ms"] for row in rows if row["system"] == "dlc"), None)
    return [Bar(row["system"], row["step_ms"] / slowest, told(row["step_ms"], own))
            for row in rows]


def told(time: float, own: float | None) -> str:
    """A system's time, and how much of dlc's it is."""
    return f"{time:.3g} ms" + ("" if own in (None, time) else f", {time / own:.2f} x dlc")


def chart(title: str, found: Sequence[Bar], ratio: float | None) -> str:
    """A figure with a bar a system."""
    room, marks = WIDTH - NAMES - VALUES, []
    for at, bar in enumerate(found):
        y, wide = 8 + at * APART, max(bar.share * room, 1.0)
        marks.append(
            f'<text class="tick" x="{NAMES - 8}" y="{y + 11}" text-anchor="end">'
            f'{escape(bar.system)}</text>'
            f'<rect style="fill: var(--{COLOURS.get(bar.system, "c7")})" x="{NAMES}" y="{y}" '
            f'width="{wide:.1f}" height="{THICK}" rx="2"/>'
            f'<text class="tick" x="{NAMES + wide + 6:.1f}" y="{y + 11}">{escape(bar.text)}</text>')
    label = f"{title}: " + "; ".join(f"{bar.system} {bar.text}" for bar in found)
    return figure(heading(title, ratio), "", label, "".join(marks), 12 + len(found) * APART)


def heading(title: str, ratio: float | None) -> str:
    return title if ratio is None else f"{title}: best peer / dlc = {ratio:.2f}"


def render(report: Report) -> str:
    """The report as HTML: everything inline, every text escaped."""
    charts = "".join(chart(title, found, report["ratios"].get(title))
                     for title, found in groups(report).items())
    mean = report["geometric_mean"]
    said = "" if mean is None else f"<p>Geometric mean of the ratios: {mean}.</p>"
    left = "".join(f"<li>{escape(name)}: {escape(why)}</li>"
                   for name, why in report["missing"].items())
    body = [f'<h1>dlc bench</h1><p class="soft">{escape(line(report["machine"]))}; '
            f'{escape(versions(report["machine"]))}</p>',
            f'<div class="grid2">{charts}</div>{said}', "<h2>All figures</h2>",
            table(report["rows"]), f"<h2>Left out</h2><ul>{left}</ul>" if left else "",
            "<footer>Written by dlc. This file needs no network.</footer>"]
    return framed("dlc bench", "\n".join(body))


def versions(found: Mapping[str, Any]) -> str:
    """Which packages were measured."""
    return ", ".join(f"{name} {found[name]}" for name in PACKAGES if found.get(name))


def table(rows: Sequence[Row]) -> str:
    names = list(rows[0])
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = [["" if row[name] is None else escape(str(row[name])) for name in names]
             for row in rows]
    body = "".join(f"<tr>{''.join(f'<td>{text}</td>' for text in texts)}</tr>" for texts in lines)
    return (f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
            "</table></div>")


def write_html(path: Path, report: Report) -> None:
    """Write the page, whole or not at all."""
    replace_file(path, render(report).encode())


def check_pictures() -> None:
    """Raise BenchError where Pillow is not installed, before anything is measured."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise BenchError("--png needs Pillow: pip install 'dlc[images]'") from None


def write_png(path: Path, report: Report) -> None:
    """Write the bars as a picture, whole or not at all."""
    import io

    from PIL import Image, ImageDraw

    found = groups(report)
    height = 34 + sum(34 + len(each) * APART for each in found.values())
    image = Image.new("RGB", (WIDTH * ZOOM, height * ZOOM), "white")
    draw = ImageDraw.Draw(image)
    write(draw, 10, 8, line(report["machine"]), "#5f6670", 9)
    y = 34
    for title, each in found.items():
        write(draw, 10, y, heading(title, report["ratios"].get(title)), "#1c1e21", 13)
        for at, bar in enumerate(each):
            paint(draw, bar, y + 20 + at * APART)
        y += 34 + len(each) * APART
    content = io.BytesIO()
    image.save(content, "PNG")
    replace_file(path, content.getvalue())


def paint(draw: ImageDraw, bar: Bar, y: int) -> None:
    """One bar with its name and its time."""
    wide = max(bar.share * (WIDTH - NAMES - VALUES), 1.0)
    write(draw, 10, y + 1, bar.system, "#5f6670", 11)
    draw.rectangle((NAMES * ZOOM, y * ZOOM, (NAMES + wide) * ZOOM, (y + THICK) * ZOOM),
                   fill=PAINTS.get(bar.system, "#6b7280"))
    write(draw, NAMES + wide + 6, y + 1, bar.text, "#5f6670", 11)


def write(draw: ImageDraw, x: float, y: float, text: str, colour: str, size: int) -> None:
    from PIL import ImageFont

    draw.text((x * ZOOM, y * ZOOM), text, fill=colour, font=ImageFont.load_default(size * ZOOM))
