"""Random programs for the backend: graphs over every operator with arrays, and how exact they are.

Values are computed while the graph is drawn, so that a draw can avoid what no backend has to agree
on: comparing or truncating a number that rounding moves. A value is *exact* when it is made of
small whole numbers by operators that round nothing; all backends give it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from dlc.evaluate import apply, finish
from dlc.graph import Graph, Kind, Node
from dlc.ops import leaf
from dlc.passes.differentiate import differentiate
from dlc.types import DType, TupleType, Type, bf16, bool_, f16, f32, f64, i32, i64, u8, u32

Array = np.ndarray[Any, Any]
# whole numbers up to here add and multiply without rounding, sums of some hundred of them too
LIMIT = {"f64": 2.0**40, "f32": 2.0**20, "f16": 2.0**8, "bf16": 2.0**6}
EXACT = {"add", "sub", "mul", "neg", "abs", "sign", "floor", "ceil", "round", "maximum", "minimum",
         "where", "cast", "sum", "prod", "max", "min", "matmul", "conv", "scatter_add", "fold",
         "stop_gradient", "floordiv", "rem"}
# results that are one of the operands' elements, or free of rounding: nothing to disturb
CHOOSING = {"maximum", "minimum", "where", "max", "min", "stop_gradient", "neg", "abs", "item"}
EPSILON = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}


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
class Values:
    """The values of a graph's nodes for given inputs, and which of them are exact."""

    arrays: dict[Node, Any] = field(default_factory=dict)
    exact: dict[Node, bool] = field(default_factory=dict)
    # eps * noise is by how much rounded results are disturbed: how far may a backend stray?
    noise: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def feed(self, node: Node, array: Array) -> None:
        self.arrays[node] = array
        self.exact[node] = not node.dtype.is_float or whole(array, LIMIT[node.dtype.name] / 16)

    def of(self, node: Node) -> Any:
        """The value of `node`, computed once."""
        stack = [node]
        while stack:
            at = stack[-1]
            if at in self.arrays:
                stack.pop()
                continue
            missing = [a for a in at.args if a not in self.arrays]
            stack.extend(missing)
            if not missing:
                self._compute(at)
        return self.arrays[node]

    def _compute(self, node: Node) -> None:
        args = [self.arrays[a] for a in node.args]
        with np.errstate(all="ignore"):
            value = self._through(node, args) if node.op.kind is Kind.HIGHER else apply(node, args)
        self.exact[node] = self._is_exact(node, value)
        if self.noise and self._rounds(node):
            with np.errstate(all="ignore"):
                value = self._disturbed(node, value)
        self.arrays[node] = value

    def _through(self, node: Node, args: list[Any]) -> Any:
        """The value of a loop, a branch, a function: what its body rounds is disturbed too."""
        def inside(body: Graph, given: Sequence[Any]) -> list[Any]:
            values = Values(noise=self.noise, rng=self.rng)
            for x, array in zip(body.inputs, given, strict=True):
                values.feed(x, np.asarray(array))
            return [values.of(out) for out in body.outputs]

        return finish(node.op.eval(inside, *args, **node.attrs), node.type)

    def _is_exact(self, node: Node, value: Any) -> bool:
        if not all(self.exact[a] for a in node.args) or isinstance(node.type, TupleType):
            return False
        if not node.dtype.is_float or node.op.kind in (Kind.VIEW, Kind.GATHER):
            return True
        if node.op.kind is Kind.LEAF:
            return whole(value, LIMIT[node.dtype.name] / 16)
        if node.op.name not in EXACT or not whole(value, LIMIT[node.dtype.name]):
            return False
        # a sum of many may round on the way
        sizes = [np.sum(np.abs(np.nan_to_num(np.asarray(self.arrays[a], np.float64), posinf=0,
                                             neginf=0))) for a in node.args]
        return node.op.kind is Kind.ELEMENTWISE or float(np.prod(sizes)) < 16 * LIMIT[
            node.dtype.name]

    def _rounds(self, node: Node) -> bool:
        return (isinstance(node.type, Type) and node.dtype.is_float and not self.exact[node]
                and node.op.kind not in (Kind.VIEW, Kind.GATHER, Kind.LEAF)
                and node.op.name not in CHOOSING)

    def _disturbed(self, node: Node, value: Any) -> Any:
        """`value` as rounding might have it; sums round at every term, so these are disturbed."""
        if node.op.kind in (Kind.REDUCE, Kind.CONTRACT, Kind.SCATTER):
            # one after the other, n equal terms lose some n eps of the sum
            n = max(self.arrays[a].size for a in node.args) / max(1, value.size)
            value = apply(node, [self._shaken(self.arrays[a], node.dtype) for a in node.args])
            if node.op.name == "logsumexp":
                # it ends in the logarithm of a sum from 1 on, whose rounding is an absolute error
                one = np.ones(value.shape, value.dtype)
                value = value + (self._shaken(one, node.dtype) - one)
            return self._shaken(value, node.dtype, 1 + n / 64)
        return self._shaken(value, node.dtype)

    def _shaken(self, value: Any, dtype: DType, more: float = 1.0) -> Any:
        if value.dtype.kind in "iub":
            return value
        signs = self.rng.choice((-1.0, 1.0), value.shape)
        by = 1 + self.noise * more * EPSILON[dtype.name] * signs
        return np.asarray(value.astype(np.float64) * by).astype(value.dtype)


def whole(array: Any, limit: float) -> bool:
    """Whether all finite elements are whole numbers of at most `limit`."""
    wide = np.asarray(array, np.float64)
    wide = wide[np.isfinite(wide)]
    return bool(np.all(wide == np.rint(wide)) and np.all(np.abs(wide) <= limit))


def values_of(graph: Graph, arrays: Mapping[str, Array], noise: float = 0.0,
              seed: int = 0) -> Values:
    """The values of `graph` for arrays by input name."""
    found = Values(noise=noise, rng=np.random.default_rng(seed))
    for node in graph.inputs:
        found.feed(node, arrays[node.attrs["label"]])
    for node in graph.outputs:
        found.of(node)
    return found


def labelled(graph: Graph, arrays: Sequence[Any]) -> dict[str, Array]:
    """Arrays in the order of the inputs, by the inputs' labels."""
    return {x.attrs["label"]: a for x, a in zip(graph.inputs, arrays, strict=True)}


def mistakes(graph: Graph, arrays: Mapping[str, Array], got: Mapping[str, Array]) -> list[str]:
    """What is wrong with the results `got` by name: empty when every output is as it must be.

    Integers and exact floats must agree bit for bit; others within a few times what disturbing
    every rounding of the evaluation does. Results that `got` does not hold are not looked at.
    """
    right = values_of(graph, arrays)
    plain = differentiate(graph)  # so that roundings inside of gradients are disturbed too
    shaken = [values_of(plain, arrays, 4.0, seed) for seed in (1, 2, 3)]
    found = []
    names = graph.output_names or tuple(f"out{i}" for i in range(len(graph.outputs)))
    for name, node, twin in zip(names, graph.outputs, plain.outputs, strict=True):
        if name not in got:
            continue
        want = right.arrays[node]
        others = [s.arrays[twin] for s in shaken]
        problem = difference(got[name], want, others, right.exact[node])
        if problem:
            found.append(f"{name}: {node.type}: {problem}")
    return found


def difference(got: Array, want: Array, shaken: Sequence[Array], exact: bool) -> str:
    """Why `got` is not acceptable where `want` is right; "" when it is."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{got.shape} instead of {want.dtype}{want.shape}"
    if want.dtype.kind in "iub" or exact:
        wrong = ~((got == want) | ((got != got) & (want != want)))
        return report(got, want, wrong)
    a, b = got.astype(np.float64), want.astype(np.float64)
    others = [s.astype(np.float64) for s in shaken]
    with np.errstate(all="ignore"):
        spread = np.max([np.abs(o - b) for o in others], axis=0, initial=0.0)
        same = np.all([np.isfinite(o) == np.isfinite(b) for o in others], axis=0)
        largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=0.0))
        eps = float(np.finfo(want.dtype).eps) if want.dtype.kind == "f" else 2.0**-7
        allowed = 8 * spread + 16 * eps * np.abs(b) + eps * eps * largest + (
            np.finfo(np.float64).tiny if eps < 1e-10 else 1e-37 if eps < 1e-6 else 1e-7)
        near = np.abs(a - b) <= allowed
    special = (a == b) | (np.isnan(a) & np.isnan(b))
    return report(got, want, same & ~near & ~special)


def report(got: Array, want: Array, wrong: Array) -> str:
    if not np.any(wrong):
        return ""
    at = tuple(int(i) for i in np.argwhere(np.atleast_1d(wrong))[0])
    where = at if got.ndim else ()
    return (f"{int(np.sum(wrong))} of {wrong.size} wrong, first at {where}: {got[where]!r} "
            f"instead of {want[where]!r}")


# --- drawing ------------------------------------------------------------------------------------


FLOATS = (f32, f32, f32, f32, f64, f16, bf16)
OTHERS = (i32, i32, i64, u32, u8, bool_)


@dataclass
class Maker:
    """Draws one program: a pool of nodes with their values."""

    draw: Chooser
    prefix: str = ""
    largest: int = 1500  # elements of one value
    dims: tuple[int, ...] = ()
    pool: list[Node] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    values: Values = field(default_factory=Values)

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
            if int(np.prod(shape, dtype=int)) * d <= self.largest:
                shape.append(d)
        return tuple(shape)

    def input(self, type_: Type, role: str = "arg", low: int = -3, high: int = 5) -> Node:
        """A new input with an array: whole numbers, or (floats, half of the time) any."""
        name = f"{self.prefix}{role[0]}{len(self.inputs)}"
        rng = np.random.default_rng([len(self.inputs), self.draw.below(1 << 16)])
        node = leaf.input_(name, type_, role)
        if type_.dtype is bool_:
            array = rng.random(type_.shape) < 0.5
        elif type_.dtype.is_float and self.chance(50):
            array = rng.normal(size=type_.shape)
        else:
            unsigned = type_.dtype.category == "uint"
            array = rng.integers(0 if unsigned else low, high, type_.shape)
        self.arrays[name] = np.asarray(array).astype(type_.dtype.numpy)
        self.inputs.append(node)
        self.values.feed(node, self.arrays[name])
        return node

    def add(self, node: Node | None) -> Node | None:
        """Put a node into the pool, unless it is too large."""
        if node is None or node.type.size > self.largest:
            return None
        self.values.of(node)
        if not any(node is p for p in self.pool):
            self.pool.append(node)
        return node

    def find(self, fits: Callable[[Node], bool]) -> Node | None:
        """A node of the pool that fits, the later ones more often."""
        fitting = [n for n in self.pool if fits(n)]
        if not fitting:
            return None
        recent = fitting[-4:] if self.chance(60) else fitting
        return self.pick(recent)

    def exact(self, node: Node) -> bool:
        self.values.of(node)
        return self.values.exact[node]

    def like(self, node: Node, dtype: DType | None = None) -> Node:
        """A node of `node`'s shape (and dtype): one of the pool, a broadcast one, or an input."""
        kind = dtype or node.dtype
        same = self.find(lambda n: n.type == node.type.with_(dtype=kind))
        if same is not None and self.chance(70):
            return same
        shape = tuple(node.shape)
        small = self.find(lambda n: n.dtype is kind and fits_into(n.shape, shape))
        if small is not None and self.chance(80):
            from dlc.ops.convert import broadcast_to
            return broadcast_to(small, shape)
        return self.input(Type(kind, shape))


def fits_into(small: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether `small` broadcasts to `shape`."""
    skip = len(shape) - len(small)
    return skip >= 0 and all(d in (1, s) for d, s in zip(small, shape[skip:], strict=True))
