"""Drawing a random program: a pool of nodes with their balls, and where the draws come from.

The balls (tests/fuzzing/bounds.py) are computed while the program is drawn, so that it keeps away
from what no backend has to agree on: a comparison, a truncation or an order that rounding turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from dlc.ir.graph import Node
from dlc.ir.types import DType, TupleType, Type, bf16, bool_, f16, f32, f64, i32, i64, u8, u32
from dlc.ops import leaf
from dlc.ops.convert import broadcast_to
from tests.fuzzing.bounds import UNIT, Array, Ball, ball_of, exactly

FLOATS = (f32, f32, f32, f32, f64, f16, bf16)
OTHERS = (i32, i32, i64, u32, u8, bool_)
# Values stay below: what overflows says little. f16 ends at 65504.
LARGEST = {"f64": 1e9, "f32": 1e6, "f16": 2e3, "bf16": 1e5}
# The bound of a value that is kept, relative to the largest element: a wrong element shows.
LOOSEST = {"f64": 1e-3, "f32": 1e-2, "f16": 0.1, "bf16": 0.25}


class Chooser(Protocol):
    """Where draws come from: hypothesis, or a seeded generator."""

    def below(self, n: int) -> int:
        """A whole number in 0 .. n-1."""


@dataclass
class Seeded:
    """Draws from a seeded generator."""

    rng: np.random.Generator

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))


@dataclass
class Maker:
    """Draws one program: a pool of nodes with their balls."""

    draw: Chooser
    prefix: str = ""
    largest: int = 1500  # elements of one value
    dims: tuple[int, ...] = ()
    pool: list[Node] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    balls: dict[Node, Any] = field(default_factory=dict)
    depth: int = 0  # of bodies around

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.draw.below(len(options))]

    def chance(self, percent: int) -> bool:
        return self.draw.below(100) < percent

    def shape(self, most: int = 4) -> tuple[int, ...]:
        """A random shape of the program's dimensions."""
        rank = self.draw.below(most + 1)
        shape: list[int] = []
        for _ in range(rank):
            d = 1 if self.chance(12) else self.pick(self.dims)
            if math.prod(shape) * d <= self.largest:
                shape.append(d)
        return tuple(shape)

    def input(self, type_: Type, role: str = "arg", low: int = -3, high: int = 5) -> Node:
        """A new input with an array: whole numbers, or (floats, half of the time) any."""
        name = f"{self.prefix}{role[0]}{len(self.inputs)}"
        rng = np.random.default_rng([len(self.inputs), self.draw.below(1 << 16)])
        node = leaf.input_(name, type_, role)
        if type_.dtype is bool_:
            array = rng.random(type_.shape) < 0.5
        elif type_.dtype.is_float and self.chance(60):
            array = rng.normal(size=type_.shape)
        else:
            unsigned = type_.dtype.category == "uint"
            array = rng.integers(0 if unsigned else low, high, type_.shape)
        self.arrays[name] = np.asarray(array).astype(type_.dtype.numpy)
        self.inputs.append(node)
        self.balls[node] = exactly(self.arrays[name], type_.dtype)
        return node

    def ball(self, node: Node) -> Any:
        """The ball of `node`, computed once."""
        stack = [node]
        with np.errstate(all="ignore"):
            while stack:
                at = stack[-1]
                missing = [a for a in at.args if a not in self.balls]
                stack.extend(missing)
                if not missing:
                    stack.pop()
                    if at not in self.balls:
                        self.balls[at] = ball_of(at, [self.balls[a] for a in at.args])
        return self.balls[node]

    def add(self, node: Any) -> bool:
        """Put a node (or each of some) into the pool, unless it is too large or too uncertain."""
        if isinstance(node, (tuple, list)):
            kept = [self.add(n) for n in node]
            return any(kept)
        if node is None or isinstance(node.type, TupleType) or node.type.size > self.largest:
            return False
        if any(node is p for p in self.pool) or not certain(self.ball(node), node.dtype):
            return False
        self.pool.append(node)
        return True

    def find(self, fits: Callable[[Node], bool]) -> Node | None:
        """A node of the pool that fits, the later ones more often."""
        fitting = [n for n in self.pool if fits(n)]
        if not fitting:
            return None
        recent = fitting[-3:] if self.chance(65) else fitting
        return self.pick(recent)

    def exact(self, node: Node) -> bool:
        return self.ball(node).exact

    def like(self, node: Node, dtype: DType | None = None) -> Node:
        """A node of `node`'s shape (and dtype): one of the pool, a broadcast one, or an input."""
        kind = dtype or node.dtype
        same = self.find(lambda n: n.type == node.type.with_(dtype=kind))
        if same is not None and self.chance(70):
            return same
        shape = tuple(node.shape)
        small = self.find(lambda n: n.dtype is kind and fits_into(n.shape, shape))
        if small is not None and self.chance(80):
            return broadcast_to(small, shape)
        return self.input(Type(kind, shape))

    @contextmanager
    def body(self, args: Sequence[Node], balls: Sequence[Ball], outside: bool) -> Iterator[None]:
        """Draw in a body: its symbols stand for `balls`; some of the values outside are seen."""
        kept, self.pool = self.pool, []
        self.depth += 1
        try:
            self.pool = [*(kept[-2:] if outside else ()), *args]
            self.balls.update(zip(args, balls, strict=True))
            yield
        finally:
            self.pool = kept
            self.depth -= 1


def certain(ball: Ball, dtype: DType) -> bool:
    """Whether a value is worth keeping: finite, of ordinary size, and known well."""
    if not ball.known:
        return False
    if not dtype.is_float:
        return ball.exact
    if not np.isfinite(ball.value).all():
        return False
    size = float(np.max(np.abs(ball.value), initial=0.0))
    loose = LOOSEST[dtype.name] * max(size, UNIT[dtype.name])
    return size <= LARGEST[dtype.name] and float(np.max(ball.error, initial=0.0)) <= loose


def fits_into(small: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether `small` broadcasts to `shape`."""
    skip = len(shape) - len(small)
    return skip >= 0 and all(d in (1, s) for d, s in zip(small, shape[skip:], strict=True))


def is_number(n: Node) -> bool:
    return n.dtype is not bool_


def is_float(n: Node) -> bool:
    return n.dtype.is_float


def filled(n: Node) -> bool:
    """Whether it has elements, and an axis."""
    return n.ndim > 0 and n.type.size > 0
