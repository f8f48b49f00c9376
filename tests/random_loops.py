"""Random programs of loops and branches: any nesting, carries that swap, or start alike.

Floats stay near 1, and what branches ask is made of whole numbers, so that rounding moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import dlc
from dlc import bool_, f32, i32
from dlc.derive.control import COND, SCAN, results
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ops import leaf

N = 6
VECTOR, MATRIX, COUNT = f32[N], f32[N, N], i32[()]


@dataclass
class Pool:
    """The values that a body may use."""

    vectors: list[Node] = field(default_factory=list)
    matrices: list[Node] = field(default_factory=list)
    counts: list[Node] = field(default_factory=list)
    stacks: list[Node] = field(default_factory=list)  # f32[T, N], T at least 0

    def add(self, node: Node) -> None:
        if node.dtype is i32[()].dtype:
            self.counts.append(node)
        elif node.ndim == 1:
            self.vectors.append(node)
        elif tuple(node.shape) == (N, N):
            self.matrices.append(node)
        else:
            self.stacks.append(node)


class LoopMaker:
    """Draws graphs from a seeded generator."""

    def __init__(self, seed: int, deepest: int = 2) -> None:
        self.rng = np.random.default_rng(seed)
        self.deepest = deepest

    def one(self, nodes: Sequence[Node]) -> Node:
        return nodes[self.rng.integers(len(nodes))]

    def some(self, nodes: Sequence[Node], most: int) -> list[Node]:
        return [self.one(nodes) for _ in range(self.rng.integers(most + 1))] if nodes else []

    def graph(self, steps: int = 7) -> Graph:
        """A graph over vectors, a matrix, a count and two stacks; some inputs are updated."""
        with building(Build()):
            x, p = leaf.input_("x", VECTOR), leaf.input_("p", VECTOR, "param")
            w, n = leaf.input_("w", MATRIX, "param"), leaf.input_("n", COUNT, "state")
            stacks = [leaf.input_("s", f32[3, N]), leaf.input_("t", f32[4, N])]
            pool = Pool([x, p], [w], [n], list(stacks))
            self.grow(pool, steps, 0)
            outputs = [*pool.vectors[-2:], *pool.stacks[-2:], pool.counts[-1]]
            outputs += [self.one(pool.vectors), self.one(pool.counts)]
            names = [f"out{i}" for i in range(len(outputs))]
            updates = {names[-2]: "p", names[-1]: "n"}
            return Graph("random", (x, p, w, n, *stacks), tuple(outputs), tuple(names), updates)

    def grow(self, pool: Pool, steps: int, depth: int) -> None:
        """Add `steps` values to the pool."""
        for _ in range(steps):
            kind = self.rng.integers(10 if depth < self.deepest else 7)
            if kind == 0:
                pool.add(dlc.tanh(self.one(pool.vectors) @ self.one(pool.matrices)))
            elif kind == 1:
                pool.add(self.one(pool.vectors) * 0.5 + self.one(pool.vectors))
            elif kind == 2:
                pool.add(dlc.tanh(self.one(pool.vectors) * self.one(pool.vectors)))
            elif kind == 3:
                pool.add(dlc.maximum(self.one(pool.vectors), dlc.flip(self.one(pool.vectors), 0)))
            elif kind == 4:
                pool.add(self.one(pool.counts) + int(self.rng.integers(1, 3)))
            elif kind == 5:
                pool.add(dlc.tanh(self.one(pool.stacks).sum(0)) if pool.stacks else
                         self.one(pool.vectors) - 0.25)
            elif kind == 6:
                pool.add(leaf.constant(0.5, VECTOR))
            elif kind == 9:
                self.branch(pool, depth)
            else:
                self.loop(pool, depth)

    def loop(self, pool: Pool, depth: int) -> None:
        """A scan over values of the pool; its results go there."""
        rows = self.some(pool.stacks, 2)
        length = int(rows[0].shape[0]) if rows else int(self.rng.integers(5))
        rows = [r for r in rows if int(r.shape[0]) == length]
        carries = [*self.some(pool.vectors, 3), *self.some(pool.counts, 1)]
        held = [self.one(pool.vectors), self.one(pool.matrices), self.one(pool.counts),
                *self.some(pool.stacks, 1)]
        types = [*(c.type for c in carries), *(VECTOR for _ in rows), *(h.type for h in held)]
        inputs, inside = self.body(types)
        self.grow(inside, int(self.rng.integers(1, 5)), depth + 1)
        new = [self.one(inside.vectors if c.ndim else inside.counts) for c in carries]
        ys = self.some(inside.vectors, 2) if carries else [self.one(inside.vectors)]
        body = Graph("body", inputs, (*new, *ys))
        node = make(SCAN, (*carries, *rows, *held), body=body, carries=len(carries),
                    sequences=len(rows), length=length, reverse=bool(self.rng.integers(2)))
        for value in results(node):
            pool.add(value)

    def branch(self, pool: Pool, depth: int) -> None:
        """A cond over values of the pool, on a whole number being even."""
        operands = [self.one(pool.vectors), self.one(pool.matrices), self.one(pool.counts),
                    *self.some(pool.vectors, 2)]
        even = self.one(pool.counts) % 2 == 0
        assert even.type == bool_[()]
        graphs = []
        wanted = int(self.rng.integers(1, 3))
        for name in ("then", "otherwise"):
            inputs, inside = self.body([o.type for o in operands])
            self.grow(inside, int(self.rng.integers(4)), depth + 1)
            outputs = [*(self.one(inside.vectors) for _ in range(wanted)), self.one(inside.counts)]
            graphs.append(Graph(name, inputs, tuple(outputs)))
        node = make(COND, (even, *operands), then=graphs[0], otherwise=graphs[1])
        for value in results(node):
            pool.add(value)

    def body(self, types: Sequence[Any]) -> tuple[tuple[Node, ...], Pool]:
        """Inputs of a body, and a pool of them."""
        inputs = tuple(leaf.input_(f"x{i}", t) for i, t in enumerate(types))
        pool = Pool()
        for x in inputs:
            pool.add(x)
        return inputs, pool


def arrays_for(graph: Graph, seed: int = 0) -> list[Any]:
    """Values for the inputs, in order."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 4, tuple(i.shape)).astype(np.int32) if i.dtype is COUNT.dtype else
            rng.uniform(-1, 1, tuple(map(int, i.shape))).astype(np.float32) for i in graph.inputs]
