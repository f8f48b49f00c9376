"""Memory and time of the compiled step, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dlc.program import Buffer, Launch, Program
from dlc.runtime.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Series,
    legend,
    nice_ticks,
    show_bytes,
)

CATEGORIES = ("parameter", "state", "input", "activation", "workspace", "output")
NAMES = {"parameter": "parameters", "state": "optimizer and other state", "input": "batch",
         "activation": "activations", "workspace": "workspace", "output": "outputs"}
LARGEST = 12


@dataclass(frozen=True)
class LaunchTime:
    """Median seconds of one launch of the step, and the user's lines that it serves."""

    name: str
    seconds: float
    lines: tuple[str, ...] = ()


def live_bytes(program: Program, entry: str) -> dict[str, list[int]]:
    """Bytes alive during every launch of `entry`, by category; persistent values always are.

    Bytes that two values share, because one is written in place of the other, count once.
    """
    count = max(len(program.entries[entry].flat), 1)
    table = {category: [0] * count for category in CATEGORIES}
    persistent = {b.name: b for b in program.buffers if b.category in ("parameter", "state")}
    others = [b for b in program.buffers
              if b.entry == entry and b.category not in ("parameter", "state")]
    for i in range(count):
        alive = [*persistent.values(), *(b for b in others if b.first <= i <= b.last)]
        end = 0
        for buffer in sorted(alive, key=lambda b: b.offset):
            last = buffer.offset + buffer.bytes
            row = table.setdefault(buffer.category, [0] * count)
            row[i] += max(0, last - max(end, buffer.offset))
            end = max(end, last)
    return table


def memory_section(program: Program, entry: str) -> str:
    """What the arena holds: a chart by launch, sums at the fullest moment, the largest values."""
    if not program.buffers or entry not in program.entries:
        return ""
    table = live_bytes(program, entry)
    used = [c for c in table if any(table[c])]
    totals = [sum(column) for column in zip(*(table[c] for c in used), strict=True)]
    peak = totals.index(max(totals))
    names = [launch.name for launch in program.entries[entry].flat] or [entry]
    series = [Series(NAMES.get(c, c), c, [float(v) for v in table[c]]) for c in used]
    rows = "".join(
        f'<tr><td><span class="key {c}">{escape(NAMES.get(c, c))}</span></td>'
        f'<td class="n">{show_bytes(table[c][peak])}</td></tr>' for c in used if table[c][peak])
    chart = stacked_columns("Alive during each launch", names, series,
                            "launch, in order; hover for names")
    return (f"<h3>Memory</h3><p>The arena takes {show_bytes(program.peak_bytes)} "
            f"({program.peak_bytes:,} bytes), known before the first step. The step is fullest in "
            f"launch {peak + 1} of {len(names)}, <code>{escape(names[peak])}</code>.</p>"
            f'<div class="grid2">{chart}<div class="card"><table><tr><th>at the fullest moment'
            f'</th><th class="n">bytes</th></tr>{rows}<tr><th>together</th><th class="n">'
            f"{show_bytes(totals[peak])}</th></tr></table></div></div>"
            f"{largest_values(program.buffers, entry)}")


def largest_values(buffers: Sequence[Buffer], entry: str) -> str:
    chosen = {b.name: b for b in buffers
              if b.entry == entry or b.category in ("parameter", "state")}
    largest = sorted(chosen.values(), key=lambda b: -b.bytes)[:LARGEST]
    rows = "".join(
        f'<tr><td><code>{escape(b.name)}</code></td><td><code>{escape(str(b.type))}</code></td>'
        f'<td><span class="key {escape(b.category)}">{escape(NAMES.get(b.category, b.category))}'
        f'</span></td><td class="n">{show_bytes(b.bytes)}</td><td>{escape(b.line)}</td></tr>'
        for b in largest)
    return ('<details><summary>The largest values</summary><div class="scroll"><table><tr>'
            '<th>value</th><th>type</th><th>what</th><th class="n">bytes</th><th>your line</th>'
            f"</tr>{rows}</table></div></details>")


def launch_section(times: Sequence[LaunchTime], launches: Sequence[Launch],
                   chart: str = "") -> str:
    """Where the time of a step goes, launch by launch; `chart` shows its time over the epochs."""
    chart = f'<div class="grid2">{chart}</div>' if chart else ""
    if not times:
        return chart
    total = sum(t.seconds for t in times) or 1.0
    longest = max(t.seconds for t in times) or 1.0
    rows = "".join(
        f'<tr><td><code>{escape(t.name)}</code></td><td><div class="fill single" '
        f'style="width:{t.seconds / longest * 100:.1f}%"></div></td>'
        f'<td class="n">{t.seconds * 1e6:,.1f}</td><td class="n">{t.seconds / total:.1%}</td>'
        f'<td>{escape(", ".join(t.lines))}</td></tr>' for t in times)
    return (f"<h3>Time</h3>{chart}<p>{len(launches)} launches take "
            f"{total * 1e3:.3g} ms when each is timed alone.</p>"
            '<div class="card scroll"><table class="bars"><tr><th>launch</th><th></th>'
            '<th class="n">µs</th><th class="n">share</th><th>your lines</th></tr>'
            f"{rows}</table></div>")


def stacked_columns(title: str, columns: Sequence[str], parts: Sequence[Series],
                    x_label: str) -> str:
    """One column for each name in `columns`, stacked from `parts`; values are bytes."""
    totals = [sum(p.values[i] or 0.0 for p in parts) for i in range(len(columns))]
    y = Axis([0.0], HEIGHT - BOTTOM, TOP)
    unit = byte_unit(max(totals, default=0.0))
    y.ticks = [t * unit for t in nice_ticks(0.0, max(totals, default=0.0) / unit or 1.0)]
    y.low, y.high = y.ticks[0], y.ticks[-1]
    step = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)
    marks = []
    for i, name in enumerate(columns):
        base = 0.0
        for part in parts:
            size = part.values[i] or 0.0
            if size:
                top, bottom = y.pixel(base + size), y.pixel(base)
                marks.append(
                    f'<rect class="bar {part.css}" x="{LEFT + i * step + step * 0.08:.2f}" '
                    f'y="{top}" width="{step * 0.84:.2f}" height="{bottom - top:.2f}"><title>'
                    f"{escape(name)}: {escape(part.name)} {show_bytes(size)}</title></rect>")
            base += size
    grid = "".join(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y.pixel(t)}" '
                   f'y2="{y.pixel(t)}"/><text class="tick" x="{LEFT - 7}" y="{y.pixel(t) + 4}" '
                   f'text-anchor="end">{show_bytes(t)}</text>' for t in y.ticks)
    label = f"{title}: highest {show_bytes(max(totals, default=0.0))}"
    return (f'<figure class="card"><figcaption>{escape(title)}{legend(parts)}</figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{grid}'
            f'{"".join(marks)}<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" '
            f'y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text></svg></figure>')


def byte_unit(count: float) -> int:
    """1, 2**10, 2**20 or 2**30: the unit in which `count` is shown."""
    return next((1 << s for s in (30, 20, 10) if count >= 1 << s), 1)
