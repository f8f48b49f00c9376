"""Sequences made by an exact rule: digits to reverse and to sort, and words to spell out."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.runtime.data.dataset import Dataset
from dlc.runtime.data.options import Options

Array = np.ndarray[Any, Any]
SEQUENCES, HELD, LENGTH, SYMBOLS = 5000, 500, 6, 10


def digits(key: int) -> Array:
    """i32[SEQUENCES, LENGTH]: digits from a fixed Philox stream."""
    words = np.random.Philox(key=key).random_raw(SEQUENCES * LENGTH) >> np.uint64(32)
    return (words % np.uint64(SYMBOLS)).astype(np.int32).reshape(SEQUENCES, LENGTH)


def pairs(name: str, x: Array, y: Array) -> Dataset:
    """What is read and what is to be written, i32[n, LENGTH]; the last HELD are held out."""
    rows = {"x": x, "y": np.ascontiguousarray(y)}
    return Dataset(name, {k: v[:-HELD] for k, v in rows.items()},
                   {k: v[-HELD:] for k, v in rows.items()}, tuple("0123456789"), source="bundled")


def load_reverse(options: Options) -> Dataset:
    """Six digits, x i32[n, 6], and the same from the end, y."""
    x = digits(61)
    return pairs("reverse", x, x[:, ::-1])


def load_sort(options: Options) -> Dataset:
    """Six digits, x i32[n, 6], and the same in order, y."""
    x = digits(62)
    return pairs("sort", x, np.sort(x, axis=1))


MADE = {"reverse": load_reverse, "sort": load_sort}
