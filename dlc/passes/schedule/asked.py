"""Asked: an order of launches that was chosen beforehand, some of which compute values again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from dlc.ir.graph import Node


@dataclass(eq=False)
class Asked:
    """The place of each launch, those that compute again, and by launch the results that nobody
    reads: a value that is computed again comes with the others of its component."""

    place: dict[Node, int]
    again: set[Node]
    unread: dict[Node, list[Node]]

    def stands_for(self, new: Node, old: Node) -> None:
        """`new`, a launch rebuilt from `old`, takes its place."""
        if new is old or old not in self.place:
            return
        self.place[new] = self.place.pop(old)
        if old in self.again:
            self.again.remove(old)
            self.again.add(new)
        if old in self.unread:
            self.unread[new] = [Node(v.op, (new,), v.attrs, v.type, v.locs, v.name)
                                for v in self.unread.pop(old)]

    def ordered(self, launches: Sequence[Node], before: Mapping[Node, set[Node]]) -> list[Node]:
        """The launches by their places, as far as what must run before each allows. One without a
        place, a copy, runs just before the first that needs it."""
        after: dict[Node, list[Node]] = {n: [] for n in launches}
        for n in launches:
            for earlier in before[n]:
                after[earlier].append(n)
        end = len(launches)
        place: dict[Node, tuple[int, int]] = {}
        for n in reversed(launches):
            nearest = min((place.get(m, (end, 0)) for m in after[n]), default=(end, 0))
            place[n] = (self.place[n], 1) if n in self.place else (nearest[0], 0)
        left = {n: len(before[n]) for n in launches}
        heap = [(place[n], k) for k, n in enumerate(launches) if not left[n]]
        number = {n: k for k, n in enumerate(launches)}
        heapify(heap)
        done = []
        while heap:
            n = launches[heappop(heap)[1]]
            done.append(n)
            for m in after[n]:
                left[m] -= 1
                if not left[m]:
                    heappush(heap, (place[m], number[m]))
        return done
