"""What a report asks a trained network: texts of one length and of several, samples, limits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn, optim
from dlc.runtime.report import answers
from dlc.runtime.report.answers import ask
from dlc.runtime.report.text import WRITTEN, bits
from dlc.runtime.train.measure import evaluate, held_out_runs
from dlc.task_training import Prepared, configure, dataset_of, prepare

LINES = "\n".join(f"{a} is {b}" for a in ("a cat", "the old house", "x") for b in (
    "red", "very blue", "y", "green", "as it was"))
LETTERS = len(set(LINES))


def forward(codes: dlc.Node, targets: dlc.Node, ahead: bool = False) -> dlc.Loss:
    """Scores of the next character by the one before it; with `ahead`, by all."""
    seen = nn.embedding(LETTERS, 4, name="seen")(codes)
    if ahead:
        seen = seen + seen.mean(1)[:, None]
    return dlc.loss(nn.cross_entropy(nn.dense(LETTERS, name="say")(seen), targets))


def windows(x: i32["batch", 6], y: i32["batch", 6]) -> dlc.Loss:
    return forward(x, y)


def lines(x: i32["batch", "time<=30"], y: i32["batch", "time<=30"]) -> dlc.Loss:
    return forward(x, y)


def ahead(x: i32["batch", 6], y: i32["batch", 6]) -> dlc.Loss:
    return forward(x, y, True)


def prepared(function: object, data: object) -> Prepared:
    task = dlc.task(data=data, optimizer=optim.adam(1e-2), batch=4)(function)
    found = prepare(task, dataset_of(task), threads=1)
    for name, value in found.compiled.initial_values(1).items():
        found.loaded.write(name, value)
    return found


@pytest.mark.swept(3)
@pytest.mark.parametrize(("function", "options"), [
    (windows, "length=6"), (lines, "lines=1"), (ahead, "length=6")], ids=lambda v: getattr(
        v, "__name__", ""))
def test_bits_of_a_text_are_its_loss(function: object, options: str, tmp_path: Path) -> None:
    """The mean over all held-out characters, of windows and of lines of several lengths."""
    (tmp_path / "lines.txt").write_text(LINES)
    run = prepared(function, f"{tmp_path}/lines.txt?{options}")
    with run.loaded:
        found = ask(run.loaded, run.dataset, run.compiled.program.meta["subject"])
        odd: list[object] = []
        means, _ = evaluate(run.loaded, held_out_runs(run.loaded, run.dataset),
                            configure(run), lambda: True, odd.append)
    cost = bits(found)
    assert found.is_text and cost is not None and means is not None and not odd
    held = run.dataset.test
    assert held is not None and cost.size == held["y"].size
    # f32 sums of a hundred terms of size 3
    np.testing.assert_allclose(cost.mean() * np.log(2), means["loss"], rtol=1e-5)
    texts = [t.text for t in found.texts]
    assert len(texts) == (0 if function is ahead else 3), "none of a network that looks ahead"
    assert all(len(text) == WRITTEN and set(text) <= set(LINES) for text in texts)


def test_training_data_are_asked_whole_where_there_are_no_test_data(
        rng: np.random.Generator) -> None:
    """In batches of 4 and of 40, larger than the data: each row's own prediction, in order."""
    given = {"x": rng.normal(size=(10, 3)).astype(np.float32)}

    def triple(x: f32["batch", 3]) -> dlc.Loss:
        w = dlc.parameter("w", f32[()], dlc.init.ones)
        return dlc.loss(nn.mse(x * w * 3.0, x))

    for batch in (4, 40):
        task = dlc.task(data=(given, given), optimizer=optim.sgd(0.1), batch=batch)(triple)
        data = replace(dataset_of(task), test=None)
        run = prepare(task, data, threads=1)
        with run.loaded:
            run.loaded.write("w", np.float32(1))
            found = ask(run.loaded, data, run.compiled.program.meta["subject"])
        assert (found.part, found.of) == ("training", 10)
        np.testing.assert_array_equal(found.prediction, given["x"] * np.float32(3))


def test_predictions_are_limited_and_samples_are_of_one_batch(
        monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(answers, "LIMIT", 40)
    given = {"x": rng.normal(size=(50, 3)).astype(np.float32)}

    def copy(x: f32["batch", 3]) -> dlc.Loss:
        return dlc.loss(nn.mse(nn.dense(3, name="copy")(x), x))

    def made(x: f32["batch", 3]) -> dlc.Loss:
        fake = nn.dense(3, name="make")(dlc.random.normal((int(x.shape[0]), 2)))
        return dlc.loss(dlc.square(fake.mean(0) - x.mean(0)).sum(), prediction=fake)

    for function, kind, rows in ((copy, "reconstruction", 4), (made, "samples", 40)):
        run = prepared(function, given)
        with run.loaded:
            found = ask(run.loaded, run.dataset, run.compiled.program.meta["subject"])
        assert found.kind == kind and found.prediction is not None
        assert found.prediction.shape == (4, 3) and len(found.arrays["x"]) == rows
        assert found.of == (10 if kind == "reconstruction" else 40)
