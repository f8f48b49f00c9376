"""Reductions composed of others, with NumPy's names: std, norm, nansum, ...; differences."""

from __future__ import annotations

import math
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import bool_, f32, i32
from dlc.lang.array.elementwise_functions import root
from dlc.ops.convert import as_node, as_nodes, broadcast_to, cast, in_accumulator
from dlc.ops.elementwise import abs_, isfinite, power, stop_gradient, where
from dlc.ops.gather import take_along_axis
from dlc.ops.reduce import (
    Axes,
    any_,
    argmax,
    argmin,
    axes_of,
    axis_of,
    expand,
    max_,
    mean,
    min_,
    sum_,
    variance,
)
from dlc.ops.view import concat, narrow, reshape


@in_accumulator
def std(x: Any, axis: Axes = None, keepdims: bool = False, correction: float = 0) -> Node:
    """Square root of the variance over `axis`; correction 1 divides by one less (Bessel). The
    gradient where all elements are equal is 0."""
    return root(variance(x, axis, keepdims, correction))


def ptp(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Largest minus smallest over `axis`."""
    return max_(x, axis, keepdims) - min_(x, axis, keepdims)


def count_nonzero(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """The number of nonzero elements over `axis` (NaN counts), as i32."""
    return sum_(cast(as_node(x) != 0, i32), axis, keepdims)


def max_with_indices(x: Any, axis: int = -1, keepdims: bool = False) -> tuple[Node, Node]:
    """(maxima of x along `axis`, i32 index of the first of each), which gets the gradient.

    NaN wins. For several axes at once, argmax returns a linear index.
    """
    return _with_indices(x, axis, keepdims, argmax)


def min_with_indices(x: Any, axis: int = -1, keepdims: bool = False) -> tuple[Node, Node]:
    """(minima of x along `axis`, i32 index of the first of each); as max_with_indices."""
    return _with_indices(x, axis, keepdims, argmin)


def _with_indices(x: Any, axis: int, keepdims: bool, where_: Any) -> tuple[Node, Node]:
    node = as_node(x)
    axis = axis_of(node, axis, "max_with_indices" if where_ is argmax else "min_with_indices")
    place = where_(node, axis, keepdims=True)
    value = take_along_axis(node, place, axis, mode="clip")
    if keepdims:
        return value, place
    shape = tuple(d for a, d in enumerate(node.shape) if a != axis)
    return reshape(value, shape), reshape(place, shape)


@in_accumulator
def norm(x: Any, p: float = 2, axis: Axes = None, keepdims: bool = False) -> Node:
    """The p-norm (sum |x|^p)^(1/p) over `axis`; p may be inf, -inf and 0 (how many are not 0).

    p = 2 scales by the largest, so nothing overflows. The gradient at x = 0 is 0.
    """
    node = as_node(x)
    node = node if node.dtype.is_float else cast(node, f32)
    if not isinstance(p, (int, float)) or math.isnan(p):
        raise DlcError(f"norm({describe(node)}): p = {p!r}", here(), "p is a number, inf or -inf")
    size = abs_(node)
    if p in (math.inf, -math.inf):
        return max_(size, axis, keepdims) if p > 0 else min_(size, axis, keepdims)
    if p == 0:
        return sum_(cast(node != 0, node.dtype), axis, keepdims)
    if p == 1:
        return sum_(size, axis, keepdims)
    return _scaled_norm(node, size, p, axis, keepdims)


def _scaled_norm(x: Node, size: Node, p: float, axis: Axes, keepdims: bool) -> Node:
    """top * (sum (|x| / top)^p)^(1/p): no power leaves the range. `top` is a constant of the
    derivative, as the norm does not depend on it."""
    axes = axes_of(x, axis, "norm")
    if any(x.shape[a] == 0 for a in axes):
        return sum_(size, axis, keepdims)
    top = stop_gradient((max_ if p > 0 else min_)(size, axes))
    usable = isfinite(top) & (top > 0)
    scale = where(usable, top, 1.0)
    total = sum_(power(size / expand(scale, x, axes), p) if p != 2 else
                 (x / expand(scale, x, axes)) * (x / expand(scale, x, axes)), axes)
    # of zeros only: the root's slope there is infinite, the norm's least subgradient is 0
    zero = total == 0 if p > 0 else top == 0
    rooted = where(zero, 0.0, power(where(zero, 1.0, total), 1.0 / p))
    found = scale * rooted
    if not keepdims:
        return found
    return reshape(found, tuple(1 if a in axes else d for a, d in enumerate(x.shape)))


# --- without NaN ----------------------------------------------------------------------------------


def nansum(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Sum over `axis`, ignoring NaN."""
    node = as_node(x)
    return sum_(where(node != node, 0, node), axis, keepdims)


@in_accumulator
def nanmean(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Mean over `axis`, ignoring NaN; NaN if there is nothing else."""
    node = as_node(x)
    if not node.dtype.is_float:
        return mean(node, axis, keepdims)
    count = sum_(cast(node == node, i32), axis, keepdims)
    return nansum(node, axis, keepdims) / cast(count, node.dtype)


def nanmax(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Maximum over `axis`, ignoring NaN; NaN if there is nothing else."""
    return _nan_extreme(x, axis, keepdims, largest=True)


def nanmin(x: Any, axis: Axes = None, keepdims: bool = False) -> Node:
    """Minimum over `axis`, ignoring NaN; NaN if there is nothing else."""
    return _nan_extreme(x, axis, keepdims, largest=False)


def _nan_extreme(x: Any, axis: Axes, keepdims: bool, largest: bool) -> Node:
    node = as_node(x)
    fold = max_ if largest else min_
    if not node.dtype.is_float:
        return fold(node, axis, keepdims)
    kept = fold(where(node != node, -math.inf if largest else math.inf, node), axis, keepdims)
    return where(any_(node == node, axis, keepdims), kept, math.nan)


def diff(x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Node:
    """Differences of neighbours along `axis`, taken `n` times: x[1:] - x[:-1] (numpy.diff).

    `prepend` and `append`, arrays or numbers, are joined to x first. For bools the difference is
    "not equal". Raises DlcError for n < 0 and for a scalar.
    """
    node, *ends = as_nodes(x, *(end for end in (prepend, append) if end is not None))
    if node.ndim == 0 or not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise DlcError(f"diff({describe(node)}): n={n!r}", here(),
                       "it takes an array of at least one axis, and how often: 0, 1, 2, ...")
    axis = axis_of(node, axis, "diff")
    if n == 0:
        return node
    one = tuple(1 if a == axis else int(d) for a, d in enumerate(node.shape))
    ends = [broadcast_to(end, one) if end.ndim == 0 else end for end in ends]
    before = 0 if prepend is None else 1
    node = concat([*ends[:before], node, *ends[before:]], axis)
    for _ in range(min(n, int(node.shape[axis]))):
        size = int(node.shape[axis])
        late, early = narrow(node, axis, 1, size - 1), narrow(node, axis, 0, size - 1)
        node = late != early if node.dtype is bool_ else late - early
    return node
