"""The training loop on a Program written by hand: numbers, resume, faults, streams, phases."""

from __future__ import annotations

import errno
import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.runtime import load
from dlc.runtime.data import Dataset, epoch_order
from dlc.runtime.train import checkpoint as checkpoint_module
from dlc.runtime.train.alternation import TrainPhase
from dlc.runtime.train.checkpoint import CheckpointError, read_checkpoint
from dlc.runtime.train.loop import Trainer, train
from dlc.runtime.train.training import Callbacks, Fault, TrainingFault, config_from_meta
from tests.runtime.handmade import final_bytes, initial, make_data, make_program
from tests.runtime.looping import CONFIG, Watcher, run, without_times


@pytest.fixture(scope="module")
def loaded() -> Iterator[Any]:
    program = load(make_program(), threads=1)
    yield program
    program.close()


def reference(epochs: int) -> tuple[np.ndarray, float, list[float], list[float]]:
    """The same training in NumPy: w, b, mean training loss and test loss of every epoch."""
    data = make_data()
    x, y = data.train["x"].astype(np.float64), data.train["y"][:, 0].astype(np.float64)
    assert data.test is not None
    tx, ty = data.test["x"].astype(np.float64), data.test["y"][:, 0].astype(np.float64)
    w, b, step = np.zeros(3), 0.0, 0
    losses, tests = [], []
    for epoch in range(epochs):
        order, total = epoch_order(3, epoch, len(x)), 0.0
        for start in range(0, len(x), 16):
            rows = order[start:start + 16]
            off = x[rows] @ w + b - y[rows]
            total += float(np.sum(off * off))
            rate = 0.2 / (1 + 0.01 * step)
            w, b, step = w - rate * (off @ x[rows]) / len(rows), b - rate * off.mean(), step + 1
        losses.append(total / len(x))
        tests.append(float(np.mean((tx @ w + b - ty) ** 2)))
    return w, b, losses, tests


def test_numbers_match_numpy(loaded: Any, tmp_path: Path) -> None:
    watcher = Watcher()
    result, _ = run(loaded, tmp_path, watcher)
    w, b, losses, tests = reference(4)
    np.testing.assert_allclose(loaded.read("w"), w, rtol=1e-4)
    np.testing.assert_allclose(loaded.read("b"), b, rtol=1e-4)
    assert int(loaded.read("seen")) == 4 * 85
    assert [r["step"] for r in result.history] == [6, 12, 18, 24]
    np.testing.assert_allclose([r["train"]["loss"] for r in result.history], losses, rtol=1e-4)
    np.testing.assert_allclose([r["test"]["loss"] for r in result.history], tests, rtol=1e-4)
    np.testing.assert_allclose(result.history[0]["train"]["lr"], 0.2 / 1.05, rtol=1e-6)
    assert (result.epochs, result.steps, result.parameters) == (4, 24, 4)
    assert result.train_loss == result.history[-1]["train"]["loss"]
    assert result.test_loss == result.history[-1]["test"]["loss"]
    assert list(result.metrics) == ["gap"] and result.step_ms is not None and result.step_ms > 0
    assert result.peak_bytes == loaded.allocated_bytes
    assert watcher.started == (85, 6, 0) and watcher.closed and len(watcher.records) == 4
    assert result.checkpoint == tmp_path / "last.safetensors"
    saved = read_checkpoint(result.checkpoint)
    assert saved.arrays["w"].tobytes() == loaded.read("w").tobytes()
    assert saved.position.epoch == 4 and saved.position.step == 24


def test_json_has_the_documented_keys(loaded: Any, tmp_path: Path) -> None:
    result, _ = run(loaded, tmp_path, epochs=1, compile_s=1.5)
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"model", "target", "epochs", "steps", "train_loss", "test_loss", "metrics", "step_ms",
            "compile_s", "peak_bytes", "parameters", "checkpoint"} <= set(record)
    assert record["model"] == "line" and record["compile_s"] == 1.5
    result.test_loss, result.metrics["gap"] = float("nan"), float("inf")
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert record["test_loss"] is None and record["metrics"] == {"gap": None}


def test_json_shows_metrics_in_the_digits_of_their_dtype(loaded: Any, tmp_path: Path) -> None:
    result, _ = run(loaded, tmp_path, epochs=1)
    result.train_loss = result.metrics["gap"] = float(np.float32(0.99444443))
    assert '"gap": 0.99444443,' in json.dumps({**result.to_json()["metrics"], "end": 0})
    assert result.to_json()["train_loss"] == 0.99444443 != result.train_loss
    result.in_f64 = frozenset({"gap"})
    assert result.to_json()["metrics"] == {"gap": result.metrics["gap"]}
    result.step_ms = 0.7247909998113755
    assert result.to_json()["step_ms"] == 0.724791


def test_metrics_are_shown_within_an_epoch(loaded: Any) -> None:
    shown: list[tuple[int, float]] = []

    class Shown(Watcher):
        def advance(self, done: int, metrics: Mapping[str, float]) -> None:
            shown.append((done, metrics["loss"]))

    slow = Trainer(loaded, CONFIG, make_data(), None, Callbacks(Shown()))
    slow.position.step = 2
    losses = np.arange(1, 301, dtype=np.float32)
    log = {("train", name): losses for name in ("loss", "gap", "lr")}
    assert slow.watcher(slow.feed.bound(0, False))(250, log)
    assert shown == [(250, float(np.mean(losses[150:250])))]


def test_seed_changes_the_order_alone(loaded: Any) -> None:
    first, second, third = (run(loaded, None, seed=s)[1] for s in (3, 3, 4))
    assert first == second != third


@pytest.mark.parametrize("at", [(0, 3), (1, 5), (1, 6), (2, 3), (3, 6)])
def test_interrupt_and_resume_is_as_if_nothing_happened(loaded: Any, tmp_path: Path,
                                                        at: tuple[int, int]) -> None:
    whole, expected = run(loaded, None)
    watcher = Watcher(at)
    stopped, _ = run(loaded, tmp_path, watcher, resume_hint="dlc train line --resume")
    assert stopped.interrupted == signal.SIGINT and stopped.steps < 25
    assert watcher.notes[-1].endswith("resume with: dlc train line --resume") and watcher.closed
    saved = read_checkpoint(tmp_path / "last.safetensors").position
    assert saved.step == stopped.steps
    resumed, found = run(loaded, tmp_path, Watcher(), resume=True)
    assert found == expected and resumed.interrupted == 0
    assert without_times(resumed.history) == without_times(whole.history)
    assert resumed.best_epoch == whole.best_epoch


def test_handlers_are_put_back(loaded: Any) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run(loaded, None, epochs=1)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_resume_of_every_checkpoint_on_the_way(loaded: Any, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had been switched off right after each save."""
    kept: list[bytes] = []
    real = checkpoint_module.write_checkpoint

    def keep(path: Path, checkpoint: Any) -> None:
        real(path, checkpoint)
        if path.name == "last.safetensors":
            kept.append(path.read_bytes())

    monkeypatch.setattr(checkpoint_module, "write_checkpoint", keep)
    whole, expected = run(loaded, tmp_path / "a")
    monkeypatch.undo()
    assert len(kept) >= 8
    for number, content in enumerate(kept):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "last.safetensors").write_bytes(content)
        resumed, found = run(loaded, folder, resume=True)
        assert found == expected
        assert without_times(resumed.history) == without_times(whole.history)


def test_resume_without_a_checkpoint_says_so(loaded: Any, tmp_path: Path) -> None:
    watcher = Watcher()
    _, found = run(loaded, tmp_path / "new", watcher, resume=True)
    assert found == run(loaded, None)[1]
    assert "training from the beginning" in watcher.notes[0]


def test_resume_of_a_finished_run(loaded: Any, tmp_path: Path) -> None:
    first, expected = run(loaded, tmp_path)
    again, found = run(loaded, tmp_path, resume=True)
    assert found == expected and again.steps == first.steps
    assert again.step_ms is not None and again.checkpoint == first.checkpoint
    longer, _ = run(loaded, tmp_path, resume=True, epochs=6)
    whole, expected = run(loaded, None, epochs=6)
    assert final_bytes(loaded) == expected and longer.steps == whole.steps


@pytest.mark.parametrize("damage", [b"", b"truncated", None])
def test_damaged_last_resumes_from_previous(loaded: Any, tmp_path: Path,
                                            damage: bytes | None) -> None:
    _, expected = run(loaded, None)
    run(loaded, tmp_path, Watcher((2, 3)))
    last = tmp_path / "last.safetensors"
    content = last.read_bytes()
    last.write_bytes(content[:-7] if damage == b"truncated" else damage or content[::-1])
    watcher = Watcher()
    _, found = run(loaded, tmp_path, watcher, resume=True)
    assert found == expected
    assert "cannot be used" in watcher.notes[0] and "resumed at step" in watcher.notes[1]
    assert read_checkpoint(tmp_path / "previous.safetensors").identity.seed == 3
    assert (tmp_path / "best.safetensors").is_file()


def test_fresh_run_leaves_nothing_of_an_earlier_one(loaded: Any, tmp_path: Path) -> None:
    run(loaded, tmp_path, seed=9)
    run(loaded, tmp_path, Watcher((0, 3)))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["last.safetensors"]
    assert read_checkpoint(tmp_path / "last.safetensors").identity.seed == 3


@pytest.mark.parametrize(("changes", "words"), [
    ({"seed": 4}, "seed 3, not 4"), ({"model": "curve"}, "'line', not 'curve'"),
    ({"task": "other"}, "what a step does has changed: it was `nothing` and is `other`"),
])
def test_resume_of_another_run_is_refused(loaded: Any, tmp_path: Path, changes: dict[str, Any],
                                          words: str) -> None:
    run(loaded, tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=words):
        run(loaded, tmp_path, resume=True, **changes)


def test_full_disk_is_a_warning(loaded: Any, tmp_path: Path,
                                monkeypatch: pytest.MonkeyPatch) -> None:
    _, expected = run(loaded, None)
    real, calls = checkpoint_module.replace_file, []

    def full(path: Path, content: bytes) -> None:
        calls.append(path.name)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(checkpoint_module, "replace_file", full)
    watcher = Watcher()
    result, found = run(loaded, tmp_path, watcher)
    assert found == expected and result.steps == 24
    warning = next(n for n in watcher.notes if n.startswith("warning"))
    assert "No space left on device" in warning and "step 3 stays" in warning
    assert result.checkpoint is None
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == 3
    monkeypatch.undo()
    assert run(loaded, tmp_path, resume=True)[1] == expected


def spoilt(row: int = 40) -> Dataset:
    data = make_data()
    x = data.train["x"].copy()
    x[row] = 1e25
    return replace(data, train={"x": x, "y": data.train["y"]})


def test_fault_stops_with_step_and_cause(loaded: Any, tmp_path: Path) -> None:
    order = epoch_order(3, 0, 85).tolist()
    step = order.index(40) // 16
    seen: list[Fault] = []

    def explain(fault: Fault) -> str:
        seen.append(fault)
        return "multiply gives inf        models/line.py:3"

    callbacks = Callbacks(Watcher(), explain)
    with pytest.raises(TrainingFault) as caught:
        train(loaded, CONFIG, spoilt(), tmp_path, initial, callbacks)
    assert str(caught.value) == (f"step {step} (epoch 1, batch {step + 1}): multiply gives inf"
                                 "        models/line.py:3")
    assert caught.value.fault is seen[0] and seen[0].code == 7 and seen[0].entry == "train"
    assert np.float32(1e25) in seen[0].inputs["x"]
    assert int(loaded.read("seen")) == 16 * step, "the update of the faulty step was not kept"
    assert np.isfinite(loaded.read("w")).all()
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == step
    with pytest.raises(TrainingFault, match=f"step {step} .*fault 7"):
        run(loaded, tmp_path, data=spoilt(), resume=True)


def test_fault_in_the_test_data(loaded: Any, tmp_path: Path) -> None:
    data = make_data()
    assert data.test is not None
    data.test["x"][20] = 1e25
    with pytest.raises(TrainingFault, match=r"step 6 \(epoch 1, testing\)") as caught:
        run(loaded, tmp_path, data=data)
    assert caught.value.fault.entry == "eval"
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == 6


def test_patience_and_best(loaded: Any, tmp_path: Path) -> None:
    """The largest gap as something to maximize: it falls at once, so the first epoch is best."""
    result, _ = run(loaded, tmp_path, monitor="gap", higher_is_better=True, patience=2, epochs=50)
    assert result.stopped_early and result.epochs == 3 and result.best_epoch == 1
    best = read_checkpoint(tmp_path / "best.safetensors")
    assert best.position.step == 6 and best.position.best_epoch == 1
    falling, _ = run(loaded, tmp_path, patience=2, epochs=6)
    assert not falling.stopped_early and falling.best_epoch == 6
    again, _ = run(loaded, tmp_path, patience=2, epochs=6, resume=True)
    assert again.steps == falling.steps


@pytest.mark.parametrize(("monitor", "fields", "rises"), [
    ("loss", {}, False), ("accuracy", {}, True), ("gap", {}, False), ("top5_accuracy", {}, True),
    ("accuracy", {"higher_is_better": False}, False), ("loss", {"higher_is_better": True}, True),
])
def test_what_is_better(monitor: str, fields: dict[str, Any], rises: bool) -> None:
    config = replace(CONFIG, monitor=monitor, **fields)
    assert config.is_better(0.5, None)
    assert config.is_better(0.6, 0.5) == rises and config.is_better(0.4, 0.5) != rises
    assert not config.is_better(0.5, 0.5) and not config.is_better(float("nan"), 0.5)
    assert config.is_better(0.5, float("nan"))


def test_settings_from_a_tasks_meta_data() -> None:
    program = make_program()
    check = {"text": "index 7 is out of range", "loc": "m.py:4"}
    meta = {"name": "line", "epochs": 9, "batch": 16, "patience": 3, "monitor": "gap",
            "checks": {"train": (check,)},
            "phases": ({"name": "train", "entry": "train", "every": 2, "start": 1, "stop": 5},)}
    config = config_from_meta(meta, program, epochs=4, seed=2)
    assert (config.epochs, config.batch, config.patience, config.seed) == (4, 16, 3, 2)
    assert config.phases == (TrainPhase("train", "train_tail", "", 2, 0, 1, 5),)
    for entry_name, code, words in (("train", 1, "index 7 is out of range  m.py:4"),
                                    ("train_tail", 1, "index 7 is out of range  m.py:4"),
                                    ("train", -1, "the loss is not finite"),
                                    ("train", 2, "fault 2"), ("eval", 1, "fault 1")):
        assert config.meaning(Fault(0, 0, entry_name, code, {})) == words


def test_unknown_monitor_names_the_metrics(loaded: Any) -> None:
    with pytest.raises(DlcError, match=r"(?s)monitor='accuracy'.*there are loss, gap$"):
        run(loaded, None, monitor="accuracy")
    with pytest.raises(DlcError, match=r"there are loss, gap, lr$"):
        run(loaded, None, monitor="accuracy", data=replace(make_data(), test=None))


@pytest.mark.parametrize("changes", [
    {"epochs": -1}, {"batch": 0}, {"seed": -1}, {"patience": 0}, {"save_steps": 0},
    {"save_seconds": float("nan")}, {"epochs": 1.5}, {"seed": True},
])
def test_settings_that_do_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(DlcError, match=f"{next(iter(changes))}=.*is invalid"):
        replace(CONFIG, **changes)


def test_zero_epochs(loaded: Any, tmp_path: Path) -> None:
    result, found = run(loaded, tmp_path, epochs=0)
    assert (result.steps, result.train_loss, result.test_loss) == (0, None, None)
    assert found == "000000000000000000000000 00000000 00000000"
    assert read_checkpoint(tmp_path / "last.safetensors").position.step == 0


def test_missing_initial_value(loaded: Any) -> None:
    with pytest.raises(DlcError, match="no initial value for b, seen"):
        train(loaded, CONFIG, make_data(), None, {"w": np.zeros(3, np.float32)})


def test_without_test_data(loaded: Any) -> None:
    result, found = run(loaded, None, data=replace(make_data(), test=None))
    assert result.test_loss is None and "gap" in result.metrics
    assert found == run(loaded, None)[1], "testing changes nothing"
