"""Gather and scatter-add: indices that are themselves data, clamped and checked (docs/ir.md)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError, Loc, here
from dlc.ir.graph import Kind, Node, Op, OpError, check_shape, current_build, describe, make
from dlc.ir.registry import register
from dlc.ir.types import Type, i32, i64
from dlc.ops import batch_rules, leaf
from dlc.ops.convert import as_node, cast
from dlc.ops.reduce import axis_of


@dataclass(frozen=True, eq=False)
class Check:
    """A run-time check: `bad` (bool scalar) says that it failed; `text` names what was wrong."""

    bad: Node
    text: str
    loc: Loc | None


def note_check(bad: Node, text: str) -> None:
    """Remember a run-time check of the running build; its step raises when `bad` holds."""
    build = current_build()
    if build is not None:
        build.notes.setdefault("checks", []).append(Check(bad, text, here()))


def checked_index(index: Node, bound: int, what: str) -> Node:
    """`index` limited to 0 .. bound-1. A constant out of range is an error now, data one at run
    time."""
    if index.dtype not in (i32, i64):
        raise DlcError(f"{what}: {describe(index)} can't index", here(), "an index is i32 or i64")
    if index.op in (leaf.CONSTANT, leaf.ARRAY):
        value = index.attrs["value"]
        _check_constant(np.asarray(getattr(value, "array", value)), bound, what)
        return index
    from dlc.ops.elementwise import clip, ge, lt, or_
    from dlc.ops.reduce import any_

    note_check(any_(or_(lt(index, 0), ge(index, bound))), f"{what}: index out of 0 .. {bound - 1}")
    return clip(index, 0, bound - 1)


def _check_constant(values: np.ndarray, bound: int, what: str) -> None:
    outside = values[(values < 0) | (values >= bound)]
    if outside.size:
        raise DlcError(f"{what}: index {outside.flat[0]} is out of range", here(),
                       f"indices are 0 .. {bound - 1}")


def gathered_shape(x: Type, index: Type, axis: int, batch: int) -> tuple[Any, ...]:
    """The result's shape: batch axes, x before axis, index after batch, x after axis."""
    if not batch <= axis < x.ndim or batch > index.ndim:
        raise OpError(f"axis {axis} with {batch} batch axes of {x.describe()}")
    if tuple(x.shape[:batch]) != tuple(index.shape[:batch]):
        raise OpError(f"batch axes of {x.describe()} and {index.describe()} differ")
    return (*x.shape[:axis], *index.shape[batch:], *x.shape[axis + 1:])


def check_index_type(index: Type, bound: int) -> None:
    if index.dtype not in (i32, i64):
        raise OpError(f"{index.describe()} can't index", "an index is i32 or i64")
    if bound == 0 and index.size:
        raise OpError(f"{index.size} indices into an axis without elements")


def _infer_gather(x: Type, index: Type, *, axis: int, batch: int) -> Type:
    check_index_type(index, x.shape[axis] if 0 <= axis < x.ndim else 1)
    return x.with_(shape=gathered_shape(x, index, axis, batch), layout=None)


def clamped(index: Any, bound: int) -> Any:
    return np.clip(index, 0, max(bound - 1, 0))


def _eval_gather(x: Any, index: Any, *, axis: int, batch: int) -> Any:
    at = clamped(index, x.shape[axis])
    if batch == 0:
        return np.take(x, at, axis)
    rows = [_eval_gather(x[b], at[b], axis=axis - 1, batch=batch - 1) for b in range(len(x))]
    tail = (*x.shape[1:axis], *index.shape[batch:], *x.shape[axis + 1:])
    return np.stack(rows) if rows else np.zeros((0, *tail), x.dtype)


def _grad_gather(g: Node, y: Node, x: Node, index: Node) -> tuple[Node, None]:
    return make(SCATTER_ADD, (index, g), shape=tuple(map(int, x.shape)), **y.attrs), None


def gather_index(out: tuple[Any, ...], y: Node) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """(index into the index array, index into x with None at the gathered axis)."""
    axis, batch = y.attrs["axis"], y.attrs["batch"]
    count = y.args[1].ndim - batch
    inner = (*out[:batch], *out[axis:axis + count])
    return inner, (*out[:axis], None, *out[axis + count:])


def _sample_gather() -> Iterator[Any]:
    rng = np.random.default_rng(13)
    x = rng.uniform(-2, 2, (4, 5, 3)).astype(np.float32)
    yield (x, rng.integers(0, 4, (6,)).astype(np.int32)), {"axis": 0, "batch": 0}
    yield (x, rng.integers(0, 5, (4, 2)).astype(np.int32)), {"axis": 1, "batch": 1}
    yield (x, np.array([-7, 99, 2], np.int32)), {"axis": 2, "batch": 0}


GATHER = register(Op(
    "gather", Kind.GATHER, _infer_gather, _eval_gather, _grad_gather, gather_index,
    _sample_gather, (0,), "slices of x along an axis at data-dependent indices, clamped; "
    "the first `batch` axes are shared", defaults=lambda *types, **_: {"batch": 0},
    batch=batch_rules.gather, precision="follow"))


def _infer_scatter(index: Type, g: Type, *, shape: Any, axis: int, batch: int) -> Type:
    x = g.with_(shape=check_shape(shape), layout=None)
    check_index_type(index, x.shape[axis] if 0 <= axis < x.ndim else 1)
    want = gathered_shape(x, index, axis, batch)
    if tuple(want) != tuple(g.shape):
        raise OpError(f"updates {g.describe()} for indices {index.describe()}",
                      f"updates need shape {tuple(map(int, want))}")
    return x


def _eval_scatter(index: Any, g: Any, *, shape: Any, axis: int, batch: int) -> Any:
    x = np.zeros(shape, np.float64 if g.dtype.kind == "f" else g.dtype)
    at = clamped(index, shape[axis])
    for b in np.ndindex(*shape[:batch]):
        count = index.ndim - batch
        moved = np.moveaxis(g[b], range(axis - batch, axis - batch + count), range(count))
        np.add.at(np.moveaxis(x[b], axis - batch, 0), at[b], moved)
    return x


def _sample_scatter() -> Iterator[Any]:
    rng = np.random.default_rng(14)
    g = rng.uniform(-2, 2, (6, 3)).astype(np.float32)
    yield (rng.integers(0, 4, (6,)).astype(np.int32), g), {"shape": (4, 3), "axis": 0, "batch": 0}
    h = rng.uniform(-2, 2, (2, 3, 5)).astype(np.float32)
    yield (rng.integers(0, 4, (2, 3)).astype(np.int32), h), {
        "shape": (2, 4, 5), "axis": 1, "batch": 1}


SCATTER_ADD = register(Op(
    "scatter_add", Kind.SCATTER, _infer_scatter, _eval_scatter,
    lambda g, y, index, u: (None, make(GATHER, (g, index), axis=y.attrs["axis"],
                                       batch=y.attrs["batch"])),
    gather_index, _sample_scatter, (1,),
    "zeros of `shape` with updates added at clamped indices, in index order",
    defaults=lambda *types, **_: {"batch": 0}, batch=batch_rules.scatter, fold="add"))


def _from_the_end(index: Node, bound: int) -> Node:
    """A constant index with -bound .. -1 as 0 .. bound-1; any other as it is."""
    if index.op not in (leaf.CONSTANT, leaf.ARRAY) or index.dtype not in (i32, i64):
        return index
    value = index.attrs["value"]
    given = np.broadcast_to(np.asarray(getattr(value, "array", value)), tuple(index.shape))
    if not ((given < 0) & (given >= -bound)).any():
        return index
    return leaf.array(np.where((given < 0) & (given >= -bound), given + bound, given), index.type)


def limited_index(index: Node, bound: int, what: str, mode: str) -> Node:
    """`index` within 0 .. bound-1 by `mode`: "check" makes what is outside an error, "clip" takes
    the nearest, "wrap" counts round and round. Negative constants count from the end."""
    from dlc.ops.elementwise import rem

    if mode not in ("check", "clip", "wrap"):
        raise DlcError(f"{what}: mode {mode!r}", here(), '"check", "clip" or "wrap"')
    if mode == "check":
        return checked_index(_from_the_end(index, bound), bound, what)
    if index.dtype not in (i32, i64):
        raise DlcError(f"{what}: {describe(index)} can't index", here(), "an index is i32 or i64")
    return index if mode == "clip" else rem(index, bound)


def take(x: Any, index: Any, axis: int = 0, batch: int = 0, mode: str = "check") -> Node:
    """Slices of x along `axis` at `index`; the first `batch` axes of both go together.

    x [B..., P..., N, Q...], index [B..., I...] give [B..., P..., I..., Q...]. Indices out of range
    are an error: at once for constants, after the step for data; mode "clip" takes the nearest,
    "wrap" counts round and round.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "take")
    what = f"take from {describe(node)}"
    at = limited_index(as_node(index), int(node.shape[axis]), what, mode)
    return make(GATHER, (node, at), axis=axis, batch=batch)


def take_along_axis(x: Any, index: Any, axis: int = -1, mode: str = "check") -> Node:
    """x read at its own index, but along `axis` at index: y[i, j, k] = x[i, index[i, j, k], k].

    index has x's rank, and its sizes except along `axis`, or 1 there. Modes as in take.
    """
    from dlc.ops.view import moved

    node = as_node(x)
    axis = axis_of(node, axis, "take_along_axis")
    at = aligned_index(node, as_node(index), axis, "take_along_axis", mode)
    last = node.ndim - 1
    taken = make(GATHER, (moved(node, axis, last), moved(at, axis, last)), axis=last, batch=last)
    return moved(taken, last, axis)


def aligned_index(x: Node, index: Node, axis: int, what: str, mode: str) -> Node:
    """`index` limited by `mode`, and repeated to x's sizes beside `axis`. Raises DlcError when it
    has other sizes there."""
    from dlc.ops.convert import broadcast_to

    wanted = tuple(n if a == axis else d for a, (d, n) in enumerate(
        zip(x.shape, index.shape, strict=False)))
    if index.ndim != x.ndim or any(n not in (1, d) for n, d in zip(index.shape, wanted,
                                                                   strict=True)):
        raise DlcError(f"{what}({describe(x)}, {describe(index)}): axis {axis}", here(),
                       "the index needs the same sizes beside the axis")
    limited = limited_index(index, int(x.shape[axis]), f"{what} of {describe(x)}", mode)
    return broadcast_to(limited, wanted)


def one_hot(index: Any, count: int, dtype: Any = None) -> Node:
    """index [...] as rows [..., count] that hold 1 at the index; out of range is an error."""
    from dlc.ir.types import f32
    from dlc.ops.convert import broadcast_to
    from dlc.ops.elementwise import eq
    from dlc.ops.view import reshape

    at = checked_index(as_node(index), count, f"one_hot of {count} classes")
    wide = broadcast_to(reshape(at, (*at.shape, 1)), (*at.shape, count))
    return cast(eq(wide, leaf.iota(wide.shape, at.ndim, at.dtype)), dtype or f32)
