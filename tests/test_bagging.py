"""Bagging: bootstrap samples, and networks whose predictions are averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim

RNG = np.random.default_rng(9)
X = RNG.normal(size=(120, 4)).astype(np.float32)
Y = ((X[:, 0] + 0.5 * RNG.normal(size=120)) > 0).astype(np.int32)
DATA = {"x": X, "y": Y}


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def classifier(units: int) -> dlc.Task:
    net = nn.chain(nn.dense(units), nn.tanh, nn.dense(2))

    @dlc.task(optimizer=optim.adam(0.05), batch=30, epochs=3)
    def judge(x: f32["batch", 4], y: i32["batch"]) -> Any:
        logits = net(x)
        return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))

    return judge


@pytest.fixture(scope="module")
def networks() -> list[dlc.Network]:
    task = classifier(6)
    return [task.train(dlc.bootstrap(DATA, seed=k), seed=k).network for k in range(3)]


def test_the_mean_of_what_each_says(networks: list[dlc.Network]) -> None:
    """In f32 of a mean in f64: one rounding."""
    each = [net.predict(X) for net in networks]
    assert not np.allclose(each[0], each[1])
    np.testing.assert_allclose(dlc.ensemble(networks).predict(X), np.mean(each, 0), rtol=2e-7,
                               atol=2e-7)
    found = dlc.ensemble(networks, softmax).predict(x=X)
    np.testing.assert_allclose(found, np.mean([softmax(e) for e in each], 0), rtol=4e-7)
    np.testing.assert_allclose(found.sum(1), 1, rtol=4e-7)


def test_a_bootstrap_sample() -> None:
    """1 - 1/e of the rows, labels with their own; the same for the same seed; what is held out
    stays."""
    many = {"x": np.arange(20_000, dtype=np.float32)[:, None], "y": np.arange(20_000)}
    sample = dlc.bootstrap((many, DATA), seed=3)
    rows = sample.train["y"]
    np.testing.assert_array_equal(sample.train["x"][:, 0], rows)
    share = len(np.unique(rows)) / 20_000
    # the number of rows that are missed has a variance of n (1/e) (1 - 2/e)
    assert abs(share - (1 - np.exp(-1))) < 5 * np.sqrt(np.exp(-1) * (1 - 2 / np.e) / 20_000)
    np.testing.assert_array_equal(rows, dlc.bootstrap((many, DATA), seed=3).train["y"])
    assert (rows != dlc.bootstrap((many, DATA), seed=4).train["y"]).any()
    assert sample.test is not None
    np.testing.assert_array_equal(sample.test["x"], X)


@pytest.mark.parametrize(("make", "says"), [
    (lambda: dlc.ensemble([]), "no list of networks"),
    (lambda: dlc.ensemble(3), "no list of networks"),
    (lambda: dlc.bootstrap(iter([DATA])), "is a stream"),
    (lambda: dlc.bootstrap(DATA, seed=-1), "seed=-1"),
])
def test_what_does_not_fit(make: Any, says: str) -> None:
    with pytest.raises(DlcError, match=says):
        make()
