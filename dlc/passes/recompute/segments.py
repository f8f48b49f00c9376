"""Segments of the part of a step before its fullest launch, and what each computes again.

    u1 u2 | u3 u4 u5 | u6      kept: what is read across a boundary
                               of the others: the minimum cut between keeping bytes and work

A segment's values are computed again together, just before the first of them is read, so that only
one segment's are in memory at a time (Chen et al. 2016). Within a segment a minimum cut decides, as
for the residuals of loops (dlc/derive/control_residuals.py): a value that is read later is kept at
the price of its bytes, or its unit runs again at the price of its seconds, and then what that unit
reads has to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networkx
from networkx.algorithms.flow import boykov_kolmogorov

from dlc.passes.recompute.sequence import Runs
from dlc.passes.recompute.table import Table, Unit


@dataclass(eq=False)
class Halves:
    """A table seen from launch `turn`: what is made before it and read behind it is *wanted*."""

    table: Table
    turn: int

    @cached_property
    def wanted(self) -> set[int]:
        """Values that lie in memory across the turn and could be computed again for it."""
        found = set()
        for v, value in enumerate(self.table.values):
            later = self.later(v)
            if later and value.unit is not None and value.unit.launch <= self.turn and (
                    not self.table.is_fixed(value) and later <= value.deadline):
                found.add(v)
        return found

    def later(self, v: int) -> int:
        """The first position behind the turn that reads `v`; 0 for none."""
        return next((u for u in self.table.values[v].uses if u > self.turn), 0)

    @cached_property
    def dropped(self) -> list[int]:
        """By position: the bytes of wanted values that the launch there makes."""
        sizes = [0] * (self.turn + 1)
        for v in self.wanted:
            value = self.table.values[v]
            assert value.unit is not None
            sizes[value.unit.launch] += value.bytes
        return sizes

    @cached_property
    def across(self) -> list[tuple[int, ...]]:
        """By position p: the values made at p or before and read by launches from p + 1 to the
        turn."""
        found: list[list[int]] = [[] for _ in range(self.turn + 1)]
        for v, value in enumerate(self.table.values):
            if value.unit is None or not value.bytes:
                continue
            last = max((u for u in value.uses if u <= self.turn), default=-1)
            for p in range(value.unit.launch, last):
                found[p].append(v)
        return [tuple(each) for each in found]

    def boundaries(self, most: int) -> tuple[int, ...]:
        """Ends of segments that drop about `most` bytes each: from half of that on, the position
        where the fewest bytes are read across that are not there anyway."""
        ends, held, best = [], 0, None
        for p in range(self.turn + 1):
            held += self.dropped[p]
            if held >= most // 2:
                price = self._price(p)
                if best is None or price <= best[0]:
                    best = (price, p)
            if best is not None and held >= most:
                ends.append(best[1])
                held = sum(self.dropped[best[1] + 1:p + 1])
                best = None
        return (*(e for e in ends if e < self.turn), self.turn)

    def _price(self, p: int) -> int:
        return sum(self.table.values[v].bytes for v in self.across[p])

    # --- the cut of one segment -------------------------------------------------------------------

    def cut(self, first: int, last: int, rate: float, kept: frozenset[int]) -> frozenset[Unit]:
        """The units from launch `first` to `last` that run again, where a second of work is worth
        `rate` bytes; `kept` values are in memory."""
        key = (first, last, kept & self._across_of(first, last))
        known = self._known.setdefault(key, {})
        if rate not in known:
            # what runs again shrinks as work gets dearer: equal at two rates, equal between them
            lower = max((r for r in known if r < rate), default=None)
            upper = min((r for r in known if r > rate), default=None)
            same = lower is not None and upper is not None and known[lower] == known[upper]
            known[rate] = known[lower] if same and lower is not None else (
                self._cut(first, last, rate, kept))
        return known[rate]

    def _across_of(self, first: int, last: int) -> frozenset[int]:
        return frozenset((*(self.across[first - 1] if first else ()), *self.across[last]))

    @cached_property
    def _known(self) -> dict[Any, dict[float, frozenset[Unit]]]:
        return {}

    def _cut(self, first: int, last: int, rate: float, kept: frozenset[int]) -> frozenset[Unit]:
        values, flow = self.table.values, networkx.DiGraph()
        units = [u for at in range(first, last + 1) for u in self.table.units[at]]
        inside = {v for u in units for v in u.makes}
        wanted = {v for v in self.wanted if v in inside and v not in kept}
        if not wanted:
            return frozenset()
        flow.add_nodes_from(["start", "end"])
        for v in wanted:
            flow.add_edge(("value", v), "end")
        for number, unit in enumerate(units):
            flow.add_edge("start", ("unit", number), capacity=max(1, round(unit.seconds * rate)))
            for v in unit.makes:
                if v not in kept:
                    flow.add_edge(("unit", number), ("value", v), capacity=values[v].bytes)
            for v in unit.reads:
                if self._is_there(v, kept):
                    continue
                flow.add_edge(("value", v), ("unit", number))
                if v not in inside:
                    flow.add_edge("start", ("value", v), capacity=values[v].bytes)
        _, (start_side, _) = networkx.minimum_cut(flow, "start", "end",
                                                  flow_func=boykov_kolmogorov)
        return frozenset(u for k, u in enumerate(units) if ("unit", k) not in start_side)

    def _is_there(self, v: int, kept: frozenset[int]) -> bool:
        """Whether reading `v` behind the turn costs nothing."""
        value = self.table.values[v]
        return v in kept or (self.table.is_fixed(value) and (value.unit is not None or (
            not value.bytes))) or (value.unit is None and value.last > self.turn)

    def again(self, ends: Sequence[int], rate: float, count: int) -> frozenset[Unit]:
        """What the first `count` of the segments that end at `ends` compute again."""
        kept = frozenset(v for p in ends for v in self.across[p] if v in self.wanted)
        starts = [0, *(e + 1 for e in ends)]
        parts = (self.cut(a, b, rate, kept) for a, b in
                 list(zip(starts, ends, strict=False))[:count])
        return frozenset().union(*parts)

    # --- what comes of it -------------------------------------------------------------------------

    def runs(self, again: Iterable[Unit]) -> Runs:
        """The step in which `again` run a second time behind the turn, just before they are read.
        """
        chosen, made = set(again), Runs(self.table)
        for at, units in enumerate(self.table.units):
            if at > self.turn:
                for v in self.table.reads(at):
                    self._again(made, v, chosen)
            made.row(units)
        return made.without_unread()

    def _again(self, made: Runs, wanted: int, chosen: set[Unit]) -> None:
        """Run the unit that makes `wanted` again if it is one of `chosen`, and before it those that
        make what it reads; each leaves `chosen`."""
        stack = [wanted]
        while stack:
            unit = self.table.values[stack[-1]].unit
            if unit is None or unit not in chosen or unit.launch > self.turn or (
                    self.table.is_fixed(self.table.values[stack[-1]])):
                stack.pop()
                continue
            before = [r for r in unit.reads if self._runs_again(r, chosen)]
            if before:
                stack.append(before[0])
                continue
            made.run((unit,), True)
            chosen.discard(unit)
            stack.pop()

    def _runs_again(self, v: int, chosen: set[Unit]) -> bool:
        value = self.table.values[v]
        return value.unit is not None and value.unit in chosen and not self.table.is_fixed(value)
