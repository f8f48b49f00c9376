"""Shapes, axes and counts that are none: one error with the user's line, never a raw one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32

X = dlc.zeros((2, 3))
TAKERS: dict[str, Callable[[Any], Any]] = {
    "zeros": dlc.zeros, "ones": dlc.ones, "full": lambda v: dlc.full(v, 1.0), "iota": dlc.iota,
    "arange": dlc.arange, "eye": dlc.eye, "reshape": lambda v: dlc.reshape(X, v),
    "method reshape": X.reshape, "broadcast_to": lambda v: dlc.broadcast_to(X, v),
    "tile": lambda v: dlc.tile(X, v), "repeat": lambda v: dlc.repeat(X, v),
    "roll": lambda v: dlc.roll(X, v), "roll along": lambda v: dlc.roll(X, 1, v),
    "flip": lambda v: dlc.flip(X, v), "split": lambda v: dlc.split(X, v),
    "transpose": lambda v: dlc.transpose(X, v), "expand_dims": lambda v: dlc.expand_dims(X, v),
    "squeeze": lambda v: dlc.squeeze(X, v), "sum": lambda v: X.sum(v),
    "uniform": dlc.random.uniform, "normal": dlc.random.normal,
    "pad": lambda v: dlc.pad(X, v),
}
NONE = (2.5, "a", (2, "x"), (2.5,), object(), (2, None), np.array([[1, 2]]), {"a": 1}, X)
FITS = {("arange", "2.5"), ("pad", "[[1 2]]")}


@pytest.mark.parametrize("name", TAKERS)
def test_what_is_no_number_is_refused(name: str) -> None:
    for value in NONE:
        if (name, str(value)) not in FITS:
            with pytest.raises(DlcError, match=r"test_static_arguments\.py:\d+"):
                TAKERS[name](value)


def test_a_shape_may_be_one_number() -> None:
    for made in (dlc.zeros(4), dlc.ones(np.int64(4)), dlc.full(4, 2.0), dlc.iota(4),
                 dlc.broadcast_to(dlc.zeros(()), 4)):
        assert made.shape == (4,)
    graph = dlc.trace(lambda x: x + dlc.iota(3), f32[3])
    np.testing.assert_array_equal(dlc.evaluate(graph, np.zeros(3, np.float32)), [0, 1, 2])
