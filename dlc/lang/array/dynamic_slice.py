"""Slices at computed positions, as in jax.lax: starts are clamped to keep slices in bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import i32, i64
from dlc.ops import leaf
from dlc.ops.convert import as_node, as_nodes, broadcast_to
from dlc.ops.elementwise import and_, clip, ge, lt, where
from dlc.ops.gather import GATHER
from dlc.ops.view import reshape, slice_


def _starts(x: Node, starts: Sequence[Any], sizes: Sequence[int], what: str) -> list[Node]:
    """The starts as index nodes, moved inside so that the slice fits. Raises DlcError."""
    if len(starts) != x.ndim or len(sizes) != x.ndim:
        raise DlcError(f"{what}({describe(x)}): {len(starts)} starts, {len(sizes)} sizes", here(),
                       f"one of each for {x.ndim} axes")
    found: list[Node] = []
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        if not 0 <= size <= x.shape[axis]:
            raise DlcError(f"{what}({describe(x)}): {size} elements of axis {axis}", here(),
                           f"sizes are 0 .. {int(x.shape[axis])}")
        node = as_node(start)
        if node.dtype not in (i32, i64) or node.ndim:
            raise DlcError(f"{what}({describe(x)}): start {describe(node)}", here(),
                           "a start is an i32 or i64 number")
        found.append(clip(node, 0, int(x.shape[axis]) - size))
    return found


def _is_known(start: Any) -> bool:
    return isinstance(start, (int, np.integer))


def dynamic_slice(x: Any, starts: Sequence[Any], sizes: Sequence[int]) -> Node:
    """x[start : start + size] with a start per axis that may be computed (jax.lax.dynamic_slice).

    Starts are clamped so that the slice lies inside x. Raises DlcError for sizes larger than x.
    """
    node = as_node(x)
    limited = _starts(node, starts, sizes, "dynamic_slice")
    for axis, (start, size) in enumerate(zip(limited, sizes, strict=True)):
        if size == node.shape[axis]:
            continue
        if _is_known(starts[axis]):
            low = min(max(int(starts[axis]), 0), int(node.shape[axis]) - size)
            node = slice_(node, [low if a == axis else 0 for a in range(node.ndim)],
                          [low + size if a == axis else int(d) for a, d in enumerate(node.shape)])
            continue
        at = broadcast_to(start, (size,)) + leaf.iota((size,), 0, start.dtype)
        node = make(GATHER, (node, at), axis=axis, batch=0)
    return node


def dynamic_update_slice(x: Any, value: Any, starts: Sequence[Any]) -> Node:
    """x with `value` written at `starts`, clamped as in dynamic_slice; it has x's rank and dtype.
    """
    node, new = as_nodes(x, value)
    if new.ndim != node.ndim or new.dtype is not node.dtype:
        raise DlcError(f"dynamic_update_slice({describe(node)}, {describe(new)})", here(),
                       "both need one rank and one dtype")
    limited = _starts(node, starts, tuple(map(int, new.shape)), "dynamic_update_slice")
    if new.type.size == 0:
        return node
    inside: Node | None = None
    for axis, start in enumerate(limited):
        size, whole = int(new.shape[axis]), int(node.shape[axis])
        if size == whole:
            continue
        at = leaf.iota((whole,), 0, start.dtype) - broadcast_to(start, (whole,))
        new = make(GATHER, (new, at), axis=axis, batch=0)
        within = and_(ge(at, 0), lt(at, size))
        shape = tuple(whole if a == axis else 1 for a in range(node.ndim))
        wide = broadcast_to(reshape(within, shape), node.shape)
        inside = wide if inside is None else and_(inside, wide)
    return new if inside is None else where(inside, new, node)
