"""Operators that ONNX lacks, composed in the DSL from operators that it has.

They are built in place of the node before the graph is written: a factorization becomes a loop
over its columns. Linear algebra works in f64 within, as dlc's own kernels do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlc.derive.autodiff import inline
from dlc.derive.control_tidy import BODIES, replace_bodies
from dlc.ir.graph import Build, Graph, Node, adopt, building, rebuild, serving, toposort
from dlc.ir.types import i32
from dlc.lang.array.rearrange import moveaxis
from dlc.lang.trace import trace
from dlc.onnx.export_linalg import cholesky, qr, slogdet, solve, triangular_solve
from dlc.ops import elementwise, elementwise_special, leaf
from dlc.ops.convert import cast
from dlc.ops.reduce import highest, lowest, sum_
from dlc.ops.tuples import ITEM


def composed(graph: Graph) -> Graph:
    """`graph`, and the bodies in it, with compositions in place of what ONNX has not."""
    with building(Build()):
        return graph.with_outputs(_composed(graph.outputs))


def _composed(outputs: Sequence[Node]) -> list[Node]:
    if any(node.op in BODIES for node in toposort(outputs)):
        outputs = replace_bodies(outputs, _composed)
    done: dict[Node, Any] = {}
    for node in toposort(outputs):
        args = [done[a] for a in node.args]
        if node.op is ITEM and isinstance(args[0], list):
            done[node] = args[0][node.attrs["index"]]
        elif node.op.name in COMPOSED:
            done[node] = _built(node, args)
        else:
            done[node] = adopt(rebuild(node, tuple(args)))
    return [done[o] for o in outputs]


def _built(node: Node, args: Sequence[Node]) -> Any:
    """The composition over `args`: a node, or a list for an operator with several results."""
    function = COMPOSED[node.op.name]
    with serving(node.locs):
        graph = trace(lambda *xs: function(*xs, **node.attrs), *(a.type for a in args))
        found = _composed(inline(graph, args))
    return found if len(found) > 1 else found[0]


# --- elementwise ----------------------------------------------------------------------------------


def negative(x: Node) -> Node:
    """Whether the sign bit is set; of NaN it counts as not set."""
    return (x < 0.0) | ((x == 0.0) & (1.0 / x < 0.0))


def copysign(x: Node, y: Node) -> Node:
    size = elementwise.abs_(x)
    return elementwise.where(negative(y), -size, size)


def trunc(x: Node) -> Node:
    return elementwise.sign(x) * elementwise.floor(elementwise.abs_(x))


def exp2(x: Node) -> Node:
    return elementwise.power(2.0, x)


def log2(x: Node) -> Node:
    return elementwise.log(x) * (1 / math.log(2))


def log10(x: Node) -> Node:
    return elementwise.log(x) * (1 / math.log(10))


def cbrt(x: Node) -> Node:
    return elementwise.sign(x) * elementwise.power(elementwise.abs_(x), 1 / 3)


def hypot(x: Node, y: Node) -> Node:
    a, b = elementwise.abs_(x), elementwise.abs_(y)
    high, low = elementwise.maximum(a, b), elementwise.minimum(a, b)
    part = low / elementwise.where(high == 0.0, 1.0, high)
    whole = high * elementwise.sqrt(part * part + 1.0)
    return elementwise.where(high == math.inf, high, whole)


def logaddexp(x: Node, y: Node) -> Node:
    apart = elementwise.where(x == y, 0.0, -elementwise.abs_(x - y))
    return elementwise.maximum(x, y) + elementwise.log1p(elementwise.exp(apart))


def atan2(y: Node, x: Node) -> Node:
    """By the octant: the smaller of the two over the larger has an angle within pi / 4."""
    a, b = elementwise.abs_(y), elementwise.abs_(x)
    high = elementwise.maximum(a, b)
    part = elementwise.minimum(a, b) / elementwise.where(high == 0.0, 1.0, high)
    angle = elementwise_special.atan(elementwise.where((a == b) & (high == math.inf), 1.0, part))
    angle = elementwise.where(a > b, math.pi / 2 - angle, angle)
    return copysign(elementwise.where(negative(x), math.pi - angle, angle), y)


# --- along an axis --------------------------------------------------------------------------------


def folded(x: Sequence[Node], axis: int, reverse: bool, start: float,
           fold: Callable[..., Node]) -> Node:
    """y[i] = fold(y[i - 1], x[i]...) along an axis, from `start`."""
    from dlc.lang.loops import scan

    rows = tuple(moveaxis(each, axis, 0) for each in x)
    first = leaf.constant(start, rows[0].type.with_(shape=rows[0].shape[1:], layout=None))

    def step(carry: Node, elements: tuple[Node, ...]) -> tuple[Node, Node]:
        y = fold(carry, *elements)
        return y, y

    return moveaxis(scan(step, first, rows, reverse=reverse)[1], 0, axis)


def cumprod(x: Node, axis: int, reverse: bool) -> Node:
    return folded((x,), axis, reverse, 1, elementwise.mul)


def logcumsumexp(x: Node, axis: int, reverse: bool) -> Node:
    return folded((x,), axis, reverse, -math.inf, logaddexp)


def linear_recurrence(a: Node, b: Node, axis: int, reverse: bool) -> Node:
    return folded((a, b), axis, reverse, 0.0, lambda y, a, b: a * y + b)


def cumargmax(x: Node, axis: int, reverse: bool, largest: bool) -> Node:
    from dlc.lang.loops import scan

    rows = moveaxis(x, axis, 0)
    kind = rows.type.with_(shape=rows.shape[1:], layout=None)
    least = (lowest if largest else highest)(x.dtype)
    first = leaf.constant(least, kind), leaf.constant(0, kind.with_(dtype=i32))

    def step(carry: tuple[Node, Node], element: tuple[Node, Node]) -> Any:
        (best, found), (value, place) = carry, element
        wins = value >= best if largest else value <= best
        if x.dtype.is_float:
            wins = (wins & (best == best)) | (value != value)
        found = elementwise.where(wins, place, found)
        return (elementwise.where(wins, value, best), found), found

    numbers = leaf.iota((rows.shape[0],), 0, i32)
    return moveaxis(scan(step, first, (rows, numbers), reverse=reverse)[1], 0, axis)


def searchsorted(edges: Node, x: Node, right: bool) -> Node:
    """Every edge beside every value: edges [B..., N] and x [B..., I...] as [B..., I..., N]."""
    lead, n = edges.shape[:-1], edges.shape[-1]
    edge = edges.reshape((*lead, *(1,) * (x.ndim - len(lead)), n))
    value = x[..., None]
    low, high = (value, edge) if right else (edge, value)
    before = low < high
    if x.dtype.is_float:
        before = before | ((high != high) & (low == low))
    before = ~before if right else before
    return cast(sum_(cast(before, i32), -1), i32)


COMPOSED: dict[str, Callable[..., Any]] = {
    "atan2": atan2, "cbrt": cbrt, "copysign": copysign, "cumargmax": cumargmax,
    "cumprod": cumprod, "exp2": exp2, "hypot": hypot, "linear_recurrence": linear_recurrence,
    "log10": log10, "log2": log2, "logaddexp": logaddexp, "logcumsumexp": logcumsumexp,
    "searchsorted": searchsorted, "trunc": trunc,
    "cholesky": cholesky, "qr": qr, "slogdet": slogdet, "solve": solve,
    "triangular_solve": triangular_solve,
}
