"""A step that fails in Python says line, value and place, however it was called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn, optim
from dlc.cli import main
from dlc.cli.source import load_task

X = np.zeros((8, 3), np.float32)
BAD = np.array([0, 1, 2, 9], np.int32)
table, head = nn.embedding(4, 2), nn.dense(2)


@dlc.task(data={"x": X}, optimizer=optim.sgd(0.1), batch=4)
def logarithm(x: f32["batch", 3]) -> Any:
    return dlc.loss(dlc.mean(dlc.log(dlc.sum(x) * head(x))))


@dlc.task(data={"i": np.concatenate([BAD, BAD])}, optimizer=optim.sgd(0.1), batch=4)
def lookup(i: i32["batch"]) -> Any:
    logits = head(table(i))
    return dlc.loss(dlc.mean(logits), prediction=logits)


def rows(i: i32[4]) -> Any:
    return dlc.take(np.arange(3, dtype=np.float32), i)


LINES = {"logarithm": 'dlc.log(dlc.sum(x) * head(x))', "lookup": "table(i)", "rows": "dlc.take("}
TOLD = {"logarithm": r"the loss is -?(inf|nan): log gives -?(inf|nan) at \[0, 0\] of f32\[batch=4, "
                     r"2\], from mul = -?0",
        "lookup": r"index out of 0 .. 3; i: i32\[[\w=]+\] holds 9 at \[\d\]",
        "rows": r"index out of 0 .. 2; i: i32\[4\] holds 9 at \[3\]"}


@pytest.fixture(scope="module")
def programs() -> dict[str, Any]:
    return {task.name: dlc.compile(task) for task in (logarithm, lookup)}


def by_train(name: str, programs: dict[str, Any]) -> None:
    {"logarithm": logarithm, "lookup": lookup}[name].train()


def by_step(name: str, programs: dict[str, Any]) -> None:
    with programs[name].load() as step:
        step(X[:4] if name == "logarithm" else BAD)


def by_interpreted_step(name: str, programs: dict[str, Any]) -> None:
    with programs[name].load(device="interpret") as step:
        step(X[:4] if name == "logarithm" else BAD)


def by_evaluation(name: str, programs: dict[str, Any]) -> None:
    with programs[name].load() as step:
        step(BAD, entry="eval")


def by_prediction(name: str, programs: dict[str, Any]) -> None:
    good = {"i": np.zeros(8, np.int32)}
    lookup.train(good).network.predict(BAD)


def by_evaluate(name: str, programs: dict[str, Any]) -> None:
    dlc.evaluate(rows, BAD)


def by_function(name: str, programs: dict[str, Any]) -> None:
    with dlc.compile(rows).load() as run:
        run(BAD)


@pytest.mark.swept(3)
@pytest.mark.parametrize("name, way", [
    ("logarithm", by_train), ("logarithm", by_step), ("logarithm", by_interpreted_step),
    ("lookup", by_train), ("lookup", by_step), ("lookup", by_interpreted_step),
    ("lookup", by_evaluation), ("lookup", by_prediction), ("rows", by_evaluate),
    ("rows", by_function)])
def test_the_line_the_value_and_its_place(name: str, way: Any, programs: dict[str, Any]) -> None:
    with pytest.raises(DlcError, match=TOLD[name]) as raised:
        way(name, programs)
    assert "test_faults_in_python.py:" in str(raised.value)
    assert LINES[name] in str(raised.value)


ODD = """
import dlc
from dlc import f32, nn, optim
head = nn.dense(1)
@dlc.task(data="rows.npz", optimizer=optim.sgd(0.0), batch=4, epochs=2)
def odd(x: f32["batch", 3]):
    return dlc.loss(dlc.mean(dlc.log(x) + head(x)))
"""


def test_a_test_loss_that_is_not_finite_is_told_once(tmp_path: Path,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    """With its line and place, of the first such batch, though training goes on: as a warning of
    Python, in `dlc train`'s output and in that of `dlc evaluate`."""
    rows, held = np.ones((8, 3), np.float32), np.ones((9, 3), np.float32)
    held[6, 1] = held[8, 0] = 0.0
    told = r"the loss is -inf: log gives -inf at \[2, 1\]"
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    task = load_task(str(tmp_path / "odd.py"))
    with pytest.warns(UserWarning, match=rf"step 2 \(epoch 1, testing\): .*odd\.py:7: {told}") as w:
        found = task.train(({"x": rows}, {"x": held}), folder=tmp_path / "run")
    assert len(w) == 1 and len(found.history) == 2 and found.metrics["loss"] == -np.inf
    np.savez(tmp_path / "rows.npz", train_x=rows, test_x=held)
    data = ["--set", f"data={tmp_path / 'rows.npz'}"]
    assert main(["train", str(tmp_path / "odd.py"), *data, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert len(re.findall(told, said.out + said.err)) == 1 and "warning: step 2" in said.out
    assert main(["evaluate", str(tmp_path / "odd.py"), *data, "--weights", str(tmp_path / "run")]
                ) == 0
    assert re.search(f"warning: evaluating: .*odd.py:7: {told}", capsys.readouterr().err)
