"""Accumulators of a reduction as arrays: one per lane of a long loop, or per column position.

    lanes, lanes2 = local_f64(16), local_f64(16)  begin
    for r in range(0, 100, 16):
        for l in range(min(100 - r, 16)):         fold
            new = lanes[l] + x[r + l]
            ...
    for l in range(16): total, total_s1 = ...     merge
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dlc.backend.emit.runs import Runs, whole
from dlc.backend.ir import Expression, Load, Number, Ref, Store, computing
from dlc.backend.ir.index import Sum, sum_of
from dlc.ir.access import Combine
from dlc.ir.graph import Node
from dlc.ir.types import DType

if TYPE_CHECKING:
    from dlc.backend.emit.emitter import Emitter


def allocate(e: Emitter, hint: str, combine: Combine, dtype: DType, width: int) -> list[Ref]:
    """The states of `combine` as stack buffers of `width`, in the current block."""
    kinds = [computing(kind) for kind in combine.state_dtypes(dtype)]
    states = [Ref(e.allocate(hint, kind, width), kind, 0) for kind in kinds]
    e.states_of(states, combine)
    return states


def loaded(e: Emitter, states: Sequence[Ref], at: Sum) -> list[Expression]:
    """The states at one place."""
    level = len(e.stack) - 1
    loads = [Load(s.name, at, s.dtype, level) for s in states]
    return [e.let("s", s) for s in loads] if len(loads) > 1 else list(loads)


def put(e: Emitter, states: Sequence[Ref], at: Sum, new: Sequence[Expression]) -> None:
    """Store the states of one place; all are computed before the first is stored."""
    if len(new) > 1:
        new = [e.let("t", n) for n in new]
    for s, n in zip(states, new, strict=True):
        e.write(Store(s.name, at, n, s.dtype))


def clear(e: Emitter, states: Sequence[Ref], at: Sum, combine: Combine, dtype: DType) -> None:
    """Store the identity at one place."""
    values = zip(combine.identity(dtype), states, strict=True)
    put(e, states, at, [Number(v, s.dtype) for v, s in values])


def begin(e: Emitter, combine: Combine, dtype: DType, width: int) -> list[Ref]:
    """Lanes that hold the identity; their buffers lie outside of all loops of a position."""
    with e.at_level(e.home):
        states = allocate(e, "lanes", combine, dtype, width)
    lane = e.open("l", 0, width)
    clear(e, states, sum_of(lane), combine, dtype)
    e.close(lane)
    return states


def merge(e: Emitter, combine: Combine, totals: Sequence[Ref], states: Sequence[Ref],
          width: int) -> None:
    """Take all lanes into the totals, one after the other."""
    lane = e.open("l", 0, width)
    e.assign(totals, combine.merge(e.k, e.here(totals), loaded(e, states, sum_of(lane))))
    e.close(lane, kind="reduce")


class Fold:
    """One reduction whose elements are folded one by one: a run at a time where it is long.

    `result` are the states from which it is finished by `whole`, once `settle` was called.
    """

    def __init__(self, e: Emitter, node: Node, runs: Runs | None, combine: Combine) -> None:
        self.e, self.node, self.runs, self.combine = e, node, runs, combine
        self.dtype = e.reduction_dtype(node)
        self.whole = whole(combine, runs)
        self.lane: Sum | None = None  # of the element that comes next
        self.states: list[Ref] = []
        self.result: list[Ref] = []

    def start(self) -> None:
        """Before all loops: the totals of runs and the lanes, or the only states."""
        self.result = self.e.start(self.node, self.whole, self.dtype, "total" if self.runs else "")
        self.states = self.result
        if self.runs and self.runs.lanes:
            self.states = begin(self.e, self.combine, self.dtype, self.runs.step)

    def begin(self) -> None:
        """A run begins with the identity, but for lanes, which go on."""
        if self.runs and not self.runs.lanes:
            self.states = self.e.start(self.node, self.combine, self.dtype)

    def step(self, x: Expression, position: Expression) -> None:
        """Fold one element, in the current block."""
        e, combine = self.e, self.combine
        x = e.k.cast(x, computing(combine.state_dtypes(self.dtype)[0]))
        if self.lane is None:
            e.assign(self.states, combine.step(e.k, e.here(self.states), x, position))
            return
        old = loaded(e, self.states, self.lane)
        put(e, self.states, self.lane, combine.step(e.k, old, x, position))

    def end(self) -> None:
        """What a run gave goes into the totals."""
        if self.runs and not self.runs.lanes:
            found = self.whole.merge(self.e.k, self.e.here(self.result), self.e.here(self.states))
            self.e.assign(self.result, found)

    def settle(self) -> None:
        """After all loops: what the lanes hold goes into the totals."""
        if self.runs and self.runs.lanes:
            merge(self.e, self.combine, self.result, self.states, self.runs.step)
