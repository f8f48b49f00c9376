"""Classes in a report: what was said and what is true, the confusion matrix, samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from dlc.runtime.report.answers import Answers, Floats
from dlc.runtime.report.images import data_uri, find_images, to_pixels

Ints = np.ndarray[Any, np.dtype[np.int64]]
MAX_SAMPLES, MAX_WRONG = 48, 36
MAX_MATRIX = 30  # classes up to which the whole confusion matrix is shown


@dataclass(frozen=True)
class Classification:
    """Per test sample: the true class, the class said, and the probability given to it."""

    truth: Ints
    said: Ints
    confidence: Floats

    @property
    def wrong(self) -> Ints:
        """Misclassified samples, the most confident first."""
        found = np.flatnonzero(self.truth != self.said)
        return found[np.argsort(-self.confidence[found], kind="stable")]

    @property
    def doubtful(self) -> Ints:
        """Samples answered rightly, the least confident first."""
        found = np.flatnonzero(self.truth == self.said)
        return found[np.argsort(self.confidence[found], kind="stable")]

    def confusion(self, classes: int) -> Ints:
        """i64[classes, classes]: row is the true class, column the class said."""
        matrix = np.zeros((classes, classes), np.int64)
        np.add.at(matrix, (self.truth, self.said), 1)
        return matrix


def probabilities(scores: Floats, link: str) -> Floats:
    """f32[n, classes] of scores f32[n, classes], or f32[n] for the second of two classes, read by
    the loss's link.

    Without a link they are probabilities when all of them lie from 0 to 1 and, for several classes,
    sum to 1; else logits.
    """
    if scores.ndim == 1 or scores.shape[1] == 1:
        one = scores.reshape(-1)
        is_share = link == "identity" or (not link and bool(((one >= 0) & (one <= 1)).all()))
        if is_share:
            return np.stack([1 - one, one], axis=1)
        return softmax(np.stack([np.zeros_like(one), one], axis=1))
    if link == "exp":
        found: Floats = np.exp(scores)
        return found
    is_probability = bool((scores >= 0).all()) and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    return scores if link == "identity" or (not link and is_probability) else softmax(scores)


def classify(scores: Floats, truth: np.ndarray[Any, Any], link: str = "") -> Classification:
    """The class said of each row: scores f32[n, classes] or f32[n]; the truth is a class i[n], or a
    distribution f32[n, classes], which means its largest."""
    odds = probabilities(scores, link)
    known = truth.argmax(axis=1) if truth.size > len(truth) else truth.reshape(-1)
    said = np.argmax(odds, axis=1).astype(np.int64)
    confidence = odds[np.arange(len(odds)), said].astype(np.float32)
    return Classification(known.astype(np.int64), said, confidence)


def softmax(scores: Floats) -> Floats:
    wide = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    odds: Floats = (wide / wide.sum(axis=1, keepdims=True)).astype(np.float32)
    return odds


def classified(answers: Answers) -> Classification | None:
    """The classification, where the task tells classes apart; None for any other."""
    scores, truth = answers.prediction, answers.truth
    if answers.kind not in ("classes", "yes_no") or scores is None or truth is None or (
            len(truth) != len(scores)):
        return None
    scores = scores.reshape(len(scores), -1)
    binary = answers.kind == "yes_no"
    if (scores.shape[1] < 2 and not binary) or (binary and scores.shape[1] > 1):
        return None  # several yes or no have a curve each, and no matrix
    whole = truth.reshape(-1)
    if binary and not np.isin(whole, (-1, 0, 1)).all():
        return None
    return classify(scores, np.maximum(truth, 0) if binary else truth, answers.link)


def class_names(answers: Answers, found: Classification) -> list[str]:
    """The names of all classes; numbers where the data name none."""
    count = max(int(found.truth.max()), int(found.said.max())) + 1
    if answers.kind == "yes_no":
        count = max(count, 2)
    names = list(answers.classes)
    named = ["no", "yes"] if not names and answers.kind == "yes_no" else names
    return named + [str(i) for i in range(len(named), count)]


def classes_section(answers: Answers) -> str:
    """The confusion matrix, what is confused most, and samples."""
    found = classified(answers)
    if found is None:
        return ""
    names = class_names(answers, found)
    wrong = len(found.wrong)
    summary = (f"{len(found.truth) - wrong} of {len(found.truth)} {answers.part} samples are "
               f"right, {wrong} wrong.")
    matrix = found.confusion(len(names))
    tables = [confusion_table(matrix, names)] if len(names) <= MAX_MATRIX else []
    tables += [confusion_list(matrix, names)] if wrong and len(names) > 2 else []
    cards = "".join(f'<div class="card scroll">{table}</div>' for table in tables)
    return (f"<h2>Confusion matrix</h2><p>{summary} A row is the true class, a column what the "
            f'model said.</p><div class="beside">{cards}</div>'
            f"{samples_section(answers, found, names)}")


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
    return (f'<table class="confusion"><tr><th class="soft">true \\ said</th>{head}'
            f'<th class="soft">right</th></tr>{"".join(rows)}</table>')


def confusion_list(matrix: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:10]
    pairs = [(*divmod(int(k), len(names)), int(off.flat[k])) for k in order if off.flat[k]]
    rows = "".join(f"<tr><td>{escape(names[i])}</td><td>{escape(names[j])}</td>"
                   f'<td class="n">{n}</td></tr>' for i, j, n in pairs)
    return ('<table><caption>Confused most often</caption><tr><th>true</th><th>said</th>'
            f'<th class="n">times</th></tr>{rows}</table>')


def samples_section(answers: Answers, found: Classification, names: Sequence[str]) -> str:
    """Wrong answers first, most confident first; then right ones, least confident first."""
    wrong = found.wrong[:MAX_WRONG]
    chosen = np.concatenate([wrong, found.doubtful[:MAX_SAMPLES - len(wrong)]])
    field_name = find_images(answers.arrays)
    if field_name is None:
        return sample_rows(found, chosen[:16], names)
    images = answers.arrays[field_name]
    low, high = float(images.min()), float(images.max())
    figures = []
    for i in chosen.tolist():
        said, truth = names[int(found.said[i])], names[int(found.truth[i])]
        kind = "right" if found.said[i] == found.truth[i] else "wrong"
        words = f"<b>{escape(said)}</b> {found.confidence[i]:.0%}"
        words += "" if kind == "right" else f"<br>is {escape(truth)}"
        alt = f"sample {i}, true {truth}, said {said}"
        figures.append(f'<figure class="{kind}"><img alt="{escape(alt)}" '
                       f'src="{data_uri(to_pixels(images[i], low, high))}">'
                       f"<figcaption>{words}</figcaption></figure>")
    return ("<h2>Samples</h2><p>What was said, and how surely. Wrong answers first, the most "
            "confident first; then right ones, the least confident first.</p>"
            f'<div class="samples">{"".join(figures)}</div>')


def sample_rows(found: Classification, chosen: np.ndarray[Any, Any], names: Sequence[str]) -> str:
    rows = "".join(
        f'<tr><td class="n">{i}</td><td>{escape(names[int(found.truth[i])])}</td>'
        f"<td>{escape(names[int(found.said[i])])}</td><td class=\"n\">{found.confidence[i]:.1%}"
        f"</td><td>{'' if found.truth[i] == found.said[i] else 'wrong'}</td></tr>"
        for i in chosen.tolist())
    return ('<h2>Samples</h2><div class="card scroll"><table><tr><th class="n">sample</th>'
            '<th>true</th><th>said</th><th class="n">sure</th><th></th></tr>'
            f"{rows}</table></div>")
