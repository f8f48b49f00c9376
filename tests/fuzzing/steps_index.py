"""Steps of random programs: elements taken and put by computed indices."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.graph import Node, make
from dlc.ir.types import Type, bool_, i32, i64
from dlc.ops import gather
from tests.fuzzing.draw import Maker, filled, is_float, is_number

MODES = ("set", "add", "mul", "max", "min")


def places(m: Maker, bound: int, shape: tuple[int, ...]) -> Node:
    """Indices below `bound`, or a little beyond: they are clamped."""
    found = m.find(lambda n: n.dtype in (i32, i64) and tuple(n.shape) == shape)
    if found is not None and m.chance(50):
        return found
    return m.input(Type(m.pick((i32, i32, i64)), shape), low=-1, high=bound + 1)


def taken(m: Maker) -> Node | None:
    x = m.find(filled)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    if m.chance(30):
        shape = tuple(m.pick(m.dims) if a == axis else int(d) for a, d in enumerate(x.shape))
        return dlc.take_along_axis(x, places(m, int(x.shape[axis]), shape), axis, "clip")
    batch = m.draw.below(axis + 1) if m.chance(40) else 0
    lead = tuple(map(int, x.shape[:batch]))
    index = places(m, int(x.shape[axis]), (*lead, *m.shape(1)))
    return make(gather.GATHER, (x, index), axis=axis, batch=batch)


def scattered(m: Maker) -> Node | None:
    x = m.find(lambda n: is_number(n) and 0 < n.ndim < 4 and min(n.shape) > 0)
    if x is None:
        return None
    axis = m.draw.below(x.ndim)
    batch = m.draw.below(axis + 1) if m.chance(40) else 0
    lead = tuple(map(int, x.shape[:batch])) if batch == axis else ()
    batch = batch if batch == axis else 0
    size = m.pick([d for d in m.dims if d] or [1])
    index = places(m, size, (*lead, int(x.shape[axis])))
    shape = tuple(size if a == axis else int(d) for a, d in enumerate(x.shape))
    return make(gather.SCATTER_ADD, (index, x), shape=shape, axis=axis, batch=batch)


def updated(m: Maker) -> Node | None:
    """x with rows set or folded at indices: scatter, put_along_axis, x.at[...]."""
    x = m.find(lambda n: is_number(n) and filled(n) and n.ndim < 4)
    if x is None:
        return None
    mode = m.pick(MODES if is_float(x) else MODES[:2])
    axis = m.draw.below(x.ndim)
    count = 1 + m.draw.below(4)
    if m.chance(30):
        shape = tuple(count if a == axis else int(d) for a, d in enumerate(x.shape))
        index = dlc.clip(places(m, int(x.shape[axis]), shape), 0, int(x.shape[axis]) - 1)
        return dlc.put_along_axis(x, index, m.like(x)[_first(x, axis, count)] if
                                  count <= int(x.shape[axis]) else 1, axis, mode)
    if m.chance(30):
        at = x.at[m.draw.below(int(x.shape[0]))]
        return at.set(m.like(x)[0]) if m.chance(50) else at.add(m.like(x)[0])
    index = places(m, int(x.shape[axis]), (count,))
    shape = tuple(count if a == axis else int(d) for a, d in enumerate(x.shape))
    updates = m.input(Type(x.dtype, shape))
    return dlc.scatter(x, index, updates, axis, 0, mode, "clip")


def _first(x: Node, axis: int, count: int) -> tuple[slice, ...]:
    return tuple(slice(0, count) if a == axis else slice(None) for a in range(x.ndim))


def segmented(m: Maker) -> Any:
    x = m.find(lambda n: is_number(n) and filled(n))
    if x is None:
        return None
    count = 1 + m.draw.below(5)
    ids = m.input(Type(i32, (int(x.shape[0]),)), low=0, high=count)
    way = m.draw.below(5)
    if way == 0:
        return dlc.bincount(ids, count)
    if way == 1 and is_float(x):
        return dlc.segment_mean(x, ids, count)
    if way == 2:
        return dlc.one_hot(ids, count, x.dtype if is_float(x) else None)
    return dlc.segment_sum(x, ids, count)


def moving_slice(m: Maker) -> Node | None:
    """dynamic_slice and dynamic_update_slice at a computed start."""
    x = m.find(lambda n: filled(n) and n.dtype is not bool_)
    if x is None:
        return None
    start = m.find(lambda n: n.dtype is i32 and n.ndim == 0)
    start = m.input(Type(i32, ()), low=0, high=4) if start is None else start
    sizes = [1 + m.draw.below(int(d)) for d in x.shape]
    if m.chance(50):
        return dlc.dynamic_slice(x, [start] * x.ndim, sizes)
    part = m.like(x)[tuple(slice(0, s) for s in sizes)]
    return dlc.dynamic_update_slice(x, part, [start] * x.ndim)
