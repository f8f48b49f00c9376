"""Reconstructions and generated samples in a report: pictures where they are, else points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.runtime.report.answers import Answers, Floats
from dlc.runtime.report.charts import Cloud, cloud
from dlc.runtime.report.codes import projection
from dlc.runtime.report.images import data_uri, to_pixels

Numbers = np.ndarray[Any, Any]
PAIRS, SAMPLES, NEAREST, POINTS = 24, 40, 12, 600


def linked(answers: Answers) -> Floats:
    """The prediction as the loss reads it: of logits of yes and no, probabilities."""
    said = answers.prediction
    assert said is not None
    if answers.link != "sigmoid":
        return said
    found: Floats = (1 / (1 + np.exp(-said.astype(np.float64)))).astype(np.float32)
    return found


def as_pictures(answers: Answers, rows: Numbers) -> Numbers | None:
    """`rows` as [n, c, h, w]: as they are, or in the shape of a field of as many values; None for
    what is no picture."""
    shapes = [rows.shape[1:], *(a.shape[1:] for a in answers.arrays.values())]
    for shape in shapes:
        if len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 1 and (
                np.prod(shape) == np.prod(rows.shape[1:])):
            return rows.reshape(len(rows), *shape)
    return None


def explained(answers: Answers) -> float | None:
    """The share of the variance around the mean sample that reconstructions keep."""
    truth = answers.truth
    if answers.kind != "reconstruction" or truth is None:
        return None
    flat = truth.reshape(len(truth), -1).astype(np.float64)
    said = linked(answers).reshape(flat.shape)
    spread = float(((flat - flat.mean(axis=0)) ** 2).sum())
    return 1 - float(((flat - said) ** 2).sum()) / spread if spread else None


def reconstruction_section(answers: Answers) -> str:
    """Inputs above what became of them: the worst, the middle ones and the best."""
    truth = answers.truth
    if answers.kind != "reconstruction" or truth is None:
        return ""
    said = linked(answers).reshape(len(truth), -1)
    flat = truth.reshape(len(truth), -1).astype(np.float32)
    errors = ((flat - said) ** 2).mean(axis=1)
    order = np.argsort(-errors, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, PAIRS).round().astype(int))]
    before, after = as_pictures(answers, flat), as_pictures(answers, said)
    if before is None or after is None:
        return number_rows(flat, said, errors, chosen, answers.part)
    low, high = float(flat.min()), float(flat.max())
    figures = "".join(
        pair(before[i], after[i], low, high, ("input", "output"), f"error {errors[i]:.2g}",
             f"{answers.part} sample {i} and its reconstruction") for i in chosen.tolist())
    return (f"<h2>Reconstructions</h2><p>{answers.part.capitalize()} samples (left) and what the "
            "network makes of them (right), from the worst to the best by mean squared error.</p>"
            f'<div class="pairs">{figures}</div>')


def pair(left: Numbers, right: Numbers, low: float, high: float, names: Sequence[str],
         words: str, alt: str) -> str:
    """Two pictures side by side."""
    images = "".join(
        f'<img alt="{alt}: {name}" title="{name}" src="{data_uri(to_pixels(p, low, high))}">'
        for p, name in zip((left, right), names, strict=True))
    return f"<figure><div>{images}</div><figcaption>{words}</figcaption></figure>"


def number_rows(flat: Numbers, said: Numbers, errors: Numbers, chosen: Numbers, part: str) -> str:
    """Reconstructions that are no pictures: their first numbers."""
    rows = []
    for i in chosen[:12].tolist():
        for name, values in (("input", flat[i]), ("output", said[i])):
            shown = "  ".join(f"{v:.3g}" for v in values[:8].tolist())
            error = f'<td class="n">{errors[i]:.2g}</td>' if name == "output" else "<td></td>"
            rows.append(f'<tr><td class="n">{i if name == "input" else ""}</td><td>{name}</td>'
                        f"<td><code>{shown}{' …' if len(values) > 8 else ''}</code></td>"
                        f"{error}</tr>")
    return (f"<h2>Reconstructions</h2><p>{part.capitalize()} samples, from the worst to the best "
            'by mean squared error.</p><div class="card scroll"><table><tr><th class="n">sample'
            f'</th><th></th><th>values</th><th class="n">error</th></tr>{"".join(rows)}'
            "</table></div>")


# --- generators -----------------------------------------------------------------------------------


def samples_section(answers: Answers) -> str:
    """What a generator makes, and what of the data is nearest to it."""
    if answers.samples is None and (answers.kind != "samples" or answers.prediction is None):
        return ""
    made = linked(answers) if answers.samples is None else answers.samples
    real = real_rows(answers, made)
    pictures = as_pictures(answers, made)
    if pictures is None:
        return clouds(made, real)
    known = None if real is None else as_pictures(answers, real)
    base = pictures if known is None else known
    low, high = float(base.min()), float(base.max())
    images = "".join(f'<img alt="generated sample {k}" src="{data_uri(to_pixels(p, low, high))}">'
                     for k, p in enumerate(pictures[:SAMPLES]))
    return ("<h2>Samples</h2><p>Drawn from the generator after training.</p>"
            f'<div class="tiles">{images}</div>{nearest(pictures, known, low, high)}')


def real_rows(answers: Answers, made: Numbers) -> Numbers | None:
    """The field of the data whose rows have as many values as a sample; None for none."""
    size = int(np.prod(made.shape[1:]))
    found = next((a for a in answers.trained.values()
                  if int(np.prod(a.shape[1:])) == size and a.dtype.kind == "f"), None)
    return None if found is None else found.astype(np.float32)


def nearest(made: Numbers, real: Numbers | None, low: float, high: float) -> str:
    """Samples beside the training data nearest to them: a copy would show here."""
    if real is None:
        return ""
    flat, known = made[:NEAREST].reshape(min(len(made), NEAREST), -1), real.reshape(len(real), -1)
    figures = ""
    for k, row in enumerate(flat):
        squares = ((row - known) ** 2).mean(axis=1)
        i = int(squares.argmin())
        figures += pair(made[k], real[i], low, high, ("sample", "nearest"),
                        f"distance {squares[i] ** 0.5:.2g}",
                        f"sample {k} and the data nearest to it")
    return ("<h3>Beside the nearest training samples</h3><p>Left a sample, right the nearest "
            "training sample by root mean square difference. A generator that copies shows twins."
            "</p>"
            f'<div class="pairs">{figures}</div>')


def clouds(made: Numbers, real: Numbers | None) -> str:
    """Samples that are no pictures, as points among the data's."""
    flat = made.reshape(len(made), -1)[:POINTS]
    known = flat[:0] if real is None else real.reshape(len(real), -1)[:POINTS]
    both = np.concatenate([known, flat])
    points, axes = projection(both)
    parts = [Cloud(name, css, *points[rows].T.tolist()) for name, css, rows in (
        ("data", "test", slice(0, len(known))), ("samples", "train", slice(len(known), None)))
        if len(points[rows])]
    return ("<h2>Samples</h2><p>Drawn from the generator after training, among the data.</p>"
            f'<div class="grid2">{cloud("Samples and data", axes, parts)}</div>')
