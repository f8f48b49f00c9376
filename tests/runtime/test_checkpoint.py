"""Checkpoints: exact round trips, atomic replacement, hostile files, the previous one as refuge."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as save_tensors

from dlc.runtime import checkpoint as module
from dlc.runtime.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    Identity,
    Position,
    check_belongs,
    read_checkpoint,
    write_checkpoint,
)
from dlc.runtime.tensorfile import CheckpointError, read_tensors
from dlc.types import f32, i32

IDENTITY = Identity("net", "abc", 7, 32)


def make(step: int = 3, value: float = 1.5) -> Checkpoint:
    arrays = {"w": np.full((2, 3), value, np.float32), "step": np.array(step, np.int32),
              "none": np.zeros((0, 4), np.float32), "half": np.ones(3, ml_dtypes.bfloat16),
              "on": np.array([True, False]), "wide": np.array([1e-300, np.nan, -np.inf])}
    history = [{"epoch": 1, "loss": 0.1 + 0.2, "test": {"accuracy": 1 / 3}}]
    return Checkpoint(arrays, IDENTITY, Position(step=step, epoch=1, batches=2, samples=64,
                                                 partial={"loss": [1e-17, 64.0]}, history=history))


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, make())
    back = read_checkpoint(path)
    assert back.identity == IDENTITY and back.position == make().position
    assert set(back.arrays) == set(make().arrays)
    for name, array in make().arrays.items():
        assert back.arrays[name].dtype == array.dtype and back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()
    first = path.read_bytes()
    write_checkpoint(path, make())
    assert path.read_bytes() == first, "the same checkpoint is the same bytes"
    assert {name for name, _ in deserialize(first)} == set(back.arrays), "others can read it"


def test_arrays_that_are_not_contiguous(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_checkpoint(tmp_path / "c", Checkpoint({"a": array.T, "b": array[:, ::2]}, IDENTITY,
                                                Position()))
    back = read_checkpoint(tmp_path / "c").arrays
    np.testing.assert_array_equal(back["a"], array.T)
    np.testing.assert_array_equal(back["b"], array[:, ::2])


def test_truncated_at_every_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, make())
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"c\.safetensors"):
            read_checkpoint(path)


def test_every_flipped_byte_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, make())
    whole = path.read_bytes()
    data = len(whole) - sum(a.nbytes for a in make().arrays.values())
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1:])
        try:
            read_checkpoint(path)
        except CheckpointError:
            continue
        assert at < data, f"a flipped byte {at} of the arrays went unnoticed"


def header(fields: Any, data: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: Any, shape: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE: list[tuple[bytes, str]] = [
    (b"", "0 bytes are too few"),
    (b"\x08", "1 bytes are too few"),
    (bytes(8), "opening brace"),
    ((1 << 40).to_bytes(8, "little") + b"{}", "limit"),
    ((200_000_000).to_bytes(8, "little") + b"{}", "limit"),
    ((50).to_bytes(8, "little") + b"{}", "cut off"),
    (header(b"\xff\xfe{}"), "UTF-8"),
    (header(b"{"), "not JSON"),
    (header(b"[]"), "opening brace"),
    (header(b"  {}"), "opening brace"),
    (header(b'{"a":' * 100_000), "not JSON"),
    (header(b'{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"a": {"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"12"), "'a' occurs twice"),
    (header({"a": entry("F32", [2], 0, 4)}, bytes(4)), "takes 8 bytes"),
    (header({"a": entry("F32", [2, 2**64 - 2], 0, 8)}, bytes(8)), "takes"),
    (header({"a": entry("F32", [2**32, 2**32], 0, 0)}), "takes"),
    (header({"a": entry("F32", [-1], 0, 4)}, bytes(4)), "shape"),
    (header({"a": entry("F32", [1.0], 0, 4)}, bytes(4)), "shape"),
    (header({"a": entry("F32", [True], 0, 4)}, bytes(4)), "shape"),
    (header({"a": entry("F32", "1", 0, 4)}, bytes(4)), "shape"),
    (header({"a": entry("F32", [1], 4, 0)}, bytes(4)), "offsets"),
    (header({"a": entry("F32", [1], -4, 0)}, bytes(4)), "offsets"),
    (header({"a": entry("F32", [1], 0, 4)}, bytes(3)), "cut off"),
    (header({"a": entry("F32", [1], 0, 4)}, bytes(5)), "1 bytes follow"),
    (header({}, b"x"), "1 bytes follow"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)), "overlaps"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)}, bytes(4)), "overlaps"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 5, 9)}, bytes(9)), "hole"),
    (header({"a": entry("F32", [1], 1, 5)}, bytes(5)), "hole"),
    (header({"a": entry("F8", [1], 0, 1)}, bytes(1)), "'F8'"),
    (header({"a": entry(["F32"], [1], 0, 4)}, bytes(4)), "dtype"),
    (header({"a": {"dtype": "U8", "shape": [0]}}), "data_offsets"),
    (header({"a": 3}), "entry of 'a'"),
    (header({"__metadata__": {"k": 1}}), "__metadata__"),
    (header({"__metadata__": ["k"]}), "__metadata__"),
]


@pytest.mark.parametrize(("content", "word"), HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "h.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert word in message and "h.safetensors" in message and "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize("content", [
    header({}),
    header({"a": entry("F32", [], 0, 4)}, bytes(4)),
    header({"a": entry("F32", [0, 2**40], 0, 0)}),
    header({"a": entry("F32", [0], 0, 0), "b": entry("U8", [2], 0, 2)}, b"ab"),
    header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}     ', b"1"),
])
def test_unusual_but_sound_files_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(content)
    arrays, _ = read_tensors(path)
    assert {k: list(v.shape) for k, v in arrays.items()} == {
        name: list(value["shape"]) for name, value in deserialize(content)}


def test_all_that_the_package_refuses_is_refused(tmp_path: Path) -> None:
    path, draw = tmp_path / "m.safetensors", random.Random(5)
    whole = save_tensors({"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.uint8)})
    refused = 0
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(len(content))] = draw.choice(b'\0\xff{}[],:"0123456789 \x80')
        try:
            deserialize(bytes(content))
        except SafetensorError:
            refused += 1
            path.write_bytes(content)
            with pytest.raises(CheckpointError):
                read_tensors(path)
    assert refused > 1000


@pytest.mark.parametrize(("record", "word"), [
    (None, "not a checkpoint of dlc"),
    ("{", "cannot be read"),
    ("[1]", "cannot be read"),
    ({"format": 99}, "format 99"),
    ({"format": 1}, "cannot be read"),
    ({"format": 1, "identity": {"model": "m"}, "position": {}, "crc32": 0}, "cannot be read"),
    ({"format": 1, "identity": {"model": "m", "task": "t", "seed": 0, "batch": 1},
      "position": {"surprise": 1}, "crc32": 0}, "cannot be read"),
    ({"format": 1, "identity": {"model": "m", "task": "t", "seed": 0, "batch": 1},
      "position": {"step": -1}, "crc32": 0}, "non-negative"),
    ({"format": 1, "identity": {"model": "m", "task": "t", "seed": 0, "batch": 1},
      "position": {"history": 3}, "crc32": 0}, "collection"),
    ({"format": 1, "identity": {"model": "m", "task": "t", "seed": 0, "batch": 1},
      "position": {}, "crc32": 0}, "checksum"),
])
def test_foreign_records_are_refused(tmp_path: Path, record: Any, word: str) -> None:
    path = tmp_path / "f.safetensors"
    text = record if isinstance(record, str) else json.dumps(record)
    metadata = None if record is None else {"dlc": text}
    path.write_bytes(save_tensors({"w": np.ones(2, np.float32)}, metadata))
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(path)


def test_folder_keeps_the_previous_and_the_best(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "run")
    assert folder.latest() == (None, [])
    folder.save(make(1), best=make(1))
    folder.save(make(2))
    folder.save(make(3))
    found, notes = folder.latest()
    assert found is not None and found.position.step == 3 and notes == []
    assert read_checkpoint(folder.path / "previous.safetensors").position.step == 2
    assert folder.best().position.step == 1
    names = sorted(p.name for p in folder.path.iterdir())
    assert names == ["best.safetensors", "last.safetensors", "previous.safetensors"]


@pytest.mark.parametrize("damage", ["truncate", "empty", "foreign", "missing"])
def test_damaged_last_falls_back_to_previous(tmp_path: Path, damage: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))
    folder.save(make(2))
    last = tmp_path / "last.safetensors"
    content = {"truncate": last.read_bytes()[:-5], "empty": b"", "foreign": b"GIF89a" * 9}
    last.unlink()
    if damage in content:
        last.write_bytes(content[damage])
    found, notes = folder.latest()
    assert found is not None and found.position.step == 1
    assert len(notes) == (damage != "missing")
    assert all("last.safetensors" in note for note in notes)


def test_nothing_usable_names_both(tmp_path: Path) -> None:
    for name in ("last", "previous"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last\.safetensors.*previous\.safetensors"):
        CheckpointFolder(tmp_path).latest()


@pytest.mark.parametrize("point", ["open", "fsync", "replace"])
def test_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             point: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = Path if point == "open" else module.os
    if point == "replace":
        real = os.replace
        monkeypatch.setattr(target, point, lambda a, b: full() if "last" in str(b) else real(a, b))
    else:
        monkeypatch.setattr(target, point, full)
    with pytest.raises(OSError, match="No space"):
        folder.save(make(2))
    monkeypatch.undo()
    found, notes = folder.latest()
    assert found is not None and found.position.step == 1 and notes == []
    assert not list(tmp_path.glob(".*.tmp"))


def test_really_full_file_system(tmp_path: Path) -> None:
    """A limit on the file size stands in for a full disk: write(2) itself fails."""
    code = (
        "import resource, signal, sys; from pathlib import Path; import numpy as np\n"
        "from dlc.runtime.checkpoint import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "def save(n, size):\n"
        "    folder.save(Checkpoint({'w': np.zeros(size, np.float32)}, Identity('m','t',0,1),"
        " Position(step=n)))\n"
        "folder = CheckpointFolder(Path(sys.argv[1])); save(1, 10)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: save(2, 10_000)\n"
        "except OSError as error: print('refused', error.errno)\n"
        "print(folder.latest()[0].position.step, sorted(p.name for p in folder.path.iterdir()))\n")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True,
                          text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines == [f"refused {errno.EFBIG}", "1 ['last.safetensors', 'previous.safetensors']"]


def test_belongs_names_the_first_difference(tmp_path: Path) -> None:
    types = {"w": f32[2, 3], "step": i32[()]}
    good = Checkpoint({"w": np.zeros((2, 3), np.float32), "step": np.zeros((), np.int32)},
                      IDENTITY, Position())
    check_belongs(tmp_path, good, IDENTITY, types)

    def refused(word: str, arrays: dict[str, Any] | None = None, **changes: Any) -> None:
        fields = {"model": "net", "task": "abc", "seed": 7, "batch": 32, **changes}
        found = Checkpoint({**good.arrays, **(arrays or {})}, IDENTITY, Position())
        with pytest.raises(CheckpointError, match=word):
            check_belongs(tmp_path, found, Identity(**fields), types)

    refused("'net', not 'other'", model="other")
    refused("seed 7, not 8", seed=8)
    refused("batch 32, not 64", batch=64)
    refused("another version of the task", task="abd")
    refused(r"'w' is float64\[2, 3\]", {"w": np.zeros((2, 3))})
    refused(r"f32\[2, 3\]", {"w": np.zeros((2, 4), np.float32)})
    refused("'extra'", {"extra": np.zeros(1)})
    with pytest.raises(CheckpointError, match="no 'step'"):
        check_belongs(tmp_path, Checkpoint({"w": good.arrays["w"]}, IDENTITY, Position()),
                      IDENTITY, types)
