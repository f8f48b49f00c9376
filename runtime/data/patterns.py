"""Small sets of all cases of a rule, tested on what they are trained on: xor, symmetry, encoder."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from dlc.runtime.data.dataset import Arrays, Dataset
from dlc.runtime.data.options import Options

Array = np.ndarray[Any, np.dtype[Any]]


def all_cases(name: str, x: Array, y: Array) -> Dataset:
    """x and y in f32, for training and for testing."""
    arrays: Arrays = {"x": x.astype(np.float32), "y": y.astype(np.float32)}
    return Dataset(name, arrays, {k: v.copy() for k, v in arrays.items()}, source="bundled")


def bits(count: int) -> Array:
    """All words of `count` bits, in order: [2^count, count]."""
    return np.array(list(product((0, 1), repeat=count)))


def load_xor(options: Options) -> Dataset:
    """The four cases of exclusive or: x f32[4, 2], y f32[4, 1]."""
    x = bits(2)
    return all_cases("xor", x, x.sum(1, keepdims=True) % 2)


def load_symmetry(options: Options) -> Dataset:
    """All 64 words of six bits, x f32[64, 6], and whether each is its own mirror image, y
    f32[64, 1]."""
    x = bits(6)
    return all_cases("symmetry", x, (x == x[:, ::-1]).all(1)[:, None])


def load_encoder(options: Options) -> Dataset:
    """Eight patterns with one unit on, to be reproduced: x and y f32[8, 8]."""
    return all_cases("encoder", np.eye(8), np.eye(8))


def load_memories(options: Options) -> Dataset:
    """Random patterns of 1 and -1 to remember: x f32[80, 400], y an index; tested on the same."""
    words = np.random.Philox(key=51).random_raw(80 * 400) >> np.uint64(63)
    return all_cases("memories", 2.0 * words.reshape(80, 400).astype(np.float64) - 1.0,
                     np.arange(80)[:, None])


def load_bars(options: Options) -> Dataset:
    """Bars in a 4x4 image: every set of rows that are on, and every set of columns: x f32[30, 16];
    y is 0 for rows and 1 for columns (G. E. Hinton and T. J. Sejnowski 1986)."""
    rows = np.repeat(bits(4)[1:], 4, axis=1)
    columns = np.tile(bits(4)[1:], (1, 4))
    return all_cases("bars", np.concatenate([rows, columns]), np.repeat([[0], [1]], 15, axis=0))


PATTERNS = {"xor": load_xor, "symmetry": load_symmetry, "encoder": load_encoder,
            "memories": load_memories, "bars": load_bars}
