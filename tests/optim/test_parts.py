"""Groups of parameters, accumulation, moving averages, plateaus; optimizers as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim
from dlc.optim.reading import from_text
from dlc.runtime.train.plateau import PlateauRule

RNG = np.random.default_rng(11)
X = RNG.normal(size=(64, 3)).astype(np.float32)
DATA = {"x": X, "y": (X @ [1.0, -2.0, 0.5] + 0.1).astype(np.float32)}
line = nn.dense(1)


def task(optimizer: optim.Optimizer, **options: Any) -> dlc.Task:
    @dlc.task(optimizer=optimizer, **{"batch": 8, **options})
    def fitted(x: f32["batch", 3], y: f32["batch"]) -> Any:
        said = line(x)[:, 0]
        return dlc.loss(nn.mse(said, y), prediction=said)

    return fitted


def steps(optimizer: optim.Optimizer, batch: int, count: int) -> list[dict[str, Any]]:
    """All values after each of `count` compiled steps on consecutive rows."""
    found = []
    with dlc.compile(task(optimizer), batch=batch).load() as run:
        names = [p.name for p in run.compiled.program.persistent]
        for step in range(count):
            rows = slice(step * batch % 64, step * batch % 64 + batch)
            run(DATA["x"][rows], DATA["y"][rows], entry="train")
            found.append({name: run.read(name) for name in names})
    return found


def close(a: Any, b: Any) -> None:
    """Sums of 32 terms in another order, over 8 updates of Adam, whose quotients are near 1."""
    np.testing.assert_allclose(a, b, rtol=0, atol=64 * float(np.finfo(np.float32).eps))


# --- accumulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: optim.adam(0.05, clip=optim.clip_by_norm(0.5)), lambda: optim.nadam(0.05),
    lambda: optim.by_name({"*.bias": optim.sgd(0.1), "*": optim.lion(0.01)}),
], ids=["adam", "nadam", "groups"])
def test_accumulated_steps_are_one_of_a_larger_batch(make: Any) -> None:
    whole = steps(make(), 32, 8)
    parts = steps(optim.accumulate(make(), 4), 8, 32)
    for update, values in enumerate(whole):
        after = parts[4 * update + 3]
        for name in ("line.weight", "line.bias"):
            close(after[name], values[name])
            assert after[f"gradient/{name}"].any() == 0
            between = parts[4 * update + 4: 4 * update + 7]
            assert all(np.array_equal(v[name], after[name]) for v in between)


# --- moving averages ------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
def test_the_average_follows_the_parameters(every: int) -> None:
    found = steps(optim.average(optim.accumulate(optim.sgd(0.1), every), 0.9), 8, 12)
    mean = None
    for step, values in enumerate(found):
        if (step + 1) % every == 0:
            p = values["line.weight"].astype(np.float64)
            mean = p if mean is None else 0.9 * mean + 0.1 * p
        if mean is not None:
            close(values["average/line.weight"], mean)


def test_evaluation_and_prediction_use_the_average(tmp_path: Path) -> None:
    """Before the first step it is the parameter itself."""
    averaged = task(optim.average(optim.sgd(0.1), 0.5), epochs=3)
    first = averaged.initial_values(averaged.graphs())
    np.testing.assert_array_equal(first["average/line.weight"], first["line.weight"])
    done = averaged.train(DATA, folder=tmp_path)
    w, b = (done.values[f"average/line.{k}"] for k in ("weight", "bias"))
    assert not np.array_equal(w, done.values["line.weight"])
    for net in (done.network, dlc.load(tmp_path / "last.safetensors")):
        np.testing.assert_allclose(net.predict(X), (X @ w + b)[:, 0], rtol=1e-5, atol=1e-6)
    again = task(optim.sgd(0.1), epochs=1).train(DATA, init=tmp_path, on_step=lambda m: True)
    assert again.start is not None and not again.start.unused


# --- groups ---------------------------------------------------------------------------------------


def test_groups_have_their_own_rates_and_decay() -> None:
    groups = {"*.bias": optim.sgd(0.0), "*": optim.sgd(0.1, weight_decay=0.5)}
    found, plain = steps(optim.by_name(groups), 8, 1)[0], steps(optim.sgd(0.1), 8, 1)[0]
    first = task(optim.sgd(0.1)).initial_values(task(optim.sgd(0.1)).graphs())
    np.testing.assert_array_equal(found["line.bias"], first["line.bias"])
    close(found["line.weight"], plain["line.weight"] - 0.05 * first["line.weight"])


@pytest.mark.parametrize(("make", "message"), [
    (lambda: optim.by_name({"*.bias": optim.sgd(0.1)}), "no pattern fits line.weight"),
    (lambda: optim.by_name({"*": optim.sgd(0.1), "*.bia": optim.sgd(0.1)}),
     r"no parameter is left for '\*\.bia'"),
    (lambda: optim.by_name({}), "there is no group"),
    (lambda: optim.by_name({"*": 0.1}), "is not a group"),
    (lambda: optim.by_name({"*": optim.accumulate(optim.sgd(0.1), 2)}), "can't be one of several"),
    (lambda: optim.accumulate(optim.sgd(0.1), 0), "0 steps of sgd"),
    (lambda: optim.average(optim.sgd(0.1), 1.0), "out of range"),
    (lambda: optim.muon(), "line.bias.*no matrix"),
    (lambda: optim.lbfgs(history=0), "history=0"), (lambda: optim.muon(steps=0), "steps=0"),
    (lambda: optim.plateau(0.1, factor=2.0), "factor=2.0"),
    (lambda: optim.one_cycle(0.1, rise=1.0), "rise=1.0"),
    (lambda: optim.by_name({"*.bias": optim.sgd(optim.plateau(0.1)),
                            "*": optim.sgd(optim.plateau(0.1, patience=3))}), "two schedules wait"),
])
def test_what_does_not_fit(make: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message):
        dlc.compile(task(make()))


def test_phases_have_parts_of_their_own() -> None:
    """Two phases, one on every second step, with gradients summed over two of its own steps: the
    average of one phase's parameters is kept apart from the other's moments."""
    left, right = nn.dense(1, name="left"), nn.dense(1, name="right")

    def one(x: f32["batch", 3], y: f32["batch"]) -> Any:
        return dlc.loss(nn.mse(left(x)[:, 0], y))

    def two(x: f32["batch", 3], y: f32["batch"]) -> Any:
        said = left(x)[:, 0] + right(x)[:, 0]
        return dlc.loss(nn.mse(said, y), prediction=said)

    both = dlc.task(name="both", batch=16, epochs=4, phases=[
        dlc.phase("one", one, optim.average(optim.adam(0.05), 0.5), params=left),
        dlc.phase("two", two, optim.accumulate(optim.momentum(0.05), 2), params=right, every=2)])
    done = both.train(DATA)
    names = set(done.values)
    assert {"one.adam.m/left.weight", "average/left.weight", "two.momentum.v/right.weight",
            "two.gradient/right.bias"} <= names and "average/right.weight" not in names
    w, b = (done.values[f"average/left.{k}"] + done.values[f"right.{k}"]
            for k in ("weight", "bias"))
    np.testing.assert_allclose(done.network.predict(X), (X @ w + b)[:, 0], rtol=1e-5, atol=1e-6)


def test_a_phase_averages_what_its_function_uses_alone() -> None:
    """The parameters of the other phase have no average, and are evaluated as they are."""
    left, right = nn.dense(1, name="left"), nn.dense(1, name="right")

    def one(x: f32["batch", 3], y: f32["batch"]) -> Any:
        return dlc.loss(nn.mse(left(x)[:, 0], y))

    def two(x: f32["batch", 3], y: f32["batch"]) -> Any:
        return dlc.loss(nn.mse(right(x)[:, 0], y))

    def whole(x: f32["batch", 3], y: f32["batch"]) -> Any:
        said = left(x)[:, 0] + right(x)[:, 0]
        return dlc.loss(nn.mse(said, y), prediction=said)

    both = dlc.task(name="both", batch=16, epochs=4, evaluate=whole, phases=[
        dlc.phase("one", one, optim.average(optim.adam(0.05), 0.5)),
        dlc.phase("two", two, optim.adam(0.05))])
    done = both.train(DATA)
    w, b = (done.values[f"average/left.{k}"] + done.values[f"right.{k}"]
            for k in ("weight", "bias"))
    assert not any(name.startswith("average/right") for name in done.values)
    np.testing.assert_allclose(done.network.predict(X), (X @ w + b)[:, 0], rtol=1e-5, atol=1e-6)


# --- plateaus -------------------------------------------------------------------------------------


def test_plateaus_are_counted() -> None:
    rule = PlateauRule(patience=1, threshold=0.1, cooldown=2)
    falling = [10.0, 9.5, 9.4, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    assert [rule.count(falling[:n], False) for n in range(11)] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert PlateauRule(1).count([1.0, 2.0, 2.0, 2.0, 3.0], True) == 1
    assert PlateauRule(0).count([], False) == 0


def test_the_rate_falls_on_a_plateau_and_a_resume_goes_on(tmp_path: Path) -> None:
    """Weights that don't move make every epoch after the first a plateau."""
    still = task(optim.sgd(optim.plateau(1e-12, 0.5, patience=1, threshold=0.5, least=2e-13)),
                 epochs=9)
    whole = still.train(DATA)
    rates = [r["train"]["lr"] for r in whole.history]
    assert rates == [np.float32(1e-12 * v) for v in (1, 1, 1, .5, .5, .25, .25, .2, .2)]
    still.train(DATA, folder=tmp_path, epochs=4)
    resumed = still.train(DATA, folder=tmp_path, resume=True)
    assert [r["train"]["lr"] for r in resumed.history] == rates


# --- as text --------------------------------------------------------------------------------------


def test_optimizers_are_read_from_text() -> None:
    for text, told, rate in (
            ("lion", "lion", "0.0001"), ("optim.adam(1e-3, b1=0.8)", "adam", "0.001"),
            ("accumulate(adamw(cosine(2e-3), clip=clip_by_norm(1.0)), 4)",
             "adamw every 4 steps", "cosine(0.002, 0)"),
            ("by_name({'*.bias': sgd(0.1), '*': muon(-0.0)})", "*.bias: sgd, *: muon", "0.1")):
        found = from_text(text)
        assert (str(found), str(found.learning_rate)) == (told, rate)
    assert {n for n in dir(optim) if isinstance(getattr(optim, n, None), type(optim.adam))} >= set(
        optim.NAMES)


@pytest.mark.parametrize(("text", "message"), [
    ("adm", "there is no 'adm' \\(did you mean adam"), ("adam(", "is not an expression of Python"),
    ("adam(rate=1)", "no argument rate="), ("cosine(0.1)", "is not an optimizer"),
    ("adam(__import__('os'))", "there is no '__import__'"), ("adam(x)", "optimizer=adam"),
    ("os.system('x')", "there is no 'os.system'"), ("3", "there is no '3'"),
])
def test_text_that_is_no_optimizer(text: str, message: str) -> None:
    with pytest.raises(DlcError, match=message):
        from_text(text)


def test_options_take_an_optimizer_and_its_rate() -> None:
    changed = task(optim.sgd(0.1)).with_options(lr="0.5", optimizer="lion")
    optimizer = changed.phases[0].optimizer
    assert optimizer is not None
    assert (str(optimizer), str(optimizer.learning_rate)) == ("lion", "0.5")
    done = task(optim.sgd(0.1)).train(DATA, optimizer=optim.adam(0.1), epochs=1)
    assert "adam.m/line.weight" in done.values
