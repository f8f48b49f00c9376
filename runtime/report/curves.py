"""Metrics over the epochs in a report: a chart each, of a task of several phases by phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dlc.runtime.report.charts import Series, line_chart
from dlc.runtime.train.measure import LAST_VALUES

History = Sequence[Mapping[str, Any]]
MAX_PHASES = 6  # colours


def curves_section(history: History, phases: Sequence[Mapping[str, Any]]) -> str:
    """A chart for every metric over the epochs, training and test.

    `phases` are the steps that alternate (TaskMeta); of several, each has a part of its own, after
    the losses of all in one chart.
    """
    if not history:
        return ""
    named = [p for p in phases if p["name"]] if len(phases) > 1 else []
    body = phase_charts(history, named) if named else grid(metric_charts(history, "", True))
    return f"<h2>Curves</h2>{body}{history_table(history)}"


def grid(charts: Sequence[str]) -> str:
    columns = 3 if len(charts) % 3 == 0 else 2
    return f'<div class="grid{columns}">{"".join(charts)}</div>' if charts else ""


def metric_charts(history: History, prefix: str, tested: bool,
                  drawn: Sequence[str] = ()) -> list[str]:
    """A chart for each metric that begins with `prefix`, but for those that are `drawn` already,
    and the learning rate where it changes."""
    epochs = [float(r["epoch"]) for r in history]
    charts = []
    for name in (m for m in metrics(history, prefix) if m not in drawn):
        series = [Series("training", "train", column(history, "train", prefix + name))]
        test = column(history, "test", name) if tested else []
        if any(v is not None for v in test):
            series.append(Series("test", "test", test))
        charts.append(line_chart(name, "epoch", epochs, series))
    return charts + rate_charts(history, prefix, epochs)


def rate_charts(history: History, prefix: str, epochs: Sequence[float]) -> list[str]:
    """The learning rate, unless it is constant."""
    found = []
    for name in LAST_VALUES:
        rates = column(history, "train", prefix + name)
        if len(set(rates) - {None}) > 1:
            found.append(line_chart("learning rate", "epoch", epochs,
                                    [Series("learning rate", "single", rates)], zero=True))
    return found


def metrics(history: History, prefix: str) -> list[str]:
    """The names of the metrics of a phase, without its prefix, in the order of their first record.
    """
    names = dict.fromkeys(name for r in history for name in r["train"])
    short = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
    return [n for n in short if n not in LAST_VALUES and (prefix or "." not in n)]


def column(history: History, part: str, name: str) -> list[float | None]:
    return [(r[part] or {}).get(name) for r in history]


def phase_charts(history: History, phases: Sequence[Mapping[str, Any]]) -> str:
    """The losses of all phases in one chart, then what else each phase measures."""
    epochs = [float(r["epoch"]) for r in history]
    lines = [Series(p["name"], f"c{k % MAX_PHASES}", column(history, "train", f"{p['name']}.loss"))
             for k, p in enumerate(phases)]
    charts = [line_chart("loss of each phase, training", "epoch", epochs, lines)]
    held = dict.fromkeys(name for r in history for name in r["test"] or {})
    charts += [line_chart(f"{name}, test", "epoch", epochs,
                          [Series("test", "test", column(history, "test", name))])
               for name in held]
    return grid(charts) + "".join(phase_part(history, p) for p in phases)


def phase_part(history: History, phase: Mapping[str, Any]) -> str:
    """What a phase is, and the charts of what it measures beside its loss."""
    charts = metric_charts(history, f"{phase['name']}.", False, ("loss",))
    every = phase["every"]
    when = "every step" if every == 1 else f"every {every} steps"
    if phase["start"] or phase["stop"] is not None:
        stop = "on" if phase["stop"] is None else f"to {phase['stop']}"
        when += f", from epoch {phase['start'] + 1} {stop}"
    how = f"; {phase['optimizer']}" if phase.get("optimizer") else ""
    return (f"<h3>Phase {escape(phase['name'])}</h3><p class=\"soft\">{when}{escape(how)}</p>"
            f"{grid(charts)}")


def history_table(history: History) -> str:
    names = list(dict.fromkeys(n for r in history for n in r["train"]))
    tested = list(dict.fromkeys(n for r in history for n in r["test"] or {}))
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


def step_times(history: History) -> str:
    """The time of a step over the epochs."""
    times = column([{"all": r} for r in history], "all", "step_ms")
    if all(t is None for t in times):
        return ""
    return line_chart("time of a step, ms", "epoch", [float(r["epoch"]) for r in history],
                      [Series("step", "single", times)], " ms", zero=True)
