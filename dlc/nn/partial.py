"""What LeCun's networks of 1989 and 1998 have beside dense and convolution: convolutions in which
an output map sees some of the input maps, pools with weights, and biases of any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc import init
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import DType, Type
from dlc.lang.array import convolution, pooling
from dlc.lang.array.convolution import PerAxis, per_axis
from dlc.lang.layer import Layer
from dlc.lang.scope import Initializer, parameter
from dlc.nn import checks
from dlc.nn.convolution import biased, window_of
from dlc.ops import gather, view
from dlc.ops.convert import as_node, cast

Table = Sequence[Sequence[int]]


def partial_conv(connections: Table, kernel: PerAxis, *, stride: PerAxis = 1, padding: Any = 0,
                 dilation: PerAxis = 1, bias: bool = True,
                 weight_init: Initializer | None = None, bias_init: Initializer | None = None,
                 name: str = "") -> Layer:
    """`conv` whose output map i sees the input maps connections[i] alone: x [N, C, S...] ->
    [N, len(connections), S'...]; weight [number of connections, K...], a kernel each, in order.

    LeCun et al. 1989 connect so to break symmetry (H2), LeNet-5 (1998, table I) does in C3. Initial
    values are uniform within 1/sqrt(inputs of the map), which `weight_init` does not know.
    """
    table = _table(connections)
    size, step, holes = window_of("partial_conv", kernel, stride, dilation, padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, size)
        checks.floating(x)
        _within(table, x)
        window = per_axis(size, n)
        shape = (sum(map(len, table)), *window)
        start = _within_fan(table, math.prod(window))
        kernels = parameter("weight", Type(x.dtype, shape), weight_init or start)
        weight = _spread(kernels, table, int(x.shape[1]))
        y = convolution.conv(x, weight, step, padding, holes)
        fan = max(map(len, table)) * math.prod(window)
        return biased(y, len(table), bias, bias_init, fan)

    shown = f"partial_conv({len(table)} maps, {sum(map(len, table))} connections, {kernel})"
    return Layer("partial_conv", apply, shown, name, here())


def _table(connections: Any) -> tuple[tuple[int, ...], ...]:
    """The input maps of each output map, checked as far as they are without an input."""
    hint = "a list of input maps, numbers from 0, for each output map, e.g. [[0, 1], [1, 2]]"
    try:
        rows = tuple(tuple(int(i) for i in row if int(i) == i) for row in connections)
        whole = [len(row) for row in connections] == list(map(len, rows))
    except (TypeError, ValueError):
        whole, rows = False, ()
    if not whole or not rows:
        raise DlcError(f"nn.partial_conv: connections={connections!r} is no table", here(), hint)
    for row in rows:
        if not row or min(row) < 0 or len(set(row)) < len(row):
            raise DlcError(f"nn.partial_conv: an output map is connected to {list(row)}", here(),
                           "to one input map or more, each once, numbered from 0")
    return rows


def _within(table: tuple[tuple[int, ...], ...], x: Node) -> None:
    last = max(map(max, table))
    if last >= int(x.shape[1]):
        raise DlcError(f"the table connects input map {last} of {describe(x)}", here(),
                       f"its maps are 0 .. {int(x.shape[1]) - 1}")


def _within_fan(table: tuple[tuple[int, ...], ...], window: int) -> Initializer:
    """Each kernel uniform within 1/sqrt(inputs of its output map)."""
    bounds = np.concatenate([np.full(len(row), (len(row) * window) ** -0.5) for row in table])

    def start(key: init.Key, shape: Sequence[int], dtype: DType) -> Node:
        wide = bounds.astype(np.float32).reshape(-1, *(1,) * (len(shape) - 1))
        return cast((key.uniform(shape) * 2.0 - 1.0) * as_node(wide), dtype)

    return start


def _spread(kernels: Node, table: tuple[tuple[int, ...], ...], inputs: int) -> Node:
    """[connections, K...] -> the weight [maps, inputs, K...], zero where there is no connection."""
    place = np.full((len(table), inputs), sum(map(len, table)), np.int32)
    place[[i for i, row in enumerate(table) for _ in row], [j for row in table for j in row]] = (
        np.arange(sum(map(len, table))))
    window = tuple(map(int, kernels.shape[1:]))
    none = cast(as_node(np.zeros((1, *window), np.float32)), kernels.dtype)
    found = gather.take(view.concat([kernels, none]), as_node(place.reshape(-1)))
    return view.reshape(found, (*place.shape, *window))


def subsample(size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
              weight_init: Initializer | None = None, bias_init: Initializer | None = None,
              name: str = "") -> Layer:
    """Average pooling that is trained: weight[c] * sum of a window + bias[c], x [N, C, S...] ->
    [N, C, S'...], weight and bias [C] (LeNet-5's S2 and S4, LeCun et al. 1998).

    The first weight is 1 / elements of a window, the mean, and the first bias 0.
    """
    extent = checks.per_axis("subsample", "size", size, 1)
    step = extent if stride is None else checks.per_axis("subsample", "stride", stride, 1)
    if isinstance(padding, int):
        checks.at_least("subsample", 0, padding=padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, extent)
        checks.floating(x)
        window, channels = per_axis(extent, n), int(x.shape[1])
        count = float(math.prod(window))
        kind, wide = Type(x.dtype, (channels,)), (channels, *(1,) * n)
        weight = parameter("weight", kind, weight_init or init.constant(1.0 / count))
        bias = parameter("bias", kind, bias_init or init.zeros)
        total = pooling.avg_pool(x, window, per_axis(step, n), padding) * count
        return total * view.reshape(weight, wide) + view.reshape(bias, wide)

    return Layer("subsample", apply, f"subsample({size})", name, here())


def bias(axes: int = 1, bias_init: Initializer | None = None, name: str = "") -> Layer:
    """x plus a parameter `bias` of the shape of its last `axes` axes, first 0: one a unit where
    `conv` shares one a map (LeCun et al. 1989's H1 and H2)."""
    checks.at_least("bias", 1, axes=axes)

    def apply(x: Node) -> Node:
        checks.rank(x, axes, f"[..., {', '.join(['size'] * axes)}]")
        checks.floating(x)
        shape = tuple(map(int, x.shape[x.ndim - axes:]))
        return x + parameter("bias", Type(x.dtype, shape), bias_init or init.zeros)

    return Layer("bias", apply, f"bias({axes})", name, here())
