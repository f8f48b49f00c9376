"""Batches of rows of several lengths: every row once, full batches, a few sizes; ragged fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.runtime.data.buckets import Buckets, levels_of, sizes, stretches
from dlc.runtime.data.ragged import Ragged, from_rows, joined, uniform, with_offsets


class Lengths:
    """Rows of which only the lengths are known."""

    def __init__(self, lengths: Any) -> None:
        self.lengths = lengths

    def level(self, levels: Any) -> Any:
        return np.searchsorted([chosen[0] for chosen in levels], self.lengths)


def test_sizes_are_halves_of_the_bound() -> None:
    assert sizes(64, 4) == [8, 16, 32, 64] and sizes(100, 3) == [25, 50, 100]
    assert sizes(3, 5) == [1, 2, 3] and sizes(7, 1) == [7]
    both = {"source": {"most": 16}, "target": {"most": 3}}
    assert levels_of(both, 3) == [(4, 1), (8, 2), (16, 3)]
    assert levels_of(both, 4) == [(2, 1), (4, 1), (8, 2), (16, 3)]


@pytest.mark.parametrize("case", range(40))
def test_an_epoch_has_every_row_once_in_full_batches(case: int) -> None:
    rng = np.random.default_rng(case)
    most, count, batch = (int(rng.integers(1, n)) for n in (100, 300, 33))
    levels = [(s,) for s in sizes(most, int(rng.integers(1, 6)))]
    buckets = Buckets(Lengths(rng.integers(1, most + 1, count)), levels)  # type: ignore[arg-type]
    full = buckets.full_levels(batch)
    for seed, epoch in ((0, 0), (0, 1), (5, 0)):
        found = buckets.epoch(seed, epoch, batch)
        assert sorted(np.concatenate([r for _, r in found])) == list(range(count))
        assert all(len(rows) == batch for _, rows in found[:-1])
        assert len(found[-1][1]) == (count % batch or batch)
        assert all((buckets.rows.lengths[rows] <= levels[at][0]).all() for at, rows in found)
        assert {at for at, rows in found if len(rows) == batch} == set(full)
        again = buckets.epoch(seed, epoch, batch)
        assert all(a[0] == b[0] and (a[1] == b[1]).all()
                   for a, b in zip(found, again, strict=True))
        runs = stretches(found)
        assert [at for at, rows in runs for _ in rows] == [at for at, _ in found]
    orders = [np.concatenate([r for _, r in buckets.epoch(s, 0, batch)]) for s in range(9)]
    assert count < 9 or any((o != orders[0]).any() for o in orders)


def test_ragged_rows_are_those_that_were_joined() -> None:
    rng = np.random.default_rng(2)
    rows = [rng.normal(size=(3, n)).astype(np.float32) for n in (4, 1, 6, 2)]
    field = from_rows(rows)
    assert field is not None and field.axis == 1 and field.shape == (4, 3, 6)
    for got, want in zip(field, rows, strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(field[-1], rows[-1])
    some = field[np.array([2, 0, 2])]
    assert [r.shape for r in some] == [(3, 6), (3, 4), (3, 6)] and some[1].tobytes() == (
        rows[0].tobytes())
    wide = field.padded(7)
    assert wide.shape == (4, 3, 7)
    for got, want in zip(wide, rows, strict=True):
        np.testing.assert_array_equal(got[:, :want.shape[1]], want)
        np.testing.assert_array_equal(got[:, want.shape[1]:],
                                      np.repeat(want[:, -1:], 7 - want.shape[1], 1))
    with pytest.raises(IndexError):
        field[4]


def test_what_is_no_ragged_field() -> None:
    assert from_rows([[1, 2], [3, 4]]) is None and from_rows(["ab", "c"]) is None
    assert from_rows([np.zeros((1, 2)), np.zeros((2, 3))]) is None and from_rows([]) is None
    assert from_rows([[1], 2]) is None and from_rows(np.zeros((2, 2))) is None
    one = uniform(np.arange(6).reshape(2, 3), 0)
    assert [row.tolist() for row in one] == [[0, 1, 2], [3, 4, 5]]
    packed = with_offsets({"x": np.arange(5), "x_offsets": np.array([0, 2, 5]), "y": np.zeros(2)})
    assert isinstance(packed["x"], Ragged) and packed["x"].lengths.tolist() == [2, 3]
    assert joined([np.zeros(0), np.ones(2)], 0).padded(2).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    for wrong in ([0, 3], [1, 5], [0, 4, 2, 5], []):
        with pytest.raises(ValueError, match="x_offsets"):
            with_offsets({"x": np.arange(5), "x_offsets": np.array(wrong, np.int64)})
