"""Placement: offsets for spans that keep the arena small and need few barriers.

Two spans may share bytes if their live ranges are disjoint. If both are used within one superstep,
the later use has to wait for the earlier one: an additional barrier, which disjoint bytes avoid.
Each strategy gives an arrangement no larger than the smallest known without that rule; the one with
the fewest barriers is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from dlc.passes.schedule.lives import Span
from dlc.passes.schedule.supersteps import Clashes, Supersteps

Times: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

TRIES = 3  # of one order of spans
NEAR = 256  # a program of hundreds of barriers may have one too many
WORTH = 64 * 1024  # bytes that are streamed while threads wait at a barrier, some 2 us
Numbered: TypeAlias = Callable[[Clashes, frozenset[int]], Supersteps]


def arranged(spans: Sequence[Span], numbered: Numbered, room: int = 0,
             limit: int | None = None) -> Arrangement:
    """The cheapest arrangement of those tried: bytes above `room`, which the arena has anyway, and
    barriers at WORTH bytes each. With a `limit` it has no more bytes than that, if one of them has.

    All values of one superstep should lie apart. Where one holds too many bytes for that, it is
    cut in two by a barrier that has to be: what is dead by then leaves room.
    """
    now = numbered({}, frozenset())
    apart = times_of(spans, now.numbers)
    best = tightest(spans, apart)
    most = max(best.top, room)
    fewest = numbered(clashes_of(spans, best, apart), frozenset()).waits
    wider = most + WORTH * (fewest - now.waits)
    for top in (most, wider if limit is None else max(most, min(wider, limit))):
        if few(fewest, now.waits):
            break
        for found in tried(spans, numbered, best, top):
            waits = numbered(clashes_of(spans, found, apart), frozenset()).waits
            if max(found.top, most) + WORTH * waits < max(best.top, most) + WORTH * fewest:
                best, fewest = found, waits
            if few(fewest, now.waits):
                break
    return best


def few(waits: int, least: int) -> bool:
    """Whether there are so few barriers that no other arrangement is worth its time: each try takes
    as long as the first, and compares all values of a step with all."""
    return waits - least <= waits // NEAR


def tried(spans: Sequence[Span], numbered: Numbered, best: Arrangement,
          most: int) -> Iterator[Arrangement]:
    """Arrangements no higher than `most`, which have few barriers; the first one is made of `best`.
    """
    sizes = [s.bytes for s in spans]
    times = times_of(spans, numbered({}, cut_supersteps(spans, numbered, most)).numbers)
    yield moved_apart(sizes, times, best, most)
    for order in orders_of(spans):
        yield from repaired(sizes, times, order, most)


def orders_of(spans: Sequence[Span]) -> list[list[int]]:
    """The orders in which spans are given their offsets."""
    return [sorted(range(len(spans)), key=lambda i, key=key: key(spans[i]))  # type: ignore
            for key in ORDERS]


def tightest(spans: Sequence[Span], times: Times) -> Arrangement:
    """The lowest arrangement of the orders, whatever lies beside what in a superstep."""
    sizes = [s.bytes for s in spans]
    return min((arrangement(sizes, times, order, 0) for order in orders_of(spans)),
               key=lambda a: a.top)


def cut_supersteps(spans: Sequence[Span], numbered: Numbered, most: int) -> frozenset[int]:
    """Launches that wait, so that the values of each superstep take no more than `most` bytes."""
    sizes, waiting = [s.bytes for s in spans], frozenset[int]()

    def excess(tried: frozenset[int]) -> tuple[int, list[int]]:
        numbers = numbered({}, tried).numbers
        held = held_in(sizes, times_of(spans, numbers)) - most
        full = int(held.argmax()) - 1
        inside = [at for at, (first, _) in enumerate(numbers) if first == full]
        return int(held[held > 0].sum()), inside[1:]

    over, inside = excess(waiting)
    while over and inside:
        found = min(((excess(waiting | {at}), at) for at in inside), key=lambda f: f[0][0])
        (less, behind), at = found
        if less >= over:
            break
        waiting, over, inside = waiting | {at}, less, behind
    return waiting


def moved_apart(sizes: Sequence[int], times: Times, start: Arrangement,
                most: int) -> Arrangement:
    """The arrangement in which spans that share bytes within a superstep have moved, one by one, to
    where they share none, as long as there is room for one below `most`."""
    low, bytes_ = np.array(start.offsets, np.int64), np.array(sizes, np.int64)
    left = sorted(range(len(sizes)), key=lambda i: sizes[i])
    moved = True
    while moved:
        moved = False
        for i in left:
            near = (times[2] <= times[3, i]) & (times[3] >= times[2, i])
            near[i] = False
            high = low + bytes_
            if not (near & (low < high[i]) & (high > low[i])).any():
                continue
            order = np.argsort(low[near], kind="stable")
            offset = lowest(low[near][order], high[near][order], sizes[i])
            if offset + sizes[i] <= most:
                low[i], moved = offset, True
    return Arrangement(int((low + bytes_).max(initial=0)), [], low.tolist())


def repaired(sizes: Sequence[int], times: Times, order: Sequence[int],
             most: int) -> Iterator[Arrangement]:
    """Arrangements no higher than `most`, the first in `order`; then what found no place of its own
    comes first."""
    seen: set[tuple[int, int]] = set()
    for _ in range(TRIES):
        found = arrangement(sizes, times, order, most)
        if (found.top, len(found.crowded)) in seen:
            return
        seen.add((found.top, len(found.crowded)))
        late = {i for i, low in enumerate(found.offsets) if low + sizes[i] > most}
        if not late:
            yield found
        late.update(found.crowded)
        if not late:
            return
        order = [*(i for i in order if i in late), *(i for i in order if i not in late)]


def held_in(sizes: Sequence[int], times: Times) -> Bytes:
    """How many bytes the values of each superstep take, from the one before the first launch on."""
    held = np.zeros(int(times[3].max(initial=0)) + 3, np.int64)
    np.add.at(held, times[2] + 1, sizes)
    np.add.at(held, times[3] + 2, -np.array(sizes, np.int64))
    return np.cumsum(held)


def clashes_of(spans: Sequence[Span], found: Arrangement, times: Times) -> Clashes:
    """Which spans share bytes with others in a superstep of both, by `times`."""
    low = np.array(found.offsets, np.int64)
    high = low + np.array([s.bytes for s in spans], np.int64)
    clashes: dict[object, frozenset[object]] = {}
    for i, span in enumerate(spans):
        near = (low < high[i]) & (high > low[i]) & (times[2] <= times[3, i]) & (
            times[3] >= times[2, i])
        near[i] = False
        if near.any():
            clashes[span] = frozenset(spans[int(j)] for j in np.flatnonzero(near))
    return clashes


def times_of(spans: Sequence[Span], numbers: Sequence[tuple[int, int]]) -> Times:
    """First and last launch, first and last superstep of each span."""
    end = numbers[-1][1] + 1 if numbers else 0
    # before the first launch, each launch, and after the last one
    first = np.array([-1, *(low for low, _ in numbers), end])
    last = np.array([-1, *(high for _, high in numbers), end])
    at = np.array([(s.first, s.last) for s in spans], np.int64).reshape(-1, 2)
    inside = np.clip(at + 1, 0, len(numbers) + 1)
    return np.stack([at[:, 0], at[:, 1], first[inside[:, 0]], last[inside[:, 1]]])


ORDERS = (
    lambda s: (-s.bytes, s.first),
    lambda s: (s.first - s.last, -s.bytes),
    lambda s: (s.first, -s.bytes),
    lambda s: (-s.bytes * (s.last - s.first + 1), s.first),
)


@dataclass(frozen=True)
class Arrangement:
    """Offsets; the spans `crowded` took bytes that others have in a superstep of theirs."""

    top: int
    crowded: list[int]
    offsets: list[int]


def arrangement(sizes: Sequence[int], times: Times, order: Sequence[int],
                most: int) -> Arrangement:
    """Give each span, in this order, the lowest offset free in its supersteps, or only while it
    lives where that ends above `most`.

    Spans that have their offsets stand in the order of these in the columns of one array: lowest
    byte, first byte behind, first and last launch, first and last superstep. A network's
    activations all live at one time, and each is compared with all.
    """
    offsets, crowded, top = [0] * len(sizes), [], 0
    table = np.empty((6, len(sizes)), np.int64)
    for count, i in enumerate(order):
        low, high, *lives = table[:, :count]
        apart = -1
        for first, last in ((4, 5), (2, 3)) if most else ((2, 3),):
            meet = (lives[first - 2] <= times[last - 2, i]) & (lives[last - 2] >= times[
                first - 2, i])
            offset = lowest(low[meet], high[meet], sizes[i])
            apart = offset if apart < 0 else apart
            if offset + sizes[i] <= most:
                break
        if apart != offset:
            crowded.append(i)
        offsets[i], top = offset, max(top, offset + sizes[i])
        at = int(low.searchsorted(offset))
        table[:, at + 1:count + 1] = table[:, at:count]
        table[:, at] = offset, offset + sizes[i], *times[:, i]
    return Arrangement(top, crowded, offsets)


def lowest(low: Bytes, high: Bytes, size: int) -> int:
    """The lowest offset at which `size` bytes meet none of the ranges, which are sorted by their
    lowest bytes."""
    if not low.size or low[0] >= size:
        return 0
    behind = np.maximum.accumulate(high)  # what all up to here leave free
    free = (low[1:] - behind[:-1] >= size).nonzero()[0]
    return int(behind[free[0]] if free.size else behind[-1])
