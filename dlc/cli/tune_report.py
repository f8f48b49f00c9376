"""The results of `dlc tune`: a table of 80 columns, and a page with plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.cli.tune_space import Space
from dlc.cli.tune_trials import Trial

if TYPE_CHECKING:
    from dlc.task.task import Task

COLUMNS = 80
MAX_ROWS = 15
NARROWEST = 6  # of a column of settings


def score_text(trial: Trial) -> str:
    """The mean over the folds, and its deviation."""
    spread = "" if trial.deviation is None else f" ±{trial.deviation:.2g}"
    return f"{trial.mean:.4g}{spread}"


def table(ranked: Sequence[Trial], monitor: str, rises: bool, folds: int) -> list[str]:
    """The best trials, a line each, no wider than 80 columns."""
    keys = list(ranked[0].settings)
    rows = [["", monitor, *keys]]
    rows += [[str(k + 1), score_text(t), *(t.settings[key] for key in keys)]
             for k, t in enumerate(ranked[:MAX_ROWS])]
    widths = fitted([max(len(row[c]) for row in rows) for c in range(len(rows[0]))])
    over = f"mean of {folds} folds ± their deviation" if folds > 1 else "held-out samples"
    better = "higher" if rises else "lower"
    lines = [f"the best {len(rows) - 1} of {len(ranked)} by {monitor} ({better} is better; {over})"]
    for row in rows:
        cells = [cut(cell, width) for cell, width in zip(row, widths, strict=True)]
        lines.append((cells[0].rjust(widths[0]) + "  " + "  ".join(
            cell.ljust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))).rstrip())
    return lines


def fitted(widths: list[int]) -> list[int]:
    """`widths` with the widest columns of settings narrowed until all fit into COLUMNS."""
    found = list(widths)
    while sum(found) + 2 * (len(found) - 1) > COLUMNS:
        widest = max(range(2, len(found)), key=lambda c: found[c], default=-1)
        if widest < 0 or found[widest] <= NARROWEST:
            break
        found[widest] -= 1
    return found


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[:width - 1] + "…"


# --- the page -------------------------------------------------------------------------------------


def write_page(path: Path, task: Task, space: Space, trials: Sequence[Trial], rises: bool,
               command: str) -> Path:
    """Write the page with its plots, atomically."""
    from dlc.runtime.train.checkpoint import replace_file

    replace_file(path, page(task, space, trials, rises, command).encode("utf-8"))
    return path


def page(task: Task, space: Space, trials: Sequence[Trial], rises: bool, command: str) -> str:
    """The trials as HTML: the best, the score trial by trial, by each key, and all of them."""
    from dlc.runtime.report.page import framed

    good = [t for t in trials if t.scores and not t.failed and math.isfinite(t.mean)]
    head = [f'<header><p class="kind">Search</p><h1>{escape(task.name)}</h1>',
            f'<p class="soft">{escape("; ".join(space.describe()))}</p>']
    if not good:
        return framed(f"{task.name}: search", "".join([*head, "</header><p>No trial ended well."
                                                       f"</p>{all_trials(trials, space)}"]))
    best = (max if rises else min)(good, key=lambda t: t.mean)
    tiles = [(f"best {task.monitor}", f"{best.mean:.4g}",
              "" if best.deviation is None else f"± {best.deviation:.2g} over folds"),
             ("trials", str(len(good)), f"{len(trials) - len(good)} failed")]
    large = "".join(f"<div><dt>{escape(a)}</dt><dd>{escape(b)}</dd><p>{escape(c)}</p></div>"
                    for a, b, c in tiles)
    charts = "".join([so_far(good, task.monitor, rises),
                      *(by_key(key, good, task.monitor, space) for key in space.keys)])
    return framed(f"{task.name}: search", "".join([
        *head, f'<pre class="command">{escape(command)}</pre><dl class="large">{large}</dl>',
        f'</header><h2>Scores</h2><div class="grid2">{charts}</div>',
        all_trials(trials, space), "<footer>Written by dlc. This file needs no network.</footer>"]))


def so_far(good: Sequence[Trial], monitor: str, rises: bool) -> str:
    """The score of each trial, and the best so far."""
    from dlc.runtime.report.charts import Series, line_chart

    scores = [t.mean for t in good]
    best = scores[:1]
    for score in scores[1:]:
        best.append((max if rises else min)(best[-1], score))
    return line_chart(f"{monitor} by trial", "trial", [float(t.number + 1) for t in good],
                      [Series("trial", "faint", scores), Series("best so far", "train", best)])


def by_key(key: str, good: Sequence[Trial], monitor: str, space: Space) -> str:
    """The score against one key: numbers along an axis, other values side by side."""
    from dlc.runtime.report.charts import marks

    values = [t.settings[key] for t in good]
    scores = [t.mean for t in good]
    log = next((r.log for r in space.ranges if r.key == key), spread_widely(values))
    numbers = [as_number(v) for v in values]
    if all(n is not None for n in numbers):
        return marks(f"{monitor} by {key}", key, [n for n in numbers if n is not None], scores, log)
    names = list(dict.fromkeys(values))
    return marks(f"{monitor} by {key}", key, [float(names.index(v)) for v in values], scores,
                 False, names)


def spread_widely(values: Sequence[str]) -> bool:
    """Whether numbers of a grid are better seen on a logarithmic axis."""
    numbers = [as_number(v) or 0.0 for v in values]
    return min(numbers) > 0 and max(numbers) / min(numbers) > 30


def as_number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def all_trials(trials: Sequence[Trial], space: Space) -> str:
    heads = "".join(f"<th>{escape(key)}</th>" for key in space.keys)
    rows = "".join(
        f'<tr><td class="n">{t.number + 1}</td><td class="n">'
        f"{escape(score_text(t) if t.scores and not t.failed else '')}</td>"
        + "".join(f"<td>{escape(t.settings[key])}</td>" for key in space.keys)
        + f"<td>{escape(t.failed)}</td></tr>" for t in trials)
    return ('<h2>All trials</h2><div class="card scroll"><table><tr><th class="n">trial</th>'
            f'<th class="n">score</th>{heads}<th></th></tr>{rows}</table></div>')
