"""The rule of models/boltzmann.py against exact statistics: sums over all 1,024 states in f64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.cli.source import load_task

Floats = np.ndarray[Any, np.dtype[Any]]
STATES = ((np.arange(1024)[:, None] >> np.arange(10)) & 1).astype(np.float64)


def shares(states: Floats, weight: Floats, bias: Floats) -> tuple[Floats, float]:
    """The probabilities of `states` among themselves, and log of the sum of e ** -energy."""
    score = 0.5 * ((states @ weight) * states).sum(1) + states @ bias
    most = float(score.max())
    total = most + float(np.log(np.exp(score - most).sum()))
    return np.exp(score - total), total


def exact(weight: Floats, bias: Floats) -> tuple[float, Floats]:
    """The mean log-likelihood of the eight patterns; <s s> clamped less <s s> free."""
    free, total = shares(STATES, weight, bias)
    nats, slope = 0.0, -(STATES * free[:, None]).T @ STATES
    for pattern in np.eye(8):
        held = STATES[(STATES[:, :8] == pattern).all(1)]
        share, part = shares(held, weight, bias)
        nats += (part - total) / 8
        slope += (held * share[:, None]).T @ held / 8
    return nats, slope * (1 - np.eye(10))


def test_a_step_goes_where_the_exact_gradient_points() -> None:
    """200 chains of 8 patterns: the sampled step is within 20 degrees of the exact one."""
    before, after = (load_task("boltzmann").train(seed=0, epochs=n) for n in (4, 5))
    weight, bias = (before.values[k].astype(np.float64) for k in ("weight", "bias"))
    nats, slope = exact(weight, bias)
    assert before.metrics["nats"] == pytest.approx(nats, rel=1e-5)  # sums of 1,024 terms in f32
    step = after.values["weight"].astype(np.float64) - weight
    np.testing.assert_array_equal(after.values["weight"], after.values["weight"].T)
    cosine = (step * slope).sum() / np.sqrt((step ** 2).sum() * (slope ** 2).sum())
    assert cosine > np.cos(np.radians(20))
