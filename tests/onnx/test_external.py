"""External data: read from plain files below the model's folder, refused everywhere else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import dlc
from tests.intakes import at_most
from tests.onnx.models import model, node, perceptron, value

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4) / 10
X = np.ones((2, 3), np.float32)


def written(folder: Path, **entries: Any) -> Path:
    """A model whose weights lie elsewhere, as `entries` say."""
    proto = perceptron()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    for key, entry in entries.items():
        tensor.external_data.add(key=key, value=str(entry))
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refused(path: Path, match: str) -> None:
    with pytest.raises(dlc.DlcError, match=match):
        dlc.onnx.load(path)


def test_weights_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "w.bin").write_bytes(b"12345678" + WEIGHTS.tobytes() + b"rest")
    path = written(tmp_path, location="deep/er/w.bin", offset=8, length=48)
    loaded = dlc.onnx.load(path)
    np.testing.assert_array_equal(loaded.parameters["fc/w"], WEIGHTS)
    expected = np.maximum(X @ WEIGHTS + np.arange(-1, 3), 0)
    np.testing.assert_allclose(dlc.evaluate(loaded, X), expected, rtol=1e-6)


@pytest.mark.parametrize("location", [
    "../w.bin", "a/../../w.bin", "/etc/passwd", "", ".", "..", "a/..", "C:\\w.bin", "..\\w.bin",
    "\\\\host\\w.bin", "w\0.bin"])
def test_paths_that_lead_outside(tmp_path: Path, location: str) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "models"
    (folder / "a").mkdir(parents=True)
    refused(written(folder, location=location), "external data")


def test_links(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    secret = tmp_path / "w.bin"
    secret.write_bytes(WEIGHTS.tobytes())
    (folder / "soft.bin").symlink_to(secret)
    refused(written(folder, location="soft.bin"), "cannot be read")
    os.link(secret, folder / "hard.bin")
    refused(written(folder, location="hard.bin"), "hard links")
    (folder / "inner").symlink_to(tmp_path)
    refused(written(folder, location="inner/w.bin"), "cannot be read")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(written(tmp_path, location="pipe"), "not a regular file")
    (tmp_path / "folder").mkdir()
    refused(written(tmp_path, location="folder"), "not a regular file|cannot be read")
    refused(written(tmp_path, location="missing"), "cannot be read")
    refused(written(tmp_path, location="model.onnx/w"), "cannot be read")


@pytest.mark.parametrize("entries", [
    {"offset": -1}, {"offset": "1e3"}, {"offset": "x"}, {"offset": 2**70}, {"length": -48},
    {"length": 47}, {"length": 49}, {"offset": 1}, {"offset": 2**62}, {"length": ""},
    {"offset": "٣"}])
def test_offsets_and_lengths(tmp_path: Path, entries: dict[str, Any]) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    refused(written(tmp_path, location="w.bin", **entries), "external data")


def wide(folder: Path, tensors: int, bytes_: int) -> Path:
    """A model of `tensors` vectors that are all the first `bytes_` of w.bin."""
    names = [f"w{i}" for i in range(tensors)]
    vectors = [TensorProto(name=n, data_type=TensorProto.FLOAT, dims=[bytes_ // 4],
                           data_location=TensorProto.EXTERNAL) for n in names]
    for vector in vectors:
        vector.external_data.add(key="location", value="w.bin")
    path = folder / "model.onnx"
    path.write_bytes(model([node("Sum", names, ["y"])], [], [value("y", shape=None)],
                           vectors).SerializeToString())
    return path


def test_holes_of_a_sparse_file_are_weighed_before_they_are_read(tmp_path: Path) -> None:
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(1 << 30)
    path = wide(tmp_path, 1, 1 << 30)
    with at_most(1 << 20):
        refused(path, "cannot be read: .*model.onnx, external data: claims 10737419.. bytes")


def test_one_file_for_many_tensors_is_weighed(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(1 << 20))
    assert len(dlc.onnx.load(wide(tmp_path, 8, 1 << 20)).parameters) == 8
    with at_most(64 << 20):
        refused(wide(tmp_path, 1000, 1 << 20), "claims .*at most 4 times what is on disk")


def test_entries_that_stand_twice(tmp_path: Path) -> None:
    path = written(tmp_path, location="w.bin")
    proto = perceptron()
    proto.ParseFromString(path.read_bytes())
    proto.graph.initializer[0].external_data.add(key="location", value="v.bin")
    path.write_bytes(proto.SerializeToString())
    refused(path, "names 'location' twice")


def test_a_model_without_a_folder(tmp_path: Path) -> None:
    data = written(tmp_path, location="w.bin").read_bytes()
    with pytest.raises(dlc.DlcError, match="given as bytes"):
        dlc.onnx.load(data)


def test_attributes_read_no_files_either(tmp_path: Path) -> None:
    """A tensor in an attribute goes the same way."""
    from tests.onnx.models import initializer, model, node, value

    constant = node("Constant", [], ["w"], value=initializer("c", WEIGHTS))
    tensor = constant.attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="/etc/passwd")
    path = tmp_path / "model.onnx"
    path.write_bytes(model([constant, node("MatMul", ["x", "w"], ["y"])], [value("x")],
                           [value("y", shape=None)]).SerializeToString())
    with pytest.raises(dlc.DlcError, match="external data"):
        dlc.evaluate(dlc.onnx.load(path), X)
