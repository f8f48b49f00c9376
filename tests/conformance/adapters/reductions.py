"""torch's reductions, products of matrices and indexed reads in dlc's DSL."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.ir.graph import Node, make
from dlc.ops.gather import SCATTER_ADD, checked_index
from tests.conformance.adapters.registry import (
    Excluded,
    add,
    axes,
    axis_of,
    cast_to,
    covers,
)
from tests.conformance.adapters.shapes import movedim

# --- sums and extremes ----------------------------------------------------------------------------


def over(function: Any) -> Any:
    """torch's signature (x, dim, keepdim, dtype) of one of dlc's reductions."""
    def reduction(x: Node, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Node:
        return function(cast_to(x, dtype), axes(x, dim), keepdims=keepdim)

    return reduction


add("sum", over(dlc.sum), dtypes=("float32", "int32"))
add("mean", over(dlc.mean))
add("prod", over(dlc.prod), dtypes=("float32", "int32"))
add("amax", over(dlc.max), dtypes=("float32", "int64"))
add("amin", over(dlc.min), dtypes=("float32", "int64"))
add("argmax", over(dlc.argmax))
add("argmin", over(dlc.argmin))
add("logsumexp", over(dlc.logsumexp))
add("all", lambda x, dim=None, keepdim=False: dlc.all(x != 0, axes(x, dim), keepdim))
add("any", lambda x, dim=None, keepdim=False: dlc.any(x != 0, axes(x, dim), keepdim))
add("count_nonzero", lambda x, dim=None: dlc.count_nonzero(x, axes(x, dim)))
add("max/reduction_no_dim", lambda x: dlc.max(x))
add("min/reduction_no_dim", lambda x: dlc.min(x))


@covers("nansum")
def nansum(x: Node, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Node:
    return over(dlc.nansum)(x, dim, keepdim, dtype)


@covers("nanmean")
def nanmean(x: Node, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Node:
    return over(dlc.nanmean)(x, dim, keepdim, dtype)


@covers("max/reduction_with_dim")
def max_with_dim(x: Node, dim: int, keepdim: bool = False) -> list[Node]:
    """torch sends the gradient to the element that it names: the first."""
    at = axes(x, dim)
    return [dlc.max(x, at, keepdim, ties="first"), dlc.argmax(x, at, keepdim)]


@covers("min/reduction_with_dim")
def min_with_dim(x: Node, dim: int, keepdim: bool = False) -> list[Node]:
    at = axes(x, dim)
    return [dlc.min(x, at, keepdim, ties="first"), dlc.argmin(x, at, keepdim)]


@covers("aminmax")
def aminmax(x: Node, dim: Any = None, keepdim: bool = False) -> list[Node]:
    at = axes(x, dim)
    return [dlc.min(x, at, keepdim), dlc.max(x, at, keepdim)]


def moment(of: Callable[..., Node]) -> Callable[..., list[Node]]:
    """`of`, dlc.variance or dlc.std, with torch's correction (1 unless told), and the mean."""
    def with_mean(x: Node, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
                  correction: Any = None) -> list[Node]:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        less = correction if correction is not None else 0 if unbiased is False else 1
        at = axes(x, dim)
        return [of(x, at, keepdim, correction=less), dlc.mean(x, at, keepdim)]

    return with_mean


for name, measure in (("var", moment(dlc.variance)), ("std", moment(dlc.std))):
    add(f"{name}_mean {name}_mean/unbiased", measure)
    add(f"{name} {name}/unbiased",
        lambda *args, measure=measure, **more: measure(*args, **more)[0])


@covers("torch.ops.aten._safe_softmax.default")
def safe_softmax(x: Node, dim: int, dtype: Any = None) -> Node:
    """A row without any finite score gives zeros."""
    wide = cast_to(x, dtype)
    some = dlc.max(wide, dim, keepdims=True) > -math.inf
    return dlc.where(some, softmax(dlc.where(some, wide, 0.0), dim), 0.0)


@covers("softmax softmax/with_dtype")
def softmax(x: Node, dim: int, dtype: Any = None) -> Node:
    return dlc.exp(log_softmax(x, dim, dtype))


@covers("log_softmax log_softmax/with_dtype")
def log_softmax(x: Node, dim: int, dtype: Any = None) -> Node:
    wide = cast_to(x, dtype)
    if wide.ndim == 0:
        return wide - dlc.logsumexp(wide)
    return dlc.nn.log_softmax(wide, dim)


add("nn.functional.softmin nn.functional.softmin/with_dtype",
    lambda x, dim, dtype=None: softmax(-cast_to(x, dtype), dim))

# --- matrices -------------------------------------------------------------------------------------

add("matmul mm bmm mv", dlc.matmul)
add("dot", dlc.dot)
add("vdot", dlc.vdot)
add("__rmatmul__", lambda a, b: b @ a)
add("inner", dlc.inner)
add("outer", dlc.outer)
add("addmm addmm/decomposed addmv", lambda x, a, b, beta=1, alpha=1: x * beta + (a @ b) * alpha)
add("baddbmm", lambda x, a, b, beta=1, alpha=1: x * beta + (a @ b) * alpha)
add("addbmm", lambda x, a, b, beta=1, alpha=1: x * beta + dlc.sum(a @ b, 0) * alpha)
add("addr", lambda x, a, b, beta=1, alpha=1: x * beta + a[:, None] * b[None] * alpha)
add("linalg.vecdot", lambda a, b, dim=-1: dlc.sum(a * b, dim))
add("linalg.multi_dot", dlc.linalg.multi_dot)
add("kron", dlc.kron)


@covers("tensordot")
def tensordot(a: Node, b: Node, dims: Any = 2) -> Node:
    if not isinstance(dims, int):
        for i, j in zip(*dims, strict=True):
            if a.shape[i] == 1:  # torch repeats an axis of size 1
                wide = [b.shape[j] if k == axis_of(a, i) else d for k, d in enumerate(a.shape)]
                a = dlc.broadcast_to(a, wide)
    return dlc.tensordot(a, b, dims)


# --- indexed reads and writes ---------------------------------------------------------------------

@covers("index_select")
def index_select(x: Node, dim: int, index: Node) -> Node:
    if x.ndim == 0:
        return dlc.take(x.reshape((1,)), index).reshape(())
    return dlc.take(x, index, dim)


NEGATIVE = "a negative index in data: dlc counts from the end for constants only"


@covers("take", refuses=NEGATIVE)
def take_flat(x: Node, index: Node) -> Node:
    return dlc.take(x.reshape((x.size,)), index)


@covers("gather")
def gather(x: Node, dim: int, index: Node) -> Node:
    """Along `dim` by index; the other axes go together, as far as the index has them."""
    index = dlc.cast(index, dlc.i32) if index.dtype is dlc.u8 else index
    if x.ndim == 0:
        return dlc.take(x.reshape((1,)), index)
    if index.type.size == 0 and index.ndim != x.ndim:
        return dlc.take(x, index, dim)  # torch lets an empty vector stand for no places
    axis = axis_of(x, dim)
    cut = tuple(slice(None) if a == axis else slice(0, int(d)) for a, d in enumerate(index.shape))
    return dlc.take_along_axis(x[cut], index.reshape((1,)) if index.ndim == 0 else index, dim)


@covers("take_along_dim", refuses=NEGATIVE)
def take_along_dim(x: Node, index: Node, dim: int | None = None) -> Node:
    if dim is None:
        return dlc.take(x.reshape((x.size,)), index.reshape((index.size,)))
    axis = axis_of(x, dim)
    lead = np.broadcast_shapes(tuple(1 if a == axis else d for a, d in enumerate(x.shape)),
                               tuple(1 if a == axis else d for a, d in enumerate(index.shape)))
    def wide(y: Node) -> Node:
        return dlc.broadcast_to(y, [y.shape[a] if a == axis else d for a, d in enumerate(lead)])

    return gather(wide(x), dim, wide(index))


def added(like: Node, axis: int, index: Node, values: Node, batch: int) -> Node:
    """Zeros of a shape, with values added where the indices say."""
    places = checked_index(index, int(like.shape[axis]), "scatter_add")
    return make(SCATTER_ADD, (places, values), shape=tuple(map(int, like.shape)), axis=axis,
                batch=batch)


@covers("index_add")
def index_add(x: Node, dim: int, index: Node, source: Node, alpha: Any = 1) -> Node:
    if x.ndim == 0:
        return x + dlc.sum(source) * alpha
    axis = axis_of(x, dim)
    return x + added(x, axis, index, source * alpha, 0)


@covers("scatter_add")
def scatter_add(x: Node, dim: int, index: Node, source: Node) -> Node:
    if x.ndim == 0:
        return x + source
    axis = axis_of(x, dim)
    if x.ndim != index.ndim:
        return added(x, axis, index, source, 0)
    used = source[tuple(slice(0, int(d)) for d in index.shape)]
    places, values = movedim(index, axis, -1), movedim(used, axis, -1)
    rows = dlc.iota((*places.shape[:-1], int(x.shape[axis])), 0)
    back = movedim(added(rows, x.ndim - 1, places, values, x.ndim - 1), -1, axis)
    return x + dlc.pad(back, (0,) * x.ndim,
                       [int(a) - int(b) for a, b in zip(x.shape, back.shape, strict=True)])


GUESSED = "num_classes=-1 reads the classes off the data: dlc's shapes are known before it runs"


@covers("nn.functional.one_hot", dtypes=("int64",), excludes=(GUESSED,))
def one_hot(index: Node, num_classes: int = -1) -> Node:
    if num_classes == -1:
        raise Excluded(GUESSED)
    return dlc.one_hot(index, num_classes, dlc.i64)


@covers("index_fill")
def index_fill(x: Node, dim: int, index: Node, value: Any) -> Node:
    if x.ndim == 0:
        return x * 0.0 + value
    axis = axis_of(x, dim)
    row = dlc.iota((index.size, int(x.shape[axis])), 1, index.dtype)
    hit = dlc.any(row == index.reshape((index.size, 1)), 0)
    wide = hit.reshape(tuple(d if a == axis else 1 for a, d in enumerate(x.shape)))
    return dlc.where(wide, value, x)


