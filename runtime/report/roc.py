"""Yes or no in a report: the ROC curve, the area under it, and how the scores are spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.runtime.report.answers import Answers, Floats
from dlc.runtime.report.charts import Line, histogram, plane
from dlc.runtime.report.classes import probabilities

Numbers = np.ndarray[Any, Any]
MAX_CURVES = 6
MAX_POINTS = 400  # of a curve
BINS = 24


@dataclass(frozen=True)
class Roc:
    """A curve: the share of noes and of yeses that score at least a threshold, from none to all."""

    false_rate: Numbers
    true_rate: Numbers

    @property
    def area(self) -> float:
        """The probability that a yes scores above a no, equal scores counting half."""
        return float(np.trapezoid(self.true_rate, self.false_rate))


def roc(scores: Numbers, truth: Numbers) -> Roc | None:
    """The curve of scores f[n] for a truth of which above 0 means yes; None for one class alone.

    A point for each threshold: equal scores are passed together (Fawcett 2006).
    """
    yes = truth.reshape(-1) > 0
    if yes.all() or not yes.any():
        return None
    order = np.argsort(-scores.reshape(-1), kind="stable")
    ranked, hits = scores.reshape(-1)[order], yes[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    rights, wrongs = np.cumsum(hits)[last], np.cumsum(~hits)[last]
    return Roc(np.append(0.0, wrongs / wrongs[-1]), np.append(0.0, rights / rights[-1]))


def curves(answers: Answers) -> list[tuple[str, Roc]]:
    """A curve for each yes or no that is told; for two classes, that of the second."""
    said, truth = answers.prediction, answers.truth
    if said is None or truth is None or len(truth) != len(said):
        return []
    scores, known = said.reshape(len(said), -1), truth.reshape(len(truth), -1)
    if answers.kind == "classes" and scores.shape[1] == 2 and known.shape[1] == 1:
        scores = scores[:, 1:] - scores[:, :1]
    elif answers.kind != "yes_no" or scores.shape != known.shape:
        return []
    names = answers.classes if len(answers.classes) == scores.shape[1] else range(scores.shape[1])
    found = [(str(name), roc(scores[:, k], known[:, k])) for k, name in enumerate(names)]
    return [(name, curve) for name, curve in found if curve is not None]


def roc_section(answers: Answers) -> str:
    """The curves, and for one yes or no the probabilities by truth."""
    found = curves(answers)
    if not found:
        return ""
    shown = found[:MAX_CURVES]
    lines = [Line(f"AUC {c.area:.3f}" if len(found) == 1 else f"{name}: AUC {c.area:.3f}",
                  f"c{k}", *thinned(c)) for k, (name, c) in enumerate(shown)]
    chart = plane("ROC curve", "noes taken for yes", "yeses found", lines, diagonal=True)
    many = f" The first {MAX_CURVES} of {len(found)} are drawn." if len(found) > MAX_CURVES else ""
    return ("<h2>Yes or no</h2><p>Each threshold on the score finds a share of the yeses (up) and "
            "takes a share of the noes for yes (right). The area under the curve is the "
            f"probability that a yes scores above a no; 0.5 is chance.{many}</p>"
            f'<div class="grid2">{chart}{spread(answers)}</div>')


def thinned(curve: Roc) -> tuple[list[float], list[float]]:
    """At most MAX_POINTS points, the first and the last among them."""
    step = np.linspace(0, len(curve.false_rate) - 1, MAX_POINTS).round().astype(int)
    kept = np.unique(step)
    return curve.false_rate[kept].tolist(), curve.true_rate[kept].tolist()


def spread(answers: Answers) -> str:
    """Histograms of the probability of yes, of noes and of yeses."""
    odds = chances(answers)
    truth = answers.truth
    if odds is None or truth is None:
        return ""
    edges = np.linspace(0, 1, BINS + 1)
    yes = truth.reshape(-1) > 0
    parts = [(name, css, np.histogram(odds[chosen], edges)[0].tolist())
             for name, css, chosen in (("true no", "test", ~yes), ("true yes", "train", yes))]
    return histogram("Probability of yes", "probability", edges.tolist(), parts)


def chances(answers: Answers) -> Floats | None:
    """f32[n]: the probability of yes; None for several yes or no."""
    said = answers.prediction
    if said is None or said.size not in (len(said), 2 * len(said)):
        return None
    found: Floats = probabilities(said.reshape(len(said), -1), answers.link)[:, 1]
    return found
