"""report.html: one file that shows a finished run and opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dlc.program import Program
from dlc.runtime.data import Dataset
from dlc.runtime.report.charts import Series, line_chart, scatter, show_bytes
from dlc.runtime.report.images import Image, data_uri, find_images, to_pixels
from dlc.runtime.report.memory import LaunchTime, launch_section, memory_section
from dlc.runtime.report.predictions import Classification, Floats, Regression, classify
from dlc.runtime.train.checkpoint import replace_file
from dlc.runtime.train.measure import LAST_VALUES
from dlc.runtime.train.training import TrainResult

TEMPLATE = Path(__file__).resolve().parent / "report.html"
MAX_SAMPLES, MAX_WRONG = 48, 36
MAX_MATRIX = 30  # classes up to which the whole confusion matrix is shown


@dataclass(frozen=True)
class ReportInput:
    """All that a report shows. What is empty is left out.

    `scores` are the model's outputs for the test samples, f32[n] or f32[n, k]. `settings` is the
    run's configuration by name. `graphs` are printed graphs by title. `launch_times` come from a
    profile of the training step. `filters` is (parameter name, pictures). `target` names the field
    that the scores should tell.
    """

    result: TrainResult
    dataset: Dataset
    program: Program
    settings: Mapping[str, Any] = field(default_factory=dict)
    scores: Floats | None = None
    graphs: Mapping[str, str] = field(default_factory=dict)
    launch_times: Sequence[LaunchTime] = ()
    filters: tuple[str, Sequence[Image]] = ("", ())
    entry: str = "train"
    target: str = ""


def write_report(path: Path, given: ReportInput) -> Path:
    """Write the report to `path`, atomically. Raises OSError when it cannot be written."""
    replace_file(path, render(given).encode("utf-8"))
    return path


def render(given: ReportInput) -> str:
    """The report as HTML: everything inline, every text escaped."""
    launches = given.program.entries[given.entry].flat if (
        given.entry in given.program.entries) else ()
    body = "\n".join([
        header(given), curves(given.result.history), answers(given), filter_section(given),
        memory_section(given.program, given.entry), launch_section(given.launch_times, launches),
        settings_section(given.settings), graph_section(given.graphs),
        "<footer>Written by dlc. This file needs no network.</footer>"])
    template = TEMPLATE.read_text(encoding="utf-8")
    title = escape(f"{given.result.model}: {given.result.epochs} epochs")
    return template.replace("@title@", title).replace("@body@", body)


def header(given: ReportInput) -> str:
    """Model, data, and the numbers one looks for first."""
    result = given.result
    first = next(iter(result.metrics), None)
    on = "test" if result.test_loss is not None else "training"
    numbers: list[tuple[str, str]] = []
    if first is not None:
        numbers.append((f"{on} {first}", f"{result.metrics[first]:.4f}"))
    for name, loss in (("test loss", result.test_loss), ("training loss", result.train_loss)):
        if loss is not None:
            numbers.append((name, f"{loss:.4g}"))
    numbers += [("epochs", str(result.epochs)), ("steps", f"{result.steps:,}")]
    if result.step_ms is not None:
        numbers.append(("median step", f"{result.step_ms:.3g} ms"))
    numbers += [("training", f"{result.train_s:.1f} s"), ("compiling", f"{result.compile_s:.2f} s"),
                ("parameters", f"{result.parameters:,}"),
                ("memory", show_bytes(result.peak_bytes))]
    boxes = "".join(f'<div class="{"" if i else "main"}"><dt>{escape(k)}</dt>'
                    f"<dd>{escape(v)}</dd></div>" for i, (k, v) in enumerate(numbers))
    how = "stopped early, " if result.stopped_early else ""
    how += "interrupted, " if result.interrupted else ""
    best = f"best epoch {result.best_epoch}" if result.best_epoch else "no epoch complete"
    return (f"<header><h1>{escape(result.model)}</h1><p class=\"soft\">"
            f"{escape(given.dataset.describe())}; {escape(result.target)}; {how}{best}</p>"
            f'<dl class="numbers">{boxes}</dl></header>')


def curves(history: Sequence[Mapping[str, Any]]) -> str:
    """A chart for every metric over the epochs, training and test, and the time of a step."""
    if not history:
        return ""
    epochs = [float(r["epoch"]) for r in history]
    charts = []
    for name in history[-1]["train"]:
        trained = [r["train"].get(name) for r in history]
        tested = [(r["test"] or {}).get(name) for r in history]
        if name in LAST_VALUES:
            continue
        series = [Series("training", "train", trained)]
        if any(v is not None for v in tested):
            series.append(Series("test", "test", tested))
        charts.append(line_chart(name, "epoch", epochs, series))
    for name in LAST_VALUES:
        if name in history[-1]["train"]:
            values = [r["train"].get(name) for r in history]
            charts.append(line_chart("learning rate", "epoch", epochs,
                                     [Series("learning rate", "single", values)], zero=True))
    times = [r.get("step_ms") for r in history]
    if any(t is not None for t in times):
        charts.append(line_chart("time of a step, ms", "epoch", epochs,
                                 [Series("step", "single", times)], " ms", zero=True))
    return f'<h2>Curves</h2><div class="grid2">{"".join(charts)}</div>{history_table(history)}'


def history_table(history: Sequence[Mapping[str, Any]]) -> str:
    names = list(history[-1]["train"])
    tested = list(history[-1]["test"] or {})
    heads = ["epoch", "step", *names, *(f"test {n}" for n in tested)]
    rows = []
    for r in history:
        cells = [r["epoch"], r["step"], *(r["train"].get(n) for n in names),
                 *((r["test"] or {}).get(n) for n in tested)]
        rows.append("<tr>" + "".join(f'<td class="n">{cell(c)}</td>' for c in cells) + "</tr>")
    head = "".join(f'<th class="n">{escape(h)}</th>' for h in heads)
    return (f'<details><summary>All values</summary><div class="scroll"><table><tr>{head}</tr>'
            f"{''.join(rows)}</table></div></details>")


def cell(value: Any) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def answers(given: ReportInput) -> str:
    """What the model says about the test data: classes, or values."""
    arrays = given.dataset.test or given.dataset.train
    if given.scores is None or not arrays:
        return ""
    part = "test" if given.dataset.test else "training"
    label = next((arrays[n] for n in (given.target, "label", "y") if n in arrays), None)
    if label is None or len(label) != len(given.scores):
        return ""
    wide = given.scores.ndim == 2 and given.scores.shape[1] > 1
    whole = label.size == len(label) and bool((label == np.floor(label)).all())
    binary = not wide and "accuracy" in given.result.metrics and whole
    if (wide and whole) or binary:
        return classes_section(given, arrays, classify(given.scores, label), part)
    if given.scores.size != label.size:
        return ""
    found = Regression(label.reshape(-1).astype(np.float32), given.scores.reshape(-1))
    chart = scatter("Said against true", "true value", "said", found.truth[:2000].tolist(),
                    found.said[:2000].tolist())
    return (f"<h2>Predictions</h2><p>{len(found.truth)} {part} values; the model explains "
            f"{found.r2:.1%} of their variance (R²).</p>"
            f'<div class="grid2">{chart}{worst_values(found)}</div>')


def worst_values(found: Regression) -> str:
    order = np.argsort(-np.abs(found.truth - found.said), kind="stable")[:8]
    rows = "".join(f'<tr><td class="n">{i}</td><td class="n">{found.truth[i]:.4g}</td>'
                   f'<td class="n">{found.said[i]:.4g}</td>'
                   f'<td class="n">{found.said[i] - found.truth[i]:+.3g}</td></tr>' for i in order)
    return ('<div class="card"><table><tr><th class="n">sample</th><th class="n">true</th>'
            f'<th class="n">said</th><th class="n">off by</th></tr>{rows}</table>'
            '<p class="soft">The furthest off.</p></div>')


def classes_section(given: ReportInput, arrays: Mapping[str, np.ndarray[Any, Any]],
                    found: Classification, part: str) -> str:
    count = max(int(found.truth.max()), int(found.said.max())) + 1
    names = list(given.dataset.classes[:max(count, len(given.dataset.classes))])
    names += [str(i) for i in range(len(names), count)]
    wrong = len(found.wrong)
    summary = (f"{len(found.truth) - wrong} of {len(found.truth)} {part} samples are right, "
               f"{wrong} wrong.")
    matrix = found.confusion(len(names))
    tables = [confusion_table(matrix, names)] if len(names) <= MAX_MATRIX else []
    tables += [confusion_list(matrix, names)] if wrong else []
    cards = "".join(f'<div class="card scroll">{table}</div>' for table in tables)
    return (f"<h2>Confusion matrix</h2><p>{summary} A row is the true class, a column what the "
            f'model said.</p><div class="grid2">{cards}</div>'
            f"{samples_section(arrays, found, names)}")


def confusion_table(matrix: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    head = "".join(f'<th scope="col">{escape(n)}</th>' for n in names)
    rows = []
    for i, name in enumerate(names):
        total = int(matrix[i].sum())
        cells = []
        for j, value in enumerate(matrix[i].tolist()):
            share = value / total if total else 0.0
            kind = "zero" if not value else "hit" if i == j else "miss"
            shade = 0.0 if not value else 0.12 + 0.5 * share if i == j else 0.25 + 0.6 * share
            cells.append(f'<td class="{kind}" style="--a:{shade:.2f}" title="true {escape(name)}, '
                         f'said {escape(names[j])}: {value} of {total}">{value}</td>')
        recall = f"{matrix[i, i] / total:.1%}" if total else ""
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}'
                    f'<td class="soft">{recall}</td></tr>')
    return (f'<table class="confusion"><tr><th>true \\ said</th>{head}<th class="soft">right</th>'
            f"</tr>{''.join(rows)}</table>")


def confusion_list(matrix: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:10]
    pairs = [(*divmod(int(k), len(names)), int(off.flat[k])) for k in order if off.flat[k]]
    rows = "".join(f"<tr><td>{escape(names[i])}</td><td>{escape(names[j])}</td>"
                   f'<td class="n">{n}</td></tr>' for i, j, n in pairs)
    return ('<table><caption>Confused most often</caption><tr><th>true</th><th>said</th>'
            f'<th class="n">times</th></tr>{rows}</table>')


def samples_section(arrays: Mapping[str, np.ndarray[Any, Any]], found: Classification,
                    names: Sequence[str]) -> str:
    """Wrong answers first, most confident first; then right ones, least confident first."""
    wrong = found.wrong[:MAX_WRONG]
    chosen = np.concatenate([wrong, found.doubtful[:MAX_SAMPLES - len(wrong)]])
    field_name = find_images(arrays)
    if field_name is None:
        return sample_rows(found, chosen[:16], names)
    images = arrays[field_name]
    low, high = float(images.min()), float(images.max())
    figures = []
    for i in chosen.tolist():
        said, truth = names[int(found.said[i])], names[int(found.truth[i])]
        kind = "right" if found.said[i] == found.truth[i] else "wrong"
        words = f"said <b>{escape(said)}</b> ({found.confidence[i]:.0%})"
        words += "" if kind == "right" else f"<br>is {escape(truth)}"
        alt = f"sample {i}, true {truth}, said {said}"
        figures.append(f'<figure class="{kind}"><img alt="{escape(alt)}" '
                       f'src="{data_uri(to_pixels(images[i], low, high))}">'
                       f"<figcaption>{words}</figcaption></figure>")
    return ("<h2>Samples</h2><p>Wrong answers first, the most confident first; then right ones, "
            f'the least confident first.</p><div class="samples">{"".join(figures)}</div>')


def sample_rows(found: Classification, chosen: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    rows = "".join(
        f'<tr><td class="n">{i}</td><td>{escape(names[int(found.truth[i])])}</td>'
        f"<td>{escape(names[int(found.said[i])])}</td><td class=\"n\">{found.confidence[i]:.1%}"
        f"</td><td>{'' if found.truth[i] == found.said[i] else 'wrong'}</td></tr>"
        for i in chosen.tolist())
    return ('<h2>Samples</h2><div class="card scroll"><table><tr><th class="n">sample</th>'
            '<th>true</th><th>said</th><th class="n">sure</th><th></th></tr>'
            f"{rows}</table></div>")


def filter_section(given: ReportInput) -> str:
    name, pictures = given.filters
    if not pictures:
        return ""
    images = "".join(f'<img alt="filter {i} of {escape(name)}" src="{data_uri(p)}">'
                     for i, p in enumerate(pictures))
    return (f"<h2>First layer</h2><p>Weights of <code>{escape(name)}</code>: blue is positive, "
            f'orange negative, white zero.</p><div class="filters">{images}</div>')


def settings_section(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>'
                   for k, v in settings.items())
    return f'<h2>Configuration</h2><div class="card scroll"><table>{rows}</table></div>'


def graph_section(graphs: Mapping[str, str]) -> str:
    if not graphs:
        return ""
    parts = "".join(f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre>"
                    "</details>" for title, text in graphs.items())
    return f"<h2>Graph</h2>{parts}"
