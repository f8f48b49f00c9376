"""Pooling layers: x [N, C, S...] with any number of spatial axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.errors import here
from dlc.ir.graph import Node
from dlc.lang.array import pooling
from dlc.lang.array.convolution import PerAxis, per_axis
from dlc.lang.layer import Layer
from dlc.nn import checks

# functions without anything to remember: they stand in a chain as they are
global_avg_pool = pooling.global_avg_pool
global_max_pool = pooling.global_max_pool


def _pool(kind: str, size: PerAxis, stride: PerAxis | None, padding: Any, name: str,
          function: Callable[..., Node], dilation: PerAxis = 1) -> Layer:
    """A layer that gives `function` (x, size, stride, padding, dilation), one number an axis."""
    extent = checks.per_axis(kind, "size", size, 1)
    step = extent if stride is None else checks.per_axis(kind, "stride", stride, 1)
    holes = checks.per_axis(kind, "dilation", dilation, 1)
    if isinstance(padding, int):
        checks.at_least(kind, 0, padding=padding)

    def apply(x: Node) -> Node:
        n = checks.spatial_axes(x, extent)
        checks.floating(x)
        return function(x, per_axis(extent, n), per_axis(step, n), padding, per_axis(holes, n))

    return Layer(kind, apply, f"{kind}({size})", name, here())


def avg_pool(size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
             ceil_mode: bool = False, count_include_pad: bool = True, name: str = "") -> Layer:
    """Means over windows: x [N, C, S...] -> [N, C, S'...]; stride defaults to the window's size.

    `padding` as in `conv`; it counts as zeros, or with count_include_pad=False not at all.
    """
    return _pool("avg_pool", size, stride, padding, name,
                 lambda x, k, s, p, _: pooling.avg_pool(x, k, s, p, ceil_mode, count_include_pad))


def max_pool(size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
             dilation: PerAxis = 1, ceil_mode: bool = False, name: str = "") -> Layer:
    """Maxima over windows: [N, C, S...] -> [N, C, S'...]; the gradient goes to the first of equal
    elements, as in PyTorch. `padding` as in `conv`; it is never the maximum."""
    return _pool("max_pool", size, stride, padding, name,
                 lambda x, k, s, p, d: pooling.max_pool(x, k, s, p, d, ceil_mode), dilation)


def lp_pool(p: float, size: PerAxis, stride: PerAxis | None = None, padding: Any = 0,
            ceil_mode: bool = False, name: str = "") -> Layer:
    """p-norms of windows, (sum |x|^p)^(1/p): x [N, C, S...] -> [N, C, S'...] (Sermanet 2012)."""
    return _pool("lp_pool", size, stride, padding, name,
                 lambda x, k, s, at, d: pooling.lp_pool(x, p, k, s, at, d, ceil_mode))


def _adaptive(kind: str, size: Any, name: str, function: Callable[..., Node]) -> Layer:
    listed = size if isinstance(size, (tuple, list)) else (size,)
    checks.per_axis(kind, "size", tuple(d for d in listed if d is not None), 1)

    def apply(x: Node) -> Node:
        checks.rank(x, 3, "[batch, channels, sizes...]")
        checks.floating(x)
        return function(x, size)

    return Layer(kind, apply, f"{kind}({size})", name, here())


def adaptive_avg_pool(size: Any, name: str = "") -> Layer:
    """Means over bins that cover the input: x [N, C, S...] -> [N, C, size...], whatever S is.

    `size` is an int or one a spatial axis; None keeps an axis. Bins as in PyTorch.
    """
    return _adaptive("adaptive_avg_pool", size, name, pooling.adaptive_avg_pool)


def adaptive_max_pool(size: Any, name: str = "") -> Layer:
    """Maxima over the bins of `adaptive_avg_pool`: x [N, C, S...] -> [N, C, size...]."""
    return _adaptive("adaptive_max_pool", size, name, pooling.adaptive_max_pool)
