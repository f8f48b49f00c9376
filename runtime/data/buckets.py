"""Rows of several lengths in batches of few sizes: which size each row takes, and padded arrays.

The sizes of an axis are its bound, halved again and again (`sizes`). An epoch's batches are full:
what is left of the rows of one size joins those of the next, so that only the largest has a
smaller last batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from dlc.program import Entry, Port, Program
from dlc.runtime.data.batches import bind_arrays, convert, epoch_order
from dlc.runtime.data.dataset import DataError, shuffle
from dlc.runtime.data.ragged import Ragged, uniform

Rows = np.ndarray[Any, np.dtype[np.int64]]
# dimension -> {"most": its bound, "inputs": {input: axis}}: what a program's meta data say
Varying = Mapping[str, Mapping[str, Any]]
Sizes = tuple[int, ...]  # one for each dimension


def varying_of(program: Program) -> Varying:
    """The dimensions with a bound of a task's program."""
    found: Any = program.meta.get("varying", {})
    return dict(found)


def sizes(most: int, count: int) -> list[int]:
    """`count` sizes at most, ascending: the bound, and each half of the next, rounded up."""
    found = [most]
    while len(found) < count and found[-1] > 1:
        found.append(-(-found[-1] // 2))
    return found[::-1]


def levels_of(varying: Varying, count: int) -> list[Sizes]:
    """The sizes of all dimensions together, ascending; `count` at most."""
    each = [sizes(int(v["most"]), count) for v in varying.values()]
    longest = max(map(len, each), default=0)
    padded = [[s[0]] * (longest - len(s)) + s for s in each]
    return list(dict.fromkeys(zip(*padded, strict=True)))


def sizes_of(entry: Entry, varying: Varying) -> Sizes:
    """The sizes that an entry was compiled for."""
    ports = {port.name: port.type for port in entry.inputs}
    found = []
    for v in varying.values():
        label, axis = next((k, a) for k, a in v["inputs"].items() if k in ports)
        found.append(int(ports[label].shape[axis]))
    return tuple(found)


def sizes_text(program: Program) -> str:
    """What rows of several lengths are padded to, and how many specializations that makes; nothing
    for other programs. "time up to 64, padded to 16, 32 or 64: 8 specializations"."""
    varying = varying_of(program)
    if not varying:
        return ""
    entries = [e for e in program.entries.values() if not e.name.endswith("_set")]
    told = []
    for at, (dim, v) in enumerate(varying.items()):
        used = sorted({sizes_of(entry, varying)[at] for entry in entries})
        *some, most = map(str, used)
        listed = f"{', '.join(some)} or {most}" if some else most
        told.append(f"{dim} up to {v['most']}, padded to {listed}")
    return f"{'; '.join(told)}: {len(entries)} specializations"


class BoundRows:
    """A data set as the ports of a program take it, its rows not yet padded.

    `ports` are those of any entry. Raises DataError for a field that does not fit, a row that is
    longer than the bound, an empty one, and fields whose rows should be of one length and are not.
    """

    def __init__(self, source: str, arrays: Mapping[str, Any], ports: Sequence[Port],
                 varying: Varying) -> None:
        self.source, self.varying = source, varying
        inputs = {label: (dim, axis) for dim, v in varying.items()
                  for label, axis in v["inputs"].items()}
        data = [p for p in ports if p.role == "data" and p.name not in varying]
        fixed = tuple(p for p in data if p.name not in inputs)
        self.plain = bind_arrays(source, dict(arrays), fixed)
        self.ragged = {p.name: self._rows(p, arrays, inputs[p.name][1])
                       for p in data if p.name in inputs}
        self.lengths = {dim: self._lengths(dim) for dim in varying}
        self.names = {p.name for p in ports}

    def __len__(self) -> int:
        return len(next(iter([*self.ragged.values(), *self.plain.values()])))

    def _rows(self, port: Port, arrays: Mapping[str, Any], axis: int) -> Ragged:
        if port.name not in arrays:
            bind_arrays(self.source, {}, (port,))  # its error
        field = arrays[port.name]
        shape = tuple(int(d) for d in port.type.shape[1:])
        rest = (*shape[:axis - 1], *shape[axis:])
        where = f"field {port.name!r}"
        if not isinstance(field, Ragged):
            if field.ndim != len(shape) + 1:
                raise DataError(self.source, where, f"has rows of {list(field.shape[1:])}, but the "
                                f"task takes {port.type}", f"{len(shape)} axes a row")
            field = uniform(field, axis - 1)
        if field.axis != axis - 1 or field.values.shape[1:] != rest:
            raise DataError(self.source, where, f"has rows of {list(field.shape[1:])} whose axis "
                            f"{field.axis} varies, but the task takes {port.type}",
                            f"rows that vary along their axis {axis - 1}")
        return Ragged(convert(self.source, port, field.values), field.offsets, field.axis)

    def _lengths(self, dim: str) -> np.ndarray[Any, Any]:
        """i32[rows] along one dimension, the same in all fields that have it."""
        first, most = None, int(self.varying[dim]["most"])
        for label in self.varying[dim]["inputs"]:
            if label not in self.ragged:
                continue
            found = self.ragged[label].lengths
            wrong = np.flatnonzero((found > most) | (found < 1))
            if len(wrong):
                row = int(wrong[0])
                raise DataError(self.source, f"field {label!r}, row {row}",
                                f"is {found[row]} long along {dim!r}", f"1 to {most}, the bound "
                                f"that the task declares; {len(wrong)} such rows")
            if first is not None and (self.ragged[first].lengths != found).any():
                row = int(np.flatnonzero(self.ragged[first].lengths != found)[0])
                raise DataError(self.source, f"row {row}", f"{first!r} is "
                                f"{self.ragged[first].lengths[row]} long along {dim!r} and "
                                f"{label!r} {found[row]}", "one length for both")
            first = label
        assert first is not None
        return self.ragged[first].lengths.astype(np.int32)

    def level(self, levels: Sequence[Sizes]) -> Rows:
        """i64[rows]: the first of `levels` (ascending) that holds each row."""
        found = np.zeros(len(self), np.int64)
        for at, lengths in enumerate(self.lengths.values()):
            bounds = np.array([chosen[at] for chosen in levels])
            found = np.maximum(found, np.searchsorted(bounds, lengths))
        return found

    def padded(self, chosen: Sizes, rows: Any) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays of these rows for an entry of these sizes."""
        found = {k: np.ascontiguousarray(v[rows]) for k, v in self.plain.items()}
        by_dim = dict(zip(self.varying, chosen, strict=True))
        for dim, v in self.varying.items():
            found.update({label: self.ragged[label][rows].padded(by_dim[dim])
                          for label in v["inputs"] if label in self.ragged})
            if dim in self.names:
                found[dim] = np.ascontiguousarray(self.lengths[dim][rows])
        return found


def bound_by(varying: Varying) -> Callable[[str, Mapping[str, Any], Sequence[Port]], Any]:
    """What binds a batch of a stream to ports: a function of (source, arrays, ports)."""
    def bind(source: str, arrays: Mapping[str, Any], ports: Sequence[Port]) -> Any:
        if varying:
            return BoundRows(source, arrays, ports, varying)
        return bind_arrays(source, dict(arrays), tuple(ports))

    return bind


class Buckets:
    """The rows of a data set by the level that holds them, of which `levels` ascend."""

    def __init__(self, rows: BoundRows, levels: Sequence[Sizes]) -> None:
        self.rows, self.levels = rows, list(levels)
        self.level = rows.level(levels)
        self._padded: dict[int, dict[str, np.ndarray[Any, Any]]] = {}

    @cached_property
    def place(self) -> Rows:
        """i64[rows]: where each row stands in the arrays of a level: short ones first."""
        place = np.empty(len(self.level), np.int64)
        place[np.argsort(self.level, kind="stable")] = np.arange(len(self.level))
        return place

    def arrays(self, level: int) -> dict[str, np.ndarray[Any, Any]]:
        """All rows that the level holds, padded to its sizes."""
        if level not in self._padded:
            short = np.argsort(self.level, kind="stable")[:int((self.level <= level).sum())]
            self._padded[level] = self.rows.padded(self.levels[level], short)
        return self._padded[level]

    def full_levels(self, batch: int) -> list[int]:
        """The levels that have full batches, whatever the order of the rows."""
        left, found = 0, []
        for level in range(len(self.levels)):
            count = left + int((self.level == level).sum())
            found += [level] if count >= batch else []
            left = count % batch
        return found

    def batches(self, order: Rows, batch: int) -> list[tuple[int, Rows]]:
        """(level, numbers of rows) of every batch of an epoch whose rows come in this order; the
        smaller one last."""
        found, left, top = [], np.zeros(0, np.int64), len(self.levels) - 1
        for level in range(len(self.levels)):
            mine = np.concatenate([left, order[self.level[order] == level]])
            whole = len(mine) // batch * batch
            found += [(level, part) for part in mine[:whole].reshape(-1, batch)]
            left = mine[whole:]
        return [*found, *([(top, left)] if len(left) else [])]

    def epoch(self, seed: int, epoch: int, batch: int) -> list[tuple[int, Rows]]:
        """The batches of a training epoch, in an order that depends on (seed, epoch) alone."""
        found = self.batches(epoch_order(seed, epoch, len(self.level)), batch)
        full = [b for b in found if len(b[1]) == batch]
        key = ((2**63 + epoch) << 64) | (seed & (2**64 - 1))
        return [*(full[i] for i in shuffle(key, len(full))), *found[len(full):]]


def stretches(batches: Sequence[tuple[int, Rows]]) -> list[tuple[int, Rows]]:
    """Runs of batches of one level and size: (level, rows i64[batches, samples])."""
    found: list[tuple[int, list[Rows]]] = []
    for level, rows in batches:
        if found and found[-1][0] == level and len(found[-1][1][-1]) == len(rows):
            found[-1][1].append(rows)
        else:
            found.append((level, [rows]))
    return [(level, np.stack(rows)) for level, rows in found]


def levels_used(rows: Mapping[str, BoundRows | None], levels: Sequence[Sizes],
                batch: int) -> dict[str, list[Sizes]]:
    """The levels that full batches need by kind of step; the last holds every row of all kinds."""
    buckets = {kind: Buckets(each, levels) for kind, each in rows.items() if each is not None}
    top = max((int(b.level.max()) for b in buckets.values()), default=len(levels) - 1)
    full = {kind: buckets[kind].full_levels(batch) if kind in buckets else [] for kind in rows}
    return {kind: [levels[i] for i in sorted({*found, top}) if i <= top]
            for kind, found in full.items()}
