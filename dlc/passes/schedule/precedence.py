"""Precedence of launches, to which in-place updates add further edges.

The launches are kept in a topological order, so a query only visits launches between its two ends.
A new edge repairs the order between its ends, as in the dynamic topological sort of Pearce and
Kelly (JEA 11, 2006).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlc.ir.graph import Node


class Precedence:
    """`before[n]`: what runs before launch n; `launches` are given in an order that fits."""

    def __init__(self, launches: Sequence[Node], before: Mapping[Node, set[Node]]) -> None:
        self.before = before
        self.after: dict[Node, set[Node]] = {n: set() for n in launches}
        for later, sources in before.items():
            for earlier in sources:
                self.after[earlier].add(later)
        self.place = {n: at for at, n in enumerate(launches)}

    def reaches(self, later: Node, earlier: Node) -> bool:
        """Whether `later` must run after `earlier`."""
        return later is earlier or earlier in self._above(later, self.place[earlier])

    def add(self, later: Node, sources: Iterable[Node]) -> None:
        """Have each of `sources`, none of which must run after `later`, run before it."""
        for earlier in sources:
            if earlier in self.before[later]:
                continue
            if self.place[earlier] > self.place[later]:
                self._repair(later, earlier)
            self.before[later].add(earlier)
            self.after[earlier].add(later)

    def _above(self, start: Node, low: int) -> set[Node]:
        """`start` and what must run before it, as far as it stands at `low` or behind."""
        found, stack = {start}, [start]
        while stack:
            for node in self.before[stack.pop()]:
                if self.place[node] >= low and node not in found:
                    found.add(node)
                    stack.append(node)
        return found

    def _below(self, start: Node, high: int) -> set[Node]:
        """`start` and what must run after it, as far as it stands at `high` or before."""
        found, stack = {start}, [start]
        while stack:
            for node in self.after[stack.pop()]:
                if self.place[node] <= high and node not in found:
                    found.add(node)
                    stack.append(node)
        return found

    def _repair(self, later: Node, earlier: Node) -> None:
        """Put `earlier` and what it needs before `later` and what needs it, in their places."""
        moved = [*sorted(self._above(earlier, self.place[later]), key=self.place.__getitem__),
                 *sorted(self._below(later, self.place[earlier]), key=self.place.__getitem__)]
        places = sorted(self.place[n] for n in moved)
        self.place.update(zip(moved, places, strict=True))
