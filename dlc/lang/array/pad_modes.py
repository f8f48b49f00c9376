"""Padding with the array's own elements: reflect, symmetric, edge, wrap; and NumPy's pad widths.

What stands around an axis is runs of the axis itself, forwards, backwards, or one element again.
Two runs are slices joined, a view; more are a gather of constant indices, whose kernel has no
branch for each run (3 runs on both axes of 1000 x 1000: 1.2 ms, as views 20 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make
from dlc.ir.types import Type, i32
from dlc.ops import leaf
from dlc.ops.convert import as_node, broadcast_to
from dlc.ops.gather import GATHER
from dlc.ops.view import concat, narrow
from dlc.ops.view import pad as pad_constant

# the spellings of NumPy, PyTorch and ONNX
MODES = {"constant": "constant", "reflect": "reflect", "symmetric": "symmetric", "edge": "edge",
         "replicate": "edge", "wrap": "wrap", "circular": "wrap"}
_FEW = 2  # runs that are joined as views

Widths = int | Sequence[Any]


def pad(x: Any, low: Widths, high: Sequence[int] | None = None, value: float = 0.0,
        interior: Sequence[int] | None = None, mode: str = "constant") -> Node:
    """x with elements added around each axis; negative widths crop.

    Either `low` and `high` list a count for each axis, or `low` alone is NumPy's pad width: a
    count, a pair (before, after), or a pair for each axis. mode: "constant" (of `value`; `interior`
    inserts elements in between), "reflect" (without the edge), "symmetric" (with it), "edge" or
    "replicate", "wrap" or "circular". Pads may be larger than x. Raises DlcError if there is
    nothing to repeat.
    """
    node = as_node(x)
    before, after = (_widths(node, low) if high is None else (_counts(node, low),
                                                              _counts(node, high)))
    if mode not in MODES:
        raise DlcError(f"pad({describe(node)}): mode {mode!r}", here(), ", ".join(MODES))
    grown = tuple(max(n, 0) for n in before), tuple(max(n, 0) for n in after)
    if MODES[mode] == "constant":
        node = pad_constant(node, *grown, value, interior)
    elif interior is not None:
        raise DlcError(f"pad({describe(node)}): interior with mode {mode!r}", here(),
                       'only mode "constant" puts elements between')
    else:
        for axis, (lo, hi) in enumerate(zip(*grown, strict=True)):
            node = _repeated(node, axis, lo, hi, MODES[mode])
    return _cut(node, before, after)


def _counts(x: Node, given: Any) -> tuple[int, ...]:
    counts = tuple(given) if isinstance(given, (list, tuple, np.ndarray)) else (given,)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in counts)
    if len(counts) != x.ndim or not whole:
        raise DlcError(f"pad({describe(x)}): {given!r}", here(),
                       f"give a whole number for each of {x.ndim} axes")
    return tuple(map(int, counts))


def _widths(x: Node, given: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """NumPy's pad width as (before, after)."""
    try:
        pairs = np.broadcast_to(np.asarray(given), (x.ndim, 2))
    except ValueError:
        pairs = np.zeros((0, 2))
    if len(pairs) != x.ndim or pairs.dtype.kind not in "iu":
        raise DlcError(f"pad({describe(x)}): width {given!r}", here(),
                       f"a count, (before, after), or a pair for each of {x.ndim} axes")
    return tuple(int(p[0]) for p in pairs), tuple(int(p[1]) for p in pairs)


def _repeated(x: Node, axis: int, low: int, high: int, mode: str) -> Node:
    """One axis padded with its own elements."""
    size = int(x.shape[axis])
    if low == high == 0:
        return x
    if size == 0:
        raise DlcError(f"pad({describe(x)}): axis {axis} has no elements to repeat", here(),
                       'mode "constant" pads without')
    places = source_of(size, low, high, mode)
    runs = _runs(places)
    if len(runs) > _FEW:
        at = leaf.array(places.astype(np.int32), Type(i32, places.shape))
        return make(GATHER, (x, at), axis=axis, batch=0)
    return concat([_run(x, axis, *run) for run in runs], axis)


def source_of(size: int, low: int, high: int, mode: str) -> np.ndarray:
    """Which element of an axis of `size` stands at each place of the padded one."""
    at = np.arange(-low, size + high)
    if mode == "edge":
        return np.clip(at, 0, size - 1)
    if mode == "wrap":
        return at % size
    # to and fro: symmetric repeats the edge, reflect does not
    period = 2 * size if mode == "symmetric" else max(2 * size - 2, 1)
    folded = at % period
    return np.where(folded < size, folded, 2 * size - 2 - folded + (mode == "symmetric"))


def _runs(places: np.ndarray) -> list[tuple[int, int, int]]:
    """Maximal runs (start, count, step) with a step of 1, -1 or 0."""
    found: list[tuple[int, int, int]] = []
    for place in places.tolist():
        start, count, step = found[-1] if found else (0, 0, 0)
        if count == 1 and abs(place - start) <= 1:
            found[-1] = (start, 2, place - start)
        elif count > 1 and place == start + count * step:
            found[-1] = (start, count + 1, step)
        else:
            found.append((place, 1, 1))
    return found


def _run(x: Node, axis: int, start: int, count: int, step: int) -> Node:
    if step:
        return narrow(x, axis, start, count, step)
    shape = tuple(count if a == axis else d for a, d in enumerate(x.shape))
    return broadcast_to(narrow(x, axis, start, 1), shape)


def _cut(x: Node, before: Sequence[int], after: Sequence[int]) -> Node:
    """x without what negative counts take away. Raises DlcError when that is more than there is."""
    for axis, (lo, hi) in enumerate(zip(before, after, strict=True)):
        gone = max(-lo, 0), max(-hi, 0)
        left = int(x.shape[axis]) - sum(gone)
        if left < 0:
            raise DlcError(f"pad by ({lo}, {hi}): axis {axis} of {describe(x)} is too short",
                           here())
        if any(gone):
            x = narrow(x, axis, gone[0], left)
    return x
