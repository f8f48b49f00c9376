"""Loop iterations as rows of a space, and merging of values after loops and branches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.checks.kernels.frames import Frame
from dlc.checks.kernels.ranges import UNKNOWN, Range, Space, between, join


def trips(low: Range, high: Range, step: int) -> Any:
    """Rounds of a loop whose bounds are known: a number, or one for each row."""
    span = high.lo - low.lo
    if isinstance(span, np.ndarray):
        return np.maximum(np.ceil(span / step), 0).astype(np.int64)
    return max(0, -int(-span // step))


def expanded(space: Space, low: Range, step: int, trips: Any,
             every: bool = True) -> tuple[Space, Range]:
    """A row for each round, in order; or for the first and the last alone."""
    if isinstance(trips, int) and space.rows == 1 and trips == 1:
        return space, low
    taken = trips if every else np.minimum(trips, 2)
    up = np.repeat(np.arange(space.rows), taken)
    if isinstance(trips, int):
        rounds = np.arange(len(up)) % max(int(taken), 1)
    else:
        rounds = np.arange(len(up)) - (np.cumsum(taken) - taken)[up]
    if not every:
        last = trips - 1 if isinstance(trips, int) else trips[up] - 1
        rounds = np.where(rounds > 0, last, 0)
    start = low.lo[up] if isinstance(low.lo, np.ndarray) else low.lo
    inner = Space(len(up), space, up)
    values = start + rounds * float(step)
    return inner, Range(values, values, inner)


def ranged(space: Space, low: Range, high: Range, step: int) -> tuple[Space, Range]:
    """The same rows, without those that have no round, and the loop variable as a range."""
    last = high.hi - 1
    if step != 1 and low.exact:
        last = low.lo + (np.ceil((high.hi - low.lo) / step) - 1) * step
    inner = space.kept(last >= low.lo)
    value = between(low.lo, last, space)
    return inner, value.within(inner) if inner.rows else value


def merge(name: str, frame: Frame, arms: Sequence[Frame], always: bool) -> None:
    """Give `name` in `frame` what it may be after the arms ran; one of them did, if `always`."""
    values = [(arm.get(name), arm.space) for arm in arms]
    old = frame.get(name)
    if not all(isinstance(v, Range) for v, _ in values):
        if values and (name in frame.values or len({type(v) for v, _ in values}) == 1):
            frame.values[name] = values[0][0]
        return
    if not always or (len(arms) == 1 and arms[0].space is not frame.space):
        values.append((old, frame.space) if isinstance(old, Range) else (None, frame.space))
    frame.values[name] = gathered([v for v in values if v[0] is not None], frame.space)


def gathered(values: Sequence[tuple[Range, Space]], space: Space) -> Range:
    """The join of values in inner spaces, for each row of `space`; any where there is none."""
    if not values:
        return UNKNOWN
    if all(v.space is None for v, _ in values):
        found = values[0][0]
        for v, _ in values[1:]:
            found = join(found, v, space)
        return found
    lo, hi = np.full(space.rows, math.inf), np.full(space.rows, -math.inf)
    for v, inner in values:
        if inner is space:
            lo, hi = np.minimum(lo, v.lo), np.maximum(hi, v.hi)
        else:
            up = inner.above(space)
            np.minimum.at(lo, up, v.lo)
            np.maximum.at(hi, up, v.hi)
    none = lo > hi
    if none.any():
        lo[none], hi[none] = -math.inf, math.inf
    return Range(lo, lo, space) if (lo == hi).all() else Range(lo, hi, space)


def same(a: Range, b: Range, space: Space) -> bool:
    a, b = a.within(space), b.within(space)
    return bool(np.all(a.lo == b.lo) and np.all(a.hi == b.hi))


def widened(a: Range, b: Range, space: Space) -> Range:
    """`b`, with those of its bounds that moved away from `a` moved to infinity."""
    a, b = a.within(space), b.within(space)
    lo, hi = np.where(b.lo < a.lo, -math.inf, b.lo), np.where(b.hi > a.hi, math.inf, b.hi)
    if lo.ndim or hi.ndim:
        return between(np.broadcast_to(lo, space.rows), np.broadcast_to(hi, space.rows), space)
    return Range(float(lo), float(hi))
