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


PATTERNS = {"xor": load_xor, "symmetry": load_symmetry, "encoder": load_encoder}
