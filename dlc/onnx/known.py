"""Values known before a model runs, computed from constants, within limits on their cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dlc.errors import DlcError
from dlc.ir.graph import Graph, Kind, Node, toposort
from dlc.ir.types import TupleType
from dlc.onnx.call import Unknown
from dlc.reference.evaluate import apply

# What one conversion may compute: elements kept, of one constant and of all, and steps of
# arithmetic. Calling NumPy for a node counts as CALL steps, so that 30,000 operators on small
# shapes are within the limit.
LARGEST_CONSTANT, ELEMENTS, STEPS, CALL = 10_000_000, 20_000_000, 2**29, 2**14


@dataclass
class Known:
    """The values of nodes that depend on constants and on first values of `weights` alone."""

    weights: dict[Node, np.ndarray] = field(default_factory=dict)
    found: dict[Node, np.ndarray | None] = field(default_factory=dict)
    elements: int = 0
    steps: float = 0

    def known(self, node: Node, what: str) -> np.ndarray:
        """The value of `node`, which must depend on no input. Raises Unknown."""
        value = self.value(node)
        if value is None:
            labels = [n.attrs["label"] for n in toposort([node])
                      if n.op.name == "input" and n not in self.weights]
            raise Unknown(what, labels)
        return value

    def value(self, node: Node) -> np.ndarray | None:
        """The value of `node` if it is known. What was asked for before is not visited again."""
        stack = [node]
        while stack:
            each = stack[-1]
            waiting = [] if each in self.found else [a for a in each.args if a not in self.found]
            if waiting:
                stack.extend(waiting)
                continue
            if each not in self.found:
                self.found[each] = self.computed(each)
            stack.pop()
        return self.found[node]

    def computed(self, node: Node) -> np.ndarray | None:
        """The value of `node`, whose operands were visited. Raises DlcError when it costs too much.
        """
        if node in self.weights:
            return self.weights[node]
        args = [self.found[a] for a in node.args]
        if node.op.name == "input" or any(a is None for a in args):
            return None
        self.count(size(node), steps(node))
        with np.errstate(all="ignore"):
            value: np.ndarray = apply(node, args)
        return value


    def spend(self, count: int, what: str, calls: int = 0) -> None:
        """Count a constant of `count` elements, which a converter is about to work out in `calls`
        calls of NumPy. Raises DlcError for too many."""
        if not 0 <= count <= LARGEST_CONSTANT:
            raise DlcError(f"{what} of {count} elements", None,
                           f"constants are worked out up to {LARGEST_CONSTANT} elements")
        self.count(count, count + calls * CALL)

    def count(self, elements: int, steps: float) -> None:
        self.elements += elements
        self.steps += steps
        if self.elements > ELEMENTS or self.steps > STEPS:
            raise DlcError(f"constants would be computed that take more than {ELEMENTS} elements "
                           f"or {STEPS} steps", None, "store them as initializers")


def size(node: Node) -> int:
    """Elements of a node's results."""
    types = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    return sum(t.size for t in types)


def steps(node: Node) -> float:
    """About how many steps of arithmetic the value of a node takes in NumPy."""
    sizes = [max(size(a), 1) for a in node.args]
    if node.op.kind is Kind.CONTRACT:  # m k, k n and m n elements are m k n products
        return CALL + math.sqrt(math.prod(sizes) * max(size(node), 1))
    if node.op.kind is Kind.ROUTINE:  # a matrix of n n elements takes n n n
        return CALL + float(sum(s**1.5 for s in sizes))
    bodies = [a for a in node.attrs.values() if isinstance(a, Graph)]
    rounds = int(node.attrs.get("length", 1))
    inside = sum(steps(n) for body in bodies for n in body.nodes())
    return CALL + size(node) + sum(sizes) + rounds * inside
