"""One sound file of every format that dlc reads, and how it is read: what the fuzz damages."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from PIL import Image

import dlc
from dlc.intake import Intake, user_path
from dlc.ir.types import f32, i32
from dlc.replay import Bundle, keep, read
from dlc.runtime.compile.cache import Cache, key_of, pack
from dlc.runtime.data import DataError, load_dataset
from dlc.runtime.data.cifar import RECORD
from dlc.runtime.data.images import Shape, read_pictures
from dlc.runtime.report.curves import curves_section
from dlc.runtime.train.checkpoint import (
    Checkpoint,
    check_belongs,
    read_checkpoint,
    write_checkpoint,
)
from dlc.runtime.train.measure import Sums
from dlc.runtime.train.position import Identity, Position
from dlc.runtime.train.progress import PlainProgress
from dlc.runtime.train.training import TrainConfig
from tests.idx_files import idx_bytes
from tests.onnx import models

KEY = key_of("damaged")


@dataclass(frozen=True)
class Format:
    """A kind of file: its name, its sound bytes, what lies beside it, and its reader.

    `kind` says what its fields are: "idx", "npy", "npz", "text", "safetensors", "onnx", or "";
    `packed` that all of it is gzipped.
    """

    name: str
    content: bytes
    read: Callable[[Path], Any]
    kind: str = ""
    packed: bool = False
    beside: tuple[tuple[str, bytes], ...] = ()

    def write(self, folder: Path, content: bytes) -> Path:
        """The file with other contents."""
        path = folder / self.name
        path.write_bytes(content)
        return path


def formats(folder: Path) -> list[Format]:
    """All formats, with what lies beside their files written to `folder`."""
    images = (np.arange(8 * 5 * 5) % 251).astype(np.uint8).reshape(8, 5, 5)
    labels = ("train-labels-idx1-ubyte", idx_bytes((np.arange(8) % 10).astype(np.uint8)))
    cifar = (np.arange(4 * RECORD) % 10).astype(np.uint8).tobytes()
    rows = b"a,b,kind\r\n" + b"".join(b"%d,%d.5,%s\r\n" % (i, -i, b"cat dog".split()[i % 2])
                                       for i in range(12))
    text = ("Abc défgh\n" * 30).encode()
    packed = partial(gzip.compress, mtime=0)
    found = [
        Format("train-images-idx3-ubyte", idx_bytes(images), load_dataset, "idx", beside=(labels,)),
        Format("train-images-idx3-ubyte.gz", packed(idx_bytes(images)), load_dataset, "idx", True,
               (labels,)),
        Format("data_batch_1.bin", cifar, load_dataset, beside=(("batches.meta.txt", b"a " * 10),)),
        Format("t.csv", rows, load_dataset, "text"),
        Format("t.csv.gz", packed(rows), load_dataset, "text", True),
        Format("t.txt", text, lambda path: load_dataset(path, length=4), "text"),
        Format("t.txt.gz", packed(text), lambda path: load_dataset(path, length=4), "text", True),
        Format("x.npy", npy(images), load_dataset, "npy"),
        Format("x.npz", npz(x=images, y=np.arange(8)), load_dataset, "npz"),
        *(Format(f"p.{kind}", drawn(kind), pictured) for kind in ("png", "jpeg", "gif")),
        Format("c.safetensors", checkpoint(folder), resumed, "safetensors"),
        Format("f.safetensors", bundle(folder), lambda path: read(path).graph(), "safetensors"),
        *(Format(f"{name}.onnx", proto.SerializeToString(), built, "onnx")
          for name, proto in networks()),
        external(),
        Format(f"{KEY}.bin", pack(KEY, b"payload"), cached),
    ]
    for name, content in {pair for each in found for pair in each.beside}:
        (folder / name).write_bytes(content)
    return found


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def drawn(kind: str) -> bytes:
    """A picture of 9 x 7 pixels."""
    stream = io.BytesIO()
    pixels = (np.arange(9 * 7 * 3) * 37 % 251).astype(np.uint8).reshape(9, 7, 3)
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def pictured(path: Path) -> Any:
    """The picture in a file, as a folder of pictures reads it."""
    return read_pictures(path, [path], Shape((8, 8), 3, "crop"), Intake(path, DataError))


# --- checkpoints ----------------------------------------------------------------------------------

IDENTITY = Identity("net", "abc", 7, 32)
TYPES = {"w": f32[2, 3], "none": f32[0, 4], "step": i32[()]}
ARRAYS = {"w": np.ones((2, 3), np.float32), "none": np.ones((0, 4), np.float32),
          "step": np.array(5, np.int32)}


PROGRAM: Any = None  # what is summed is in the record alone


def bundle(folder: Path) -> bytes:
    """A step that failed."""
    graph = dlc.trace(scaled, dims={"batch": 2})
    checks = (("an index", "f.py", 3),)
    keep(folder / "f.safetensors", Bundle("b", "train", 3, 0, -1, str(graph), {"f.py": "x\n"},
                                          checks, ARRAYS))
    return (folder / "f.safetensors").read_bytes()


def scaled(x: dlc.f32["batch", 3]) -> dlc.Node:
    return dlc.log(x) * 2.0


def checkpoint(folder: Path) -> bytes:
    epoch = {"epoch": 1, "step": 3, "train": {"loss": 0.5}, "test": {"loss": 0.25}, "step_ms": 1.5,
             "samples": 64}
    position = Position(step=5, epoch=1, batches=2, partial={"loss": [1.0, 64.0]}, samples=64,
                        best=0.25, best_epoch=1, history=[epoch])
    path = folder / "sound.safetensors"
    write_checkpoint(path, Checkpoint(ARRAYS, IDENTITY, position))
    return path.read_bytes()


def resumed(path: Path) -> None:
    """What a resume does with a checkpoint before it trains, and what it shows of it at the end."""
    found = read_checkpoint(user_path(path))
    check_belongs(path, found, IDENTITY, TYPES)
    stood, shown = found.position, PlainProgress(io.StringIO())
    Sums(PROGRAM, dict(stood.partial)).means()
    np.arange(stood.step, stood.step + 1, dtype=np.int64)
    shown.start(TrainConfig("net", 9, 32), stood.samples, stood.batches, stood.epoch)
    for record in stood.history:
        shown.epoch(record)
    curves_section(stood.history, ())


# --- models ---------------------------------------------------------------------------------------


def networks() -> list[tuple[str, Any]]:
    """ONNX models: a perceptron, shapes that are computed, a branch and a loop, a function."""
    value, node, initializer = models.value, models.node, models.initializer
    shapes = models.model(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0),
         node("Concat", ["n", "minus"], ["to"], axis=0), node("Reshape", ["x", "to"], ["r"]),
         node("Conv", ["i", "k"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
         node("Resize", ["c", "", "f"], ["u"], mode="linear"),
         node("Pad", ["u", "pads"], ["p"]), node("Softmax", ["r"], ["y"], axis=-1)],
        [value("x", shape=["batch", 3]), value("i", shape=[1, 1, 4, 4])],
        [value("y", shape=None), value("p", shape=None)],
        [initializer("zero", [0]), initializer("minus", [-1]),
         initializer("k", np.ones((1, 1, 3, 3), np.float32)),
         initializer("f", np.float32([1, 1, 2, 2])), initializer("pads", [0, 0, 1, 1, 0, 0, 0, 2])])
    then = helper.make_graph([node("Neg", ["x"], ["o"])], "then", [], [value("o")])
    other = helper.make_graph([node("Identity", ["x"], ["o"])], "else", [], [value("o")])
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Add", ["v", "v"], ["w"])], "body",
        [value("t", models.I64, ()), value("c", models.BOOL, ()), value("v")],
        [value("d", models.BOOL, ()), value("w")])
    control = models.model(
        [node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Greater", ["sum", "z"], ["c"]),
         node("If", ["c"], ["b"], then_branch=then, else_branch=other),
         node("Loop", ["m", "", "b"], ["l"], body=body), node("Tile", ["l", "twice"], ["t"]),
         node("TopK", ["t", "k"], ["y", "at"], axis=1)], [value("x")],
        [value("y", shape=None), value("at", models.I64, None)],
        [initializer("z", np.float32(0)), initializer("m", np.array(3)),
         initializer("twice", [1, 2]), initializer("k", [2])])
    inner = helper.make_function("own", "F", ["a"], ["r"], [node("Exp", ["a"], ["r"])],
                                 [helper.make_opsetid("", 17)])
    function = models.model([helper.make_node("F", ["x"], ["e"], domain="own"),
                             node("MelWeightMatrix", ["bins", "dft", "rate", "low", "high"], ["m"]),
                             node("Range", ["low", "high", "low"], ["g"]),
                             node("Identity", ["e"], ["y"])], [value("x")],
                            [value("y"), value("g", shape=None), value("m", shape=None)],
                            [initializer("bins", np.array(4)), initializer("dft", np.array(16)),
                             initializer("rate", np.array(8000)), initializer("low", np.float32(1)),
                             initializer("high", np.float32(99))],
                            functions=[inner], domains=[("own", 1)])
    one = initializer("", np.ones(1, np.float32))
    costs = models.model(
        [node("ConstantOfShape", ["n"], ["a"], value=one), node("MatMul", ["a", "a"], ["b"]),
         node("ReduceSum", ["b"], ["sum"], keepdims=0), node("Cast", ["sum"], ["s"], to=models.I64),
         node("Unsqueeze", ["s", "zero"], ["shape"]), node("Tile", ["x", "shape"], ["y"]),
         node("SplitToSequence", ["x"], ["parts"]), node("SequenceLength", ["parts"], ["count"]),
         node("HannWindow", ["size"], ["w"]), node("OneHot", ["zero", "size", "on"], ["h"])],
        [value("x", shape=[3])],
        [value("y", shape=None), value("count", models.I64, ()), value("w", shape=None),
         value("h", shape=None)],
        [initializer("n", [2, 2]), initializer("zero", [0]), initializer("size", np.array(9)),
         initializer("on", np.float32([0, 1]))])
    return [("perceptron", models.perceptron()), ("shapes", shapes), ("control", control),
            ("function", function), ("costs", costs)]


def external() -> Format:
    """A model whose weights lie in a file beside it."""
    proto = models.perceptron()
    tensor = proto.graph.initializer[0]
    weights = bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", "w.bin"), ("offset", "8"), ("length", str(len(weights)))):
        tensor.external_data.add(key=key, value=entry)
    return Format("external.onnx", proto.SerializeToString(), built, "onnx",
                  beside=(("w.bin", bytes(8) + weights),))


def built(path: Path) -> None:
    """The model read, and made a graph for small dimensions."""
    model = dlc.onnx.load(path)
    model.graph(**dict.fromkeys(model.dimension_names, 2))


def cached(path: Path) -> None:
    """An entry of the cache: never another payload."""
    found = Cache(path.parent).get(KEY)
    assert found in (None, b"payload"), found
