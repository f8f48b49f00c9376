"""Plain text as sequences of characters: x and the same shifted by one, y."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import Arrays, DataError, Dataset
from dlc.runtime.data.files import read_all
from dlc.runtime.data.ragged import Ragged

GROWS = 20  # characters are held as text, as code points, and three times as i32


def read_text(path: Path, intake: Intake, grows: int) -> str:
    """The file as UTF-8; DataError names the byte that is not, or a NUL byte."""
    content = read_all(path, intake, grows)
    nul = content.find(b"\0")
    if nul >= 0:
        raise DataError(path, f"byte {nul}", "a NUL byte", "plain text in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, f"byte {error.start}", f"is not UTF-8 ({error.reason})",
                        "plain text in UTF-8") from None


def windows(ids: np.ndarray[Any, Any], length: int) -> Arrays:
    """x, y: i32[n, length], consecutive windows that do not overlap; y is x one character on."""
    count = (len(ids) - 1) // length
    return {"x": ids[:count * length].reshape(count, length).copy(),
            "y": ids[1:count * length + 1].reshape(count, length).copy()}


def in_lanes(source: object, rows: Arrays, lanes: int) -> Arrays:
    """Windows as batches of `lanes` rows that go on where the batch before ended: the text is cut
    into as many parts, and row t * lanes + k is window t of part k. 0 leaves their order.

    Raises DataError for more lanes than windows.
    """
    count = len(rows["x"]) // lanes if lanes > 0 else int(lanes == 0)
    if not count:
        raise DataError(source, "lanes", f"{lanes} lanes of {len(rows['x'])} windows",
                        "lanes=32, as many as a batch has rows; 0 for none")
    if not lanes:
        return rows
    return {name: np.ascontiguousarray(
        array[:lanes * count].reshape(lanes, count, -1).swapaxes(0, 1)).reshape(lanes * count, -1)
        for name, array in rows.items()}


def load_text(path: Path, length: int, test: float, lanes: int, intake: Intake) -> Dataset:
    """A Dataset of character windows; the last part of the text, a fraction `test`, is held out.

    `classes` are the characters in code point order; x and y hold their indices.
    """
    if length < 1:
        raise DataError(path, "length", f"windows of {length} characters", "length=1 or more")
    check_fraction(path, test)
    alphabet, ids = characters(read_text(path, intake, GROWS))
    held = math.ceil(len(ids) * test)
    need = length + 1
    if len(ids) - held < need or (test > 0 and held < need):
        raise DataError(path, "", f"{len(ids)} characters are too few for windows of {length}",
                        f"at least {need} to train on and {need} held out, or a smaller length")
    cut = len(ids) - held
    return Dataset(path.name, in_lanes(path, windows(ids[:cut], length), lanes),
                   windows(ids[cut:], length) if held else None, alphabet, source=str(path),
                   lanes=lanes)


def check_fraction(path: Path, test: float) -> None:
    """Raise DataError for what is not a fraction to hold out."""
    if not 0 <= test < 1:
        raise DataError(path, "test", f"{test} is not a fraction to hold out", "0 <= test < 1")


def characters(text: str) -> tuple[tuple[str, ...], np.ndarray[Any, Any]]:
    """(the characters in code point order, i32: which of them stands at each place)."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    alphabet = sorted(map(ord, set(text)))
    places = np.zeros(alphabet[-1] + 1 if alphabet else 0, np.int32)
    places[alphabet] = np.arange(len(alphabet), dtype=np.int32)
    return tuple(map(chr, alphabet)), places[codes]


def load_lines(path: Path, test: float, intake: Intake) -> Dataset:
    """A Dataset of the lines of a text that are not empty, of several lengths; the last of them, a
    fraction `test`, are held out.

    x are the characters of a line, y the next character of each: behind the last a newline.
    """
    check_fraction(path, test)
    lines = [line + "\n" for line in read_text(path, intake, GROWS).splitlines() if line]
    held = math.ceil(len(lines) * test)
    if len(lines) <= held:
        raise DataError(path, "", f"{len(lines)} lines are too few", "one to train on and one held "
                        "out, or test=0")
    alphabet, ids = characters("".join(lines))
    ends = np.cumsum([0, *map(len, lines)])
    offsets = ends - np.arange(len(ends))
    x = Ragged(np.delete(ids, ends[1:] - 1), offsets)
    y = Ragged(np.delete(ids, ends[:-1]), offsets)
    cut = len(lines) - held
    return Dataset(path.name, {"x": x[:cut], "y": y[:cut]},
                   {"x": x[cut:], "y": y[cut:]} if held else None, alphabet, source=str(path))
