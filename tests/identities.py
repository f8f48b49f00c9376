"""Algebraic identities as rewrites of a node: another graph that means the same.

Each is (applies to a node, the node written otherwise). Views, choices and signs are exact; the
others round in another order, and are only used on values that round already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.ir.graph import Graph, Kind, Node, substitute
from dlc.ir.types import TupleType, Type, bool_, f32, f64, i32
from dlc.ops import contract, elementwise, gather, leaf, reduce, view
from dlc.ops.convert import broadcast_to, cast
from tests.fuzzing.bounds import Array, values_of

Rng = np.random.Generator


@dataclass(frozen=True)
class Identity:
    """`write(rng, y)` is another way to compute y; `rounds`: equal up to rounding only."""

    name: str
    applies: Callable[[Node], bool]
    write: Callable[[Rng, Node], Node]
    rounds: bool = False


def is_number(y: Node) -> bool:
    return y.dtype is not bool_


def wide(y: Node) -> bool:
    return y.dtype in (f32, f64)


def has_axis(y: Node) -> bool:
    return y.ndim > 0 and 0 not in y.shape


def op(name: str) -> Callable[[Node], bool]:
    return lambda y: y.op.name == name


def any_axis(rng: Rng, y: Node) -> int:
    return int(rng.integers(y.ndim))


# --- the same elements ----------------------------------------------------------------------------


def transposed_twice(rng: Rng, y: Node) -> Node:
    order = tuple(map(int, rng.permutation(y.ndim)))
    back = tuple(map(int, np.argsort(order)))
    return view.transpose(elementwise.where(True, view.transpose(y, order), 0), back)


def flattened(rng: Rng, y: Node) -> Node:
    return view.reshape(view.reshape(y, (y.type.size,)), tuple(y.shape))


def flipped_twice(rng: Rng, y: Node) -> Node:
    axis = any_axis(rng, y)
    return view.flip(view.flip(y, axis) * cast(1, y.dtype), axis)


def cut_and_joined(rng: Rng, y: Node) -> Node:
    axis = any_axis(rng, y)
    at = int(rng.integers(0, int(y.shape[axis]) + 1))
    zero = (0,) * y.ndim
    ends = [int(d) for d in y.shape]
    first = view.slice_(y, zero, [at if a == axis else d for a, d in enumerate(ends)])
    rest = view.slice_(y, [at if a == axis else 0 for a in range(y.ndim)], ends)
    return view.concat([first, rest], axis)


def padded_and_cut(rng: Rng, y: Node) -> Node:
    low = [int(n) for n in rng.integers(0, 3, y.ndim)]
    high = [int(n) for n in rng.integers(0, 3, y.ndim)]
    wider = view.pad(y, low, high, 1)
    return view.slice_(wider, low, [n + int(d) for n, d in zip(low, y.shape, strict=True)])


def taken_in_order(rng: Rng, y: Node) -> Node:
    axis = any_axis(rng, y)
    order = rng.permutation(int(y.shape[axis]))
    back = np.argsort(order)
    once = gather.take(y, leaf.array(order, Type(i32, order.shape)), axis)
    return gather.take(once, leaf.array(back, Type(i32, back.shape)), axis)


def first_of_two(rng: Rng, y: Node) -> Node:
    twice = broadcast_to(view.reshape(y, (1, *y.shape)), (2, *y.shape))
    ends = (1, *(int(d) for d in y.shape))
    return view.reshape(view.slice_(twice, (0,) * len(ends), ends), tuple(y.shape))


def selected(rng: Rng, y: Node) -> Node:
    mask = leaf.array(rng.random(y.shape) < 0.5, Type(bool_, y.shape))
    return elementwise.where(mask, y, elementwise.where(elementwise.not_(mask), y, y))


# --- signs, order of operands, choices ------------------------------------------------------------


def swapped(rng: Rng, y: Node) -> Node:
    return {"add": elementwise.add, "mul": elementwise.mul}[y.op.name](y.args[1], y.args[0])


def sum_of_difference(rng: Rng, y: Node) -> Node:
    return elementwise.add(y.args[0], elementwise.neg(y.args[1]))


def minimum_by_signs(rng: Rng, y: Node) -> Node:
    a, b = (elementwise.neg(x) for x in y.args)
    return elementwise.neg(elementwise.maximum(a, b))


def smallest_by_signs(rng: Rng, y: Node) -> Node:
    return elementwise.neg(reduce.max_(elementwise.neg(y.args[0]), y.attrs["axes"]))


def less_turned(rng: Rng, y: Node) -> Node:
    return elementwise.gt(y.args[1], y.args[0])


def other_way_round(rng: Rng, y: Node) -> Node:
    mask, a, b = y.args
    return elementwise.where(elementwise.not_(mask), b, a)


def absolute_by_choice(rng: Rng, y: Node) -> Node:
    x = y.args[0]
    return elementwise.maximum(x, elementwise.neg(x))


def one_axis_at_a_time(rng: Rng, y: Node) -> Node:
    found = y.args[0]
    function = {"sum": reduce.sum_, "max": reduce.max_, "min": reduce.min_}[y.op.name]
    for axis in sorted(y.attrs["axes"], reverse=True):
        found = function(found, axis)
    return found


# --- up to rounding -------------------------------------------------------------------------------


def product_turned(rng: Rng, y: Node) -> Node:
    a, b = y.args
    return contract.swap(contract.matmul(contract.swap(b), contract.swap(a)))


def product_by_sums(rng: Rng, y: Node) -> Node:
    a, b = y.args
    lead = tuple(int(d) for d in y.shape[:-2])
    (m, k), n = (int(d) for d in a.shape[-2:]), int(b.shape[-1])
    rows = broadcast_to(view.reshape(a, (*lead, m, 1, k)), (*lead, m, n, k))
    columns = view.reshape(contract.swap(b), (*lead, 1, n, k))
    return reduce.sum_(rows * broadcast_to(columns, (*lead, m, n, k)), len(lead) + 2)


def product_in_halves(rng: Rng, y: Node) -> Node:
    a, b = y.args
    at, k = int(a.shape[-1]) // 2, int(a.shape[-1])
    left, right = a[..., :at], a[..., at:k]
    upper, lower = b[..., :at, :], b[..., at:k, :]
    return contract.matmul(left, upper) + contract.matmul(right, lower)


def sum_by_product(rng: Rng, y: Node) -> Node:
    x = y.args[0]
    flat = view.reshape(x, (1, x.type.size))
    return view.reshape(contract.matmul(flat, leaf.constant(1.0, x.type.with_(
        shape=(x.type.size, 1), layout=None))), ())


def sigmoid_by_exp(rng: Rng, y: Node) -> Node:
    return 1.0 / (1.0 + elementwise.exp(elementwise.neg(y.args[0])))


def tanh_by_sigmoid(rng: Rng, y: Node) -> Node:
    return 2.0 * elementwise.sigmoid(2.0 * y.args[0]) - 1.0


def exp_by_halves(rng: Rng, y: Node) -> Node:
    half = elementwise.exp(0.5 * y.args[0])
    return half * half


def logsumexp_by_parts(rng: Rng, y: Node) -> Node:
    x, axes = y.args[0], y.attrs["axes"]
    top = reduce.max_(x, axes, keepdims=True)
    inner = reduce.sum_(elementwise.exp(x - broadcast_to(top, x.shape)), axes)
    return elementwise.log(inner) + view.reshape(top, tuple(y.shape))


def in_double(rng: Rng, y: Node) -> Node:
    return cast(cast(y, f64), y.dtype)


def factored(rng: Rng, y: Node) -> Node:
    a, b = y.args
    return 2.0 * (0.5 * a + 0.5 * b)


IDENTITIES = (
    Identity("transposed twice", lambda y: has_axis(y) and is_number(y), transposed_twice),
    Identity("flattened", has_axis, flattened),
    Identity("flipped twice", lambda y: has_axis(y) and is_number(y), flipped_twice),
    Identity("cut and joined", has_axis, cut_and_joined),
    Identity("padded and cut", lambda y: has_axis(y) and is_number(y), padded_and_cut),
    Identity("taken in order", has_axis, taken_in_order),
    Identity("first of two", lambda y: y.type.size <= 2000, first_of_two),
    Identity("selected", lambda y: True, selected),
    Identity("operands swapped", lambda y: y.op.name in ("add", "mul"), swapped),
    Identity("sum of a difference", lambda y: y.op.name == "sub" and y.dtype.is_float,
             sum_of_difference),
    Identity("minimum by signs", lambda y: y.op.name == "minimum" and y.dtype.is_float,
             minimum_by_signs),
    Identity("min by signs", lambda y: y.op.name == "min" and y.dtype.is_float, smallest_by_signs),
    Identity("less turned", op("lt"), less_turned),
    Identity("where turned", op("where"), other_way_round),
    Identity("abs by choice", lambda y: y.op.name == "abs" and y.dtype.is_float,
             absolute_by_choice),
    Identity("one axis at a time", lambda y: y.op.name in ("max", "min"), one_axis_at_a_time),
    Identity("through f64", wide, in_double),
    Identity("sums axis by axis", lambda y: y.op.name == "sum" and wide(y) and wide(y.args[0]),
             one_axis_at_a_time, True),
    Identity("product turned", op("matmul"), product_turned, True),
    Identity("product by sums", lambda y: y.op.name == "matmul" and wide(y) and
             y.type.size * int(y.args[0].shape[-1]) <= 20000, product_by_sums, True),
    Identity("product in halves", lambda y: y.op.name == "matmul" and wide(y) and
             int(y.args[0].shape[-1]) > 1, product_in_halves, True),
    Identity("sum by product", lambda y: y.op.name == "sum" and y.ndim == 0 and wide(y) and
             wide(y.args[0]) and y.args[0].type.size > 0, sum_by_product, True),
    Identity("sigmoid by exp", lambda y: y.op.name == "sigmoid" and wide(y), sigmoid_by_exp, True),
    Identity("tanh by sigmoid", lambda y: y.op.name == "tanh" and wide(y), tanh_by_sigmoid, True),
    Identity("exp by halves", lambda y: y.op.name == "exp" and wide(y), exp_by_halves, True),
    Identity("logsumexp by parts", lambda y: y.op.name == "logsumexp" and wide(y) and
             y.args[0].type.size > 0, logsumexp_by_parts, True),
    Identity("factored", lambda y: y.op.name == "add" and wide(y), factored, True),
)


def rewritten(graph: Graph, arrays: dict[str, Array], rng: Rng, steps: int,
              balls: dict[Node, Any]) -> tuple[Graph, list[str]]:
    """`graph` with `steps` identities applied at random nodes, and their names. `balls` are those
    that are known; the others are added."""
    names = []
    for _ in range(steps):
        values_of(graph, arrays, balls)
        sites = [(y, i) for y in graph.nodes() for i in IDENTITIES
                 if not isinstance(y.type, TupleType) and y.op.kind is not Kind.LEAF
                 and i.applies(y) and not (i.rounds and balls[y].exact)]
        if not sites:
            break
        # rare identities as often as common ones
        name = str(rng.choice(sorted({i.name for _, i in sites})))
        fitting = [(y, i) for y, i in sites if i.name == name]
        node, identity = fitting[int(rng.integers(len(fitting)))]
        new: Any = identity.write(rng, node)
        assert new.type.dtype is node.type.dtype and tuple(new.shape) == tuple(node.shape), name
        graph = graph.with_outputs(substitute(graph.outputs, {node: new}))
        names.append(name)
    return graph, names
