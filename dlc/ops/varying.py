"""Axes whose length varies from row to row: how long each row is, and what of an array is there.

Such an axis has a bounded dimension ("time<=64"). An array is as long as the longest row may be;
what stands behind the end of a row is padding, and belongs to no sum, mean or maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from dlc.errors import DlcError, here
from dlc.ir.graph import VARYING, Node, current_build, describe, make
from dlc.ir.types import Bounded, Dim, Type, i32
from dlc.ops import leaf
from dlc.ops.convert import as_node, broadcast_to, cast

MEANS = "means"  # the note of means over varying rows: mean -> how many elements


@dataclass(frozen=True)
class Varying:
    """One dimension: the `lengths` [rows] along it, and the name of the axis that counts rows."""

    lengths: Node
    rows: str


def known() -> dict[str, Varying]:
    """The dimensions of the running build whose length varies, by name."""
    build = current_build()
    found: dict[str, Varying] = {} if build is None else build.notes.get(VARYING, {})
    return found


def declare(name: str, lengths: Node, rows: str) -> None:
    """Make the dimension `name` one of `lengths`; a length outside of it stops the step."""
    build = current_build()
    if build is not None:
        build.notes.setdefault(VARYING, {})[name] = Varying(lengths, rows)


def is_varying(dim: object) -> TypeGuard[Dim]:
    """Whether a dimension of an array has a length for each row."""
    return isinstance(dim, Dim) and isinstance(dim.name, Bounded) and dim.name in known()


def there(x: Node, axes: Sequence[int]) -> Node | None:
    """Which elements of x a fold over `axes` counts: bool, as wide as x where that matters and 1
    elsewhere; None where all do.

    Padding along an axis does not count where that axis is folded, or the rows are.
    """
    found: Node | None = None
    for axis, dim in enumerate(x.shape):
        if not is_varying(dim):
            continue
        varying = known()[dim.name]
        row = row_axis(x, varying.rows)
        if row is not None and (axis in axes or row in axes):
            mask = _before_end(x, axis, row, varying.lengths)
            found = mask if found is None else _both(found, mask)
    return found


def _before_end(x: Node, axis: int, row: int, lengths: Node) -> Node:
    from dlc.ops.elementwise import lt
    from dlc.ops.view import reshape

    steps = tuple(d if a == axis else 1 for a, d in enumerate(x.shape))
    rows = tuple(d if a == row else 1 for a, d in enumerate(x.shape))
    return lt(leaf.iota(steps, axis, lengths.dtype), reshape(lengths, rows))


def _both(a: Node, b: Node) -> Node:
    from dlc.ops.elementwise import and_

    return and_(a, b)


def present(x: Node, axes: Sequence[int], fill: float) -> Node:
    """x with `fill` in the place of padding, where a fold over `axes` would meet it."""
    from dlc.ops.elementwise import where

    mask = there(x, axes) if known() else None
    return x if mask is None else where(mask, x, leaf.constant(fill, Type(x.dtype)))


def count(x: Node, axes: Sequence[int]) -> int | Node:
    """How many elements a fold of x over `axes` counts: a number, or f32 with 1 for each of
    `axes` where it differs from row to row."""
    from dlc.ops.reduce import SUM
    from dlc.ops.view import reshape

    mask = there(x, axes) if known() else None
    if mask is None:
        return math.prod(int(x.shape[a]) for a in axes)
    plain = math.prod(int(d) for a, d in enumerate(x.shape) if a in axes and mask.shape[a] == 1)
    total = make(SUM, (cast(mask, i32),), axes=tuple(axes))
    shape = tuple(1 if a in axes else d for a, d in enumerate(mask.shape))
    return reshape(total * plain, shape)


def note_mean(mean: Node, many: Node) -> Node:
    """`mean`, of which the running build remembers, where it is one number, how many it is over."""
    from dlc.ops.view import reshape

    build = current_build()
    if build is not None and not mean.ndim:
        build.notes.setdefault(MEANS, {})[mean] = reshape(many, ())
    return mean


def mean_count(mean: Node) -> Node | None:
    """How many elements of varying rows `mean` is over; None for what is no such mean."""
    build = current_build()
    found: Node | None = None if build is None else build.notes.get(MEANS, {}).get(mean)
    return found


def along(x: Node, axis: int, what: str) -> Varying:
    """The lengths of `axis` of x. Raises DlcError where they do not vary."""
    from dlc.ops.reduce import axis_of

    dim = x.shape[axis_of(x, axis, what)]
    if not is_varying(dim):
        raise DlcError(f"{what}({describe(x)}): axis {axis} has one length for all rows", here(),
                       'declare it with a bound: x: f32["batch", "time<=64"]')
    return known()[dim.name]


def row_axis(x: Node, rows: str) -> int | None:
    """The axis of x that counts rows; None where they were folded away."""
    return next((a for a, d in enumerate(x.shape) if getattr(d, "name", "") == rows), None)


def lengths(x: Any, axis: int = 1) -> Node:
    """i32[rows]: how many steps of `axis` each row of x has.

    Raises DlcError for an axis whose length does not vary.
    """
    return along(as_node(x), axis, "lengths").lengths


def valid(x: Any, axis: int = 1) -> Node:
    """bool[rows, size of `axis`]: whether a step of a row is there, or padding behind its end.

    Raises DlcError for an axis whose length does not vary.
    """
    from dlc.ops.elementwise import lt
    from dlc.ops.view import reshape

    node = as_node(x)
    ends = along(node, axis, "valid").lengths
    size = node.shape[axis]
    shape = (ends.shape[0], size)
    steps = broadcast_to(leaf.iota((1, size), 1, ends.dtype), shape)
    return lt(steps, broadcast_to(reshape(ends, (ends.shape[0], 1)), shape))


def last(x: Any, axis: int = 1) -> Node:
    """The last step of each row of x [rows, ...] along `axis`, which disappears.

    Raises DlcError for an axis whose length does not vary.
    """
    from dlc.ops.elementwise import eq, where
    from dlc.ops.reduce import SUM
    from dlc.ops.view import reshape

    x = as_node(x)
    varying = along(x, axis, "last")
    ends, axis, row = varying.lengths, axis % x.ndim, row_axis(x, varying.rows)
    steps = leaf.iota(tuple(d if a == axis else 1 for a, d in enumerate(x.shape)), axis, ends.dtype)
    at = reshape(ends, tuple(d if a == row else 1 for a, d in enumerate(x.shape))) - 1
    return make(SUM, (where(eq(steps, at), x, leaf.constant(0, Type(x.dtype))),), axes=(axis,))


def windowed(y: Node, axis: int, x: Node, x_axis: int, window: tuple[int, int, int, int],
             what: str) -> Node:
    """y, whose `axis` counts windows over an axis of x whose length varies, with the lengths that
    follow from that.

    `window` is (reach, step, padding before, padding after). A row without a window stops the
    step.
    """
    from dlc.ops.elementwise import maximum
    from dlc.ops.gather import note_check
    from dlc.ops.reduce import any_

    dim = x.shape[x_axis]
    if not is_varying(dim):
        return y
    reach, step, low, high = window
    room, old = low + high - reach, known()[dim.name]
    if room == -1 and step == 1:
        name = dim.name
    else:
        longest = dim.name.most if isinstance(dim.name, Bounded) else int(dim)
        name = Bounded(f"({dim.name}{room:+d})//{step}+1", max(0, (longest + room) // step + 1))
        if name not in known():
            new = (old.lengths + room) // step + 1
            note_check(any_(new < 1), f"{what}: a row is shorter than the window of {reach}")
            declare(name, maximum(new, 0), old.rows)
    shape = tuple(Dim(int(d), name) if a == axis else d for a, d in enumerate(y.shape))
    return Node(y.op, y.args, y.attrs, y.type.with_(shape=shape), y.locs, y.name)

