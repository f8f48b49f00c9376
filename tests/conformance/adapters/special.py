"""torch's special functions, cumulative folds and order statistics in dlc's DSL."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import (
    Excluded,
    add,
    axes,
    axis_of,
    cast_to,
    covers,
    kind,
    number,
)

for names, function in (
        ("acos", dlc.acos), ("acosh", dlc.acosh), ("asin", dlc.asin), ("asinh", dlc.asinh),
        ("atan", dlc.atan), ("atan2", dlc.atan2), ("atanh", dlc.atanh), ("copysign", dlc.copysign),
        ("digamma", dlc.digamma), ("erfc", dlc.erfc), ("erfinv", dlc.erfinv), ("i0", dlc.i0),
        ("lgamma", dlc.lgamma), ("sinc", dlc.sinc),
        ("signbit", dlc.signbit), ("special.entr", dlc.entr), ("special.i0e", dlc.i0e),
        ("special.i1", dlc.i1), ("special.i1e", dlc.i1e), ("special.log_ndtr", dlc.log_ndtr),
        ("special.ndtri", dlc.ndtri), ("special.erfcx", dlc.erfcx),
        # torch's exponents are floats; its ndtr cancels below -5, where dlc's does not
        ("ldexp", lambda x, n: x * dlc.exp2(n)), ("frexp", lambda x: list(dlc.frexp(x)))):
    # where a function is steep, a rounded operand is the larger part of the error
    add(names, function, scale=20.0)


def polygamma(x: Node, n: int) -> Node:
    return dlc.polygamma(n, x)


add([f"polygamma/polygamma_n_{n}" for n in range(5)], polygamma, scale=50.0)
add("special.polygamma/special_polygamma_n_0", polygamma, scale=50.0)
add([f"mvlgamma/mvlgamma_p_{p}" for p in (1, 3, 5)], lambda x, p: dlc.multigammaln(x, p),
    scale=20.0)

# --- cumulative -----------------------------------------------------------------------------------


def along(function: Any) -> Any:
    """torch's signature (x, dim, dtype) of one of dlc's cumulative folds."""
    def folded(x: Node, dim: int, dtype: Any = None) -> Any:
        y = cast_to(x, dtype)
        found = function(y.reshape((-1,)) if y.ndim == 0 else y, 0 if y.ndim == 0 else dim)
        if isinstance(found, tuple):
            return [f.reshape(tuple(x.shape)) for f in found]
        return found.reshape(tuple(x.shape))

    return folded


add("cumsum", along(dlc.cumsum))
add("cumprod", along(dlc.cumprod), scale=10.0)
add("logcumsumexp", along(dlc.logcumsumexp))
add("cummax", along(dlc.cummax_with_indices))
add("cummin", along(dlc.cummin_with_indices))

# --- order ----------------------------------------------------------------------------------------


@covers("sort")
def sort(x: Node, dim: int = -1, descending: bool = False, stable: bool = False) -> list[Node]:
    if x.ndim == 0:
        return [x * 1.0, dlc.cast(0, dlc.i32)]
    order = dlc.argsort(x, dim, descending)
    return [dlc.take_along_axis(x, order, dim), order]


@covers("argsort")
def argsort(x: Node, dim: int = -1, descending: bool = False, stable: bool = False) -> Node:
    return sort(x, dim, descending)[1]


@covers("msort")
def msort(x: Node) -> Node:
    return sort(x, 0)[0]


@covers("topk")
def topk(x: Node, k: int, dim: int = -1, largest: bool = True,
         sorted: bool = True) -> list[Node]:
    if x.ndim == 0:
        return [x * 1.0, dlc.cast(0, dlc.i32)]
    return list(dlc.top_k(x, k, dim, largest))


@covers("kthvalue")
def kthvalue(x: Node, k: int, dim: int = -1, keepdim: bool = False) -> list[Node]:
    if x.ndim == 0:
        return [v.reshape(()) for v in kthvalue(x.reshape((1,)), k)]
    at = axis_of(x, dim)
    place = tuple(slice(k - 1, k) if a == at else slice(None) for a in range(x.ndim))
    found = [v[place] for v in sort(x, dim)]
    return found if keepdim else [dlc.squeeze(v, at) for v in found]


TIES = "a median of equal elements names any of them as its place"


@covers("median", excludes=(TIES,))
def median(x: Node, dim: Any = None, keepdim: bool = False) -> Any:
    """torch's median is the lower of the two in the middle."""
    if dim is None:
        flat = x.reshape((-1,))
        return kthvalue(flat, (int(flat.shape[0]) + 1) // 2)[0]
    if x.ndim and int(x.shape[dim]) == 1:
        raise Excluded(TIES)
    size = int(x.shape[dim]) if x.ndim else 1
    return kthvalue(x, (size + 1) // 2, dim, keepdim)


@covers("quantile", scale=5.0)
def quantile(x: Node, q: Any, dim: Any = None, keepdim: bool = False,
             interpolation: str = "linear") -> Node:
    return dlc.quantile(x, q, axes(x, dim), keepdim, interpolation)


@covers("searchsorted")
def searchsorted(edges: Node, x: Any, out_int32: bool = False, right: bool = False,
                 side: Any = None, sorter: Any = None) -> Node:
    if sorter is not None:
        edges = dlc.take_along_axis(edges, sorter, -1)
    return dlc.searchsorted(edges, x, side or ("right" if right else "left"))


@covers("bucketize")
def bucketize(x: Any, edges: Node, out_int32: bool = False, right: bool = False) -> Node:
    return dlc.searchsorted(edges, x, "right" if right else "left")


# --- arrays from numbers --------------------------------------------------------------------------


@covers("arange")
def arange(start: float, end: Any = None, step: float = 1, dtype: Any = None, **_: Any) -> Node:
    return dlc.arange(start, end, step, dtype=kind(dtype))


@covers("eye")
def eye(n: int, m: Any = None, dtype: Any = None, **_: Any) -> Node:
    return dlc.eye(n, m, dtype=kind(dtype))


@covers("full")
def full(shape: Any, value: Any, dtype: Any = None, **_: Any) -> Node:
    return dlc.full((shape,) if isinstance(shape, int) else tuple(shape), value,
                    dtype=kind(dtype) if dtype is not None else None)


def plain(x: Any) -> float:
    return x if number(x) else float(np.asarray(x))


@covers("linspace")
def linspace(start: Any, stop: Any, steps: int, dtype: Any = None, **_: Any) -> Node:
    return dlc.linspace(plain(start), plain(stop), steps, dtype=kind(dtype))


@covers("logspace")
def logspace(start: Any, stop: Any, steps: int, base: float = 10.0, dtype: Any = None,
             **_: Any) -> Node:
    exponents = dlc.linspace(plain(start), plain(stop), steps, dtype=kind(dtype))
    return dlc.power(base, exponents)


# --- distances and norms --------------------------------------------------------------------------


def lengths(x: Node, p: float, axis: Any, keepdim: bool = False) -> Node:
    """The p-norm over axes, with torch's gradient 0 where all elements are 0."""
    return dlc.linalg.vector_norm(x, p, axis, keepdim)


@covers("cdist", scale=10.0)
def cdist(x: Node, y: Node, p: float = 2.0, compute_mode: str = "") -> Node:
    apart = dlc.expand_dims(x, -2) - dlc.expand_dims(y, -3)
    if int(x.shape[-1]) == 0:
        return dlc.sum(apart, -1)
    return lengths(apart, p, -1)


@covers("dist")
def dist(x: Node, y: Node, p: float = 2.0) -> Node:
    return lengths(x - y, p, None)


@covers("nn.functional.pdist", scale=10.0)
def pdist(x: Node, p: float = 2.0) -> Node:
    n = int(x.shape[0])
    rows, columns = np.triu_indices(n, 1)
    if not len(rows):
        return dlc.zeros((0,))
    return lengths(dlc.take(x, rows) - dlc.take(x, columns), p, -1)


@covers("nn.functional.pairwise_distance")
def pairwise_distance(x: Node, y: Node, p: float = 2.0, eps: float = 1e-6,
                      keepdim: bool = False) -> Node:
    return lengths(x - y + eps, p, -1, keepdim)


@covers("nn.functional.normalize")
def normalize(x: Node, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Node:
    size = lengths(x, p, axes(x, dim), x.ndim > 0)
    return x / dlc.maximum(size, eps)


@covers("renorm")
def renorm(x: Node, p: float, dim: int, maxnorm: float) -> Node:
    others = tuple(a for a in range(x.ndim) if a != axis_of(x, dim))
    size = lengths(x, p, others, True)
    return x * dlc.where(size > maxnorm, maxnorm / (size + 1e-7), 1.0)


@covers("trapezoid trapz")
def trapezoid(y: Node, x: Any = None, dx: float = 1.0, dim: int = -1) -> Node:
    ends = dlc.moveaxis(y, dim, -1)
    pairs = (ends[..., 1:] + ends[..., :-1]) * 0.5
    if x is None:
        return dlc.sum(pairs * dx, -1)
    wide = x if x.ndim == 1 else dlc.moveaxis(x, dim, -1)
    return dlc.sum(pairs * (wide[..., 1:] - wide[..., :-1]), -1)

