"""The training loop over streams of batches, and over several phases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.errors import DlcError
from dlc.ir.types import i32
from dlc.program import Port
from dlc.runtime import load
from dlc.runtime.data import DataError, Dataset, epoch_order
from dlc.runtime.train.alternation import TrainPhase, find_phases
from dlc.runtime.train.loop import train
from tests.runtime.handmade import entry, initial, make_data, make_program
from tests.runtime.looping import CONFIG, Watcher, run, without_times


@pytest.fixture(scope="module")
def loaded() -> Iterator[Any]:
    program = load(make_program(), threads=1)
    yield program
    program.close()


# -- streams -------------------------------------------------------------------------------------


def batches_of(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    data, order = make_data().train, epoch_order(3, epoch, 85)
    for start in range(0, 85, 16):
        rows = order[start:start + 16]
        yield data["x"][rows], data["y"][rows]


def stream(**changes: Any) -> Dataset:
    return replace(Dataset("stream", {}, make_data().test, stream=batches_of), **changes)


def test_stream_equals_data_in_memory(loaded: Any, tmp_path: Path) -> None:
    whole, expected = run(loaded, None)
    watcher = Watcher()
    result, found = run(loaded, tmp_path, watcher, data=stream())
    assert found == expected and watcher.started == (0, None, 0)
    assert without_times(result.history) == without_times(whole.history)


def test_stream_resumes_in_mid_epoch(loaded: Any, tmp_path: Path) -> None:
    _, expected = run(loaded, None)
    stopped, _ = run(loaded, tmp_path, Watcher((1, 2)), data=stream())
    assert stopped.steps == 8
    assert run(loaded, tmp_path, data=stream(), resume=True)[1] == expected


def test_stream_for_testing(loaded: Any) -> None:
    test = make_data().test
    assert test is not None
    parts = [{k: v[i:i + 16] for k, v in test.items()} for i in range(0, 35, 16)]
    streamed, _ = run(loaded, None, data=stream(test=None, test_stream=parts))
    whole, _ = run(loaded, None)
    assert streamed.test_loss == whole.test_loss


def test_stream_batch_of_another_size(loaded: Any) -> None:
    odd = [(np.zeros((9, 3), np.float32), np.zeros((9, 1), np.float32))]
    with pytest.raises(DataError, match=r"epoch 1, batch 1: a batch of 9 samples.*5 or 16"):
        run(loaded, None, data=stream(stream=odd))
    with pytest.raises(DataError, match=r"test.*a batch of 9 samples.*3 or 16"):
        run(loaded, None, data=stream(test=None, test_stream=odd))


def test_stream_without_a_batch(loaded: Any) -> None:
    with pytest.raises(DataError, match=r"epoch 1.*no batch"):
        run(loaded, None, data=stream(stream=[]))


def test_epoch_length_is_told_to_the_program() -> None:
    base = make_program()
    length = Port("steps_per_epoch", i32[()], 8640, "state")
    with load(replace(base, persistent=(*base.persistent, length)), threads=1) as program:
        train(program, CONFIG, make_data(), None, initial)
        assert int(program.read("steps_per_epoch")) == 6
        with pytest.raises(DataError, match=r"no known length.*a schedule in steps"):
            train(program, CONFIG, stream(), None, initial)


# -- phases --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_phases() -> Iterator[Any]:
    base = make_program()
    entries = {n: e for n, e in base.entries.items() if not n.startswith("train")}
    for name in ("a", "b"):
        entries[f"train.{name}"] = entry(f"train.{name}", "sgd", 16)
        entries[f"train_tail.{name}"] = entry(f"train_tail.{name}", "sgd", 5)
    program = load(replace(base, entries=entries), threads=1)
    yield program
    program.close()


def test_phases_alternate(two_phases: Any, tmp_path: Path) -> None:
    a, b = find_phases(two_phases.program)
    assert (a.entry, a.tail, a.name) == ("train.a", "train_tail.a", "a")
    phases = (replace(a, every=2), replace(b, every=3, offset=1))
    result, expected = run(two_phases, None, phases=phases)
    sizes = [5 if step % 6 == 5 else 16 for step in range(24)]
    ran = [step for step in range(24) for due in (step % 2 == 0, step % 3 == 1) if due]
    assert int(two_phases.read("seen")) == sum(sizes[step] for step in ran)
    train_means = result.history[0]["train"]
    assert set(train_means) == {"loss", "a.loss", "a.gap", "a.lr", "b.loss", "b.gap", "b.lr"}
    assert train_means["loss"] == train_means["a.loss"]
    run(two_phases, tmp_path, Watcher((1, 3)), phases=phases)
    assert run(two_phases, tmp_path, phases=phases, resume=True)[1] == expected


def test_phases_by_epochs(two_phases: Any) -> None:
    a, b = find_phases(two_phases.program)
    phases = (replace(a, last_epoch=1), replace(b, first_epoch=1))
    result, _ = run(two_phases, None, phases=phases)
    assert "a.loss" in result.history[0]["train"] and "b.loss" not in result.history[0]["train"]
    assert "b.loss" in result.history[1]["train"] and "a.loss" not in result.history[1]["train"]
    assert int(two_phases.read("seen")) == 4 * 85


@pytest.mark.parametrize("fields", [{"every": 0}, {"offset": 1}, {"every": 2, "offset": -1},
                                    {"first_epoch": 2, "last_epoch": 2}])
def test_phase_that_never_runs(fields: dict[str, int]) -> None:
    with pytest.raises(DlcError, match="phase train: "):
        TrainPhase(**fields)


def test_program_without_training(two_phases: Any) -> None:
    program = two_phases.program
    only = {"eval": program.entries["eval"]}
    with pytest.raises(DlcError, match=r"(?s)no entry to train.*it has eval"):
        find_phases(replace(program, entries=only))
