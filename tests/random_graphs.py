"""Random valid graphs over most operators, for properties that every graph has to have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dlc.ir.graph import Build, Graph, Node, building
from dlc.ir.types import DType, Type, bool_, f16, f32, f64, i32, u8
from dlc.lang.array import pooling
from dlc.lang.array.convolution import conv
from dlc.ops import contract, elementwise, gather, leaf, reduce, view
from dlc.ops.convert import broadcast_to, cast

Rng = np.random.Generator
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (1, 4), (2, 3), (2, 3, 4), (2, 1, 4, 4))
UNARY = ("neg", "abs_", "exp", "tanh", "sigmoid", "sign", "floor", "relu", "square", "not_", "erf")
BINARY = ("add", "sub", "mul", "maximum", "minimum", "lt", "eq", "div", "and_", "xor")
REDUCE: tuple[Callable[..., Node], ...] = (
    reduce.sum_, reduce.max_, reduce.min_, reduce.mean, reduce.argmax, reduce.logsumexp)


def random_graph(seed: int, size: int, floats: DType = f32) -> Graph:
    """A graph of about `size` operators, the same for the same arguments, mostly over `floats`.

    Two inputs are parameters that the graph updates.
    """
    rng = np.random.default_rng(seed)
    with building(Build()):
        others = (i32, u8, bool_, f16 if floats is f32 else floats)
        inputs = [leaf.input_(f"x{i}", Type(floats if i < 3 else pick(rng, others),
                                            pick(rng, SHAPES)),
                              "param" if i < 2 else "data") for i in range(5)]
        values = list(inputs)
        while len(values) < size + len(inputs):
            made = random_node(rng, values)
            if made is not None and made.type.size <= 4096:
                values.append(made)
                if rng.random() < 0.3 and made.op is not leaf.INPUT:
                    made.name = pick(rng, ("h", "loss", "w", "h_1", "mul_1", "x0"))
        results = {f"out{i}": v for i, v in enumerate(values[-3:])}
        results.update({x.name: x * 0.9 + 0.1 for x in inputs[:2]})
    replaced = {x.name: x.name for x in inputs[:2]}
    return Graph(f"random{seed}", tuple(inputs), tuple(results.values()), tuple(results), replaced)


def pick(rng: Rng, values: Any) -> Any:
    """One of `values`."""
    return values[int(rng.integers(len(values)))]


def random_node(rng: Rng, values: list[Node]) -> Node | None:
    """An operator on random values, or None where the draw does not fit."""
    x = pick(rng, values[-8:])
    return pick(rng, (unary, unary, binary, binary, binary, number, reduction, reshaped, moved,
                      cut, select, product, convolution, taken, converted, repeated, pooled))(
        rng, x, values)


def unary(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    name = pick(rng, UNARY)
    if (x.dtype is bool_) is not (name == "not_"):
        return None
    return getattr(elementwise, name)(x)


def binary(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    name = pick(rng, BINARY)
    fitting = [v for v in values if v.type == x.type]
    if name in ("and_", "xor"):
        ok = not x.dtype.is_float
    elif name == "div":
        ok = x.dtype.is_float
    else:
        ok = x.dtype is not bool_ or name == "eq"
    return getattr(elementwise, name)(x, pick(rng, fitting)) if ok else None


def number(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.dtype is bool_:
        return None
    value = pick(rng, (0, 1, 2, 3)) if x.dtype.is_integer else pick(
        rng, (0.0, 1.0, -1.0, 0.5, 2.0, 0.1, -0.0, 3.7))
    function = getattr(elementwise, pick(rng, ("add", "mul", "sub", "maximum", "gt")))
    return function(x, value) if rng.random() < 0.7 else function(value, x)


def reduction(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    function = pick(rng, REDUCE)
    if x.ndim == 0 or (function is reduce.logsumexp and not x.dtype.is_float):
        return None
    axes = tuple(a for a in range(x.ndim) if rng.random() < 0.5)
    return function(x, axes or 0, keepdims=bool(rng.random() < 0.5))


def reshaped(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    dims = list(x.shape)
    if rng.random() < 0.5 or len(dims) < 2:
        dims.insert(int(rng.integers(len(dims) + 1)), 1)
    else:
        dims[:2] = [dims[0] * dims[1]]
    return view.reshape(x, tuple(dims)) if len(dims) < 6 else None


def moved(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim == 0:
        return None
    if rng.random() < 0.3:
        return view.flip(x, int(rng.integers(x.ndim)))
    return view.transpose(x, tuple(map(int, rng.permutation(x.ndim))))


def cut(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim == 0 or 0 in x.shape:
        return None
    axis = int(rng.integers(x.ndim))
    if rng.random() < 0.4 and x.dtype is not bool_:
        sides = tuple(int(a == axis) for a in range(x.ndim))
        return view.pad(x, sides, tuple(2 * s for s in sides), pick(rng, (0.0, 1.0)), sides)
    if rng.random() < 0.4:
        return view.concat([x, x], axis)
    stop = [int(rng.integers(1, d + 1)) if a == axis else int(d) for a, d in enumerate(x.shape)]
    return view.slice_(x, (0,) * x.ndim, stop, tuple(1 + (a == axis) for a in range(x.ndim)))


def select(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    masks = [v for v in values if v.dtype is bool_ and v.shape == x.shape]
    mask = pick(rng, masks) if masks else elementwise.ge(x, x)
    return elementwise.where(mask, x, pick(rng, [v for v in values if v.type == x.type]))


def product(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim < 2 or not x.dtype.is_float:
        return None
    return contract.matmul(x, contract.swap(x))


def convolution(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim != 4 or x.dtype not in (f32, f64) or x.type.size > 512 or min(x.shape[2:]) < 2:
        return None
    shape = (2, int(x.shape[1]), 2, 2)
    w = leaf.array(rng.normal(size=shape), Type(x.dtype, shape))
    return conv(x, w, stride=int(rng.integers(1, 3)), padding=int(rng.integers(2)))


def taken(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim == 0 or x.shape[0] == 0:
        return None
    index = leaf.array(rng.integers(0, int(x.shape[0]), 2), i32[2])
    return gather.take(x, index)


def converted(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    wide = next(v.dtype for v in values if v.dtype in (f32, f64))
    return cast(x, pick(rng, (wide, wide, f16 if wide is f32 else wide, i32, u8)))


def repeated(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    return broadcast_to(x, (2, *x.shape)) if x.ndim < 4 else None


def pooled(rng: Rng, x: Node, values: list[Node]) -> Node | None:
    if x.ndim < 2 or not x.dtype.is_float or x.shape[-1] < 2 or x.ndim > 4:
        return None
    return pick(rng, (pooling.max_pool, pooling.avg_pool))(x, (2,), (int(rng.integers(1, 3)),))


def random_arrays(graph: Graph, seed: int) -> list[np.ndarray]:
    """An array for each input, small numbers in its dtype."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(0 if not x.dtype.is_float else -2, 3, tuple(x.shape))).astype(
        x.dtype.numpy) for x in graph.inputs]
