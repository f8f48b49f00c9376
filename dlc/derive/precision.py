"""Mixed precision: the casts that make a graph do its f32 work in bf16 or f16.

An operator's record says what becomes of it (`precision`): "low" computes in the low dtype, "full"
in f32, and "follow" in the dtype of what it is given. Only f32 values are touched, and a graph
keeps the types of its inputs and outputs, whoever holds it: a step, a loop's body, a gradient's.
docs/design/precision.md says why, docs/precision.md what it means for users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from dlc.derive.control import COND, SCAN
from dlc.errors import DlcError, Loc, here, nearest
from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    building,
    intern,
    make,
    rebuild,
    serving,
    toposort,
    users,
)
from dlc.ir.types import DType, Type, bf16, f16, f32
from dlc.ops import elementwise, leaf
from dlc.ops.convert import cast

PRECISIONS: dict[str, DType] = {"f32": f32, "bf16": bf16, "f16": f16}


class Computes(Enum):
    """Where a node computes."""

    LOW = "in the low dtype"
    FULL = "in its own types"
    WEAK = "in f32, of parameters and constants alone: cast where its reader computes low"


Decisions = Mapping[Node, Computes]


def checked_precision(value: Any, what: str, loc: Loc | None) -> str:
    """`value`. Raises DlcError for what is not a precision."""
    if isinstance(value, str) and value in PRECISIONS:
        return value
    raise DlcError(f"{what}: precision={value!r} is invalid{nearest(str(value), list(PRECISIONS))}",
                   loc, f"precisions are {', '.join(PRECISIONS)}")


def in_precision(graph: Graph, precision: str) -> Graph:
    """`graph` with the casts of `precision` ("bf16" or "f16"; "f32" has none).

    Inputs and outputs keep their types. Raises DlcError for an unknown precision, and for what is
    no graph.
    """
    if not isinstance(graph, Graph):
        raise DlcError(f"dlc.in_precision: {graph!r} is no graph", here(),
                       "dlc.in_precision(dlc.trace(f), \"bf16\")")
    kind = PRECISIONS[checked_precision(precision, graph.name, here())]
    if kind is f32:
        return graph
    with building(Build()):
        return Lowering(kind).graph(graph, [False] * len(graph.inputs))


def lowered(roots: Sequence[Node], precision: str) -> tuple[list[Node], Mapping[Node, Node]]:
    """(`roots` with the casts of `precision`, in their own types; what stands for each node)."""
    made = Lowering(PRECISIONS[precision]).values(roots, ())
    return restored(roots, made), made


def restored(roots: Sequence[Node], made: Mapping[Node, Node]) -> list[Node]:
    """What stands for `roots`, in their own types."""
    found = []
    for root in roots:
        with serving(root.locs):
            found.append(cast(made[root], root.dtype))
    return found


@dataclass
class Lowering:
    """One application of a policy; `done` are graphs that nodes hold, each by which of its inputs
    are parameters."""

    kind: DType
    done: dict[Any, Graph] = field(default_factory=dict)

    def graph(self, graph: Graph, weak: Sequence[bool]) -> Graph:
        """`graph` with casts; `weak` says which of its inputs are parameters of another graph."""
        key = graph, tuple(weak)
        if key not in self.done:
            made = self.values(graph.outputs,
                               [x for x, w in zip(graph.inputs, weak, strict=True) if w])
            self.done[key] = graph.with_outputs(restored(graph.outputs, made))
        return self.done[key]

    def values(self, roots: Sequence[Node], weak: Sequence[Node]) -> dict[Node, Node]:
        """What stands for each node that `roots` reach; a root may be there in the low dtype."""
        order = toposort(roots)
        region = Region(self, Decision(self.kind, frozenset(weak)).of(order, users(roots)))
        for node in order:
            with serving(node.locs):
                region.made[node] = region.of(node)
        return region.made


@dataclass(frozen=True)
class Decision:
    """Which nodes compute in the low dtype; the inputs `weak` are parameters elsewhere."""

    kind: DType
    weak: frozenset[Node]

    def of(self, order: Sequence[Node], readers: Mapping[Node, Sequence[Node]]) -> Decisions:
        """Where each node computes. What only operators in f32 read is computed in f32, too: to
        round it first would cost precision and save nothing."""
        how: dict[Node, Computes] = {}
        for node in order:
            how[node] = self.by_operands(node, how)
        for node in reversed(order):
            passes = node.op.kind is Kind.ELEMENTWISE and node.op.precision == "follow"
            if passes and is_f32(node) and how[node] is Computes.LOW and all(
                    how[r] is Computes.FULL for r in readers[node]):
                how[node] = Computes.FULL
        return how

    def by_operands(self, node: Node, how: Decisions) -> Computes:
        """Where a node computes, by its record and by where its operands do."""
        if node.op.kind is Kind.LEAF:
            free = node.op is not leaf.INPUT or node in self.weak or node.attrs["role"] == "param"
            return Computes.WEAK if free and self.holds(node) else Computes.FULL
        given = {how[a] for a in node.args if is_f32(a)}
        if not given or node.op.precision == "full":
            return Computes.FULL
        if node.op.precision == "low":
            return Computes.LOW
        if given == {Computes.WEAK}:
            free = node.op.kind in (Kind.ELEMENTWISE, Kind.VIEW)
            return Computes.WEAK if free else Computes.FULL
        low = Computes.FULL not in given and self.holds(node)
        return Computes.LOW if low else Computes.FULL

    def holds(self, node: Node) -> bool:
        """Whether the low dtype reaches as far as the node's own number, a constant or padding."""
        value = node.attrs.get("value")
        if not isinstance(value, float) or not np.isfinite(value):
            return True
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.asarray(value).astype(self.kind.numpy)))


@dataclass
class Region:
    """The nodes of one graph while they are made: `made` stands for each of the given ones, and
    `narrowed` is the same in the low dtype."""

    lowering: Lowering
    how: Decisions
    made: dict[Node, Node] = field(default_factory=dict)
    narrowed: dict[Node, Node] = field(default_factory=dict)

    def of(self, node: Node) -> Node:
        """`node`, with operands in the dtype in which it computes."""
        if node.op.kind is Kind.LEAF:
            return node
        if self.how[node] is Computes.LOW:
            args = self.low_operands(node)
            if node.op is elementwise.CAST and args[0].dtype is node.dtype:
                return args[0]
            return make(node.op, args, name=node.name, **node.attrs)
        wide = [cast(self.made[a], f32) if is_f32(a) else self.made[a] for a in node.args]
        bodies = self.bodies(node)
        if bodies:
            return intern(node.op, tuple(wide), {**node.attrs, **bodies}, node.type, node.name)
        return rebuild(node, wide)

    def low_operands(self, node: Node) -> list[Node]:
        return [self.narrow(a) if is_f32(a) else self.made[a] for a in node.args]

    def narrow(self, node: Node) -> Node:
        """`node` in the low dtype. A view of a parameter is a view of the cast parameter."""
        if node not in self.narrowed:
            viewed = self.how[node] is Computes.WEAK and node.op.kind is Kind.VIEW
            self.narrowed[node] = make(
                node.op, self.low_operands(node), **node.attrs) if viewed else cast(
                self.made[node], self.lowering.kind)
        return self.narrowed[node]

    def bodies(self, node: Node) -> dict[str, Graph]:
        """The graphs that `node` holds, with casts. A loop's carry is no parameter, and neither is
        what a graph takes besides the operands (a custom gradient's cotangents)."""
        weak = [self.how[a] is Computes.WEAK for a in node.args[1 if node.op is COND else 0:]]
        if node.op is SCAN:
            weak[:node.attrs["carries"]] = [False] * node.attrs["carries"]
        return {key: self.lowering.graph(body, [
                    *weak, *(False for _ in body.inputs)][:len(body.inputs)])
                for key, body in node.attrs.items() if isinstance(body, Graph)}


def is_f32(node: Node) -> bool:
    """Whether `node` is one array of f32: what a policy touches."""
    return isinstance(node.type, Type) and node.dtype is f32
