"""How often one kernel computes an operator: once for each index at which readers in it ask.

    y = roll(x, 1) + roll(x, -1)      x is computed four times for an element of y, and what x
                                      reads in this way sixteen times

A roll is two slices joined. A chain of such lines would have a kernel that grows exponentially.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from dlc.ir.graph import Kind, Node
from dlc.ops import view


class Paths:
    """Through how many paths of views each operator reads the values that are `computed`."""

    def __init__(self, computed: Callable[[Node], bool]) -> None:
        self.computed = computed
        self._found: dict[Node, Counter[Node]] = {}

    def of(self, reader: Node) -> Mapping[Node, int]:
        """Paths from `reader` to each of them. Views between are looked up once."""
        stack = [reader]
        while stack:
            between = [a for a in stack[-1].args if self._between(a) and a not in self._found]
            if between:
                stack += between
                continue
            node = stack.pop()
            found = self._found[node] = Counter[Node]()
            for arg in node.args:
                found.update(self._found[arg] if self._between(arg) else {arg: 1})
        return self._found[reader]

    def _between(self, node: Node) -> bool:
        return node.op.kind in (Kind.VIEW, Kind.ELEMENTWISE) and not self.computed(node)


def wide_concats(order: Sequence[Node], computed: Callable[[Node], bool]) -> set[Node]:
    """The concats that are always stored: a reader would choose among view.WIDE pieces or more,
    those of concats that it sees through this one among them."""
    found: set[Node] = set()
    pieces: dict[Node, int] = {}
    for node in order:
        if computed(node) or node.op.kind not in (Kind.VIEW, Kind.ELEMENTWISE):
            pieces[node] = 1
            continue
        pieces[node] = sum(pieces[a] for a in node.args)
        if node.op is view.CONCAT and pieces[node] >= view.WIDE:
            found.add(node)
            pieces[node] = 1
    return found


def operators_of(members: Sequence[Node], roots: Collection[Node],
                 readers: Mapping[Node, Collection[Node]],
                 turned: Mapping[Node, Collection[Node]], paths: Paths) -> int:
    """The operators in the kernel of `members`, which stand in the graph's order, each counted as
    often as it is computed. `turned` are the values that an operator reads at other indices than
    its own; `roots` and what others read are computed once to be stored."""
    inside = set(members)
    times: dict[Node, int] = {}
    for node in reversed(members):
        own = readers.get(node, ())
        here = [r for r in own if r in inside]
        elsewhere = [r for r in here if node in turned.get(r, ())]
        stored = node in roots or len(here) < len(own)
        beside = max((times[r] for r in here if node not in turned.get(r, ())), default=int(stored))
        times[node] = max(1, beside + sum(times[r] * paths.of(r)[node] for r in elsewhere))
    return sum(times.values())
