"""The values that lie in memory between two launches, and why they do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dlc.inspector.record import EdgeInfo
from dlc.inspector.tables import Tables
from dlc.ir.graph import Node
from dlc.passes.fuse.grouping import Edge, Fuser, Group
from dlc.passes.fuse.reasons import ORDER, in_words, refusal_now
from dlc.reference.text.printing import spelled

Numbers = Mapping[tuple[int, int], int]  # (Fuser, group) -> launch


def stored_edges(fusers: Sequence[Fuser], numbers: Numbers, runs: Sequence[int],
                 tables: Tables) -> tuple[EdgeInfo, ...]:
    """Every value that one launch stores for another, the costliest first."""
    found = []
    for at, fuser in enumerate(fusers):
        names = {node: label for *_, lines in spelled(fuser.graph) for node, label, _ in lines}
        places = {group: numbers.get((at, k), -1) for k, group in enumerate(fuser.groups)}
        for edge, first, second in crossing(fuser):
            readers = {fuser.group[r] for r in fuser.readers[edge.producer]}
            count = len(readers - {first})
            row, reader = reason(fuser, first, second, edge), places[second]
            value, by = names[edge.producer], names[edge.consumer]
            found.append(EdgeInfo(
                value, str(edge.producer.type), places[first], reader, row,
                in_words(row, value, by, count),
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


def reason(fuser: Fuser, first: Group, second: Group, edge: Edge) -> str:
    """The row by which two groups are two: that of this edge, else of another one between them."""
    row = refusal_now(fuser, first, second, edge)
    others = (e for n in second.members for e in fuser.edges[n]
              if fuser.group[e.producer] is first)
    return row if row != ORDER else next((found for e in others if (
        found := refusal_now(fuser, first, second, e)) != ORDER), row)
