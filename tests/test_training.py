"""`task.train`: data, hooks, weights to start from, going on; mistakes before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.runtime.data import load_dataset
from dlc.runtime.train.checkpoint import read_checkpoint
from dlc.runtime.train.loop import train as run_loop
from dlc.runtime.train.tensorfile import CheckpointError
from dlc.runtime.train.training import TrainingFault, config_from_meta
from dlc.starting import another_name, fits, renamed

X = np.random.default_rng(3).normal(size=(25, 3)).astype(np.float32)
DATA = {"x": X, "y": (X @ [1.0, -2.0, 0.5]).astype(np.float32)}
line = nn.dense(1)
normed = nn.chain(nn.batch_norm(), nn.dense(1))
OPTIONS: dict[str, Any] = {"batch": 8, "epochs": 3}


def loss_of(layer: Any, x: Any, y: Any) -> Any:
    return dlc.loss(nn.mse(layer(x)[:, 0], y))


@dlc.task(optimizer=optim.adam(optim.cosine(0.1)), **OPTIONS)
def fitted(x: f32["batch", 3], y: f32["batch"]) -> Any:
    return loss_of(line, x, y)


@dlc.task(optimizer=optim.sgd(0.05), **OPTIONS)
def standard(x: f32["batch", 3], y: f32["batch"]) -> Any:
    return loss_of(normed, x, y)


@dlc.task(optimizer=optim.sgd(0.05), **OPTIONS)
def looked_up(x: i32["batch"], y: f32["batch"]) -> Any:
    return dlc.loss(nn.mse(nn.embedding(3, 1)(x)[:, 0], y))


def test_arrays_options_and_the_result() -> None:
    """20 rows of 25 in batches of 8: two full ones and a tail of 4; 5 are held out."""
    done = fitted.train(DATA, epochs=40, seed=1)
    assert done.result.steps == 120 and len(done.history) == 40
    assert done.metrics == done.history[-1]["test"] and done.metrics["loss"] < 0.05
    assert done.values["step"] == 120 and done.start is None
    found = done.network.predict(X)
    np.testing.assert_allclose(found, DATA["y"], atol=3 * done.metrics["loss"] ** 0.5)


def test_hooks_see_what_the_run_sees() -> None:
    """With a hook per step the run is the same, bit for bit; the steps' losses make the epoch's."""
    steps: list[Any] = []
    epochs: list[Any] = []
    watched = fitted.train(DATA, on_step=lambda m: steps.append((m, m.read("line.weight"))),
                           on_epoch=lambda m: epochs.append(m))
    plain = fitted.train(DATA)
    for name, value in plain.values.items():
        assert value.tobytes() == watched.values[name].tobytes(), name
    assert [m.step for m, _ in steps] == list(range(1, 10))
    assert [(m.epoch, m.step) for m in epochs] == [(1, 3), (2, 6), (3, 9)]
    assert epochs[2].metrics == plain.history[2]["train"]
    assert epochs[2].test == plain.history[2]["test"]
    weighted = [m.metrics["loss"] * n for (m, _), n in zip(steps[:3], (8, 8, 4), strict=True)]
    assert sum(weighted) / 20 == epochs[0].metrics["loss"] and steps[0][0].test is None
    assert not np.array_equal(steps[0][1], steps[1][1])


def test_a_hook_ends_the_training_and_changes_values(tmp_path: Path) -> None:
    done = fitted.train(DATA, folder=tmp_path, on_step=lambda m: m.step == 4)
    assert (done.result.steps, done.result.stopped_early) == (4, True)
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == 4

    def zeroed(moment: Any) -> bool:
        moment.write("line.bias", np.zeros(1, np.float32))
        return moment.epoch == 2

    done = fitted.train(DATA, on_epoch=zeroed)
    assert len(done.history) == 2 and done.values["line.bias"] == 0


# --- weights to start from ------------------------------------------------------------------------


def test_weights_come_from_a_checkpoint_a_network_or_arrays(tmp_path: Path) -> None:
    first = fitted.train(DATA, folder=tmp_path)
    for init in (tmp_path / "last.safetensors", first.network, first.values,
                 {k: first.values[k] for k in ("line.weight", "line.bias")}):
        again = fitted.train(DATA, init=init, on_step=lambda m: True)
        fresh = fitted.train(DATA, init=first.values, on_step=lambda m: True)
        assert again.start is not None and not again.start.missing and not again.start.unused
        assert again.values["line.weight"].tobytes() == fresh.values["line.weight"].tobytes()
        assert again.values["adam.m/line.weight"].any() and again.values["step"] == 1
    save_file({"line.weight": first.values["line.weight"]}, tmp_path / "other.safetensors")
    part = fitted.train(DATA, init=tmp_path / "other.safetensors", epochs=1).start
    assert part is not None and part.missing == ("line.bias",)


def test_running_statistics_are_weights() -> None:
    first = standard.train(DATA)
    start = standard.train(DATA, init=first.values, epochs=1).start
    assert start is not None
    assert sum(name.endswith((".mean", ".var")) for name in start.values) == 2
    assert len(start.values) == 6 and not start.unused


def test_what_fitted_is_told() -> None:
    init = {"old/weight": np.ones((3, 1), np.float32), "old/bias": np.ones(2, np.float32),
            "extra": np.ones(1), "adam.m/old/weight": np.ones((3, 1), np.float32)}
    start = fitted.train(DATA, init=init, rename={"old/*": "line.*"}, epochs=1).start
    assert str(start) == ("started from arrays: 1 of 2 values taken\n"
                          "  do not fit: line.bias (is float32[2], float32[1] is wanted)\n"
                          "  not used: extra")


@pytest.mark.parametrize(("options", "message"), [
    ({"init": {"a": X}}, "nothing in it fits fitted"),
    ({"init": {"a": X}, "rename": {"b": "c"}}, "no array is called 'b'"),
    ({"init": {"a": X, "b": X}, "rename": {"a": "b"}}, "two arrays would be called 'b'"),
    ({"init": 3}, "init=3 has no weights"), ({"rename": {"a": "b"}}, "rename without init"),
])
def test_weights_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DlcError, match=message):
        fitted.train(DATA, **options)


def test_names_change_by_rule() -> None:
    assert fits("a/*.w", "a/b/c.w") and not fits("a/*.w", "a.w") and not fits("ab*ba", "aba")
    assert another_name("a/b/c.w", "a/*.w", "x.*") == "x.b/c"
    arrays = {"a/w": X, "a/b": X, "c": X}
    assert list(renamed(arrays, {"a/w": "first", "a/*": "*"})) == ["first", "b", "c"]


# --- going on -------------------------------------------------------------------------------------


def test_more_epochs_on_another_schedule(tmp_path: Path) -> None:
    """The rate goes on where a run of six epochs has it at that step."""
    fitted.train(DATA, folder=tmp_path)
    done = fitted.train(DATA, folder=tmp_path, resume=True, epochs=6)
    assert [r["epoch"] for r in done.history] == [1, 2, 3, 4, 5, 6]
    whole = fitted.train(DATA, epochs=6)
    assert [r["train"]["lr"] for r in done.history[3:]] == [
        r["train"]["lr"] for r in whole.history[3:]]
    assert done.history[1]["train"]["lr"] != whole.history[1]["train"]["lr"]


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    fitted.train(DATA, folder=tmp_path)
    with pytest.raises(CheckpointError, match=r"its data have changed: it was `data x: float32"):
        fitted.train({**DATA, "x": X + 1}, folder=tmp_path, resume=True)
    with pytest.raises(CheckpointError, match="seed 0, not 1"):
        fitted.train(DATA, folder=tmp_path, resume=True, seed=1)
    other = dlc.task(optimizer=optim.adam(optim.cosine(0.1), b1=0.8), name="fitted", **OPTIONS)(
        fitted.evaluate)
    with pytest.raises(CheckpointError, match=r"mul\(.*0\.9\).*test_training.py.*mul\(.*0\.8\)"):
        other.train(DATA, folder=tmp_path, resume=True)


# --- mistakes -------------------------------------------------------------------------------------


def test_a_fault_is_told_as_the_command_line_tells_it() -> None:
    rows = {"x": np.array([0, 1, 2, 7] * 5), "y": np.zeros(20, np.float32)}
    with pytest.raises(TrainingFault, match=r"(?s)step \d.*test_training\.py.*7"):
        looked_up.train(rows)


def test_without_data_and_with_a_wrong_monitor() -> None:
    with pytest.raises(DlcError, match="fitted names no data to train on"):
        fitted.train()
    with pytest.raises(DlcError, match="has no metric 'accuracy' to monitor"):
        fitted.train(DATA, monitor="accuracy")
    for option in ({"threads": 0}, {"seed": -1}, {"epochs": 0}, {"optimizer": "adm"}, {"rate": 1}):
        with pytest.raises(DlcError):
            fitted.train(DATA, **option)


def test_a_program_without_the_smaller_last_batch_is_refused_at_once() -> None:
    compiled = dlc.compile(fitted, batch=8)
    data = load_dataset(DATA)
    config = config_from_meta(compiled.program.meta, compiled.program)
    with compiled.load() as loaded, pytest.raises(DlcError, match=(
            r"the last batch of an epoch has 4 of the 20 samples.*tails=dataset\.tails\(8\)")):
        run_loop(loaded.running, config, data, None, compiled.initial_values())
    assert data.tails(8) == {"train": 4, "eval": 5, "set": 5}
