"""Running error analysis: each value of a graph in f64, with a bound on what rounding may do to it.

A `Ball` is a value and, for each element, how far a correct backend may be from it (Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 3.1 to 3.3). The rules by operator
are in tests/fuzzing/bounds_rules.py. Where a rounding may flip a decision (a comparison, an index,
a truncation) the bound is as large as the jump; infinite where nothing can be said.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import DTYPES, DType, Type, accumulator
from dlc.ops import leaf, tuples
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import apply
from dlc.reference.rounding.interval import UNIT

Array = np.ndarray[Any, Any]
# f16 and bf16 accumulate in f32
SUM_UNIT = {name: UNIT[accumulator(DTYPES[name]).name] for name in UNIT}
# sums of products of whole numbers of 1/16 are exact below this many steps
STEPS = {name: 1 / unit for name, unit in SUM_UNIT.items()}


@dataclass(frozen=True)
class Ball:
    """A value (floats in f64, all else in its own dtype), and a bound for each element."""

    value: Array
    error: Array

    @property
    def exact(self) -> bool:
        """Whether every backend gives this value bit for bit."""
        return not self.error.any()

    @property
    def known(self) -> bool:
        """Whether the bound says something of every element."""
        return bool(np.isfinite(self.error).all())


def exactly(array: Any, dtype: DType) -> Ball:
    """`array` as it is given: an input or a literal."""
    data = np.asarray(array)
    wide = data.astype(np.float64) if dtype.is_float else data
    return Ball(wide, np.zeros(data.shape))


def limits(dtype: DType) -> tuple[float, float]:
    """(largest finite, smallest normal) of a float dtype."""
    info = ml_dtypes.finfo(dtype.numpy)
    return float(info.max), float(info.tiny)


def settle(value: Any, error: Any, type_: Type, ulps: float = 1.0, scale: Any = None) -> Ball:
    """The ball of a result: `error` of the operands, and `ulps` half units of its own rounding.

    The rounding is relative to `scale` (default: the value); a value that the dtype holds, of
    exact operands and at most one rounding, rounds nowhere.
    """
    shape = tuple(map(int, type_.shape))
    value = np.asarray(value).reshape(shape)
    error = np.broadcast_to(np.asarray(error, np.float64), shape)
    if not type_.dtype.is_float:
        return Ball(value.astype(type_.dtype.numpy), np.where(np.isnan(error), np.inf, error))
    value = value.astype(np.float64)
    largest, tiny = limits(type_.dtype)
    size = np.abs(value) if scale is None else np.maximum(np.abs(scale), np.abs(value))
    if type_.dtype.bytes == 2:
        ulps = min(ulps, 2.0)  # computed in f32, whose own errors are far below, and rounded once
    rounding = ulps * UNIT[type_.dtype.name] * size + tiny
    held = value.astype(type_.dtype.numpy).astype(np.float64)
    once = (held == value) | np.isnan(value) if ulps <= 1 and scale is None else value == 0
    own = np.where((error == 0) & (once | ~np.isfinite(value)), 0.0, rounding)
    error = error + np.where(np.isnan(own), np.inf, own)
    beyond = np.isfinite(value) & ~(np.abs(value) + error <= largest)
    return Ball(value, np.where(beyond | np.isnan(error), np.inf, error))


def corners(function: Callable[..., Any], balls: Sequence[Ball], step: float = 1.0,
            ) -> tuple[Any, Array]:
    """(f(values), the largest change of f at the corners of the operands' bounds).

    All operands have the result's shape, or f is monotone in them. `step` magnifies the bounds and
    divides the change: f64 operands, whose bounds are the spacing of the reference itself.
    """
    base = np.asarray(function(*(b.value for b in balls)))
    change = np.zeros(base.shape)
    moving = [i for i, b in enumerate(balls) if not b.exact]
    for signs in itertools.product((-1.0, 1.0), repeat=len(moving)):
        shifted = [b.value for b in balls]
        for i, sign in zip(moving, signs, strict=True):
            shifted[i] = moved(balls[i], sign * step)
        change = np.maximum(change, distance(base, np.asarray(function(*shifted))))
    return base, change / step


def moved(ball: Ball, sign: float) -> Array:
    """The value at one end of its bound; an unknown element stays (its result is unknown too)."""
    by = np.where(np.isfinite(ball.error), ball.error, 0.0) * sign
    if ball.value.dtype == np.bool_:
        return ball.value ^ (by > 0)
    if ball.value.dtype.kind in "iu":
        info = np.iinfo(ball.value.dtype)
        return np.clip(ball.value + by, int(info.min), int(info.max)).astype(ball.value.dtype)
    return ball.value + by


def distance(a: Array, b: Array) -> Array:
    """|a - b|, 0 where both are the same special value, infinite where one is special alone."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    found = np.where(same, 0.0, np.abs(x - y))
    return np.where(np.isnan(found), np.inf, found)


def unknown(balls: Sequence[Ball], shape: tuple[int, ...]) -> Array:
    """Where some operand of an elementwise operator is unknown."""
    if any(b.error.shape != shape for b in balls):
        return np.full(shape, not all(b.known for b in balls))
    found = np.zeros(shape, bool)
    for ball in balls:
        found |= np.broadcast_to(~np.isfinite(ball.error), shape)
    return found


@lru_cache(maxsize=4096)
def expansion(node: Node) -> Graph:
    """What a node that holds graphs (grad, jvp, vmap, checkpoint) stands for, over its operands."""
    inputs = tuple(leaf.input_(f"x{i}", a.type) for i, a in enumerate(node.args))
    twin = Node(node.op, inputs, node.attrs, node.type, node.locs)
    count = len(node.type.items)
    return differentiate(Graph("one", inputs, tuple(tuples.item(twin, i) for i in range(count))))


def run(graph: Graph, balls: Sequence[Ball]) -> list[Ball]:
    """The outputs of `graph` for balls of its inputs, in order."""
    found: dict[Node, Any] = dict(zip(graph.inputs, balls, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in found:
                found[node] = ball_of(node, [found[a] for a in node.args])
    return [found[o] for o in graph.outputs]


def ball_of(node: Node, args: Sequence[Any]) -> Any:
    """The ball of one node (a tuple of them for several results) for those of its operands."""
    from tests.fuzzing.bounds_rules import rule_of

    if node.op is tuples.ITEM:
        return args[0][node.attrs["index"]]
    if node.op is SCAN:
        return loop(node, args)
    if node.op is COND:
        return branch(node, args)
    if node.op.kind is Kind.HIGHER:
        return tuple(run(expansion(node), args))
    if node.op.kind is Kind.LEAF:
        return exactly(apply(node, [a.value for a in args]), node.dtype)
    return rule_of(node)(node, *args)


def loop(node: Node, args: Sequence[Ball]) -> tuple[Ball, ...]:
    """A scan, step by step."""
    body, carries = node.attrs["body"], node.attrs["carries"]
    upto, length = carries + node.attrs["sequences"], node.attrs["length"]
    carry, rows = list(args[:carries]), []
    for t in range(length - 1, -1, -1) if node.attrs["reverse"] else range(length):
        elements = [Ball(s.value[t], s.error[t]) for s in args[carries:upto]]
        outputs = run(body, [*carry, *elements, *args[upto:]])
        carry = outputs[:carries]
        rows.append(outputs[carries:])
    rows = rows[::-1] if node.attrs["reverse"] else rows
    stacked = [Ball(np.stack([r[i].value for r in rows]), np.stack([r[i].error for r in rows]))
               if rows else exactly(np.zeros((0, *y.shape), y.dtype.numpy), y.dtype)
               for i, y in enumerate(body.outputs[carries:])]
    return (*carry, *stacked)


def branch(node: Node, args: Sequence[Ball]) -> tuple[Ball, ...]:
    """A cond: the branch that is taken; unknown where the predicate is."""
    predicate, operands = args[0], args[1:]
    chosen = node.attrs["then" if bool(predicate.value) else "otherwise"]
    found = run(chosen, operands)
    if predicate.exact:
        return tuple(found)
    return tuple(Ball(b.value, np.full(b.error.shape, np.inf)) for b in found)


def labelled(graph: Graph, arrays: Sequence[Any]) -> dict[str, Array]:
    """Arrays in the order of the inputs, by the inputs' labels."""
    return {x.attrs["label"]: a for x, a in zip(graph.inputs, arrays, strict=True)}


def values_of(graph: Graph, arrays: Mapping[str, Array],
              known: dict[Node, Any] | None = None) -> dict[Node, Any]:
    """The ball of every node (a tuple for several results) for arrays by input name. Those in
    `known`, of a graph that shares nodes with this one, are taken; new ones are added there."""
    found = {} if known is None else known
    found.update({n: exactly(arrays[n.attrs["label"]], n.dtype) for n in graph.inputs
                  if n not in found})
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in found:
                found[node] = ball_of(node, [found[a] for a in node.args])
    return found


def balls_of(graph: Graph, arrays: Mapping[str, Array],
             known: dict[Node, Any] | None = None) -> list[Ball]:
    """The balls of the outputs of `graph` for arrays by input name; `known` as in `values_of`."""
    found = values_of(graph, arrays, known)
    return [found[o] for o in graph.outputs]


def mistakes(graph: Graph, arrays: Mapping[str, Array], got: Mapping[str, Array]) -> list[str]:
    """What is wrong with the results `got` by name for arrays by input name; results that `got`
    does not hold are not looked at."""
    return wrong_outputs(graph, balls_of(graph, arrays), got)


def wrong_outputs(graph: Graph, balls: Sequence[Ball], got: Mapping[str, Array]) -> list[str]:
    """What is wrong with the results `got` by name, where `balls` are those of the outputs."""
    found = []
    names = graph.output_names or tuple(f"out{i}" for i in range(len(graph.outputs)))
    for name, node, ball in zip(names, graph.outputs, balls, strict=True):
        problem = difference(np.asarray(got[name]), ball, node.type) if name in got else ""
        if problem:
            found.append(f"{name}: {node.type}: {problem}")
    return found


def difference(got: Array, ball: Ball, type_: Type) -> str:
    """Why `got` is not acceptable for `ball`; "" when it is.

    Twice the bound: the f64 reference rounds too, which is as much for results in f64.
    """
    if tuple(got.shape) != tuple(type_.shape) or got.dtype != type_.dtype.numpy:
        return f"{got.dtype}{got.shape} instead of {type_}"
    with np.errstate(all="ignore"):
        off = distance(got, ball.value)
        wrong = np.isfinite(ball.error) & ~(off <= 2 * ball.error)
    if not np.any(wrong):
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return (f"{int(np.sum(wrong))} of {wrong.size} wrong, first at {at}: {got[at]!r} instead of "
            f"{ball.value[at]!r} within {ball.error[at]:.2g}")
