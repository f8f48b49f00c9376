"""Horizontal fusion: independent groups of one structure become one launch.

    w', m_w, v_w = fused_adam(w, m_w, v_w, gw)
    b', m_b, v_b = fused_adam(b, m_b, v_b, gb)   ->   w', ..., b', ... = fused_adam(w, ..., gb)
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.graph import Kind
from dlc.passes.grouping import Fuser, Group


def merge_horizontally(fuser: Fuser, groups: Sequence[Group]) -> list[Group]:
    """Merge independent groups of one skeleton (see the module's before -> after)."""
    kept: list[Group] = []
    twins: dict[object, list[Group]] = {}
    for group in groups:
        key = skeleton(group)
        others = twins.get(key, ()) if mergeable(fuser, group) else ()
        partner = next((g for g in others if fuser.independent(g, group)), None)
        if partner is None:
            kept.append(group)
            twins.setdefault(key, []).append(group)
            continue
        fuser.join(partner, group)
    return topological(fuser, kept)


def skeleton(group: Group) -> object:
    """The group's structure without sizes: two groups with one skeleton run the same program."""
    index = {n: i for i, n in enumerate(group.members)}
    return tuple((n.op.name, n.type.dtype.name if hasattr(n.type, "dtype") else "",
                  tuple(index.get(a, -1) for a in n.args)) for n in group.members)


def mergeable(fuser: Fuser, group: Group) -> bool:
    """Only groups whose results leave the graph or are small: others would live longer."""
    results = [n for n in group.members if fuser.readers.get(n, set()) - set(group.members)]
    small = sum(n.type.bytes for n in results) <= fuser.limits.twins_bytes
    # a body is taken apart where nothing is shared: a scatter or routine must not share a view
    return small and not group.kinds & {Kind.CONTRACT, Kind.SCATTER, Kind.ROUTINE, Kind.HIGHER}


def topological(fuser: Fuser, groups: Sequence[Group]) -> list[Group]:
    """Groups after the groups they read. Raises ValueError when some read one another: an
    invariant of `Fuser.join`, without which there is no order of launches."""
    done: list[Group] = []
    placed: set[Group] = set()
    opened: set[Group] = set()

    def place(start: Group) -> None:
        stack: list[tuple[Group, bool]] = [(start, False)]
        while stack:
            group, ready = stack.pop()
            if ready and group not in placed:
                placed.add(group)
                done.append(group)
            if ready or group in placed:
                continue
            if group in opened:
                raise ValueError(f"groups read one another: {[n.op.name for n in group.members]}")
            opened.add(group)
            stack.append((group, True))
            sources = {fuser.group[e.producer] for n in group.members for e in fuser.edges[n]}
            stack.extend((g, False) for g in sources if g is not group and g not in placed)

    for group in groups:
        place(group)
    return done
