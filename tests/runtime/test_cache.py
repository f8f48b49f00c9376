"""The cache: intact entries only, keys of all that matters, bounded size, exact Programs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.ir.types import Dim, Type, f32
from dlc.program import Buffer, Constant, TileText
from dlc.runtime.compile import cache as module
from dlc.runtime.compile.cache import Cache, CacheError, kernel_key, key_of, pack, unpack
from dlc.runtime.program_json import ProgramFormatError, program_from_json, program_to_json
from tests.runtime.programs import AXPY, train_program

KEY = key_of("one")
OTHER = key_of("two")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_round_trip(cache: Cache) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, b"payload")
    assert cache.has(KEY)
    assert cache.get(KEY) == b"payload"
    assert (cache.directory.stat().st_mode & 0o777, cache.path(KEY).stat().st_mode & 0o777) == (
        0o700, 0o600)


@pytest.mark.parametrize("at", [0, 5, 15, 40, 50, 80, -1])
def test_a_flipped_byte_makes_the_entry_absent(cache: Cache, at: int) -> None:
    cache.put(KEY, b"payload")
    data = bytearray(cache.path(KEY).read_bytes())
    data[at] ^= 1
    cache.path(KEY).write_bytes(data)
    assert cache.get(KEY) is None
    assert not cache.has(KEY)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_truncation_and_no_other_key_passes(payload: bytes, length: int) -> None:
    data = pack(KEY, payload)
    assert unpack(KEY, data) == payload
    assert unpack(OTHER, data) is None
    assert unpack(KEY, data[:length]) == (payload if length >= len(data) else None)
    assert unpack(KEY, payload) is None


def test_a_foreign_entry_is_absent(cache: Cache) -> None:
    cache.put(OTHER, b"theirs")
    os.rename(cache.path(OTHER), cache.path(KEY))
    assert cache.get(KEY) is None


@pytest.mark.parametrize("name", ["chosen", "default"])
def test_a_home_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DLC_CACHE", "~nosuch/cache" if name == "chosen" else "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(CacheError, match=r"home folder is not known; .*set DLC_CACHE"):
        Cache()


def test_a_fifo_for_an_entry_is_not_waited_for(cache: Cache) -> None:
    os.mkfifo(cache.path(KEY))
    assert cache.get(KEY) is None
    cache.put(KEY, b"payload")
    assert cache.get(KEY) == b"payload"


def test_a_link_or_a_directory_for_an_entry_is_absent(cache: Cache, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(pack(KEY, b"x"))
    cache.path(KEY).symlink_to(target)
    assert cache.get(KEY) is None
    cache.path(OTHER).mkdir()
    assert cache.get(OTHER) is None


def test_an_entry_that_others_may_write_is_absent(cache: Cache) -> None:
    cache.put(KEY, b"x")
    cache.path(KEY).chmod(0o666)
    assert cache.get(KEY) is None


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(CacheError, match=r"can be written by others \(mode 777\); set DLC_CACHE"):
        Cache(directory)


def test_a_file_or_an_impossible_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for where in (file, file / "below"):
        with pytest.raises(CacheError, match="cache directory"):
            Cache(where)


def test_a_directory_of_someone_else_is_refused(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.getuid()
    monkeypatch.setattr(module.os, "getuid", lambda: user + 1)
    with pytest.raises(CacheError, match=f"belongs to user {user}, not to you"):
        Cache(tmp_path / "theirs")


def test_the_directory_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch,
                                                  tmp_path: Path) -> None:
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "chosen"))
    assert Cache().directory == tmp_path / "chosen"
    monkeypatch.setenv("DLC_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.default_directory() == tmp_path / "dlc"


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "small", limit=6000)
    keys = [key_of("entry", i) for i in range(8)]
    for age, key in enumerate(keys):
        cache.put(key, bytes(1000))
        if cache.has(key):
            os.utime(cache.path(key), (1000 + age, 1000 + age))
    assert cache.get(keys[3]) is not None  # used now, so younger than all
    cache.put(key_of("last"), bytes(1000))
    cache.evict()
    assert cache.get(keys[3]) is not None
    assert not cache.has(keys[4])
    assert sum(p.stat().st_size for p in cache.directory.iterdir()) <= 6000


def test_a_full_disk_only_costs_the_entry(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(module.os, "replace", full)
    cache.put(KEY, b"x")
    assert cache.get(KEY) is None
    assert list(cache.directory.iterdir()) == []


def test_processes_write_the_same_entries_at_once(tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path\n"
            "from dlc.runtime.compile.cache import Cache, key_of\n"
            "c = Cache(Path(sys.argv[1]), limit=200_000)\n"
            "for i in range(300):\n"
            "    k = key_of(i % 20); c.put(k, bytes([i % 20]) * 5000); d = c.get(k)\n"
            "    assert d is None or d == bytes([i % 20]) * 5000\n")
    root = Path(__file__).resolve().parents[2]
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "c")], cwd=root)
                for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]


def test_every_part_of_a_kernel_is_in_its_key() -> None:
    tile = TileText("t", "define void @t() { ret void }", ())
    kernel = replace(AXPY, tiles=("t",))
    base = kernel_key(kernel, "", {"t": tile}, "")
    others = [
        kernel_key(replace(kernel, text=kernel.text + " "), "", {"t": tile}, ""),
        kernel_key(replace(kernel, name="b"), "", {"t": tile}, ""),
        kernel_key(replace(kernel, params=kernel.params[:-1]), "", {"t": tile}, ""),
        kernel_key(kernel, "x = 1", {"t": tile}, ""),
        kernel_key(kernel, "", {"t": replace(tile, ir=tile.ir + " ")}, ""),
        kernel_key(kernel, "", {"t": tile}, "scalar"),
        kernel_key(replace(kernel, raises=True), "", {"t": tile}, ""),
    ]
    assert len({base, *others}) == 8
    assert kernel_key(kernel, "", {"t": tile, "unused": tile}, "") == base


@pytest.mark.parametrize("what", ["sources", "version", "cpu"])
def test_the_toolchain_is_in_the_key(what: str, monkeypatch: pytest.MonkeyPatch,
                                     tmp_path: Path) -> None:
    before = kernel_key(AXPY, "", {}, "")
    module.toolchain.cache_clear()
    if what == "sources":
        (tmp_path / "lower.py").write_text("changed")
        monkeypatch.setattr(module, "_SOURCES", (str(tmp_path / "lower.py"),))
    elif what == "version":
        monkeypatch.setattr(module, "_package_version", lambda name: name + "2")
    else:
        monkeypatch.setattr(module, "target_cpu", lambda isa: ("other", ""))
    assert kernel_key(AXPY, "", {}, "") != before
    monkeypatch.undo()
    module.toolchain.cache_clear()
    assert kernel_key(AXPY, "", {}, "") == before


def full_program() -> object:
    program = train_program()
    kind = Type(f32, (Dim(4, "batch"), 7), (1, 0))
    return replace(
        program, prelude="def f(x):\n    return x\n", isa="avx2", constants=(
            Constant(0, bytes(range(7))),),
        tiles={"t": TileText("t", "ir", ("f32*", "i64"), "f32", "plain")},
        buffers=(Buffer("h", kind, 64, 112, "activation", "train", 0, 2, "net.py:3"),),
        meta={"a": (1, 2.0, None, True), "b": [1, {"x": (1,)}], "c": float("inf"),
              "d": np.float32, "e": b"\x00\xff"} | {"d": -0.0})


def test_programs_round_trip_exactly() -> None:
    program = full_program()
    text = program_to_json(program)  # type: ignore[arg-type]
    again = program_from_json(text)
    assert again == program
    assert program_to_json(again) == text
    assert repr(again) == repr(program)
    dim = again.buffers[0].type.shape[0]
    assert isinstance(dim, Dim)
    assert dim.name == "batch"


def test_a_program_is_kept_by_key(cache: Cache) -> None:
    program = full_program()
    cache.put_program(KEY, program)  # type: ignore[arg-type]
    assert cache.get_program(KEY) == program
    cache.put(OTHER, b'{"dlc program": 1, "program": {"Program": [1, 2]}}')
    assert cache.get_program(OTHER) is None
    assert not cache.has(OTHER)


@pytest.mark.parametrize(("text", "told"), [
    ("", "not JSON"), ("[]", "not a saved program"), ('{"a": 1}', "not a saved program"),
    ('{"dlc program": 99}', "saved in format 99; this version of dlc reads formats 1 and 2"),
    ('{"dlc program": 1}', "not a Program"),
    ('{"dlc program": 1, "program": {"Evil": []}}', "unknown tag 'Evil'"),
    ('{"dlc program": 1, "program": {"Program": [1]}}', "damaged"),
    ('{"dlc program": 1, "program": {"bytes": "@@"}}', "damaged"),
    ("[" * 100000, "not JSON"),
])
def test_other_texts_are_refused_with_the_reason(text: str, told: str) -> None:
    with pytest.raises(ProgramFormatError, match=told):
        program_from_json(text)


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ProgramFormatError, match="can't hold object"):
        program_to_json(replace(train_program(), meta={"x": object()}))


def test_a_damaged_cache_never_reaches_a_run(tmp_path: Path) -> None:
    """Every entry truncated, flipped or swapped: the program runs, from fresh objects."""
    from dlc.runtime.cpu.program import CpuProgram
    cache = Cache(tmp_path / "c")
    program = train_program()
    CpuProgram(program, 1, cache).close()
    paths = sorted(cache.directory.iterdir())
    contents = [p.read_bytes() for p in paths]
    damage = (lambda i: contents[i][:-10], lambda i: contents[i - 1],
              lambda i: contents[i][:90] + b"?" + contents[i][91:], lambda i: b"")
    for i, path in enumerate(paths):
        path.write_bytes(damage[i % len(damage)](i))
    before = time.time()
    with CpuProgram(program, 1, Cache(cache.directory)) as loaded:
        loaded.write("y", np.ones(160, np.float32))
        loaded.call("train", x=np.ones((4, 40), np.float32))
    assert [p.read_bytes() for p in paths] == contents
    assert all(p.stat().st_mtime >= before - 1 for p in paths)
