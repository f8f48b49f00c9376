"""arange of i64 times something multiplied the last term of the index alone: a kernel's text had
`i * 6 + 5 - r * x[...]` for (i * 6 + 5 - r) * x, as the text of an index had no brackets."""

from __future__ import annotations

import numpy as np

import dlc
from dlc import i64


def positions(x: i64[4, 6]) -> object:
    grid = dlc.reshape(dlc.arange(24, dtype=i64), (4, 6))
    return dlc.flip(grid, 1) * x, x - dlc.flip(dlc.arange(6, dtype=i64), 0), -grid * x


def test_positions_are_whole_operands() -> None:
    x = np.arange(24, dtype=np.int64).reshape(4, 6) * 7 - 50
    grid = np.arange(24).reshape(4, 6)
    found = list(dlc.compile(positions).load()(x).values())
    for got, want in zip(found, (grid[:, ::-1] * x, x - np.arange(6)[::-1], -grid * x),
                         strict=True):
        np.testing.assert_array_equal(got, want)
