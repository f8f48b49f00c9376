"""Which nodes depend on which."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.graph import Node, toposort


def depends_on(outputs: Sequence[Node], sources: Sequence[Node]) -> set[Node]:
    """The nodes below `outputs` that depend on `sources`, these included."""
    reach = set(sources)
    for node in toposort(outputs):
        if any(a in reach for a in node.args):
            reach.add(node)
    return reach
