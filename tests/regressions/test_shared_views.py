"""Two small launches of one kind that read one view were merged, and could not be taken apart."""

from __future__ import annotations

import numpy as np

import dlc
from dlc import f32, i32


def test_two_routines_of_one_view() -> None:
    """cummax and cummin are one operator with other attributes; both read ravel(x)."""
    x = np.array([[3, 1, 2], [0, 5, 4]], np.float32)
    graph = dlc.trace(lambda x: (dlc.cummax(x), dlc.cummin(x)), f32[2, 3])
    with dlc.compile(graph).load(threads=1) as program:
        high, low = program(x).values()
    np.testing.assert_array_equal(high, [3, 3, 3, 3, 5, 5])
    np.testing.assert_array_equal(low, [3, 1, 1, 0, 0, 0])


def test_two_scatters_of_one_view() -> None:
    at, x = np.array([[0, 2], [2, 1]], np.int32), np.ones(4, np.float32)
    graph = dlc.trace(lambda at, x: (dlc.bincount(at, 4, x), dlc.bincount(at, 4, x * 2)),
                      i32[2, 2], f32[4])
    with dlc.compile(graph).load(threads=1) as program:
        once, twice = list(program(at, x).values())[:2]
    np.testing.assert_array_equal(once, [1, 1, 2, 0])
    np.testing.assert_array_equal(twice, [2, 2, 4, 0])
