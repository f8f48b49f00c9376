"""What a trained model says about the test data, and which samples are worth a look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.runtime.data import Dataset
from dlc.runtime.train.alternation import batch_size
from dlc.runtime.train.measure import held_out_runs

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram

Floats = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


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


def predict(loaded: ArenaProgram, dataset: Dataset) -> Floats | None:
    """The output "prediction" of entry "eval" for every test sample: f32[n, ...].

    None when the program has no such output, it has no axis of samples, or nothing to test on.
    """
    entry = loaded.program.entries.get("eval")
    if entry is None or not dataset.test:
        return None
    port = next((p for p in entry.outputs if p.name == "prediction"), None)
    if port is None or not port.type.ndim or int(port.type.shape[0]) != batch_size(entry):
        return None
    answers = []
    for run in held_out_runs(loaded, dataset):
        for rows in run.rows:
            said = loaded.call(run.entry.name, **{k: v[rows] for k, v in run.arrays.items()})
            answers.append(np.asarray(said["prediction"]).astype(np.float32))
    return np.concatenate(answers)


def classify(scores: Floats, truth: np.ndarray[Any, Any]) -> Classification:
    """Scores f32[n, classes], or f32[n] for the second of two classes: logits, or probabilities
    when all of them lie from 0 to 1 and, for several classes, sum to 1."""
    if scores.ndim == 1 or scores.shape[1] == 1:
        one = scores.reshape(-1)
        is_share = bool(((one >= 0) & (one <= 1)).all())
        scores = np.stack([1 - one if is_share else np.zeros_like(one), one], axis=1)
    is_probability = bool((scores >= 0).all()) and np.allclose(scores.sum(axis=1), 1, atol=1e-3)
    odds = scores if is_probability else softmax(scores)
    said = np.argmax(odds, axis=1).astype(np.int64)
    confidence = odds[np.arange(len(odds)), said].astype(np.float32)
    return Classification(truth.reshape(-1).astype(np.int64), said, confidence)


def softmax(scores: Floats) -> Floats:
    wide = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True))
    odds: Floats = (wide / wide.sum(axis=1, keepdims=True)).astype(np.float32)
    return odds
