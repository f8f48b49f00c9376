"""Horizontal fusion: independent groups of one structure become one launch.

    w', m_w, v_w = fused_adam(w, m_w, v_w, gw)
    b', m_b, v_b = fused_adam(b, m_b, v_b, gb)   ->   w', ..., b', ... = fused_adam(w, ..., gb)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.passes.fuse.grouping import WITHOUT_LOOPS, Fuser, Group


def merge_horizontally(fuser: Fuser, groups: Sequence[Group]) -> list[Group]:
    """Merge independent groups of one skeleton (see the module's before -> after)."""
    kept: list[Group] = []
    twins: dict[object, dict[Group, set[Group]]] = {}
    for group in groups:
        others = twins.setdefault(skeleton(group), {})
        # layers of one kind are twins, too: most of what came before is known to be read
        needed = known_above(fuser, group, others)
        free = [g for g in others if g not in needed] if others and mergeable(fuser, group) else ()
        partner = next((g for g in free if fuser.independent(g, group)), None)
        if partner is None:
            kept.append(group)
            others[group] = needed
            continue
        fuser.join(partner, group)
        others[partner] |= needed
    fuser.put_in_order(kept)
    return topological(fuser, kept)


def known_above(fuser: Fuser, group: Group, others: Mapping[Group, set[Group]]) -> set[Group]:
    """Those of `others` that `group` needs, as far as is known: what later merges added is not."""
    if not others:
        return set()
    place = fuser.standing.place
    return fuser.standing.above(group, min(place[g] for g in others), others)


def skeleton(group: Group) -> object:
    """The group's structure without sizes: two groups with one skeleton run the same program."""
    index = {n: i for i, n in enumerate(group.members)}
    return tuple((n.op.name, n.type.dtype.name if hasattr(n.type, "dtype") else "",
                  tuple(index.get(a, -1) for a in n.args)) for n in group.members)


def mergeable(fuser: Fuser, group: Group) -> bool:
    """Only groups whose results leave the graph or are small: others would live longer."""
    members = set(group.members)
    results = [n for n in group.members if fuser.readers.get(n, set()) - members]
    small = sum(n.type.bytes for n in results) <= fuser.limits.twins_bytes
    # a body is taken apart where nothing is shared: a scatter or routine must not share a view
    return small and WITHOUT_LOOPS.isdisjoint(group.kinds)


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
