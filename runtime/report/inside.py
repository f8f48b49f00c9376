"""Seeing inside in a report: gradients and curvature along training, histograms by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dlc.runtime.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Series,
    figure,
    frame,
    line_chart,
    short,
    steps,
)

Records = Sequence[Mapping[str, Any]]
MAX_LAYERS = 24


def inside_section(records: Records) -> str:
    """Gradient norm and curvature over the epochs, then each layer's values and gradients, first
    and last.

    A record is {"epoch", "phase", "norm", "curvature", "values": {name: Spread},
    "gradients": {name: Spread}}, a Spread {"edges", "counts", "zeros", "std"}.
    """
    phases = list(dict.fromkeys(r["phase"] for r in records))
    return "".join(of_phase(name, [r for r in records if r["phase"] == name]) for name in phases)


def of_phase(name: str, records: Records) -> str:
    """One phase's part."""
    title = f"Inside phase {escape(name)}" if name else "Inside"
    epochs = [float(r["epoch"]) for r in records]
    charts = line_chart("gradient norm |g|", "epoch", epochs,
                        [Series("|g|", "single", [r["norm"] for r in records])])
    charts += line_chart("gᵀHg", "epoch", epochs,
                         [Series("gᵀHg", "single", [r["curvature"] for r in records])])
    along = [r["curvature"] / r["norm"] ** 2 if r["norm"] else None for r in records]
    charts += line_chart("gᵀHg / gᵀg", "epoch", epochs,
                         [Series("gᵀHg / gᵀg", "single", along)])
    return (f"<h2>{title}</h2><p>The gradient g of the loss and its Hessian H on the same "
            f"{records[-1]['batches']} training batches after each epoch. A step of rate ε along "
            "-g changes the loss by -ε gᵀg + ½ ε² gᵀHg: where gᵀHg / gᵀg is above 2 / ε, it "
            f'rises.</p><div class="grid3">{charts}</div>'
            f"{layers('Activations', 'activation', records, 'values')}"
            f"{layers('Gradients of parameters', 'gradient', records, 'gradients')}")


def layers(title: str, label: str, records: Records, key: str) -> str:
    """A histogram for each name, of the first record and of the last."""
    first, last = records[0][key], records[-1][key]
    if not last:
        return ""
    charts = "".join(spread(name, label, first.get(name), last[name], records)
                     for name in list(last)[:MAX_LAYERS])
    more = (f" The first {MAX_LAYERS} of {len(last)}." if len(last) > MAX_LAYERS else "")
    before = f" and, grey, after epoch {records[0]['epoch']}" if len(records) > 1 else ""
    return (f"<h3>{title}</h3><p>After epoch {records[-1]['epoch']}{before}; what is exactly 0 is "
            f'counted apart.{more}</p><div class="grid4">{charts}</div>')


def spread(name: str, label: str, first: Any, last: Any, records: Records) -> str:
    """The densities of one name's values, and what they come to."""
    parts = [(f"epoch {records[0]['epoch']}", "faint", first)] if (
        first is not None and len(records) > 1) else []
    parts.append((f"epoch {records[-1]['epoch']}", "single", last))
    words = f"std {last['std']:.2g}" + (f", 0: {last['zeros']:.0%}" if last["zeros"] else "")
    return densities(name, f"{label}; {words}", parts)


def densities(title: str, x_label: str, parts: Sequence[tuple[str, str, Any]]) -> str:
    """Histograms (name, css, Spread) over edges of their own, each of area 1."""
    edges = [e for _, _, s in parts for e in (s["edges"][0], s["edges"][-1])]
    x = Axis([], LEFT, WIDTH - RIGHT)
    x.low, x.high = min(edges), max(edges)
    x.ticks = []
    heights = [density(s) for _, _, s in parts]
    y = Axis([0.0, max(max(h) for h in heights) or 1.0], HEIGHT - BOTTOM, TOP)
    y.high = max(max(h) for h in heights) * 1.05 or 1.0
    y.ticks = []
    areas = "".join(f'<path class="area {css}" d="{steps(x, y, s["edges"], h)}"/>'
                    for (_, css, s), h in zip(parts, heights, strict=True))
    label = f"{title}: from {x.low:.3g} to {x.high:.3g}"
    return figure(title, "", label, frame(x, y, x_label) + ends(x) + areas)


def ends(x: Axis) -> str:
    """The texts of both ends of an axis, and of 0 where it stands between them."""
    places = [(x.low, "start"), (x.high, "end")]
    if 0.15 < -x.low / (x.high - x.low) < 0.85:
        places.append((0.0, "middle"))
    return "".join(f'<text class="tick" x="{x.pixel(v)}" y="{HEIGHT - BOTTOM + 19}" '
                   f'text-anchor="{anchor}">{short(float(f"{v:.2g}"))}</text>'
                   for v, anchor in places)


def density(found: Mapping[str, Any]) -> list[float]:
    """The share of the counted values in each bin, by its width."""
    total = sum(found["counts"]) or 1
    widths = [b - a for a, b in zip(found["edges"], found["edges"][1:], strict=False)]
    return [c / total / w for c, w in zip(found["counts"], widths, strict=True)]
