"""What a launch costs, operator by operator: arithmetic, and bytes that it reads and writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from dlc.ir.graph import Graph, Kind, Node, users
from dlc.ops import leaf
from dlc.passes.schedule.lives import Scratch, Value, aligned
from dlc.program import Slot


def size_of(value: Value) -> int:
    """The bytes that a value or a workspace has for itself."""
    if isinstance(value, Scratch):
        return aligned(value.size * value.dtype.bytes)
    return aligned(int(value.type.bytes))


def flops_of(body: Graph) -> int:
    """Arithmetic of a body."""
    return sum(map(node_flops, body.nodes()))


def node_flops(node: Node) -> int:
    """Arithmetic: two for each product of a contraction, one for each other element."""
    if node.op.kind is Kind.CONTRACT:
        whole = node.op.emit(node)
        parts = [(p.contraction, p.shape) for p in whole.residues] or [(whole, node.type.shape)]
        return sum(2 * math.prod(c.extents) * math.prod(shape) for c, shape in parts)
    if node.op.kind is Kind.ROUTINE:
        return int(node.op.emit(node).flops)
    if node.op.kind is Kind.ELEMENTWISE:
        return int(node.type.size)
    return int(node.args[0].type.size) if node.op.kind in (Kind.REDUCE, Kind.FOLD) else 0


def moved_bytes(body: Graph, values: Mapping[Node, Node], place: Mapping[Node, Slot],
                spaces: Sequence[Scratch]) -> dict[Node, int]:
    """The bytes that each node of a launch's body makes it read and write, once.

    `values` are what its inputs and outputs stand for, `place` where they lie. What is read counts
    for those that read it, in equal parts; workspaces for the first result.
    """
    moved: dict[Node, int] = {}
    readers = users(body.outputs)
    for node, value in values.items():
        reading = readers.get(node, []) if node.op is leaf.INPUT else []
        for one, part in zip(reading or [node], shares(size_of(value), len(reading) or 1),
                             strict=True):
            moved[one] = moved.get(one, 0) + part
    for space in spaces:
        moved[body.outputs[0]] = moved.get(body.outputs[0], 0) + size_of(space)
    for node in body.outputs:
        moved[node] -= spared_bytes(node, place)
    return moved


def spared_bytes(node: Node, place: Mapping[Node, Slot]) -> int:
    """What writing some places of an array in place does not touch: the rest of it, twice."""
    if node.op.kind is not Kind.SCATTER or len(node.args) <= 2 or (
            place.get(node.args[2]) != place[node]):
        return 0
    written = min(node.args[1].type.bytes, node.type.bytes)
    return 2 * (aligned(node.type.bytes) - aligned(written))


def shares(total: int, count: int) -> list[int]:
    """`total` in `count` whole parts that differ by 1 at most; they add up to it."""
    whole, rest = divmod(total, count)
    return [whole + (at < rest) for at in range(count)]
