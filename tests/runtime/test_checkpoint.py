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
from safetensors import deserialize
from safetensors.numpy import save as save_tensors

from dlc.intake import Intake
from dlc.ir.types import f32, i32
from dlc.runtime.train import checkpoint as module
from dlc.runtime.train.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    check_belongs,
    checkpoint_of,
    read_checkpoint,
    write_checkpoint,
)
from dlc.runtime.train.position import Identity, Position
from dlc.runtime.train.tensorfile import CheckpointError, parse_tensors, read_tensors

IDENTITY = Identity("net", "abc", 7, 32)


def make(step: int = 3, value: float = 1.5) -> Checkpoint:
    arrays = {"w": np.full((2, 3), value, np.float32), "step": np.array(step, np.int32),
              "none": np.zeros((0, 4), np.float32), "half": np.ones(3, ml_dtypes.bfloat16),
              "on": np.array([True, False]), "wide": np.array([1e-300, np.nan, -np.inf])}
    history = [{"epoch": 1, "step": step, "train": {"loss": 0.1 + 0.2}, "step_ms": 0.1,
                "test": {"accuracy": 1 / 3}, "samples": 64}]
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
    assert all(is_refused(path, whole[:cut]) for cut in range(len(whole)))
    path.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match=r"c\.safetensors"):
        read_checkpoint(path)


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    """Where training stood is in the header: no bit of it may change and go unnoticed. Of each
    byte of the arrays one bit is flipped."""
    path, draw = tmp_path / "c.safetensors", random.Random(3)
    write_checkpoint(path, make())
    whole = bytearray(path.read_bytes())
    arrays = len(whole) - sum(a.nbytes for a in make().arrays.values())
    for at in range(len(whole)):
        for bit in range(8) if at < arrays else [draw.randrange(8)]:
            whole[at] ^= 1 << bit
            assert is_refused(path, bytes(whole)), f"bit {bit} of byte {at}"
            whole[at] ^= 1 << bit
    assert not is_refused(path, bytes(whole))


def is_refused(path: Path, content: bytes) -> bool:
    """Whether a checkpoint of that content is; without a file for each of thousands."""
    try:
        checkpoint_of(path, *parse_tensors(content, Intake(path, CheckpointError)))
    except CheckpointError:
        return True
    return False


def test_a_flipped_bit_of_where_training_stood_falls_back(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(make(1))
    folder.save(make(2))
    last = tmp_path / "last.safetensors"
    whole = last.read_bytes()
    spoiled = whole.replace(b'\\"batches\\": 2', b'\\"batches\\": 3')
    assert sum(a != b for a, b in zip(whole, spoiled, strict=True)) == 1
    last.write_bytes(spoiled)
    found, notes = folder.latest()
    assert found is not None and found.position.step == 1
    assert len(notes) == 1 and "checksum" in notes[0]


def header(fields: Any, data: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: Any, shape: Any, start: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE: list[tuple[bytes, str]] = [
    (b"", "too small"),
    (b"\x08", "too small"),
    (bytes(8), "JSON"),
    ((1 << 40).to_bytes(8, "little") + b"{}", "too large"),
    ((200_000_000).to_bytes(8, "little") + b"{}", "too large"),
    ((50).to_bytes(8, "little") + b"{}", "header length"),
    (header(b"\xff\xfe{}"), "UTF-8"),
    (header(b"{"), "JSON"),
    (header(b"[]"), "JSON"),
    (header(b'{"a":' * 100_000), "recursion limit"),
    (header(b'{"a": {"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"a": {"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"12"), "offset"),
    (header({"a": entry("F32", [2], 0, 4)}, bytes(4)), "shape"),
    (header({"a": entry("F32", [2, 2**64 - 2], 0, 8)}, bytes(8)), "overflow"),
    (header({"a": entry("F32", [2**32, 2**32], 0, 0)}), "overflow"),
    (header({"a": entry("F32", [-1], 0, 4)}, bytes(4)), "JSON"),
    (header({"a": entry("F32", [1.0], 0, 4)}, bytes(4)), "JSON"),
    (header({"a": entry("F32", [True], 0, 4)}, bytes(4)), "JSON"),
    (header({"a": entry("F32", "1", 0, 4)}, bytes(4)), "JSON"),
    (header(b'{"a":{"dtype":"F32","shape":[' + b"9" * 4000 + b'],"data_offsets":[0,0]}}'), "JSON"),
    (header({"a": entry("F32", [1] * 65, 0, 4)}, bytes(4)), "65 axes"),
    (header({"a": entry("F32", [0, 2**62], 0, 0)}), "memory"),
    (header({"a": entry("F32", [1], 4, 0)}, bytes(4)), "offset"),
    (header({"a": entry("F32", [1], -4, 0)}, bytes(4)), "JSON"),
    (header({"a": entry("F32", [1], 0, 2**70)}, bytes(4)), "JSON"),
    (header({"a": entry("F32", [1], 0, 4)}, bytes(3)), "not a valid safetensors file"),
    (header({"a": entry("F32", [1], 0, 4)}, bytes(5)), "not a valid safetensors file"),
    (header({}, b"x"), "not a valid safetensors file"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)), "offset"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)}, bytes(4)), "offset"),
    (header({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 5, 9)}, bytes(9)), "offset"),
    (header({"a": entry("F32", [1], 1, 5)}, bytes(5)), "offset"),
    (header({"a": entry("F8", [1], 0, 1)}, bytes(1)), "`F8`"),
    (header({"a": entry("\x1b[2J\nforged" * 10**5, [1], 0, 1)}, bytes(1)), r"\x1b[2J\nforged"),
    (header({"a": entry("F8_E4M3", [1], 0, 1)}, bytes(1)), "F8_E4M3"),
    (header({"a": entry("BOOL", [2], 0, 2)}, b"\1\2"), "neither 0 nor 1"),
    (header({"a": entry(["F32"], [1], 0, 4)}, bytes(4)), "JSON"),
    (header({"a": {"dtype": "U8", "shape": [0]}}), "data_offsets"),
    (header({"a": 3}), "JSON"),
    (header({"__metadata__": {"k": 1}}), "JSON"),
    (header({"__metadata__": ["k"]}), "JSON"),
]


@pytest.mark.parametrize(("content", "word"), HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "h.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert word in message and "h.safetensors" in message and "\n" not in message
    assert len(message) < 3000 and message.isprintable()


@pytest.mark.parametrize("content", [
    header({}),
    header({"a": entry("F32", [], 0, 4)}, bytes(4)),
    header({"a": entry("F32", [0, 2**40], 0, 0)}),
    header({"a": entry("F32", [0], 0, 0), "b": entry("U8", [2], 0, 2)}, b"ab"),
    header(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}     ', b"1"),
    header(b"  {}"),
])
def test_unusual_but_sound_files_are_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(content)
    arrays, _ = read_tensors(path)
    assert {k: list(v.shape) for k, v in arrays.items()} == {
        name: list(value["shape"]) for name, value in deserialize(content)}


IS, STOOD = {"model": "m", "task": "t", "seed": 0, "batch": 1}, {"step": 4}
EPOCH = {"epoch": 1, "step": 4, "train": {"loss": 1.0}, "test": None, "step_ms": None, "samples": 4}


def record(identity: Any = IS, position: Any = STOOD, form: Any = 2) -> str:
    return json.dumps({"format": form, "identity": identity, "position": position})


def written(path: Path, text: str | None) -> None:
    """A file whose record is `text`, with the checksum that fits it."""
    arrays = {"w": np.ones(2, np.float32)}
    crc = "" if text is None or '"format": 1' in text else f"{module.checksum(text, arrays)} "
    path.write_bytes(save_tensors(arrays, None if text is None else {"dlc": f"{crc}{text}"}))


@pytest.mark.parametrize(("text", "word"), [
    (None, "not a checkpoint of dlc"),
    ("{", "cannot be read"),
    ("[1]", "cannot be read"),
    ('{"a":' * 10_000, "cannot be read"),
    ('{"format": 99}', "format 99"),
    ('{"format": 1}', "format 1 .*does not cover where training stood"),
    ('{"format": 2}', "cannot be read"),
    (record({"model": "m"}), "cannot be read"),
    (record({**IS, "seed": "0"}), "seed"),
    (record({**IS, "task": 3}), "task"),
    (record(position={"surprise": 1}), "cannot be read"),
    *((record(position=p), next(iter(p))) for p in (
        {"step": -1}, {"step": True}, {"step": 2**62}, {"epoch": 1.0}, {"batches": None},
        {"best": "0"}, {"best": 10**400}, {"partial": []}, {"partial": {"loss": 1.0}},
        {"partial": {"loss": [1.0]}}, {"partial": {"loss": [1.0, "x"]}}, {"history": 3},
        {"history": [3]}, {"history": [{}]}, {"history": [{**EPOCH, "more": 1}]},
        {"history": [{**EPOCH, "train": None}]}, {"history": [{**EPOCH, "test": {"a": "b"}}]},
        {"history": [{**EPOCH, "step_ms": []}]}, {"history": [{**EPOCH, "epoch": 10**400}]})),
])
def test_foreign_records_are_refused(tmp_path: Path, text: str | None, word: str) -> None:
    path = tmp_path / "f.safetensors"
    written(path, text)
    with pytest.raises(CheckpointError, match=word):
        read_checkpoint(path)


def test_records_that_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    written(path, record(position={"history": [EPOCH], "best": 0.5, "partial": {"loss": [1, 2.0]}}))
    assert read_checkpoint(path).position.history == [EPOCH]
    for crc in ("", "0 ", " ", "00000000 "):
        path.write_bytes(save_tensors({"w": np.ones(2, np.float32)}, {"dlc": crc + record()}))
        with pytest.raises(CheckpointError, match="checksum"):
            read_checkpoint(path)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "last.safetensors")
    for path in (tmp_path / "last.safetensors", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match=r"not a regular file|No such file"):
            read_tensors(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        CheckpointFolder(tmp_path).latest()


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
        "from dlc.runtime.train.checkpoint import *\n"
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
    refused("what a step does has changed: it was `abc` and is `abd`", task="abd")
    refused(r"'w' is float64\[2, 3\]", {"w": np.zeros((2, 3))})
    refused(r"f32\[2, 3\]", {"w": np.zeros((2, 4), np.float32)})
    refused("'extra'", {"extra": np.zeros(1)})
    with pytest.raises(CheckpointError, match="no 'step'"):
        check_belongs(tmp_path, Checkpoint({"w": good.arrays["w"]}, IDENTITY, Position()),
                      IDENTITY, types)
