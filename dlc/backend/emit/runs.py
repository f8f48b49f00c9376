"""Long reductions in runs: the result of each run is merged into totals of higher precision.

    total = f64(0.0)
    for r in range(0, 100000, 512):
        sum = f32(0.0)
        for r2 in range(r, min(r + 512, 100000)):
            sum = radd(sum, x[r2])
        total = total + f64(sum)

f64, which has no wider dtype, carries its rounding errors along. Such accumulators are in lanes
(lanes.py), and a run is one element for each of them:

    for r in range(0, 100000, 16):
        for l in range(min(100000 - r, 16)):
            r2 = r + l
            ...

So the error of a sum does not grow with its length: docs/design/math.md has the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.backend.cpu.limits import Limits
from dlc.backend.ir import Kind
from dlc.backend.ir.index import Sum, least, sum_of
from dlc.ir.access import Combine
from dlc.ir.types import DType

if TYPE_CHECKING:
    from dlc.backend.emit.emitter import Emitter


@dataclass(frozen=True)
class Runs:
    """Runs over nested loops: each takes `step` positions of loop `depth`, and all that is inside.

    `lanes`: every position of a run has states of its own, which go on from run to run.
    """

    depth: int
    step: int
    lanes: bool = False


def runs_over(extents: Sequence[int], combine: Combine, dtype: DType, column: bool,
              limits: Limits) -> Runs | None:
    """How a reduction of `dtype` over loops of these extents is cut; None where one run is enough.

    `column`: the additions of an element of the result come one after the other, not in lanes.
    """
    if combine.lanes:
        many = not column and math.prod(extents) > 2 * limits.lanes
        return Runs(_innermost(extents), limits.lanes, True) if many else None
    if combine.total is None or not dtype.is_float:
        return None
    lanes = combine.reorders and not column
    if math.prod(extents) <= (limits.run if lanes and len(extents) == 1 else limits.chain):
        return None
    return _of_rows(extents, limits.chain) if column else _of_lanes(
        extents, limits.run if lanes else limits.chain)


def whole(combine: Combine, runs: Runs | None) -> Combine:
    """How the states fold from which the result is finished: those of the totals of runs."""
    return combine.total if runs and combine.total else combine


def _of_rows(extents: Sequence[int], most: int) -> Runs:
    """As many whole inner loops as stay within `most`."""
    depth, inside = len(extents) - 1, 1
    while inside * extents[depth] <= most:
        inside *= extents[depth]
        depth -= 1
    return Runs(depth, most // inside)


def _of_lanes(extents: Sequence[int], most: int) -> Runs:
    """The innermost loop, or `most` of it: lanes are made of one loop, those around it would add
    what each of its rounds gives one after the other, and take longer than a total does."""
    depth = _innermost(extents)
    return Runs(depth - 1, 1) if depth and extents[depth] <= most else Runs(depth, most)


def _innermost(extents: Sequence[int]) -> int:
    return max(a for a, n in enumerate(extents) if n > 1)


Bounds = tuple[Sum, Sum]
At = tuple[Sum, Sum | None]  # where a loop stands, and in which lane


def walk(e: Emitter, hint: str, size: int, runs: Runs | None, begin: Callable[[], None],
         end: Callable[[], None], bounds: Bounds | None = None,
         kind: Kind = "reduce") -> Iterator[At]:
    """Loops over `size`, or over what lies between `bounds`, cut into runs; `begin` writes how each
    starts and `end` what becomes of it. The caller writes a body for each place that this yields.
    """
    if runs is not None and runs.lanes:
        yield from _in_lanes(e, hint, size, runs.step, begin, end, bounds)
        return
    low, high = bounds or (Sum(), Sum(size))
    block = e.open(hint, 0, size)
    if runs is None:
        yield sum_of(block), None
        e.close(block, low, high, kind=kind)
        return
    begin()
    var = block if runs.step == 1 else e.open(hint, 0, size)
    yield sum_of(var), None
    if var is not block:
        first = sum_of(block)
        e.close(var, first, least(first + runs.step, high), kind=kind)
    end()
    e.close(block, low, high, runs.step, kind)


def _in_lanes(e: Emitter, hint: str, size: int, width: int, begin: Callable[[], None],
              end: Callable[[], None], bounds: Bounds | None) -> Iterator[At]:
    """A loop over runs of `width`, and one over the lanes of each. The last run is shorter; its
    length is not a constant, or LLVM would unroll the lanes before vectorizing them."""
    low, high = bounds or (Sum(), Sum(size))
    block = e.open(hint, 0, size)
    begin()
    lane = e.open("l", 0, width)
    at = e.named("r", sum_of(block) + lane, 0, size - 1)
    yield at, sum_of(lane)
    e.close(lane, Sum(), least(high - block, width))
    end()
    e.close(block, low, high, width, "reduce")
