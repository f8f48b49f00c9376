"""What a launch costs, operator by operator: arithmetic, and bytes that it reads and writes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.ir.graph import Graph, Kind, Node, users
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.passes.schedule.lives import Scratch, Value, aligned
from dlc.program import Launch, Slot


@dataclass(frozen=True)
class Rates:
    """What one core does in a second: arithmetic of products, elements of cheap operators and of
    others (exp, tanh), bytes between memory and registers; and seconds that a launch takes anyway.

    Round numbers of one core of a Zen 5 server with AVX-512 (docs/design/memory_limit.md); they
    rank what to compute again, and stand behind the estimates of `dlc plan`.
    """

    products: float = 6e10
    cheap: float = 8e9
    costly: float = 1e9
    bytes: float = 1.2e10
    launch: float = 2e-6

    def scaled(self, by: float) -> Rates:
        """Those of a machine whose registers are `by` times as wide."""
        return replace(self, products=self.products * by, cheap=self.cheap * by,
                       costly=self.costly * by)


def seconds_of(graph: Graph, rates: Rates) -> float:
    """About what a fused body, or the body of a loop or branch, takes one core: arithmetic and
    traffic one after the other, which no launch exceeds by much."""
    total = rates.launch + sum(n.type.bytes for n in (*graph.inputs, *graph.outputs)
                               if isinstance(n.type, Type)) / rates.bytes
    for node in graph.nodes():
        inner = [v for v in node.attrs.values() if isinstance(v, Graph)]
        if inner:
            count = node.attrs.get("length", 1)
            total += count * sum(seconds_of(g, rates) for g in inner)
        elif node.op.kind is not Kind.ITEM:
            rate = rates.products if node.op.kind is Kind.CONTRACT else (
                rates.cheap if node.op.cheap or node.op.kind is not Kind.ELEMENTWISE
                else rates.costly)
            total += node_flops(node) / rate
    return total


def step_seconds(runs: Iterable[tuple[Launch, int]], rates: Rates) -> float:
    """About what launches take one core, each as often as it runs: the larger of arithmetic and
    traffic."""
    return sum(n * (max(x.flops / rates.products, x.bytes / rates.bytes) + rates.launch)
               for x, n in runs)


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
