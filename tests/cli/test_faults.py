"""Steps that fail: the message has the step, the first operator, the line and its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc as language
from dlc import f32, i32, nn, optim
from dlc.faults import cause_of, first_cause, replay
from tests.cli.command import dlc

LOGARITHM = '''import dlc
from dlc import f32, nn, optim

line = nn.dense(1)


@dlc.task(data="linear", optimizer=optim.sgd(0.1), batch=100, epochs=20)
def bad(x: f32["batch", 8], y: f32["batch", 1]):
    z = dlc.log(line(x) + 3.0)
    return dlc.loss(nn.mse(z, y))
'''
LABELS = '''import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(nn.flatten, nn.dense(5))


@dlc.task(data="digits8", optimizer=optim.sgd(0.1), batch=100, epochs=20)
def few(image: f32["batch", 1, 8, 8], label: i32["batch"]):
    return dlc.loss(nn.cross_entropy(net(image), label))
'''


def test_not_a_number_names_step_operator_and_line(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(LOGARITHM)
    done = dlc("train", "bad.py", at=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    head, source, caret, result, operand = done.stderr.splitlines()
    assert head.startswith("dlc: step 3 (epoch 1, batch 4): bad.py:9: the loss is nan: log")
    assert "gives nan at [" in head and "of f32[batch=100, 1], from add = -0." in head
    assert source.strip() == "z = dlc.log(line(x) + 3.0)"
    assert source[caret.index("^"):].startswith("dlc.log(line(x) + 3.0)")
    assert result.startswith("  result z: f32[batch=100, 1], ") and " of 100 nan; the oth" in result
    assert operand.startswith("  operand add: f32[batch=100, 1], from -0.")
    assert (tmp_path / "runs/bad/last.safetensors").is_file(), "the state before it is kept"


def test_an_index_out_of_range_names_value_and_place(tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text(LABELS)
    done = dlc("train", "few.py", at=tmp_path)
    assert done.returncode == 2
    head, source = done.stderr.splitlines()[:2]
    assert "step 0 (epoch 1, batch 1): few.py:9: one_hot of 5 classes" in head
    assert "label: i32[batch=100] holds " in head
    assert source.strip().startswith("return dlc.loss(nn.cross_entropy")


def graph_of(function: object) -> language.Graph:
    task = language.task(data="none", optimizer=optim.sgd(0.1), batch=4)(function)
    return task.graphs()["train"]


def test_the_first_cause_is_found_behind_later_ones() -> None:
    """exp overflows first; the division of infinities, which makes the NaN, comes after it."""
    def step(x: f32["batch", 2], y: f32["batch", 2]) -> language.Loss:
        grown = language.exp(x * 50.0)
        share = grown / grown.sum(axis=1, keepdims=True)
        return language.loss(nn.mse(nn.dense(2)(share), y))

    graph = graph_of(step)
    inputs = values_for(graph, x=np.full((4, 2), 3, np.float32), y=np.zeros((4, 2), np.float32))
    plain, values = replay(graph, inputs)
    found = first_cause([plain.outputs[plain.output_names.index("loss")]], values)
    assert found is not None and found.op.name == "exp"
    text = str(cause_of(graph, inputs, -1))
    assert "exp (grown) gives inf at [0, 0]" in text and "= 150" in text


def test_infinities_that_a_selection_hides_are_not_blamed() -> None:
    """log(0) is -inf in the half that `where` drops; the square root of -1 is the cause."""
    def step(x: f32["batch", 2], y: f32["batch", 2]) -> language.Loss:
        hidden = language.where(x > 0, language.log(x), 0.0)
        root = language.sqrt(x - 1.0)
        return language.loss(nn.mse(nn.dense(2)(hidden + root), y))

    graph = graph_of(step)
    inputs = values_for(graph, x=np.zeros((4, 2), np.float32), y=np.zeros((4, 2), np.float32))
    assert "sqrt (root) gives nan" in str(cause_of(graph, inputs, -1))


def test_data_that_is_not_finite_is_named() -> None:
    def step(x: f32["batch", 2], y: f32["batch", 2]) -> language.Loss:
        return language.loss(nn.mse(nn.dense(2)(x), y))

    graph = graph_of(step)
    x = np.zeros((4, 2), np.float32)
    x[2, 1] = np.inf
    inputs = values_for(graph, x=x, y=np.zeros((4, 2), np.float32))
    assert "x holds inf at [2, 1]" in str(cause_of(graph, inputs, -1))


def test_a_loss_that_numpy_finds_finite_is_told_so() -> None:
    def step(x: f32["batch", 2], y: i32["batch"]) -> language.Loss:
        return language.loss(nn.cross_entropy(nn.dense(3)(x), y))

    graph = graph_of(step)
    inputs = values_for(graph, x=np.ones((4, 2), np.float32), y=np.zeros(4, np.int32))
    assert "a replay in NumPy gives" in str(cause_of(graph, inputs, -1))


def values_for(graph: language.Graph, **data: np.ndarray) -> dict[str, np.ndarray]:
    """Ones for every parameter, zeros for the state, `data` for the rest."""
    found = dict(data)
    for node in graph.inputs:
        label, role = node.attrs["label"], node.attrs["role"]
        if role in ("param", "state"):
            fill = np.ones if role == "param" else np.zeros
            found[label] = fill(tuple(map(int, node.type.shape)), node.type.dtype.numpy)
    return found


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_traceback_only_when_debugging(tmp_path: Path, debug: str) -> None:
    done = dlc("train", "missing.py", at=tmp_path, DLC_DEBUG=debug)
    assert ("Traceback" in done.stderr) == (debug == "1")
    assert done.returncode == (1 if debug == "1" else 2)


def test_a_loop_names_the_operator_inside_and_the_iteration() -> None:
    def step(carry: language.Node, row: language.Node) -> tuple[language.Node, None]:
        return language.log(carry) + row, None

    def f(x: f32[5, 3], start: f32[3]) -> dict[str, language.Node]:
        last, _ = language.scan(step, start, x)
        return {"loss": last.sum(), "fault": (last.sum() > 0.0).astype(i32)}

    graph = language.trace(f)
    x = np.full((5, 3), 0.1, np.float32)
    x[2, 1] = -7.0  # the carry is below zero after the third iteration
    text = str(cause_of(graph, {"x": x, "start": np.full(3, 20.0, np.float32)}, -1))
    assert "the loss is nan: log gives nan at [1] of f32[3]" in text
    assert "in iteration 3 of 5" in text and "language.log(carry)" in text


def test_a_branch_names_the_operator_that_ran() -> None:
    def f(x: f32[3], flag: i32[()]) -> dict[str, language.Node]:
        y = language.cond(flag > 0, lambda v: language.sqrt(v), lambda v: v * 2.0, x)
        return {"loss": y.sum(), "fault": (y.sum() > 0.0).astype(i32)}

    graph = language.trace(f)
    x = np.array([1, -4, 2], np.float32)
    assert "sqrt gives nan at [1]" in str(cause_of(graph, {"x": x, "flag": np.int32(1)}, -1))
