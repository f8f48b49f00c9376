"""Files from outside: what is opened, what is weighed, and how their texts are shown."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc import intake
from dlc.errors import LINE, printable, printable_lines
from dlc.intake import PACKED, SLACK, FileError, Intake, bytes_on_disk, regular_file, user_path
from dlc.runtime.data import load_dataset
from tests.intakes import at_most


def test_what_a_terminal_acts_on_is_written_out() -> None:
    assert printable("naïve, 数, tab\t") == "naïve, 数, tab\\t"
    assert printable("a\x1b[2J\r\nb\u202ec\x9b\udc80") == "a\\x1b[2J\\r\\nb\\u202ec\\x9b\\udc80"
    assert printable_lines("a\n\tb\x07\rc") == "a\n\tb\\x07\\rc"


def test_long_texts_are_cut_in_the_middle() -> None:
    shown = printable("begin" + "x" * 10**6 + "end")
    assert shown.startswith("beginx") and shown.endswith("xend") and len(shown) < LINE + 100
    assert "998008 characters" in shown
    lines = printable_lines("\n".join(map(str, range(10**4)))).split("\n")
    assert lines[0] == "0" and lines[-1] == "9999" and len(lines) < 300


def test_errors_show_what_can_be_shown() -> None:
    error = dlc.DlcError("no \x1b]0;forged\x07", dlc.errors.Loc("a\nb.py", 3), "try\x1b[1m")
    assert str(error) == "a\\nb.py:3: no \\x1b]0;forged\\x07\n  try\\x1b[1m"
    assert str(FileError("a\nb", "line 1", "is\nno file", "a\rfile")) == (
        "a\\nb, line 1: is\\nno file; a\\rfile")


@pytest.mark.parametrize("make", [
    lambda path: os.mkfifo(path), lambda path: path.mkdir(), lambda path: None,
    lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path)])
def test_only_regular_files_are_opened(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "thing")
    with pytest.raises(FileError, match="thing: "), regular_file(tmp_path / "thing"):
        raise AssertionError
    with pytest.raises(FileError, match="null"), regular_file(Path("a\0b")):
        raise AssertionError


def test_paths_that_a_user_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/x") == Path("/home/me/x") and user_path("x/~") == Path("x/~")
    for text, word in (("~nosuchuser/x", "home"), ("a\0b", "NUL")):
        with pytest.raises(FileError, match=word):
            user_path(text)


def test_holes_are_not_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(1 << 30)
        file.write(b"end")
    with regular_file(path) as opened:
        assert bytes_on_disk(opened) <= 1 << 16 and opened.tell() == 0
        weighed = Intake(path)
        weighed.hold(opened)
        weighed.hold(opened)
        assert weighed.held <= 1 << 16, "every file counts once"
        with pytest.raises(FileError, match="claims 1073741824 bytes"):
            weighed.take(1 << 30)
    full = tmp_path / "full"
    full.write_bytes(b"x" * 5000)
    with regular_file(full) as opened:
        assert bytes_on_disk(opened) == 5000


def test_what_is_taken_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    weighed = Intake("f")
    weighed.take(SLACK // 2)
    weighed.weigh(SLACK // 2)
    weighed.take(SLACK // 2)
    with pytest.raises(FileError, match=f"f, here: claims {SLACK + 1} bytes, and the file holds 0"):
        weighed.take(1, "here")
    monkeypatch.setattr(intake, "memory_limit", lambda: 1000)
    weighed = Intake("f")
    weighed.take(100, grows=9)
    with pytest.raises(FileError, match=r"claims 112 bytes, .* memory of 1000"):
        weighed.take(12, grows=9)


@pytest.mark.parametrize(("dims", "word"), [
    ([1] * 65, "65 axes"), ([-1, 3], "negative"), ([0, 2**62], "memory"), ([2**70, 0], "memory"),
    ([10**4000] * 64, "memory"), ([2**30], "claims")])
def test_dimensions_that_are_none(dims: list[int], word: str) -> None:
    with pytest.raises(FileError, match=word):
        Intake("f").take_array(dims, 4)
    assert Intake("f").take_array([3, 0, 2**40], 4) == 0


def zeros_text(folder: Path) -> Path:
    path = folder / "zeros.txt.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(64):
            file.write(b"0" * (1 << 20))
    return path


def zeros_archive(folder: Path) -> Path:
    path = folder / "zeros.npz"
    np.savez_compressed(path, **{f"x{i}": np.zeros(4 << 20, np.uint8) for i in range(12)})
    return path


@pytest.mark.parametrize("make", [zeros_text, zeros_archive])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path,
                                                    make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert path.stat().st_size * PACKED + SLACK < 48 << 20
    with at_most(16 << 20), pytest.raises(FileError, match=f"claims .*{PACKED} times"):
        load_dataset(path)


@pytest.mark.parametrize("path", [3, None, [], b"run"])
def test_a_path_that_is_none_is_refused(path: object) -> None:
    with pytest.raises(FileError, match=f"a value of type {type(path).__name__}; the path of"):
        user_path(path)
