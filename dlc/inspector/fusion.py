"""The values that lie in memory between two launches, and why they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlc.inspector.record import EdgeInfo
from dlc.inspector.tables import Tables
from dlc.ir.graph import Node
from dlc.passes.fuse.grouping import Edge, Fuser, Group
from dlc.passes.fuse.reasons import in_words, refusal_now

Numbers = Mapping[tuple[int, int], int]  # (Fuser, group) -> launch


def stored_edges(fusers: Sequence[Fuser], numbers: Numbers, runs: Sequence[int],
                 tables: Tables) -> tuple[EdgeInfo, ...]:
    """Every value that one launch stores for another, the costliest first."""
    found = []
    for at, fuser in enumerate(fusers):
        places = {group: numbers.get((at, k), -1) for k, group in enumerate(fuser.groups)}
        for edge, first, second in crossing(fuser):
            readers = {fuser.group[r] for r in fuser.readers[edge.producer]}
            count = len(readers - {first})
            row = refusal_now(fuser, first, second, edge)
            reader = places[second]
            found.append(EdgeInfo(
                name_of(edge.producer), str(edge.producer.type), places[first], reader, row,
                in_words(row, name_of(edge.producer), name_of(edge.consumer), count),
                spared(fuser, edge, count) * (runs[reader] if reader >= 0 else 1),
                tables.places_of(edge.producer.locs)))
    return tuple(sorted(found, key=lambda e: (-e.saved, e.maker, e.reader, e.value)))


def crossing(fuser: Fuser) -> Iterator[tuple[Edge, Group, Group]]:
    """The edges between groups, one for each value and group that reads it."""
    seen: set[tuple[Node, Group]] = set()
    for node in fuser.order:
        for edge in fuser.edges.get(node, ()):
            first, second = fuser.group[edge.producer], fuser.group[node]
            if first is not second and (edge.producer, second) not in seen:
                seen.add((edge.producer, second))
                yield edge, first, second


def spared(fuser: Fuser, edge: Edge, readers: int) -> int:
    """Bytes that would not move if the two were one: the value's load, and its store where no other
    launch reads it."""
    size = int(getattr(edge.producer.type, "bytes", 0))
    stored = readers > 1 or edge.producer in fuser.roots
    return size if stored else 2 * size


def name_of(node: Node) -> str:
    """The user's name of a value, else the operator that makes it."""
    return node.name or node.op.name
