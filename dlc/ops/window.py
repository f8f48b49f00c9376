"""Sliding windows as a view, and their transpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dlc.ir.access import Access, Condition, Divides, Index, Piece, Reduction, Within
from dlc.ir.graph import Kind, Node, Op, OpError, check_shape, make
from dlc.ir.registry import register
from dlc.ir.types import Type
from dlc.ops.convert import as_node
from dlc.ops.samples import spread
from dlc.ops.sums import simple


def window_count(size: int, window: int, stride: int, dilation: int) -> int:
    """How many windows fit: Dumoulin & Visin 2016, relationship 5 without padding."""
    return (size - (window - 1) * dilation - 1) // stride + 1


def check_window(size: int, window: int, stride: int, dilation: int, axis: int) -> None:
    """Raise OpError when no window fits along an axis, or a number is not positive."""
    if min(window, stride, dilation) < 1:
        raise OpError(f"spatial axis {axis}: window {window}, stride {stride}, dilation {dilation}",
                      "all must be at least 1")
    if (window - 1) * dilation + 1 > size:
        raise OpError(f"spatial axis {axis}: a window of {(window - 1) * dilation + 1} does not "
                      f"fit into {int(size)}", "pad more or take a smaller window")


def _infer_window(x: Type, *, size: Any, stride: Any, dilation: Any) -> Type:
    lead = x.ndim - len(size)
    if lead < 0 or not len(size) == len(stride) == len(dilation):
        raise OpError(f"window {size}, stride {stride}, dilation {dilation} of {x.describe()}",
                      "one entry each per window axis, for the last axes")
    counts = []
    for a, (k, s, d) in enumerate(zip(size, stride, dilation, strict=True)):
        check_window(x.shape[lead + a], k, s, d, a)
        counts.append(window_count(int(x.shape[lead + a]), k, s, d))
    return x.with_(shape=(*x.shape[:lead], *counts, *size), layout=None)


def _usual(x: Type, *, size: Any, **_: Any) -> dict[str, Any]:
    return {"stride": (1,) * len(size), "dilation": (1,) * len(size)}


def _positions(count: int, window: int, stride: int, dilation: int) -> np.ndarray:
    return np.arange(count)[:, None] * stride + np.arange(window)[None, :] * dilation


def _eval_window(x: Any, *, size: Any, stride: Any, dilation: Any) -> Any:
    n, lead = len(size), x.ndim - len(size)
    for a in range(n):
        axis = lead + 2 * a
        count = window_count(x.shape[axis], size[a], stride[a], dilation[a])
        at = _positions(count, size[a], stride[a], dilation[a])
        x = np.take(x, at.ravel(), axis).reshape(*x.shape[:axis], *at.shape, *x.shape[axis + 1:])
    order = [*range(lead), *range(lead, lead + 2 * n, 2), *range(lead + 1, lead + 2 * n, 2)]
    return x.transpose(order)


def _emit_window(index: Index, y: Node) -> Access:
    n = len(y.attrs["size"])
    lead = y.ndim - 2 * n
    at = tuple(index[lead + a] * s + index[lead + n + a] * d for a, (s, d) in enumerate(
        zip(y.attrs["stride"], y.attrs["dilation"], strict=True)))
    return Access((Piece(0, (*index[:lead], *at)),))


def _sample_window() -> Iterator[Any]:
    rng = np.random.default_rng(9)
    for shape, size, stride, dilation in (((7,), (3,), (1,), (1,)), ((2, 6, 5), (2, 2), (2, 1),
                                          (1, 2)), ((3, 9), (2,), (3,), (4,))):
        yield (spread(rng, shape, -3, 3),), {"size": size, "stride": stride, "dilation": dilation}


WINDOW = register(Op(
    "window", Kind.VIEW, _infer_window, _eval_window,
    lambda g, y, x: (make(FOLD, (g,),
                          extent=tuple(map(int, x.shape[x.ndim - len(y.attrs["size"]):])),
                          size=y.attrs["size"], stride=y.attrs["stride"],
                          dilation=y.attrs["dilation"]),),
    _emit_window, _sample_window, (0,),
    "sliding windows over the last axes: [..., counts..., size...]", defaults=_usual,
    precision="follow"))


def _infer_fold(g: Type, *, extent: Any, size: Any, stride: Any, dilation: Any) -> Type:
    lead = g.ndim - 2 * len(size)
    if lead < 0 or len(extent) != len(size):
        raise OpError(f"extent {extent} and window {size} for {g.describe()}",
                      "two axes of the operand for each window axis")
    x = g.with_(shape=(*g.shape[:lead], *check_shape(extent)), layout=None)
    windows = _infer_window(x, size=size, stride=stride, dilation=dilation)
    if tuple(windows.shape) != tuple(g.shape):
        raise OpError(f"{g.describe()} does not fold into {x.describe()}",
                      f"its windows are {windows.describe()}")
    return x


def _eval_fold(g: Any, *, extent: Any, size: Any, stride: Any, dilation: Any) -> Any:
    n = len(size)
    lead = g.ndim - 2 * n
    x = np.zeros((*g.shape[:lead], *extent), g.dtype)
    for k in np.ndindex(*size):
        at: list[Any] = [slice(k[a] * dilation[a], k[a] * dilation[a] + (g.shape[lead + a] - 1)
                               * stride[a] + 1, stride[a]) for a in range(n)]
        x[(..., *at)] += g[(..., *k)]
    return x


def _fold_reduction(y: Node) -> Reduction:
    size, stride, dilation = y.attrs["size"], y.attrs["stride"], y.attrs["dilation"]
    g, n = y.args[0], len(size)
    lead = g.ndim - 2 * n
    if all(d == 1 for d in dilation):
        return _by_residue(y, lead)

    def read(out: Index, inner: Index) -> Access:
        source: list[Any] = []
        conditions: list[Condition] = []
        for a in range(n):
            # a window of one offset per position needs no division: keep the map simple
            at = out[lead + a] - inner[a] * dilation[a]
            if stride[a] > 1:
                conditions.append(Divides(at, stride[a]))
                conditions.append(Within(at, 0, int(g.shape[lead + a] - 1) * stride[a] + 1))
                at = at // stride[a]
            else:
                conditions.append(Within(at, 0, int(g.shape[lead + a])))
            source.append(at)
        return Access((Piece(0, (*out[:lead], *source, *inner), tuple(conditions)),))

    return Reduction(tuple(size), read, simple(lambda d: 0, "radd"))


def _by_residue(y: Node, lead: int) -> Reduction:
    """Position p is element p % stride + t * stride of window p // stride - t, for each t: no other
    element of a window reaches it, and none of one that is not larger than its stride twice."""
    g, size, stride = y.args[0], y.attrs["size"], y.attrs["stride"]
    several = [a for a, (k, s) in enumerate(zip(size, stride, strict=True)) if k > s]

    def read(out: Index, inner: Index) -> Access:
        counts, offsets, conditions = [], [], []
        for a, (k, s) in enumerate(zip(size, stride, strict=True)):
            t = inner[several.index(a)] if a in several else 0
            at, offset = out[lead + a] // s - t, out[lead + a] % s + t * s
            conditions += [Within(at, 0, int(g.shape[lead + a])), Within(offset, 0, k)]
            counts.append(at)
            offsets.append(offset)
        return Access((Piece(0, (*out[:lead], *counts, *offsets), tuple(conditions)),))

    extents = tuple(-(-size[a] // stride[a]) for a in several)
    return Reduction(extents, read, simple(lambda d: 0, "radd"))


def _sample_fold() -> Iterator[Any]:
    rng = np.random.default_rng(10)
    for shape, extent, size, stride, dilation in (
            ((5, 3), (7,), (3,), (1,), (1,)), ((2, 3, 3, 2, 2), (6, 5), (2, 2), (2, 1), (1, 2))):
        yield (spread(rng, shape, -3, 3),), {"extent": extent, "size": size, "stride": stride,
                                            "dilation": dilation}


FOLD: Op = register(Op(
    "fold", Kind.FOLD, _infer_fold, _eval_fold,
    lambda g, y, x: (make(WINDOW, (g,), size=y.attrs["size"], stride=y.attrs["stride"],
                          dilation=y.attrs["dilation"]),),
    _fold_reduction, _sample_fold, (0,), "the transpose of window: overlapping elements add up",
    defaults=_usual,
    axes=lambda y, g: [(i, i) for i in range(g.ndim - 2 * len(y.attrs["size"]))]))


def window(x: Any, size: Sequence[int], stride: Sequence[int] | None = None,
           dilation: Sequence[int] | None = None) -> Node:
    """Windows of `size` over the last len(size) axes of x: [..., counts..., size...]."""
    node = as_node(x)
    ones = (1,) * len(size)
    return make(WINDOW, (node,), size=tuple(size), stride=tuple(stride or ones),
                dilation=tuple(dilation or ones))
