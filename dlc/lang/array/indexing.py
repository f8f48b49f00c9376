"""x[key] by NumPy's rules, and what x.at[key] writes: both read a key the same way.

A key has a static part (ints, slices, None) that is a view, and integer arrays, which gather or
scatter. Ints beside arrays count as arrays when it comes to where the arrays' axes go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import bool_, i32, i64, u8
from dlc.ops import leaf
from dlc.ops.convert import as_node, broadcast_shape, broadcast_to, cast
from dlc.ops.elementwise import maximum, minimum, where
from dlc.ops.gather import GATHER, limited_index
from dlc.ops.reduce import highest, lowest
from dlc.ops.scatter import fold_updates
from dlc.ops.view import flip, pad, reshape, slice_, transpose


@dataclass(frozen=True, eq=False)
class AxisKey:
    """What a key says of one axis: elements start, start + step, ... (step > 0), turned if `flip`;
    `drop` for an int; `index` for an array or graph value."""

    start: int
    count: int
    step: int = 1
    flip: bool = False
    drop: bool = False
    index: Node | None = None


@dataclass(frozen=True, eq=False)
class Key:
    """A key for x: one AxisKey for each axis, and the order of the result's axes.

    `layout` holds "new" for None and the axis number else, in the key's order.
    """

    axes: tuple[AxisKey, ...]
    layout: tuple[Any, ...]

    @property
    def arrays(self) -> list[int]:
        """The axes that arrays index."""
        return [a for a, k in enumerate(self.axes) if k.index is not None]

    @property
    def kept(self) -> list[int]:
        """The axes that stay as slices, in order."""
        return [a for a, k in enumerate(self.axes) if k.index is None and not k.drop]


# --- reading a key --------------------------------------------------------------------------------


def read_key(x: Node, key: Any) -> Key:
    """The key of x. Raises DlcError for a bad axis, step 0, a mask, or an index out of range."""
    keys = key if isinstance(key, tuple) else (key,)
    parts = _expand_ellipsis(x, _spread_masks(x, [_constant_mask(k) for k in keys]))
    axes: list[AxisKey] = []
    layout: list[Any] = []
    for part in parts:
        if part is None:
            layout.append("new")
            continue
        layout.append(len(axes))
        axes.append(_axis_key(x, part, len(axes)))
    return Key(tuple(axes), tuple(layout))


def _constant_mask(part: Any) -> Any:
    """A list of Python bools as an array; anything else as it is."""
    listed = isinstance(part, list) and part and all(isinstance(v, (bool, np.bool_)) for v in part)
    return np.asarray(part) if listed else part


def _spread_masks(x: Node, keys: Sequence[Any]) -> list[Any]:
    """`keys` with every mask known now as the places where it holds, an array for each of its axes.
    """
    masks = [isinstance(k, np.ndarray) and k.dtype == np.bool_ and k.ndim > 0 for k in keys]
    widths = [k.ndim if mask else int(k is not None and k is not Ellipsis)
              for k, mask in zip(keys, masks, strict=True)]
    found: list[Any] = []
    axis = 0
    for key, mask, width in zip(keys, masks, widths, strict=True):
        if mask and key.shape != tuple(x.shape[axis:axis + width]):
            raise DlcError(f"a mask of shape {key.shape} at axis {axis} of {describe(x)}", here(),
                           f"it needs shape {tuple(map(int, x.shape[axis:axis + width]))}")
        found += list(np.nonzero(key)) if mask else [key]
        axis += max(x.ndim - sum(widths), 0) if key is Ellipsis else width
    return found


def _expand_ellipsis(x: Node, keys: Sequence[Any]) -> list[Any]:
    dots = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(dots) > 1:
        raise DlcError(f"two '...' in an index of {describe(x)}", here(), "one stands for the rest")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    if used > x.ndim:
        raise DlcError(f"{used} indices for {describe(x)}", here(), f"it has {x.ndim} axes")
    rest = [slice(None)] * (x.ndim - used)
    at = dots[0] if dots else len(keys)
    return [*keys[:at], *rest, *keys[at + 1:]]


def _axis_key(x: Node, part: Any, axis: int) -> AxisKey:
    size = int(x.shape[axis])
    if isinstance(part, slice):
        return _slice_key(x, part, axis, size)
    if isinstance(part, (bool, np.bool_)):
        raise _mask(x)
    if isinstance(part, (int, np.integer)):
        if not -size <= part < size:
            raise DlcError(f"index {int(part)} on axis {axis} of {describe(x)}", here(),
                           f"indices are {-size} .. {size - 1}")
        return AxisKey(int(part) % size, 1, drop=True)
    if isinstance(part, np.ndarray) and part.dtype.kind in "iu" and part.dtype.itemsize < 4:
        part = part.astype(np.int32)
    if isinstance(part, (list, tuple)) and not part:
        part = np.zeros(0, np.int32)
    index = as_node(part)
    if index.dtype is bool_:
        raise _mask(x)
    what = f"index on axis {axis} of {describe(x)}"
    return AxisKey(0, size, index=limited_index(index, size, what, "check"))


def _mask(x: Node) -> DlcError:
    return DlcError(f"a computed mask as index of {describe(x)}: the shape would depend on data",
                    here(), "dlc.where(mask, x, other) keeps the shape; integer arrays select")


def _slice_key(x: Node, part: slice, axis: int, size: int) -> AxisKey:
    if isinstance(part.step, (int, np.integer)) and part.step == 0:
        raise DlcError(f"slice of {describe(x)}: step 0 on axis {axis}", here())
    try:
        low, high, step = part.indices(size)
    except TypeError:
        raise DlcError(f"slice of {describe(x)}: {part} on axis {axis}", here(),
                       "a slice holds ints; dlc.dynamic_slice(x, starts, sizes) starts at computed "
                       "places") from None
    count = len(range(low, high, step))
    if not count:
        return AxisKey(0, 0)
    first = low if step > 0 else low + (count - 1) * step
    return AxisKey(first, count, abs(step) if count > 1 else 1, step < 0 and count > 1)


# --- the static part ------------------------------------------------------------------------------


def _cut(x: Node, key: Key) -> Node:
    """x's elements that the static part names; ints leave axes of size 1, nothing is turned."""
    start = [k.start for k in key.axes]
    stop = [k.start + (k.count - 1) * k.step + 1 if k.count else k.start for k in key.axes]
    return slice_(x, start, stop, [k.step for k in key.axes])


def _turn(x: Node, key: Key) -> Node:
    """x with the axes of negative steps reversed; its own inverse."""
    return flip(x, [a for a, k in enumerate(key.axes) if k.flip])


def index(x: Node, key: Any) -> Node:
    """x[key] by NumPy's rules: ints, slices with steps, None, ..., integer arrays and graph values.

    Raises DlcError for a bad axis, step 0, a bool mask, or an index out of range (a computed one is
    an error of the step that computes it).
    """
    found = read_key(x, key)
    part = _turn(_cut(x, found), found)
    if not found.arrays:
        return reshape(part, _static_shape(part, found))
    gathered, place, indices = _gather(part, found)
    return _placed(gathered, found, place, indices)


def _static_shape(part: Node, key: Key) -> tuple[int, ...]:
    return tuple(1 if entry == "new" else part.shape[entry] for entry in key.layout
                 if entry == "new" or not key.axes[entry].drop)


# --- arrays ---------------------------------------------------------------------------------------


def _without_ints(part: Node, key: Key) -> tuple[Node, list[int]]:
    """`part` without the axes of ints, and which axes of it arrays index."""
    stay = [a for a, k in enumerate(key.axes) if not k.drop]
    arrays = [i for i, a in enumerate(stay) if key.axes[a].index is not None]
    return reshape(part, tuple(part.shape[a] for a in stay)), arrays


def _merge(part: Node, arrays: Sequence[int]) -> tuple[Node, int, list[int]]:
    """`part` with the indexed axes made one, at the place of the first; that place; the order that
    its axes were brought into."""
    first = arrays[0]
    order = [a for a in range(part.ndim) if a not in arrays]
    order[first:first] = arrays
    moved = transpose(part, order)
    size = math.prod(int(part.shape[a]) for a in arrays)
    shape = (*moved.shape[:first], size, *moved.shape[first + len(arrays):])
    return reshape(moved, shape), first, order


def _flat_index(part: Node, key: Key, arrays: Sequence[int]) -> Node:
    """The positions in the merged axis: the arrays broadcast, then counted row-major."""
    nodes = [k.index for k in key.axes if k.index is not None]
    shape = broadcast_shape("index", nodes)
    kind = i64 if any(n.dtype is i64 for n in nodes) else i32
    total: Node | None = None
    for node, axis in zip(nodes, arrays, strict=True):
        wide = broadcast_to(cast(node, kind), shape)
        total = wide if total is None else total * int(part.shape[axis]) + wide
    assert total is not None
    return total


def _gather(part: Node, key: Key) -> tuple[Node, int, int]:
    """(elements [before, I..., after], where I starts, how many axes I has)."""
    part, arrays = _without_ints(part, key)
    positions = _flat_index(part, key, arrays)
    merged, place, _ = _merge(part, arrays)
    return make(GATHER, (merged, positions), axis=place, batch=0), place, positions.ndim


def _front(key: Key) -> bool:
    """Whether the arrays' axes come first: something stands between what counts as arrays."""
    advanced = [i for i, entry in enumerate(key.layout)
                if entry != "new" and (key.axes[entry].drop or key.axes[entry].index is not None)]
    return advanced[-1] - advanced[0] + 1 != len(advanced)


def _result_layout(key: Key) -> list[Any]:
    """The result's axes in order: "new", kept axes, and one "arrays" for all of the arrays'."""
    found: list[Any] = ["arrays"] if _front(key) else []
    for entry in key.layout:
        if entry == "new" or entry in key.kept:
            found.append(entry)
        elif "arrays" not in found:
            found.append("arrays")
    return found


def _placed(gathered: Node, key: Key, place: int, count: int) -> Node:
    """Elements [before, I..., after] with I and new axes where NumPy puts them."""
    layout = _result_layout(key)
    before = sum(entry != "new" for entry in layout[:layout.index("arrays")])
    rest = [a for a in range(gathered.ndim) if not place <= a < place + count]
    order = [*rest[:before], *range(place, place + count), *rest[before:]]
    moved = iter(transpose(gathered, order).shape)
    shape: list[int] = []
    for entry in layout:
        shape += [1] if entry == "new" else [next(moved) for _ in range(
            count if entry == "arrays" else 1)]
    return reshape(transpose(gathered, order), tuple(shape))


def _unplaced(value: Node, key: Key, place: int, count: int) -> Node:
    """The inverse of _placed."""
    layout = _result_layout(key)
    at = layout.index("arrays")
    flat = layout[:at] + ["arrays"] * count + layout[at + 1:]
    plain = reshape(value, tuple(d for d, e in zip(value.shape, flat, strict=True) if e != "new"))
    before = sum(entry != "new" for entry in layout[:at])
    rest = [a for a in range(plain.ndim) if not before <= a < before + count]
    return transpose(plain, [*rest[:place], *range(before, before + count), *rest[place:]])


# --- x.at[key] ------------------------------------------------------------------------------------

# what stands around the updates where nothing is written: it changes nothing
_NEUTRAL: dict[str, Callable[[Any], float]] = {
    "add": lambda d: 0, "mul": lambda d: 1, "max": lowest, "min": highest}


def update(x: Node, key: Any, value: Any, mode: str) -> Node:
    """x with x[key] set to `value`, or folded with it; `value` broadcasts to x[key]."""
    if x.dtype is bool_ and mode in ("max", "min"):
        return cast(update(cast(x, u8), key, cast(as_node(value, bool_), bool_), mode), bool_)
    found = read_key(x, key)
    part = _turn(_cut(x, found), found)
    if not found.arrays:
        new = _fitted(x, value, _static_shape(part, found))
        return _write_back(x, found, reshape(new, part.shape), mode)
    plain, arrays = _without_ints(part, found)
    positions = _flat_index(plain, found, arrays)
    merged, place, order = _merge(plain, arrays)
    gathered = (*merged.shape[:place], *positions.shape, *merged.shape[place + 1:])
    shape = _placed(leaf.constant(0, x.type.with_(shape=gathered, layout=None)), found, place,
                    positions.ndim).shape
    new = _unplaced(_fitted(x, value, shape), found, place, positions.ndim)
    written = fold_updates(merged, positions, new, place, 0, mode)
    apart = reshape(written, tuple(plain.shape[a] for a in order))
    whole = transpose(apart, [int(a) for a in np.argsort(order)])
    return _write_back(x, found, reshape(whole, part.shape), "set")


def _fitted(x: Node, value: Any, shape: Sequence[int]) -> Node:
    """`value` as updates of `shape` in x's dtype. Raises DlcError when it does not fit."""
    new = as_node(value, x.dtype)
    if new.dtype is not x.dtype and not isinstance(value, (bool, int, float)):
        new = cast(new, x.dtype)
    new = cast(new, x.dtype)
    skip = len(shape) - new.ndim
    if skip < 0 or any(d not in (1, s) for d, s in zip(new.shape, shape[skip:], strict=True)):
        raise DlcError(f"update of {describe(x)}: {describe(new)} does not fit", here(),
                       f"the place has shape {tuple(map(int, shape))}")
    return broadcast_to(new, shape)


def _write_back(x: Node, key: Key, part: Node, mode: str) -> Node:
    """x with `part`, of the shape that _cut gives, at the static part of the key."""
    whole = all(k.count == d and k.step == 1 for k, d in zip(key.axes, x.shape, strict=True))
    part = _turn(part, key)
    if part.type.size == 0:
        return x
    low = [k.start for k in key.axes]
    high = [int(d) - k.start - ((k.count - 1) * k.step + 1)
            for k, d in zip(key.axes, x.shape, strict=True)]
    inner = [k.step - 1 for k in key.axes]
    if mode == "set":
        if whole:
            return part
        ones = leaf.constant(True, part.type.with_(dtype=bool_, layout=None))
        return where(pad(ones, low, high, 0, inner), pad(part, low, high, 0, inner), x)
    new = part if whole else pad(part, low, high, _NEUTRAL[mode](x.dtype), inner)
    fold: dict[str, Callable[[Any, Any], Node]] = {
        "add": lambda a, b: a + b, "mul": lambda a, b: a * b, "max": maximum, "min": minimum}
    return fold[mode](x, new)
