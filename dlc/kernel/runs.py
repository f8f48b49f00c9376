"""Long reductions in runs: what a run of elements gives is merged into totals of more precision.

    total = f64(0.0)
    for r in range(0, 100000, 512):
        sum = f32(0.0)
        for r2 in range(r, min(r + 512, 100000)):
            sum = radd(sum, x[r2])
        total = total + f64(sum)

So the error of a sum does not grow with its length: docs/design/math.md has the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.kernel.index import Sum, Var, least, sum_of
from dlc.kernel.limits import Limits
from dlc.ops.access import Combine
from dlc.types import DType

if TYPE_CHECKING:
    from dlc.kernel.emit import Emitter


@dataclass(frozen=True)
class Runs:
    """Runs over nested loops: each takes `step` positions of loop `depth`, and all that is inside.
    """

    depth: int
    step: int


def runs_over(extents: Sequence[int], combine: Combine, dtype: DType, column: bool,
              limits: Limits) -> Runs | None:
    """How a reduction of `dtype` over loops of these extents is cut; None where one run is enough.

    `column`: the additions of an element of the result come one after the other, not in lanes.
    """
    if combine.total is None or not dtype.is_float:
        return None
    lanes = combine.reorders and not column
    if math.prod(extents) <= (limits.run if lanes and len(extents) == 1 else limits.chain):
        return None
    return _of_rows(extents, limits.chain) if column else _of_lanes(
        extents, limits.run if lanes else limits.chain)


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
    depth = max(a for a, n in enumerate(extents) if n > 1)
    return Runs(depth - 1, 1) if depth and extents[depth] <= most else Runs(depth, most)


@dataclass(frozen=True)
class Cut:
    """An open loop whose variable is `var`; `block` is the loop over runs around it, or itself.
    The outer one runs from `low` to `high`."""

    var: Var
    low: Sum
    high: Sum
    block: Var | None = None
    step: int = 0


def open_cut(e: Emitter, hint: str, size: int, step: int, begin: Callable[[], None],
             bounds: tuple[Sum, Sum] | None = None) -> Cut:
    """Open a loop of `size`, or only between `bounds`; `begin` writes how each run of `step`
    positions starts (0: no runs)."""
    low, high = bounds or (Sum(), Sum(size))
    if step == 0:
        return Cut(e.open(hint, 0, size), low, high)
    block = e.open(hint, 0, size)
    begin()
    return Cut(block if step == 1 else e.open(hint, 0, size), low, high, block, step)


def close_cut(e: Emitter, cut: Cut, end: Callable[[], None]) -> None:
    """Close the loop; `end` writes what becomes of a run."""
    if cut.block is None:
        e.close(cut.var, cut.low, cut.high)
        return
    if cut.block is not cut.var:
        low = sum_of(cut.block)
        e.close(cut.var, low, least(low + cut.step, cut.high))
    end()
    e.close(cut.block, cut.low, cut.high, cut.step)
