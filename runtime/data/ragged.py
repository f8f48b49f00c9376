"""Fields whose rows have several lengths: the rows one after another, and where each begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SUFFIX = "_offsets"  # NAME_offsets beside NAME says where the rows of NAME begin


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows that differ in the length of one axis.

    Row i is values[offsets[i]:offsets[i + 1]]; its first axis is the one that varies, and stands at
    `axis` of the row (0 is its first). `len`, `shape`, `dtype` and indexing by rows are those of an
    array whose first axis counts rows; `shape` has the longest length.
    """

    values: Array
    offsets: Array
    axis: int = 0

    @property
    def lengths(self) -> Array:
        """i64[rows]: the length of each row."""
        return np.diff(self.offsets)

    @property
    def dtype(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = self.values.dtype
        return kind

    @property
    def shape(self) -> tuple[int, ...]:
        rest = list(self.values.shape[1:])
        rest.insert(self.axis, int(self.lengths.max(initial=0)))
        return len(self), *rest

    @property
    def ndim(self) -> int:
        return self.values.ndim + 1

    @property
    def size(self) -> int:
        return self.values.size

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[Array]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        """One row by its number, or the Ragged of several by a slice or an array of numbers."""
        if isinstance(index, (int, np.integer)):
            row = range(len(self))[index]
            return np.moveaxis(self.values[self.offsets[row]:self.offsets[row + 1]], 0, self.axis)
        rows = np.arange(len(self))[index]
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        steps = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[steps], offsets, self.axis)

    def tobytes(self) -> bytes:
        return self.values.tobytes() + self.offsets.tobytes()

    def padded(self, size: int) -> Array:
        """All rows as one array [rows, ...], `size` long along their axis.

        Behind the end of a row stands its last step again: a value that may stand there.
        """
        last = np.maximum(self.lengths - 1, 0)[:, None]
        steps = self.offsets[:-1, None] + np.minimum(np.arange(size)[None], last)
        if not len(self.values):
            return np.zeros((len(self), size, *self.values.shape[1:]), self.dtype)
        found = self.values[np.minimum(steps, len(self.values) - 1)]
        return np.ascontiguousarray(np.moveaxis(found, 1, self.axis + 1))


def joined(rows: Sequence[Array], axis: int) -> Ragged:
    """Rows, whose `axis` varies, as one field."""
    turned = [np.moveaxis(row, axis, 0) for row in rows]
    offsets = np.cumsum([0, *(len(row) for row in turned)])
    return Ragged(np.concatenate(turned), offsets, axis)


def from_rows(value: Any) -> Ragged | None:
    """A list of rows of several lengths as a field; None for what is an array, or no such list."""
    listed = isinstance(value, (list, tuple)) or (
        isinstance(value, np.ndarray) and value.dtype == object)
    if not listed or not len(value) or any(isinstance(row, str) for row in value):
        return None
    try:
        rows = [np.asarray(row) for row in value]
    except (ValueError, TypeError, OverflowError):
        return None
    if any(row.dtype.kind not in "fiub" or row.ndim != rows[0].ndim or not row.ndim
           for row in rows):
        return None
    differing = [a for a in range(rows[0].ndim) if len({row.shape[a] for row in rows}) > 1]
    return joined(rows, differing[0]) if len(differing) == 1 else None


def uniform(array: Array, axis: int) -> Ragged:
    """An array [rows, ...] as rows of one length along `axis` of a row."""
    turned = np.moveaxis(array, axis + 1, 1)
    count, length = turned.shape[:2]
    return Ragged(turned.reshape(count * length, *turned.shape[2:]),
                  np.arange(count + 1) * length, axis)


def with_offsets(arrays: dict[str, Any]) -> dict[str, Any]:
    """`arrays`, of which each NAME beside NAME_offsets becomes a field of rows.

    Raises ValueError, with the name, for offsets that do not ascend from 0 to the end.
    """
    found = dict(arrays)
    for name in [n for n in arrays if n.endswith(SUFFIX) and n.removesuffix(SUFFIX) in arrays]:
        offsets, values = found.pop(name), arrays[name.removesuffix(SUFFIX)]
        whole = isinstance(offsets, np.ndarray) and offsets.ndim == 1 and len(offsets) > 0 and (
            offsets.dtype.kind in "iu")
        ends = whole and offsets[0] == 0 and offsets[-1] == len(values)
        if not ends or (np.diff(offsets.astype(np.int64)) < 0).any():
            raise ValueError(name)
        found[name.removesuffix(SUFFIX)] = Ragged(values, offsets.astype(np.int64))
    return found
