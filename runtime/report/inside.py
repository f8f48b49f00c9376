"""Seeing inside in a report: gradients and curvature along training, histograms by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dlc.runtime.report.charts import Series, histogram, line_chart

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
    charts += line_chart("curvature along the gradient, gᵀHg / gᵀg", "epoch", epochs,
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
    return (f"<h3>{title}</h3><p>After epoch {records[0]['epoch']} and epoch "
            f"{records[-1]['epoch']}.{more}</p><div class=\"grid4\">{charts}</div>")


def spread(name: str, label: str, first: Any, last: Any, records: Records) -> str:
    """One histogram over the edges that both records share, and what it comes to."""
    parts = [(f"epoch {records[0]['epoch']}", "faint", first["counts"])] if (
        first is not None and len(records) > 1) else []
    parts.append((f"epoch {records[-1]['epoch']}", "single", last["counts"]))
    words = f"std {last['std']:.2g}, zero {last['zeros']:.0%}"
    return histogram(name, f"{label}; {words}", last["edges"], parts)
