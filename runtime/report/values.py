"""Numbers in a report: predicted against true values, and the furthest off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlc.runtime.report.answers import Answers, Floats
from dlc.runtime.report.charts import scatter

MAX_DOTS = 2000


@dataclass(frozen=True)
class Regression:
    """Per test sample: the true value and the value said."""

    truth: Floats
    said: Floats

    @property
    def r2(self) -> float:
        """The share of the variance explained; 0 for a truth that does not vary."""
        spread = float(np.sum((self.truth - self.truth.mean()) ** 2))
        return 1 - float(np.sum((self.truth - self.said) ** 2)) / spread if spread else 0.0


def regression(answers: Answers) -> Regression | None:
    """The values, where the task predicts numbers; None for any other."""
    said, truth = answers.prediction, answers.truth
    if answers.kind != "values" or said is None or truth is None or truth.size != said.size:
        return None
    return Regression(truth.reshape(-1).astype(np.float32), said.reshape(-1))


def values_section(answers: Answers) -> str:
    """What is predicted against what is true."""
    found = regression(answers)
    if found is None:
        return ""
    chart = scatter("Predicted against true", "true value", "predicted",
                    found.truth[:MAX_DOTS].tolist(), found.said[:MAX_DOTS].tolist())
    return (f"<h2>Predictions</h2><p>{len(found.truth)} {answers.part} values; the model explains "
            f"{found.r2:.1%} of their variance (R²).</p>"
            f'<div class="grid2">{chart}{worst_values(found)}</div>')


def worst_values(found: Regression) -> str:
    order = np.argsort(-np.abs(found.truth - found.said), kind="stable")[:8]
    rows = "".join(f'<tr><td class="n">{i}</td><td class="n">{found.truth[i]:.4g}</td>'
                   f'<td class="n">{found.said[i]:.4g}</td>'
                   f'<td class="n">{found.said[i] - found.truth[i]:+.3g}</td></tr>' for i in order)
    return ('<div class="card"><table><caption>Furthest off</caption><tr><th class="n">sample</th>'
            '<th class="n">true</th><th class="n">predicted</th><th class="n">error</th></tr>'
            f"{rows}</table></div>")
