"""Scatters beside scatter_add: updates set, or folded by max, min and product, at data-dependent
indices; and put_along_axis, which is made of them.

Which update wins a place is a function of the indices alone (scatter_last), so that `set` is a
gather of the winners: parallel, and its gradient goes to them only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Kind, Node, Op, OpError, describe, make
from dlc.ir.registry import register
from dlc.ir.types import Type, bool_, i32
from dlc.ops import batch_rules
from dlc.ops.convert import as_node, as_nodes, broadcast_to, cast
from dlc.ops.elementwise import eq, ge, maximum, where
from dlc.ops.gather import (
    GATHER,
    SCATTER_ADD,
    check_index_type,
    clamped,
    gather_index,
    gathered_shape,
    limited_index,
)
from dlc.ops.reduce import axis_of
from dlc.ops.routine import Routine, batch_count, filled
from dlc.ops.view import moved, reshape

# --- max and min ----------------------------------------------------------------------------------


def _infer_extreme(index: Type, updates: Type, x: Type, *, axis: int, batch: int) -> Type:
    check_index_type(index, x.shape[axis] if 0 <= axis < x.ndim else 1)
    want = gathered_shape(x, index, axis, batch)
    if tuple(want) != tuple(updates.shape) or updates.dtype is not x.dtype or x.dtype is bool_:
        raise OpError(f"updates {updates.describe()} for {x.describe()}",
                      f"updates need shape {tuple(map(int, want))} and the same dtype, not bool")
    return x.with_(layout=None)


def _eval_extreme(fold: Any) -> Callable[..., Any]:
    def eval_(index: Any, updates: Any, x: Any, *, axis: int, batch: int) -> Any:
        y = np.array(x)
        at, count = clamped(index, x.shape[axis]), index.ndim - batch
        for b in np.ndindex(*x.shape[:batch]):
            moved = np.moveaxis(updates[b], range(axis - batch, axis - batch + count),
                                range(count))
            fold.at(np.moveaxis(y[b], axis - batch, 0), at[b], moved)
        return y

    return eval_


def _grad_extreme(g: Node, y: Node, index: Node, updates: Node, x: Node) -> tuple[Any, ...]:
    """In equal parts to the operand's element and the updates that attain the extreme."""
    place: dict[str, Any] = {"axis": y.attrs["axis"], "batch": y.attrs["batch"]}
    hit = cast(eq(updates, make(GATHER, (y, index), **place)), x.dtype)
    own = cast(eq(x, y), x.dtype)
    share = g / (own + make(SCATTER_ADD, (index, hit), shape=tuple(map(int, x.shape)), **place))
    return None, hit * make(GATHER, (share, index), **place), own * share


def _sample_extreme() -> Iterator[Any]:
    rng = np.random.default_rng(46)
    x = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    u = rng.uniform(-2, 2, (6, 3)).astype(np.float32)
    yield (rng.integers(0, 4, (6,)).astype(np.int32), u, x), {"axis": 0, "batch": 0}
    yield (np.array([[-3, 1], [2, 77]], np.int32), rng.uniform(-2, 2, (2, 5, 2)).astype(
        np.float32), rng.uniform(-1, 1, (2, 5, 3)).astype(np.float32)), {"axis": 2, "batch": 1}
    wide = rng.uniform(-1, 1, (3, 300)).astype(np.float32)
    updates = rng.uniform(-1, 1, (3, 300)).astype(np.float32)
    yield (np.array([2, 0, 2], np.int32), updates, wide), {"axis": 0, "batch": 0}


def _extreme(name: str, word: str, fold: Any) -> Op:
    return register(Op(
        name, Kind.SCATTER, _infer_extreme, _eval_extreme(fold), _grad_extreme, gather_index,
        _sample_extreme, (), f"the {word} of each element of x and the updates at its place; "
        "operands: index, updates, x", batch=batch_rules.scatter,
        defaults=lambda *types, **_: {"batch": 0}, fold=fold.__name__))


SCATTER_MAX = _extreme("scatter_max", "largest", np.maximum)
SCATTER_MIN = _extreme("scatter_min", "smallest", np.minimum)

# --- which update comes last ----------------------------------------------------------------------

_LAST = """
def scatter_last(index, winner, row):
    for i in range(row * $size, (row + 1) * $size):
        winner[i] = i32(-1)
    for i in range($count):
        at = min(max(i64(index[row * $count + i]), 0), $size - 1)
        winner[row * $size + at] = i32(i)
"""


def _infer_last(index: Type, *, size: int) -> Type:
    if index.ndim < 1 or not isinstance(size, int) or size < 0:
        raise OpError(f"{index.describe()} into {size} places",
                      "takes the positions along a last axis, and a count of places")
    check_index_type(index, size)
    return index.with_(dtype=i32, shape=(*index.shape[:-1], size), layout=None)


def _eval_last(index: Any, *, size: int) -> Any:
    winner = np.full((*index.shape[:-1], size), -1, np.int32)
    at = clamped(index, size)
    for b in np.ndindex(index.shape[:-1]):
        for i, place in enumerate(at[b]):
            winner[(*b, place)] = i
    return winner


def _emit_last(y: Node) -> Routine:
    count = int(y.args[0].shape[-1])
    size = y.attrs["size"]
    return Routine(filled(_LAST, size=size, count=count), {"row": batch_count(y.shape, 1)},
                   work=size + count)


def _sample_last() -> Iterator[Any]:
    rng = np.random.default_rng(47)
    yield (rng.integers(0, 9, (7,)).astype(np.int32),), {"size": 9}
    yield (rng.integers(-2, 6, (2, 3, 11)).astype(np.int32),), {"size": 5}


SCATTER_LAST = register(Op(
    "scatter_last", Kind.ROUTINE, _infer_last, _eval_last, None, _emit_last, _sample_last, (),
    "for each of `size` places the last position in index that names it, or -1", gradient="none"))

# --- set and multiply -----------------------------------------------------------------------------


def flat_index(index: Node, batch: int) -> Node:
    """index [B..., I...] as [B..., M]."""
    lead = tuple(index.shape[:batch])
    return reshape(index, (*lead, math.prod(map(int, index.shape[batch:]))))


def _flat_updates(updates: Node, axis: int, count: int) -> Node:
    """The `count` axes of the index in `updates`, at `axis`, as one."""
    shape = tuple(map(int, updates.shape))
    return reshape(updates, (*shape[:axis], math.prod(shape[axis:axis + count]),
                             *shape[axis + count:]))


def _set(x: Node, index: Node, updates: Node, axis: int, batch: int) -> Node:
    flat = flat_index(index, batch)
    if flat.type.size == 0 or x.type.size == 0:
        return x
    winner = make(SCATTER_LAST, (flat,), size=int(x.shape[axis]))
    rows = _flat_updates(updates, axis, index.ndim - batch)
    chosen = make(GATHER, (rows, maximum(winner, 0)), axis=axis, batch=batch)
    written = along_axis(ge(winner, 0), x, axis, batch)
    return where(written, chosen, x)


def along_axis(places: Node, x: Node, axis: int, batch: int) -> Node:
    """places [B..., N] repeated to x's shape."""
    shape = tuple(d if a < batch or a == axis else 1 for a, d in enumerate(x.shape))
    return broadcast_to(reshape(places, shape), x.shape)


def _multiply(x: Node, index: Node, updates: Node, axis: int, batch: int) -> Node:
    """x times the product of the updates of each place.

    Sorted by place they stand in runs, and the product of a run is the last of its running
    products: a recurrence that starts anew with each run. So derivatives are exact at zeros.
    """
    from dlc.ops.argsort import argsort
    from dlc.ops.cumulative import linear_recurrence

    flat = flat_index(index, batch)
    if flat.type.size == 0 or x.type.size == 0:
        return x
    order = argsort(flat)
    along: dict[str, Any] = {"axis": batch, "batch": batch}
    place = make(GATHER, (flat, order), **along)
    rows = _flat_updates(updates, axis, index.ndim - batch)
    rows = moved(make(GATHER, (rows, order), axis=axis, batch=batch), axis, batch)
    first = place != _before(place)
    first = broadcast_to(reshape(first, (*first.shape, *(1,) * (rows.ndim - first.ndim))),
                         rows.shape)
    wide = linear_recurrence(where(first, 0, rows), where(first, rows, 0), batch)
    running = cast(wide, rows.dtype)  # of u8 it is i32, which wraps to the same
    # the last of each run: its position is the last that names the place
    last = make(SCATTER_LAST, (place,), size=int(x.shape[axis]))
    product = moved(make(GATHER, (running, maximum(last, 0)), **along), batch, axis)
    return where(along_axis(ge(last, 0), x, axis, batch), x * product, x)


def _before(place: Node) -> Node:
    """Each element's neighbour before it in the last axis; -1 before the first."""
    from dlc.ops.view import narrow, pad

    ahead = (0,) * (place.ndim - 1)
    return pad(narrow(place, -1, 0, int(place.shape[-1]) - 1), (*ahead, 1), (*ahead, 0), -1)


# --- the DSL's functions --------------------------------------------------------------------------

MODES = ("set", "add", "mul", "max", "min")


def fold_updates(x: Node, index: Node, updates: Node, axis: int, batch: int, mode: str) -> Node:
    """x with `updates` set or folded at an index that is limited already."""
    if mode not in MODES:
        raise DlcError(f"scatter: mode {mode!r}", here(), f"modes are {', '.join(MODES)}")
    attrs: dict[str, Any] = {"axis": axis, "batch": batch}
    if mode == "add":
        return x + make(SCATTER_ADD, (index, updates), shape=tuple(map(int, x.shape)), **attrs)
    if mode in ("max", "min"):
        return make(SCATTER_MAX if mode == "max" else SCATTER_MIN, (index, updates, x), **attrs)
    return (_set if mode == "set" else _multiply)(x, index, updates, axis, batch)


def scatter(x: Any, index: Any, updates: Any, axis: int = 0, batch: int = 0, mode: str = "set",
            bounds: str = "check") -> Node:
    """x with `updates` at `index` along `axis`; mode "set", "add", "mul", "max" or "min".

    x [B..., P..., N, Q...], index [B..., I...], updates [B..., P..., I..., Q...] (what take gives),
    or what broadcasts to it. Of several updates of one place "set" keeps the last, and its gradient
    goes there alone; "add" adds in index order; "max" splits its gradient among all that attain it.
    Indices out of range are an error (`bounds`: "check", "clip", "wrap", as in take).
    """
    (node, updates), at = as_nodes(x, updates), as_node(index)
    axis = axis_of(node, axis, "scatter")
    at = limited_index(at, int(node.shape[axis]), f"scatter into {describe(node)}", bounds)
    try:
        shape = gathered_shape(node.type, at.type, axis, batch)
    except OpError as problem:
        raise DlcError(f"scatter: {problem}", here(), problem.hint) from None
    return fold_updates(node, at, _fitted(node, updates, shape, "scatter"), axis, batch, mode)


def _fitted(x: Node, updates: Any, shape: Sequence[int], what: str) -> Node:
    """`updates` in x's dtype and of `shape`. Raises DlcError when they do not broadcast to it."""
    new = cast(as_node(updates, x.dtype), x.dtype)
    skip = len(shape) - new.ndim
    if skip < 0 or any(d not in (1, s) for d, s in zip(new.shape, shape[skip:], strict=True)):
        raise DlcError(f"{what}: updates {describe(new)} into {describe(x)}", here(),
                       f"updates need shape {tuple(map(int, shape))}, or one that broadcasts to it")
    return broadcast_to(new, shape)


def put_along_axis(x: Any, index: Any, values: Any, axis: int = -1, mode: str = "set") -> Node:
    """x with values[i, j, k] at x[i, index[i, j, k], k]: what take_along_axis reads, written.

    index has x's rank, and its sizes except along `axis`, or 1 there; modes as in scatter.
    """
    from dlc.ops.gather import aligned_index

    node, values = as_nodes(x, values)
    axis = axis_of(node, axis, "put_along_axis")
    at = aligned_index(node, as_node(index), axis, "put_along_axis", "check")
    new = _fitted(node, values, at.shape, "put_along_axis")
    last = node.ndim - 1
    turned, places, values_ = (moved(n, axis, last) for n in (node, at, new))
    return moved(fold_updates(turned, places, values_, last, last, mode), last, axis)
