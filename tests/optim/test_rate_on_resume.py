"""A run goes on with another learning rate, also a constant; anything else is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn, optim
from dlc.runtime.train.checkpoint import CheckpointError

RNG = np.random.default_rng(2)
X = RNG.normal(size=(64, 3)).astype(np.float32)
DATA = {"x": X, "y": (X @ [1.0, 2.0, -1.0]).astype(np.float32)}
line = nn.dense(1)


def fitted(optimizer: optim.Optimizer) -> dlc.Task:
    @dlc.task(optimizer=optimizer, batch=8, epochs=2)
    def fit(x: f32["batch", 3], y: f32["batch"]) -> Any:
        said = line(x)[:, 0]
        return dlc.loss(nn.mse(said, y), prediction=said)

    return fit


def test_another_constant_is_what_a_schedule_gives(tmp_path: Path) -> None:
    """Two epochs at 0.1 and one at 0.02: bit for bit."""
    first = fitted(optim.momentum(0.1)).train(DATA, folder=tmp_path)
    done = fitted(optim.momentum(0.1)).train(DATA, folder=tmp_path, resume=True, epochs=3, lr=0.02)
    assert [record["train"]["lr"] for record in done.history] == [
        float(np.float32(rate)) for rate in (0.1, 0.1, 0.02)]
    steps = first.history[-1]["step"]
    whole = fitted(optim.momentum(optim.piecewise({0: 0.1, steps: 0.02}))).train(DATA, epochs=3)
    for name, value in whole.values.items():
        np.testing.assert_array_equal(done.values[name], value, err_msg=name)


@pytest.mark.swept(3)
@pytest.mark.parametrize(("before", "after"), [
    (optim.adam(1e-2), optim.adam(optim.cosine(1e-2))),
    (optim.adamw(optim.warmup(1e-2, epochs=1), weight_decay=0.1), optim.adamw(1e-3,
                                                                            weight_decay=0.1)),
    (optim.by_name({"*.bias": optim.sgd(0.1), "*": optim.adam(1e-2)}),
     optim.by_name({"*.bias": optim.sgd(0.01), "*": optim.adam(1e-3)})),
    (optim.adam(optim.plateau(0.1)), optim.adam(0.1)),
], ids=["to a schedule", "from a schedule", "of groups", "from a plateau"])
def test_rates_may_change(before: Any, after: Any, tmp_path: Path) -> None:
    first = fitted(before).train(DATA, folder=tmp_path)
    done = fitted(after).train(DATA, folder=tmp_path, resume=True, epochs=3)
    assert len(done.history) == 3 and done.history[:2] == first.history


@pytest.mark.parametrize(("after", "line"), [
    (optim.adam(1e-3, b1=0.8), "mul.*0.9.*and is.*0.8"),
    (optim.adam(1e-3, weight_decay=0.1), "what a step does has changed"),
])
def test_what_else_changed_is_told(after: Any, line: str, tmp_path: Path) -> None:
    """By its own line, although the rate has changed too."""
    fitted(optim.adam(1e-2)).train(DATA, folder=tmp_path)
    with pytest.raises(CheckpointError, match=line):
        fitted(after).train(DATA, folder=tmp_path, resume=True, epochs=3)
