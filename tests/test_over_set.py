"""Metrics of a whole data set: exact, whatever the batches; what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.cli import main
from dlc.compiler import task_source
from dlc.runtime.data import load_dataset

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 3)).astype(np.float32)
LABEL = RNG.integers(0, 3, 90).astype(np.int32)
ROWS = {"x": X, "label": LABEL}
net = nn.dense(3)
OPTIONS: dict[str, Any] = {"optimizer": optim.sgd(0.1), "epochs": 2, "batch": 16}


def macro(logits: Any, label: Any) -> Any:
    return nn.f1(logits, label).mean()


@dlc.task(**OPTIONS)
def graded(x: f32["batch", 3], label: i32["batch"]) -> Any:
    logits = net(x)
    is_first = dlc.cast(label == 0, f32)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label),
                    f1=dlc.over_set(macro, logits, label),
                    auc=dlc.over_set(nn.auc, logits[:, 0], is_first))


def area(scores: Any, positive: Any) -> float:
    """The share of pairs that are in order, pair by pair."""
    ahead = scores[positive][:, None] - scores[~positive][None]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


def macro_f1(said: Any, label: Any) -> float:
    def of(k: int) -> float:
        right = ((said == k) & (label == k)).sum()
        return float(2 * right / max((said == k).sum() + (label == k).sum(), 1))

    return float(np.mean([of(k) for k in range(3)]))


@pytest.mark.swept(2)
@pytest.mark.parametrize("batch", [4, 16, 64])
def test_the_whole_set_is_judged_whatever_the_batch(batch: int) -> None:
    """18 rows are held out: batches of 4 leave a tail, one of 64 is never full."""
    done = graded.train(ROWS, batch=batch)
    test = load_dataset(ROWS).test or {}
    scores = done.network.predict(test["x"])
    eps = 2 * float(np.finfo(np.float32).eps)  # a quotient, rounded, and a mean of three
    assert done.metrics["auc"] == pytest.approx(area(scores[:, 0], test["label"] == 0), rel=eps)
    assert done.metrics["f1"] == pytest.approx(macro_f1(scores.argmax(1), test["label"]), rel=eps)


def test_scores_that_are_equal_count_half() -> None:
    for size in (2, 7, 40):
        scores = RNG.integers(0, 4, size).astype(np.float32)
        target = RNG.integers(0, 2, size).astype(np.float32)
        target[:2] = 0, 1
        found = dlc.evaluate(nn.auc, scores, target)
        with dlc.compile(dlc.trace(nn.auc, f32[size], f32[size])).load() as run:
            assert float(run(scores, target)) == float(found)
        assert found == pytest.approx(area(scores, target > 0.5), rel=1e-7)
    assert np.isnan(dlc.evaluate(nn.auc, np.ones(3, np.float32), np.ones(3, np.float32)))


def test_the_inception_score_is_the_mean_divergence_from_the_mean_row() -> None:
    """1 where all rows are alike, the number of classes where each is sure and all occur alike."""
    for logits in (RNG.normal(size=(40, 5)), 30.0 * np.eye(4), np.tile(RNG.normal(size=3), (7, 1))):
        x = logits.astype(np.float32)
        sure = np.exp(x.astype(np.float64))
        sure /= sure.sum(1, keepdims=True)
        exact = np.exp((sure * np.log(sure / sure.mean(0))).sum(1).mean())
        with dlc.compile(dlc.trace(nn.inception_score, f32[x.shape])).load() as run:
            found = [float(run(x)), float(dlc.evaluate(nn.inception_score, x))]
        # logarithms of up to 30, each rounded a few times
        assert found == pytest.approx([exact, exact], rel=200 * float(np.finfo(np.float32).eps))
    with pytest.raises(DlcError, match="logits are floats"):
        dlc.evaluate(nn.inception_score, np.ones(3, np.float32))


def test_a_monitor_stops_by_the_whole_set() -> None:
    """A rate of 0 makes no epoch better than the first."""
    done = graded.train(ROWS, monitor="auc", patience="2", epochs=9, lr=0)
    assert len(done.history) == 3 and done.result.best_epoch == 1


def test_evaluate_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("rows.npz", **ROWS)
    source = Path(__file__).read_text().partition("def area(")[0]
    Path("graded.py").write_text(source.replace('"epochs": 2,', '"data": "rows.npz", "epochs": 2,'))
    assert main(["train", "graded.py", "--out", "run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["metrics"]
    assert main(["evaluate", "graded.py", "--weights", "run/last.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == {
        "loss": pytest.approx(0, abs=9), **told}


def test_without_the_size_of_the_set_it_is_the_mean_over_batches() -> None:
    compiled = dlc.compile(graded, batch=16)
    assert "eval_set" not in compiled.program.entries
    assert {p.name for p in compiled.program.entries["eval"].outputs} >= {"f1", "auc", "f1.rows0"}


@pytest.mark.parametrize(("make", "message"), [
    (lambda x, y: dlc.over_set(nn.f1, x, y), "not one number"),
    (lambda x, y: dlc.over_set(macro), "nothing has no rows"),
    (lambda x, y: dlc.over_set(nn.auc, x.sum(), y), "has no rows"),
    (lambda x, y: dlc.over_set(nn.auc, x.sum(0), dlc.cast(y[:3], f32)), "no row for each of the 8"),
])
def test_what_is_no_metric_of_a_set(make: Any, message: str) -> None:
    @dlc.task(optimizer=optim.sgd(0.1), batch=8)
    def wrong(x: f32["batch", 3], label: i32["batch"]) -> Any:
        return dlc.loss(nn.cross_entropy(net(x), label), wrong=make(x, label))

    with pytest.raises(DlcError, match=message):
        dlc.compile(wrong)


def test_outside_of_a_task() -> None:
    with pytest.raises(DlcError, match="only there while a function is traced"):
        dlc.over_set(nn.auc, X[:, 0], X[:, 0])


def test_a_task_without_rows_is_evaluated() -> None:
    """No data at all, and a scalar alone: nothing has a first axis."""
    def lone() -> dlc.Loss:
        weight = dlc.parameter("weight", f32[3], dlc.init.ones)
        return dlc.loss((weight * weight).sum())

    def scaled(x: f32[()]) -> dlc.Loss:
        weight = dlc.parameter("weight", f32[3], dlc.init.ones)
        return dlc.loss((weight * weight).sum() * x)

    for function in (lone, scaled):
        entries = dlc.compile(dlc.task(optimizer=optim.sgd(0.1))(function)).program.entries
        assert set(entries) == {"train", "eval"}


def test_a_program_is_found_again_from_another_line() -> None:
    """The entry of the whole set has the lines of the task, not those of who compiles it."""
    tails = {"set": len(X)}
    first = task_source(graded, 16, tails)
    again = task_source(graded, 16, tails)
    assert first.texts["eval_set"] == again.texts["eval_set"]
    assert first.kept("cpu", "scalar").key == again.kept("cpu", "scalar").key
