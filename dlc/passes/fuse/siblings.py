"""Sibling products: small contractions of one value become one launch.

    q = matmul(x, wq)                             q, k, v = fused_matmul(x, wq, wk, wv)
    k = matmul(x, wk)                        ->   two supersteps instead of six: x is packed once,
    v = matmul(x, wv)                             then all three are multiplied
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlc.ir.graph import Kind, Node
from dlc.ops import leaf
from dlc.passes.fuse.grouping import ALONE, Fuser, Group
from dlc.passes.fuse.horizontal import topological


def merge_siblings(fuser: Fuser, groups: Sequence[Group]) -> list[Group]:
    """Merge contractions that multiply one value and can begin at the same time, so that nothing
    waits longer or lives longer for it. `groups` come after those they read."""
    kept: list[Group] = []
    siblings: dict[object, list[Group]] = {}
    depth = depths(fuser, groups)
    for group in groups:
        keys = keys_of(group, depth) if is_small(fuser, group) else []
        others = (g for key in keys for g in siblings.get(key, ()))
        partner = next((g for g in others if not replaces(fuser, g, group)
                        and not replaces(fuser, group, g)), None)
        if partner is not None and fuser.join(partner, group):
            continue
        kept.append(group)
        for key in keys:
            siblings.setdefault(key, []).append(group)
    fuser.put_in_order(kept)
    return topological(fuser, kept)


def depths(fuser: Fuser, groups: Sequence[Group]) -> dict[Group, int]:
    """How many launches, one after the other, have to be done before each group can begin."""
    depth: dict[Group, int] = {}
    for group in groups:
        sources = {fuser.group[e.producer] for n in group.members for e in fuser.edges[n]}
        depth[group] = 1 + max((depth[g] for g in sources if g is not group), default=-1)
    return depth


def keys_of(group: Group, depth: Mapping[Group, int]) -> list[object]:
    """What siblings share: the time when they can begin, and a value in memory that both read."""
    contraction = group.contraction
    if contraction is None or not ALONE.isdisjoint(group.kinds):
        return []
    found = (in_memory(group, arg) for arg in contraction.args)
    return [(depth[group], id(source)) for source in found if source is not None]


def in_memory(group: Group, operand: Node) -> Node | None:
    """The value outside of the group that an operand is a view of; None for what is computed."""
    while operand.op.kind is Kind.VIEW and len(operand.args) == 1:
        operand = operand.args[0]
    computed = any(operand is n for n in group.members) or operand.op.kind is Kind.VIEW
    return None if computed else operand


def is_small(fuser: Fuser, group: Group) -> bool:
    """Whether a barrier is a good part of what the group takes: large products gain nothing."""
    return sum(int(n.type.bytes) for n in results(fuser, group)) <= fuser.limits.twins_bytes


def results(fuser: Fuser, group: Group) -> list[Node]:
    """The members that others read, or that leave the graph."""
    members = set(group.members)
    return [n for n in group.members if n in fuser.roots or fuser.readers.get(n, set()) - members]


def replaces(fuser: Fuser, group: Group, other: Group) -> bool:
    """Whether `group` makes the new value of an input that `other` reads: in one launch it could
    not lie where the old one does, and would have to be copied."""
    types = {n.type for n in results(fuser, group)}
    read = (in_memory(group, a) for n in group.members if n.op.kind is Kind.ELEMENTWISE
            for a in n.args)
    own = {id(a) for a in read if a is not None and a.op is leaf.INPUT
           and a.attrs["role"] != "data" and a.type in types}
    return any(id(in_memory(other, a)) in own for n in other.members for a in n.args)
