"""Libraries train and predict with the bits of dlc, from C, C++ and Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli import main
from dlc.models.lenet import lenet
from dlc.runtime.data.batches import epoch_order
from dlc.runtime.train.checkpoint import read_checkpoint
from tests.instruction_sets import NATIVE, generated_for
from tests.library import made, networks
from tests.library.conftest import SETS

pytestmark = pytest.mark.library


def trained(task: dlc.Task, folder: Path, isa: str = "", **options: Any) -> Path:
    """The last checkpoint of training in Python."""
    with generated_for(isa or NATIVE[-1]):
        task.train(folder=folder, **options)
    return folder / "last.safetensors"


@pytest.mark.parametrize("compiler", [("cc", "-std=c11"), ("g++", "-x", "c++")], ids=["C", "C++"])
def test_the_example_trains_to_the_checkpoint_of_python(small: Path, data: str, tmp_path: Path,
                                                        compiler: tuple[str, ...]) -> None:
    """Two epochs with a smaller last batch, dropout, running statistics and a schedule."""
    if not made.has(compiler[0]):
        return
    train = made.program(small, small / "train.c", "small", compiler)
    out = tmp_path / "out.safetensors"
    said = made.run([str(train), str(small / "initial.safetensors"), "2", str(out),
                     "image.rows", "label.rows"], small)
    told = made.run([str(train), "initial.safetensors", "2x", "no.safetensors", "image.rows",
                     "label.rows"], small, status=1)
    assert told == "train: 2x: is no number of epochs\n"
    wanted = trained(networks.narrow(data), tmp_path / "run", seed=3)
    assert f"kernels for {SETS[-1]}" in said
    assert made.tensors_of(out) == made.tensors_of(wanted)
    mine, python = read_checkpoint(out), read_checkpoint(wanted)
    assert (mine.identity, mine.network) == (python.identity, python.network)
    assert (mine.position.step, mine.position.epoch) == (python.position.step, 2)


def test_cmake_builds_the_examples(small: Path, tmp_path: Path) -> None:
    if made.has("cmake") and made.has("cc"):
        made.run(["cmake", "-S", str(small), "-B", "."], tmp_path)
        made.run(["cmake", "--build", "."], tmp_path)
        out = tmp_path / "scores.rows"
        made.run([str(tmp_path / "predict"), "initial.safetensors", str(out), "image.rows"], small)
        assert out.stat().st_size == 4 * networks.CLASSES * len(made.rows_of(small)[1])


def test_lenet_from_c_is_lenet_from_python(tmp_path: Path) -> None:
    """The whole network, an epoch of digits, by the command line."""
    if not made.has("cc"):
        return
    folder = tmp_path / "lenet"
    assert main(["build", "lenet", "-o", str(folder), "--data", "--epochs", "1", "--train"]) == 0
    train = made.program(folder, folder / "train.c", "lenet")
    out = folder / "out.safetensors"
    made.run([str(train), "initial.safetensors", "1", str(out), "image.rows", "label.rows"], folder)
    wanted = trained(lenet.with_options(epochs=1), tmp_path / "run")
    assert made.tensors_of(out) == made.tensors_of(wanted)


@pytest.mark.parametrize("isa", SETS)
def test_a_run_goes_on_on_either_side(small: Path, data: str, tmp_path: Path, isa: str) -> None:
    """On every instruction set and several threads: an epoch in the library, the next one in
    Python, and the other way round, end like both in one."""
    module = made.imported(small / "small.py")
    task, image, label = networks.narrow(data), *made.rows_of(small)
    straight = trained(task, tmp_path / "straight", isa, seed=3)

    def epoch(net: Any) -> None:
        order = net.order(net.position.epoch, len(label))
        for start in range(0, len(label), 8):
            rows = order[start:start + 8]
            found = net.step(image=image[rows], label=label[rows])
            assert found.keys() >= {"loss", "accuracy"}
        net.end_epoch()

    there = tmp_path / "there"
    there.mkdir()
    with module.Network(small / "initial.safetensors", threads=3, isa=isa) as net:
        epoch(net)
        net.save(there / "last.safetensors")
    trained(task, there, isa, seed=3, resume=True)
    assert made.tensors_of(there / "last.safetensors") == made.tensors_of(straight)

    half = tmp_path / "half"
    trained(task, half, isa, seed=3, on_epoch=lambda moment: True)
    with module.Network(half / "last.safetensors", threads=2, isa=isa) as net:
        assert (net.isa, net.position.epoch, net.position.seed) == (isa, 1, 3)
        epoch(net)
        net.save(tmp_path / "out.safetensors")
    assert made.tensors_of(tmp_path / "out.safetensors") == made.tensors_of(straight)


@pytest.mark.parametrize("isa", SETS)
def test_predictions_are_those_of_the_network(small: Path, data: str, tmp_path: Path,
                                              isa: str) -> None:
    """Any number of rows, before and after further steps, on any number of threads."""
    module = made.imported(small / "small.py")
    image, label = made.rows_of(small)
    rows = np.concatenate([image] * 4)[:100]
    with generated_for(isa), module.Network(small / "initial.safetensors", 2, isa) as net:
        for _ in range(2):
            net.save(tmp_path / "now.safetensors")
            with dlc.load(tmp_path / "now.safetensors") as wanted:
                for count in (0, 1, 7, 8, 33, 100):
                    assert net.predict(image=rows[:count]).tobytes() == wanted.predict(
                        rows[:count]).tobytes(), count
            net.step(image=image[:8], label=label[:8])


def test_the_wrapper_without_numpy_gives_the_same(small: Path, tmp_path: Path) -> None:
    """In an interpreter without any package, on bytes and arrays of the standard library."""
    program = f"""
import sys; sys.path.insert(0, {str(small)!r})
from array import array
from small_plain import Network, NetworkError
image, label = open("image.rows", "rb").read(), array("i")
label.frombytes(open("label.rows", "rb").read())
with Network("initial.safetensors", threads=2) as net:
    metrics = net.step(image=array("f", image[:3200]), label=label[:8])
    scores = net.predict(image=image[:400 * 9])
    assert scores.shape == (9, {networks.CLASSES}), scores.shape
    bias = net.read("dense1.bias")
    net.write("dense1.bias", bias)
    try:
        net.step(image=array("d", image[:3200]), label=label[:8])
    except NetworkError as error:
        assert error.code == 1 and "image takes f32" in str(error), error
    else:
        raise SystemExit("doubles were taken")
    assert not [name for name in sys.modules if name in ("numpy", "dlc")]
    print(metrics["loss"], scores.tobytes().hex(), bias.tobytes().hex())
"""
    said = made.run([sys.executable, "-I", "-S", "-c", program], small).split()
    module = made.imported(small / "small.py")
    image, label = made.rows_of(small)
    with module.Network(small / "initial.safetensors", threads=1) as net:
        assert net.step(image=image[:8], label=label[:8])["loss"] == float(said[0])
        assert net.predict(image=image[:9]).tobytes().hex() == said[1]
        assert net.read("dense1.bias").tobytes().hex() == said[2]
        with pytest.raises(module.NetworkError, match="image takes rows of f32"):
            net.predict(image=image[:9].astype(np.float64))


def test_evaluations_and_orders_are_those_of_training(small: Path) -> None:
    module = made.imported(small / "small.py")
    image, label = made.rows_of(small)
    with module.Network(small / "initial.safetensors") as net:
        first = net.evaluate(image=image[:8], label=label[:8])
        assert first == net.evaluate(image=image[:8], label=label[:8])
        assert net.position.step == 0
        for epoch, count in ((0, 1), (1, 28), (7, 1001)):
            assert (net.order(epoch, count) == epoch_order(3, epoch, count)).all()


def test_no_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the library nor in its first values, also of a file that lies elsewhere; what dlc
    trains and saves of the same task goes on from either."""
    monkeypatch.chdir("/usr")
    mine = tmp_path / "my nets"
    mine.mkdir()
    (mine / "line.py").write_text(
        "import dlc\nfrom dlc import f32, nn, optim\n\n@dlc.task(data='linear', batch=64, epochs=1,"
        " optimizer=optim.sgd(0.1))\ndef line(x: f32['batch', 8], y: f32['batch', 1]):\n"
        "    return dlc.loss(dlc.square(nn.dense(1)(x) - y).mean())\n")
    out = tmp_path / "out"
    assert main(["build", str(mine / "line.py"), "-o", str(out)]) == 0
    for name in ("libline.so", "initial.safetensors"):
        content = (out / name).read_bytes()
        assert b"line.py:6" in content and str(tmp_path).encode() not in content
    run = tmp_path / "run"
    run.mkdir()
    (run / "last.safetensors").write_bytes((out / "initial.safetensors").read_bytes())
    assert main(["train", str(mine / "line.py"), "--resume", "--out", str(run)]) == 0
    with made.imported(out / "line.py").Network(run / "last.safetensors") as net:
        assert net.position.epoch == 1


def test_the_library_needs_libc_alone_wherever_it_lies(small: Path, tmp_path: Path) -> None:
    """It needs nothing but libc and libm, and exports its interface alone."""
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    content = (small / "libsmall.so").read_bytes()
    (moved / "libsmall.so").write_bytes(content)
    assert str(small).encode() not in content and str(made.HERE).encode() not in content
    if made.has("readelf"):
        dynamic = made.run(["readelf", "-d", "libsmall.so"], moved)
        needed = [line for line in dynamic.splitlines() if "(NEEDED)" in line]
        known = ("[libc.so.", "[libm.so.", "[ld-linux")  # the last finds each thread's message
        assert all(any(name in line for name in known) for line in needed), needed
        assert "TEXTREL" not in dynamic
        names = [line.split()[-1] for line in made.run(
            ["readelf", "--dyn-syms", "-W", "libsmall.so"], moved).splitlines()
            if " UND " not in line and " GLOBAL " in line]
        assert names and all(name.startswith("small_") for name in names), names
    ask = f"import ctypes; ctypes.CDLL({str(moved / 'libsmall.so')!r}).small_create"
    subprocess.run([sys.executable, "-I", "-c", ask], check=True)
