"""lax.gather and lax.scatter in dlc: every element's place in the flat operand, computed.

https://openxla.org/xla/operation_semantics#gather says what the dimension numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import dlc
from dlc.ir.types import Type

FILL = "FILL_OR_DROP"


def along(shape: Sequence[int], axis: int) -> Any:
    """The position along `axis` at every place of `shape`, i32."""
    return dlc.iota(tuple(shape), axis, dlc.i32)


def starts_at(indices: Any, component: int, shape: Sequence[int], batch_axes: Sequence[int]) -> Any:
    """indices[..., component] over the batch axes of a result of `shape`."""
    part = dlc.cast(indices[..., component], dlc.i32)
    dims = [1] * len(shape)
    for axis, place in enumerate(batch_axes):
        dims[place] = int(part.shape[axis])
    return dlc.broadcast_to(part.reshape(tuple(dims)), tuple(shape))


def places(x: Any, indices: Any, shape: Sequence[int], batch_axes: Sequence[int],
           window_axes: Sequence[int], sizes: Sequence[int], window_dims: Sequence[int],
           index_map: Sequence[int], batching: Sequence[tuple[int, int]],
           mode: str) -> tuple[Any, Any]:
    """(flat place in x of each element of `shape`, whether its whole window lies inside).

    `window_dims` are the operand's axes that `window_axes` of the shape run over.
    """
    flat: Any = dlc.broadcast_to(dlc.cast(0, dlc.i32), tuple(shape))
    inside: Any = dlc.broadcast_to(dlc.asarray(np.array(True)), tuple(shape))
    lead = dict(batching)
    for d in range(x.ndim):
        at: Any = dlc.broadcast_to(dlc.cast(0, dlc.i32), tuple(shape))
        if d in index_map:
            at = starts_at(indices, list(index_map).index(d), shape, batch_axes)
            last = int(x.shape[d]) - int(sizes[d])
            inside = inside & (at >= 0) & (at <= last)
            at = dlc.clip(at, 0, max(last, 0))
        if d in lead:
            at = along(shape, batch_axes[lead[d]])
        if d in window_dims:
            at = at + along(shape, window_axes[list(window_dims).index(d)])
        stride = int(np.prod([int(n) for n in x.shape[d + 1:]], dtype=np.int64))
        flat = flat + at * stride
    return flat, inside if mode == FILL else None


def mode_of(mode: Any) -> str:
    return str(getattr(mode, "name", mode))


def gather(x: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Any, mode: Any,
           fill_value: Any = None, **_: Any) -> Any:
    """lax.gather."""
    d = dimension_numbers
    rank = indices.ndim - 1 + len(d.offset_dims)
    batch_axes = [a for a in range(rank) if a not in d.offset_dims]
    dropped = (*d.collapsed_slice_dims, *d.operand_batching_dims)
    window_dims = [a for a in range(x.ndim) if a not in dropped]
    shape = [0] * rank
    for place, n in zip(batch_axes, indices.shape[:-1], strict=True):
        shape[place] = int(n)
    for place, axis in zip(d.offset_dims, window_dims, strict=True):
        shape[place] = int(slice_sizes[axis])
    pairs = list(zip(d.operand_batching_dims, d.start_indices_batching_dims, strict=True))
    flat, inside = places(x, indices, shape, batch_axes, d.offset_dims, slice_sizes, window_dims,
                          d.start_index_map, pairs, mode_of(mode))
    if x.type.size == 0 or 0 in shape:
        return dlc.asarray(np.zeros(shape, x.dtype.numpy))
    found = dlc.take(x.reshape((-1,)), flat)
    return found if inside is None else dlc.where(inside, found, missing(x.type, fill_value))


def missing(type_: Type, fill_value: Any) -> Any:
    """What JAX gives for an element out of bounds."""
    kind = np.dtype(type_.dtype.numpy)
    if fill_value is not None:
        value = fill_value
    elif type_.dtype.is_float:
        value = np.nan
    elif kind.kind == "b":
        value = True
    else:
        value = np.iinfo(kind).min if kind.kind == "i" else np.iinfo(kind).max
    return dlc.asarray(np.array(value, kind))


def scatter(method: str) -> Callable[..., Any]:
    """lax.scatter and its kin: updates meet the operand by `method` of x.at[...]."""
    def scattered(x: Any, indices: Any, updates: Any, *, dimension_numbers: Any, mode: Any,
                  **_: Any) -> Any:
        d, shape = dimension_numbers, tuple(map(int, updates.shape))
        batch_axes = [a for a in range(len(shape)) if a not in d.update_window_dims]
        dropped = (*d.inserted_window_dims, *d.operand_batching_dims)
        window_dims = [a for a in range(x.ndim) if a not in dropped]
        sizes = [1] * x.ndim
        for axis, place in zip(window_dims, d.update_window_dims, strict=True):
            sizes[axis] = shape[place]
        pairs = list(zip(d.operand_batching_dims, d.scatter_indices_batching_dims, strict=True))
        flat, inside = places(x, indices, shape, batch_axes, d.update_window_dims, sizes,
                              window_dims, d.scatter_dims_to_operand_dims, pairs, mode_of(mode))
        # updates outside go to one place more, which is cut off
        size, kind = x.type.size, dlc.i32 if x.dtype is dlc.bool_ else x.dtype
        target = flat if inside is None else dlc.where(inside, flat, size)
        spare = dlc.concat([dlc.cast(x, kind).reshape((-1,)),
                            dlc.asarray(np.zeros(1, kind.numpy))])
        place = spare.at[target.reshape((-1,))]
        found = getattr(place, method)(dlc.cast(updates, kind).reshape((-1,)))
        return dlc.cast(found[:size], x.dtype).reshape(tuple(x.shape))

    return scattered
