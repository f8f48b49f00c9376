"""Launches that only allocate memory run late, just before their first reader.

    p = pack(w); h = loop1(x); y = loop2(h, p)   ->   h = loop1(x); p = pack(w); y = loop2(h, p)

List scheduling may pick a launch that frees nothing when no better one is ready, and its result is
then live for a long time. Such a launch is delayed here, if its operands stay live anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dlc.derive import higher
from dlc.ir.graph import Node


def as_late_as_needed(ordered: Sequence[Node], before: Mapping[Node, set[Node]],
                      held: Collection[Node], fixed: Collection[Node]) -> list[Node]:
    """The launches in another order that holds no more bytes. `before[n]` are those that run before
    n; `held` values are there all the time; launches in `fixed` stay where they are."""
    at = {n: i for i, n in enumerate(ordered)}
    after: dict[Node, list[Node]] = {n: [] for n in ordered}
    for n in ordered:
        for earlier in before[n]:
            after[earlier].append(n)
    last: dict[Node, int] = {}  # reader of each value
    for n in ordered:
        last.update(dict.fromkeys(n.args, at[n]))
    place = {n: (i, 0) for n, i in at.items()}
    for moved, n in enumerate(reversed(ordered), 1):
        if n.op is not higher.FUSED or n in fixed or not after[n]:
            continue
        target = min(place[later] for later in after[n])[0]
        if target > at[n] + 1 and all(a in held or last[a] >= target for a in n.args):
            place[n] = (target, -moved)
    return sorted(ordered, key=place.__getitem__)
