"""A topological order of groups, maintained while they merge.

    a -> b -> d, a -> c     merge(a, c)     [a c] -> b -> d
    a -> b -> d             merge(a, d)     refused: b would stand both behind and before [a d]

The order is repaired between the two places only, as in the dynamic topological sort of Pearce and
Kelly (A Dynamic Topological Sort Algorithm for Directed Acyclic Graphs, JEA 11, 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

G = TypeVar("G")


class GroupOrder(Generic[G]):
    """The order; `sources` tells what a group reads now, itself perhaps among it."""

    def __init__(self, groups: Sequence[G], sources: Callable[[G], Iterable[G]]) -> None:
        self.slots: list[G | None] = list(groups)
        self.place = {group: at for at, group in enumerate(groups)}
        self.sources = sources

    def sorted(self, first: G, second: G) -> tuple[G, G]:
        """The two as they stand."""
        return (first, second) if self.place[first] < self.place[second] else (second, first)

    def between(self, lower: G, upper: G) -> list[G] | None:
        """What `upper` needs of the groups behind `lower`, in order; None when one of them needs
        `lower`: the two cannot be merged. That `upper` itself reads `lower` does not count."""
        low = self.place[lower]
        found: set[G] = set()
        stack = [upper]
        while stack:
            group = stack.pop()
            for source in self.sources(group):
                if source is lower and group is not upper:
                    return None
                if self.place[source] > low and source not in found and source is not upper:
                    found.add(source)
                    stack.append(source)
        return sorted(found, key=self.place.__getitem__)

    def above(self, group: G, low: int, known: Mapping[G, set[G]]) -> set[G]:
        """The groups of `known` that `group` needs, as far as they stand at `low` or behind: those
        it comes to first, and of each of them what is known."""
        found: set[G] = set()
        seen, stack = {group}, [group]
        while stack:
            for source in self.sources(stack.pop()):
                if source in seen or self.place[source] < low:
                    continue
                seen.add(source)
                if source in known:
                    found |= {source, *known[source]}
                else:
                    stack.append(source)
        return found

    def merge(self, lower: G, upper: G, between: Sequence[G], merged: G) -> None:
        """Put `merged`, which is one of the two, where both were: behind `between`, before all else
        that stood between them."""
        low, high = self.place.pop(lower), self.place.pop(upper)
        if not between:
            self.slots[low], self.slots[high] = merged, None
            self.place[merged] = low
            return
        moved = set(between)
        rest = [g for g in self.slots[low + 1:high] if g is not None and g not in moved]
        order: list[G | None] = [*between, merged, *rest]
        order += [None] * (high + 1 - low - len(order))
        self.slots[low:high + 1] = order
        self.place.update((g, low + at) for at, g in enumerate(order) if g is not None)
