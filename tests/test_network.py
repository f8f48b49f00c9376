"""Trained networks that are asked: any number of rows, hidden values, what a checkpoint holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, init, nn, optim
from dlc.definition import BLOCKS, as_data
from dlc.network import blocks_for
from dlc.runtime.train.checkpoint import Checkpoint, write_checkpoint
from dlc.runtime.train.position import Identity, Position, read_record
from dlc.runtime.train.tensorfile import CheckpointError

body = nn.chain(nn.dense(6), nn.batch_norm(), nn.tanh, nn.dense(3))
words = nn.embedding(5, 4)
OPTIONS: dict[str, Any] = {"optimizer": optim.sgd(0.1), "batch": 16}


@dlc.task(**OPTIONS)
def points(x: f32["batch", 4], label: i32["batch"]) -> Any:
    shift = dlc.parameter("middle", f32[4]) * 0.5
    code = dlc.tanh(x * 2.0) + shift
    logits = body(code)
    return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))


@dlc.task(**OPTIONS)
def tokens(x: i32["batch", 3], y: f32["batch"]) -> Any:
    score = words(x).sum((1, 2))
    return dlc.loss(nn.mse(score, y))


@dlc.task(**OPTIONS)
def centred(x: f32["batch", 4], y: f32["batch"]) -> Any:
    middle = x - x.mean(0)
    return dlc.loss(nn.mse((middle * dlc.parameter("w", f32[4])).sum(1), y))


@dlc.task(**OPTIONS)
def ranked(x: f32["batch", 4], y: f32["batch"]) -> Any:
    share = x / x.max(0)
    return dlc.loss(nn.mse((share * dlc.parameter("w", f32[4])).sum(1), y))


@dlc.task(optimizer=optim.sgd(0.1), batch=5)
def five(x: f32[5, 4], y: f32[5]) -> Any:
    return dlc.loss(nn.mse((x * dlc.parameter("w", f32[4])).sum(1), y))


@dlc.task(**OPTIONS)
def silent(x: f32["batch", 4]) -> Any:
    return dlc.loss((x * dlc.parameter("w", f32[4])).sum())


def saved(task: Any, folder: Path, network: Any = None) -> Path:
    """A checkpoint of the task whose values are drawn, so that no two of them are equal."""
    rng = np.random.default_rng(7)
    arrays = {k: (rng.uniform(0.5, 1.5, v.shape).astype(v.dtype) if v.dtype.kind == "f" else v)
              for k, v in task.initial_values(task.graphs()).items()}
    path = folder / "best.safetensors"
    held = as_data(task) if network is None else network
    write_checkpoint(path, Checkpoint(arrays, Identity(task.name, "", 0, 16), Position(), held))
    return path


def said(task: Any, path: Path, **arrays: Any) -> Any:
    """The prediction that the evaluator gives, all rows at once."""
    graph = task.graphs(len(arrays["x"]), ("predict",))["predict"]
    values = dlc.load(path).values
    wanted = [n.attrs["label"] for n in graph.inputs if n.attrs["role"] != "data"]
    found = dlc.evaluate(graph, **arrays, **{k: values[k] for k in wanted})
    return found["prediction"] if isinstance(found, dict) else found


def test_any_number_of_rows(tmp_path: Path, rng: np.random.Generator) -> None:
    """Each count gives what the evaluator says of all rows at once; three programs serve all.

    Sums of 6 and 4 terms and tanh, within a few units of f32's eps of values around 1."""
    path = saved(points, tmp_path)
    net = dlc.load(tmp_path)
    for count in (0, 1, 2, 3, 4, 7, 8, 9, 31, 32, 63, 64, 65, 130):
        x = rng.normal(size=(count, 4)).astype(np.float32)
        found = net.predict(x)
        assert found.shape == (count, 3) and found.dtype == np.float32
        if count:
            np.testing.assert_allclose(found, said(points, path, x=x), rtol=3e-6, atol=3e-6)
    assert net.compiled == BLOCKS == (1, 8, 64)


def test_no_program_is_compiled_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tokens, tmp_path)
    net, made = dlc.load(tmp_path), []
    original = dlc.network.Compiled
    monkeypatch.setattr(dlc.network, "Compiled", lambda *a: made.append(a) or original(*a))
    for count in (3, 1, 3, 2, 1):
        net.predict(np.zeros((count, 3), np.int32))
    assert (net.compiled, len(made)) == ((1,), 1)


def test_blocks_hold_the_rows_and_are_half_full() -> None:
    for blocks in (BLOCKS, (5,), (8, 64)):
        for count in range(200):
            sizes = list(blocks_for(count, blocks))
            spare = sum(sizes) - count
            assert set(sizes) <= set(blocks) and spare >= 0
            assert spare < (sizes[-1] if sizes else 1)
            if min(blocks) == 1 and sizes:
                assert 2 * (sizes[-1] - spare) >= sizes[-1]


@pytest.mark.parametrize("task", [centred, ranked], ids=lambda task: task.name)
def test_rows_that_depend_on_one_another_are_refused(task: Any, tmp_path: Path) -> None:
    """Also where the first row is the largest, so that zeros beside it change nothing."""
    saved(task, tmp_path)
    net = dlc.load(tmp_path)
    with pytest.raises(DlcError, match="prediction of a row depends on the other rows") as found:
        net.predict(np.arange(32, 0, -1, dtype=np.float32).reshape(8, 4))
    assert "test_network.py" in str(found.value) and net.compiled == ()


def test_a_task_of_one_batch_size(tmp_path: Path) -> None:
    saved(five, tmp_path)
    net = dlc.load(tmp_path)
    x = np.arange(52, dtype=np.float32).reshape(13, 4)
    np.testing.assert_allclose(net.predict(x), x @ net.values["w"], rtol=1e-6)
    assert net.compiled == (5,)


def test_values_on_the_way(tmp_path: Path, rng: np.random.Generator) -> None:
    saved(points, tmp_path)
    net = dlc.load(tmp_path)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    both = dlc.outputs(net, "code", "logits").predict(x)
    expected = np.tanh(x * 2) + net.values["middle"] / 2
    np.testing.assert_allclose(both["code"], expected, rtol=1e-6)
    np.testing.assert_array_equal(both["logits"], net.predict(x))
    np.testing.assert_array_equal(dlc.outputs(net, "code").predict(x=x), both["code"])
    assert "code: f32[8, 4] = add" in str(net.graph(8))


@pytest.mark.parametrize(("names", "message"), [
    (("cod",), r"no value is called 'cod' \(did you mean code\?\)"), ((), "no name is given"),
    (("shift",), r"shift: f32\[4\] has no row for each of the 64 rows"),
    (("mul_1",), "no value is called 'mul_1'"),
])
def test_values_that_are_not_there(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    saved(points, tmp_path)
    with pytest.raises(DlcError, match=message):
        dlc.outputs(dlc.load(tmp_path), *names)


@pytest.mark.parametrize(("ask", "message"), [
    (lambda net: net.predict(), "0 arrays in order and none by name"),
    (lambda net: net.predict(np.zeros((2, 4)), x=np.zeros((2, 4))), "1 arrays in order and x by"),
    (lambda net: net.predict(y=np.zeros((2, 4))), "takes x"),
    (lambda net: net.predict(np.float32(1)), "the first axis counts rows"),
    (lambda net: net.predict(np.zeros((2, 5))), "5 values a sample"),
    (lambda net: net.predict([[1, 2], [3]]), "is not an array"),
    (lambda net: net.predict([list("1234")]), "holds <U1, which is not a number"),
    (lambda net: net.predict(np.ma.masked_less(np.eye(4), 1)), "has 12 masked values"),
    (lambda net: dlc.outputs(3, "code"), "3 is not a network"),
])
def test_what_does_not_fit(ask: Callable[[Any], Any], message: str, tmp_path: Path) -> None:
    saved(points, tmp_path)
    with pytest.raises(DlcError, match=message):
        ask(dlc.load(tmp_path))


def test_an_index_out_of_range_is_told(tmp_path: Path) -> None:
    """The check of the embedding stays, that of the label is none of the prediction's."""
    saved(tokens, tmp_path)
    net = dlc.load(tmp_path)
    assert net.predict(np.full((2, 3), 4, np.int64)).shape == (2,)
    with pytest.raises(DlcError, match=r"test_network\.py"):
        net.predict(np.full((2, 3), 5, np.int64))


def test_classes(tmp_path: Path) -> None:
    saved(points, tmp_path)
    assert dlc.load(tmp_path).classes == ("0", "1", "2")
    saved(points, tmp_path, as_data(points, ("a", "b", "c")))
    assert dlc.load(tmp_path).classes == ("a", "b", "c") == dlc.load(tmp_path, points).classes
    saved(tokens, tmp_path)
    assert dlc.load(tmp_path).classes == ()


# --- what a checkpoint holds ----------------------------------------------------------------------


def test_a_checkpoint_without_a_network(tmp_path: Path) -> None:
    saved(tokens, tmp_path, {})
    with pytest.raises(CheckpointError, match="holds no network, only weights"):
        dlc.load(tmp_path)
    assert dlc.load(tmp_path, tokens).predict(np.zeros((2, 3), np.int32)).shape == (2,)


def test_a_network_of_the_users_own_functions_needs_its_task(tmp_path: Path) -> None:
    """Its text names an operator that is there only where it was defined."""
    path = saved(points, tmp_path)
    text = as_data(points)["blocks"]["8"].replace("tanh(", "hyperbolic(")
    saved(points, tmp_path, {"blocks": {"8": text}, "checks": [], "classes": []})
    with pytest.raises(DlcError, match=r"(?s)block 8.*hyperbolic.*dlc\.load\(path, task\)"):
        dlc.load(path)
    assert dlc.load(path, points).predict(np.zeros((2, 4), np.float32)).shape == (2, 3)


def test_a_task_that_predicts_nothing(tmp_path: Path) -> None:
    assert as_data(silent) == {}
    path = saved(silent, tmp_path)
    with pytest.raises(DlcError, match="does not say what it predicts"):
        dlc.load(path, silent)


def test_a_prediction_that_reads_no_input(tmp_path: Path) -> None:
    """The stated prediction is a parameter: there is no row to answer."""
    @dlc.task(data="d", optimizer=optim.sgd(0.1))
    def apart(x: f32["batch", 4], y: f32["batch", 1]) -> Any:
        weight = dlc.parameter("weight", f32[4, 1], init.zeros)
        return dlc.loss(nn.mse(x @ weight, y), prediction=weight)

    path = saved(apart, tmp_path)
    with pytest.raises(DlcError, match="prediction: is computed from none of the task's inputs"):
        dlc.load(path, apart)


def test_another_task(tmp_path: Path) -> None:
    path = saved(tokens, tmp_path)
    with pytest.raises(CheckpointError, match="has no 'middle', which the model needs"):
        dlc.load(path, points)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no checkpoint"):
        dlc.load(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such run or checkpoint"):
        dlc.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("network", [
    1, [], {"blocks": {}}, {"blocks": {}, "checks": [], "classes": []},
    {"blocks": {"-1": "x"}, "checks": [], "classes": []},
    {"blocks": {"8": 3}, "checks": [], "classes": []},
    {"blocks": {"8": "x"}, "checks": [{"text": "x"}], "classes": []},
    {"blocks": {"8": "x"}, "checks": [], "classes": [1]},
    {"blocks": {"8": "x"}, "checks": [], "classes": [], "words": ["a"]},
    {"blocks": {"8": "x"}, "checks": [], "classes": [], "words": {"x": [1]}},
], ids=json.dumps)
def test_a_damaged_network_is_refused(network: Any) -> None:
    sound = {"identity": {"model": "m", "task": "t", "seed": 0, "batch": 1}, "position": {}}
    assert read_record(sound)[2] == {}
    with pytest.raises(TypeError):
        read_record({**sound, "network": network})
