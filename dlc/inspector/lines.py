"""Costs by the user's line: of nodes, launches and the arena. They add up to the program's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.backend.costs import shares
from dlc.inspector.record import BufferInfo, LaunchInfo, LineCost, PeakShare, Row

# A launch's time is divided among its operators as if it did so many flops while it moved a byte.
FLOPS_A_BYTE = 8.0
PERSISTENT = ("parameter", "state")
FREE = "free"


def line_costs(launches: Sequence[LaunchInfo], bodies: Sequence[Sequence[Row]],
               ) -> tuple[LineCost, ...]:
    """The costs of a step by line and part; a node that serves several lines costs each a share."""
    flops: dict[tuple[int, int], int] = {}
    moved: dict[tuple[int, int], int] = {}
    seconds: dict[tuple[int, int], float] = {}
    for launch, rows in zip(launches, bodies, strict=True):
        weights = [weight(row) for row in rows]
        total = sum(weights)
        for row, heavy in zip(rows, weights, strict=True):
            places = row.places or launch.places or (-1,)
            count = len(places)
            for place, f, b in zip(places, shares(row.flops * launch.runs, count),
                                   shares(row.bytes * launch.runs, count), strict=True):
                key = place, row.part
                flops[key], moved[key] = flops.get(key, 0) + f, moved.get(key, 0) + b
                part = heavy / total if total else 1 / len(rows)
                seconds[key] = seconds.get(key, 0.0) + (launch.seconds or 0.0) * part / count
    timed = bool(launches) and all(x.seconds is not None for x in launches)
    return tuple(LineCost(*key, flops[key], moved[key], seconds[key] if timed else None)
                 for key in sorted(flops) if flops[key] or moved[key] or seconds[key])


def weight(row: Row) -> float:
    """What an operator weighs in the time of its launch."""
    return max(row.flops / FLOPS_A_BYTE, float(row.bytes))


def fullest(buffers: Sequence[BufferInfo], count: int) -> int:
    """The launch while which most bytes are alive."""
    sizes = [sum(held.values()) for held in (held_at(buffers, i) for i in range(max(count, 1)))]
    return sizes.index(max(sizes))


def held_at(buffers: Sequence[BufferInfo], launch: int) -> dict[tuple[int, str], int]:
    """Bytes by line and category that are alive while `launch` runs. Those that two values share,
    one written in place of the other, count for the one that begins first."""
    alive = [b for b in buffers if b.category in PERSISTENT or b.first <= launch <= b.last]
    held: dict[tuple[int, str], int] = {}
    end = 0
    for buffer in sorted(alive, key=lambda b: (b.offset, -b.bytes)):
        last = buffer.offset + buffer.bytes
        own = last - max(end, buffer.offset)
        if own > 0:
            key = buffer.place, buffer.category
            held[key] = held.get(key, 0) + own
        end = max(end, last)
    return held


def peak_shares(held: Mapping[tuple[int, str], int], arena: int) -> tuple[PeakShare, ...]:
    """Who holds the arena at the fullest launch, the largest first, and what is free."""
    found = [PeakShare(*key, size) for key, size in held.items()]
    free = arena - sum(held.values())
    found += [PeakShare(-1, FREE, free)] if free > 0 else []
    return tuple(sorted(found, key=lambda s: (s.category == FREE, -s.bytes, s.place)))
