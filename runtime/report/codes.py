"""Codes in a report: the values between an encoder and a decoder, projected onto a plane."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from dlc.runtime.report.answers import Answers
from dlc.runtime.report.charts import Cloud, cloud

Numbers = np.ndarray[Any, Any]
MAX_POINTS, MAX_GROUPS = 1500, 10


def projection(rows: Numbers) -> tuple[Numbers, tuple[str, str]]:
    """(f64[n, 2], the names of both axes) of rows f[n, k]: as they are where k is 2, else their
    first two principal components (Pearson 1901), with the share of the variance that each keeps.
    """
    wide = rows.astype(np.float64)
    if wide.shape[1] == 2:
        return wide, ("code 1", "code 2")
    centred = wide - wide.mean(axis=0)
    if wide.shape[1] == 1:
        return np.concatenate([wide, np.zeros_like(wide)], axis=1), ("code", "")
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    shares = sizes ** 2 / max(float((sizes ** 2).sum()), np.finfo(np.float64).tiny)
    # a direction has no sign of its own: the largest weight is positive
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    points: Numbers = centred @ axes[:2].T
    if points.shape[1] < 2:
        points = np.concatenate([points, np.zeros_like(points)], axis=1)
        shares = np.append(shares, 0.0)
    return points, (f"component 1 ({shares[0]:.0%})", f"component 2 ({shares[1]:.0%})")


def groups(answers: Answers, count: int) -> tuple[Numbers, list[str]] | None:
    """(the class of each row, the names) by a field of class numbers, whether or not the task reads
    it; None for none, and for more classes than there are colours."""
    fields = [a for a in answers.arrays.values() if a.ndim == 1 and a.dtype.kind in "iu"]
    if not fields:
        return None
    label = fields[0][:count].astype(np.int64)
    if label.min() < 0 or label.max() >= MAX_GROUPS:
        return None
    top = int(label.max()) + 1
    names = list(answers.classes[:top]) + [str(k) for k in range(len(answers.classes), top)]
    return label, names


def codes_section(answers: Answers) -> str:
    """The codes as points, coloured by class where the data have classes."""
    if answers.code is None:
        return ""
    rows = answers.code.reshape(len(answers.code), -1)[:MAX_POINTS]
    points, axes = projection(rows)
    found = groups(answers, len(points))
    if found is None:
        parts = [Cloud("", "train", *points.T.tolist())]
    else:
        label, names = found
        parts = [Cloud(name, f"c{k}", *points[label == k].T.tolist())
                 for k, name in enumerate(names) if (label == k).any()]
    how = ("its two values" if rows.shape[1] == 2 else
           f"its {rows.shape[1]} values, projected onto their principal components")
    what = f"<code>{escape(answers.code_name)}</code>" if answers.code_name else "The code"
    return (f"<h2>Codes</h2><p>{what} of {len(points)} {answers.part} samples: {how}."
            f"{' Colours are classes.' if found else ''}</p>"
            f'<div class="wide">{cloud("Codes", axes, parts, tall=True)}</div>')
