"""What is trained in a low precision is used as any network: checkpoints, predictions, hidden
values, the command line, ONNX; and the bundled networks learn in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import dlc
from dlc import DlcError, bf16, f32, i32, nn, optim, tanh
from dlc.models import GOALS
from dlc.models.lenet import lenet
from dlc.runtime.train.checkpoint import read_checkpoint
from tests.cli.command import dlc as dlc_command
from tests.networks.measure import measure

RNG = np.random.default_rng(11)
X = RNG.normal(size=(40, 6)).astype(np.float32)
DATA = {"x": X, "y": (X[:, 0] > X[:, 1]).astype(np.int32)}
encoder, head = nn.chain(nn.dense(5), tanh), nn.dense(2)


@dlc.task(optimizer=optim.adam(0.02), batch=8, epochs=25, precision="bf16")
def sides(x: f32["batch", 6], y: i32["batch"]) -> Any:
    code = encoder(x)
    logits = head(code)
    return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("sides")
    return folder / "last.safetensors", sides.train(DATA, folder=folder)


def test_checkpoints_hold_f32_and_predict_in_bf16(trained: tuple[Path, Any]) -> None:
    """The network in the checkpoint is that of bf16; with the task in f32 it is asked in f32."""
    path, done = trained
    arrays = read_checkpoint(path).arrays
    assert {a.dtype for a in arrays.values() if a.dtype.kind == "f"} == {np.dtype(np.float32)}
    assert done.metrics["accuracy"] > 0.8
    low, full = dlc.load(path), dlc.load(path, sides.with_options(precision="f32"))
    ours, wide = low.predict(X), full.predict(X)
    assert ours.dtype == wide.dtype == np.float32
    assert np.array_equal(ours, ours.astype(bf16.numpy).astype(np.float32))
    assert np.array_equal(done.network.predict(X), ours) and not np.array_equal(ours, wide)
    graph = sides.graphs(40, ("predict",))["predict"]
    meant = dlc.evaluate(graph, x=X, **{n.attrs["label"]: arrays[n.attrs["label"]]
                                        for n in graph.inputs if n.attrs["role"] != "data"})
    assert np.array_equal(ours.argmax(1), meant["prediction"].argmax(1)
                          if isinstance(meant, dict) else meant.argmax(1))


def test_hidden_values_are_given_in_f32(trained: tuple[Path, Any]) -> None:
    """NumPy's files have no bf16."""
    found = dlc.outputs(dlc.load(trained[0]), "code").predict(X)
    assert found.dtype == np.float32
    assert np.array_equal(found, found.astype(bf16.numpy).astype(np.float32))


def test_training_goes_on_in_another_precision(trained: tuple[Path, Any]) -> None:
    """From the weights; --resume is of the same step, and says that it differs."""
    started = sides.train(DATA, init=trained[0], precision="f16", epochs=1)
    assert started.metrics["accuracy"] > 0.8 and started.history[0]["train"]["skipped"] == 0
    with pytest.raises(DlcError, match="what a step does has changed"):
        sides.train(DATA, folder=trained[0].parent, resume=True, precision="f32", epochs=7)
    with pytest.raises(DlcError, match="was trained in f32 or bf16, not in f16"):
        sides.train(DATA, folder=trained[0].parent, resume=True, precision="f16", epochs=7)


# --- the command line and ONNX --------------------------------------------------------------------


def test_show_prints_the_casts(tmp_path: Path) -> None:
    words = ("show", "lenet", "--after", "input")
    shown = dlc_command(*words, "--set", "precision=bf16", at=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "conv1: bf16[64, 6, 28, 28] = add(" in shown.stdout
    assert "bf16" not in dlc_command(*words, at=tmp_path).stdout
    (tmp_path / "net.onnx").touch()
    told = dlc_command("show", "net.onnx", "--set", "lr=1", at=tmp_path)
    assert told.returncode and "--set is for options of a task" in told.stderr


def test_a_step_of_lenet_takes_two_thirds_of_the_memory() -> None:
    full, low = (dlc.compile(lenet, precision=p).peak_bytes for p in ("f32", "bf16"))
    assert low < 0.65 * full


@pytest.mark.parametrize(("precision", "kind"), [("f16", onnx.TensorProto.FLOAT16),
                                                 ("bf16", onnx.TensorProto.BFLOAT16)])
def test_an_exported_network_has_casts_and_f32_weights(precision: str, kind: int,
                                                       tmp_path: Path) -> None:
    task = sides.with_options(precision=precision)
    dlc.onnx.export(task, tmp_path / "net.onnx", batch=40, opset=22)
    model = onnx.load(tmp_path / "net.onnx")
    casts = [n.attribute[0].i for n in model.graph.node if n.op_type == "Cast"]
    assert kind in casts and onnx.TensorProto.FLOAT in casts
    floats = {i.data_type for i in model.graph.initializer if "weight" in i.name}
    assert floats == {onnx.TensorProto.FLOAT}
    graph = task.graphs(40, ("predict",))["predict"]
    meant = dlc.evaluate(graph, x=X, **task.initial_values({"predict": graph}, 0))
    assert np.array_equal(dlc.evaluate(dlc.onnx.load(tmp_path / "net.onnx"), X), meant)


def test_an_opset_without_bf16_is_told(tmp_path: Path) -> None:
    with pytest.raises(DlcError, match=r"not valid in opset 17.*bfloat16") as told:
        dlc.onnx.export(lenet.with_options(precision="bf16"), tmp_path / "net.onnx", batch=2)
    assert 'task.with_options(precision="f32")' in told.value.hint
    assert not (tmp_path / "net.onnx").exists()


# --- the bundled networks -------------------------------------------------------------------------


@pytest.mark.swept(3)
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("name", ["linear_regression", "logistic_regression", "xor"])
def test_small_networks_reach_their_figures(name: str, precision: str) -> None:
    """The others: `python -m tests.networks.run --precision bf16` (docs/precision.md)."""
    found = measure(name, 0, precision)
    assert GOALS[name].reached(found.figure), found
