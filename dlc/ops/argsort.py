"""The stable argsort, a routine of three texts: radix passes for long rows, merges for short ones,
and a selection where only the first few are wanted. NaN counts as larger than every number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlc.ir.graph import Kind, Node, Op, OpError, make
from dlc.ir.registry import register
from dlc.ir.types import DType, Type, bool_, dtype, i32, i64, u8, u32
from dlc.ops.convert import as_node, cast
from dlc.ops.reduce import axis_of
from dlc.ops.routine import Routine, Workspace, filled, kernel_dtype
from dlc.ops.samples import spread

# Runs of 8 by insertion, then merges of twice the width between the two halves of a workspace:
# what is compared moves along with its place, so that every pass reads in order.
_MERGE = """
def argsort(x, order, keys, places, block):
    home = block * $space
    for row in range(block * $rows, min((block + 1) * $rows, $total)):
        base = idiv(row, $inner) * ($n * $inner) + imod(row, $inner)
        into = idiv(row, $inner) * ($count * $inner) + imod(row, $inner)
        for i in range($n):
            key = x[base + i * $inner]
            at = home + i
            while at > home + i - (i & 7) and $goes_before:
                keys[at] = keys[at - 1]
                places[at] = places[at - 1]
                at -= 1
            keys[at] = key
            places[at] = i32(i)
        source = home
        target = home + $n
        width = 8
        while width < $n:
            low = 0
            while low < $n:
                middle = min(low + width, $n)
                high = min(middle + width, $n)
                a = source + low
                b = source + middle
                at = target + low
                while a < source + middle and b < source + high:
                    key = keys[a]
                    other = keys[b]
                    second = $right_first
                    keys[at] = select(second, other, key)
                    places[at] = select(second, places[b], places[a])
                    a += select(second, 0, 1)
                    b += select(second, 1, 0)
                    at += 1
                for left in range(a, source + middle):
                    keys[at] = keys[left]
                    places[at] = places[left]
                    at += 1
                for left in range(b, source + high):
                    keys[at] = keys[left]
                    places[at] = places[left]
                    at += 1
                low = high
            old = source
            source = target
            target = old
            width *= 2
        for i in range($count):
            order[into + i * $inner] = places[source + i]
"""

# Digits of 8 bits from the lowest up, each a stable counting sort of (key, place); a digit that is
# the same in all keys costs nothing. Keys are whole numbers in the order of the values.
_RADIX = """
def argsort(x, order, keys, places, counts, block):
    home = block * (2 * $n)
    table = block * (256 * $digits)
    for row in range(block * $rows, min((block + 1) * $rows, $total)):
        base = idiv(row, $inner) * ($n * $inner) + imod(row, $inner)
        into = idiv(row, $inner) * ($count * $inner) + imod(row, $inner)
        for i in range(256 * $digits):
            counts[table + i] = i32(0)
        for i in range($n):
            value = x[base + i * $inner]
$key
            keys[home + i] = $K(key)
            places[home + i] = i32(i)
            for digit in range($digits):
                at = table + digit * 256 + ((key >> (8 * digit)) & 255)
                counts[at] = i32(counts[at] + i32(1))
        source = home
        target = home + $n
        for digit in range($digits):
            first = table + digit * 256
            if i64(counts[first + ((i64(keys[source]) >> (8 * digit)) & 255)]) < $n:
                total = 0
                for i in range(256):
                    here = i64(counts[first + i])
                    counts[first + i] = i32(total)
                    total += here
                for i in range($n):
                    key = i64(keys[source + i])
                    at = first + ((key >> (8 * digit)) & 255)
                    to = target + i64(counts[at])
                    counts[at] = i32(counts[at] + i32(1))
                    keys[to] = $K(key)
                    places[to] = places[source + i]
                old = source
                source = target
                target = old
        for i in range($count):
            order[into + i * $inner] = places[source + i]
"""

# The first few in order, each new element put among them if it stands before the last.
_SELECT = """
def argsort(x, order, keys, places, block):
    home = block * $count
    for row in range(block * $rows, min((block + 1) * $rows, $total)):
        base = idiv(row, $inner) * ($n * $inner) + imod(row, $inner)
        into = idiv(row, $inner) * ($count * $inner) + imod(row, $inner)
        known = 0
        for i in range($n):
            key = x[base + i * $inner]
            if known < $count or $before_last:
                at = home + min(known, $count - 1)
                while at > home and $goes_before:
                    keys[at] = keys[at - 1]
                    places[at] = places[at - 1]
                    at -= 1
                keys[at] = key
                places[at] = i32(i)
                known = min(known + 1, $count)
        for i in range($count):
            order[into + i * $inner] = places[home + i]
"""
_BLOCKS = 64  # of rows, at most: each has a workspace of two rows
_FEW = 32  # elements that are selected, not sorted
# The places of a value in the order of its dtype, as `key` of $digits bytes in an i64.
_FLOAT_KEY = """bits = {bits}
if value == {T}(0.0):
    bits = 0
key = {positive}
if bits {negative}:
    key = {top} - bits
if value != value:
    key = {top}"""
_KEYS = {
    "f32": _FLOAT_KEY.format(T="f32", bits="i64(bitcast_u32(value))", positive="bits + 2147483648",
                             negative=">= 2147483648", top="4294967295"),
    "f64": _FLOAT_KEY.format(T="f64", bits="bitcast_i64(value)", positive="bits | (-1 << 63)",
                             negative="< 0", top="-1"),
    "i32": "key = i64(value) + 2147483648", "i64": "key = value ^ (-1 << 63)",
    "i16": "key = i64(value) + 32768", "i8": "key = i64(value) + 128", "u64": "key = i64(value)",
    "u32": "key = i64(value)", "u16": "key = i64(value)", "u8": "key = i64(value)"}
_DIGITS = {"f32": 4, "i32": 4, "i16": 2, "i8": 1, "u32": 4, "u16": 2, "u8": 1, "f64": 8, "i64": 8,
           "u64": 8}
_TOP = {1: "255", 2: "65535", 4: "4294967295", 8: "-1"}


def precedes(a: str, b: str, type_: Type, descending: bool) -> str:
    """Source of: `a` stands before `b` whatever their places; NaN is the largest."""
    low, high = (b, a) if descending else (a, b)
    if not type_.dtype.is_float:
        return f"({low} < {high})"
    return f"(({low} < {high}) | (({high} != {high}) & ({low} == {low})))"


def _infer_argsort(x: Type, *, axis: int, descending: bool, count: int) -> Type:
    if not 0 <= axis < x.ndim:
        raise OpError(f"axis {axis} of {x.describe()}", f"axes are 0 .. {x.ndim - 1}")
    if x.dtype is bool_:
        raise OpError("bool has no kernel form", "cast to u8 first")
    if not isinstance(descending, bool):
        raise OpError(f"descending={descending!r}", "True or False")
    if not isinstance(count, int) or not 0 <= count <= x.shape[axis]:
        raise OpError(f"the first {count} of {int(x.shape[axis])} along axis {axis}")
    size = x.shape[axis] if count == x.shape[axis] else count
    return x.with_(dtype=i32, shape=(*x.shape[:axis], size, *x.shape[axis + 1:]), layout=None)


def _eval_argsort(x: Any, *, axis: int, descending: bool, count: int) -> Any:
    order = np.argsort(_rank(x, axis) if descending else x, axis, kind="stable")
    return np.take(order, np.arange(count), axis)


def _rank(x: Any, axis: int) -> Any:
    """How many elements along `axis` are larger: equal ones are equal, so they keep their order."""
    moved = np.moveaxis(x, axis, -1)
    ordered = np.sort(moved, -1)
    rank = np.empty(moved.shape, np.int64)
    for at in np.ndindex(moved.shape[:-1]):
        rank[at] = -np.searchsorted(ordered[at], moved[at])
    return np.moveaxis(rank, -1, axis)


def _emit_argsort(y: Node) -> Routine:
    x, axis, descending = y.args[0].type, y.attrs["axis"], y.attrs["descending"]
    n, inner, count = int(x.shape[axis]), math.prod(map(int, x.shape[axis + 1:])), y.attrs["count"]
    total = math.prod(map(int, x.shape[:axis])) * inner
    rows = max(-(-total // _BLOCKS), 1)
    kind = dtype(kernel_dtype(x))
    words = {"n": n, "inner": inner, "total": total, "rows": rows, "count": count,
             "goes_before": precedes("key", "keys[at - 1]", x, descending)}
    if count <= _FEW and n > 4 * count:
        text = filled(_SELECT, **words, before_last=precedes(
            "key", f"keys[home + {count - 1}]", x, descending))
        spaces: tuple[Workspace, ...] = (Workspace(kind, count), Workspace(i32, count))
    elif n >= 16 * _DIGITS[kind.name]:
        text, spaces = _radix(kind, n, descending, words)
    else:
        text = filled(_MERGE, **words, space=2 * n,
                      right_first=precedes("other", "key", x, descending))
        spaces = (Workspace(kind, 2 * n), Workspace(i32, 2 * n))
    return Routine(text, {"block": -(-total // rows)}, spaces)


def _radix(kind: DType, n: int, descending: bool,
           words: dict[str, Any]) -> tuple[str, tuple[Workspace, ...]]:
    digits = _DIGITS[kind.name]
    key = _KEYS[kind.name] + (f"\nkey = {_TOP[digits]} - key" if descending else "")
    stored = i64 if digits == 8 else u32
    text = filled(_RADIX, **words, digits=digits, K=stored,
                  key="\n".join(" " * 12 + line for line in key.splitlines()))
    return text, (Workspace(stored, 2 * n), Workspace(i32, 2 * n), Workspace(i32, 256 * digits))


def _sample_argsort() -> Iterator[Any]:
    rng = np.random.default_rng(41)
    for shape, axis, descending, count in (
            ((7,), 0, False, 7), ((3, 1), 1, True, 1), ((4, 37), 1, True, 37),
            ((2, 19, 3), 1, False, 19), ((70, 9), 0, True, 20), ((3, 40), 1, True, 3),
            ((2, 600), 1, False, 600), ((600, 2), 0, True, 500)):
        attrs = {"axis": axis, "descending": descending, "count": count}
        yield (spread(rng, shape, -3, 3),), attrs
    for kind, size, count in ((np.int32, 300, 300), (np.uint8, 70, 70), (np.int64, 700, 600),
                              (np.uint32, 300, 300), (np.int32, 33, 33), (np.int64, 99, 2)):
        ties = rng.integers(0, 9, (2, size)) - (4 if np.dtype(kind).kind == "i" else 0)
        for descending in (False, True):
            yield (ties.astype(kind),), {"axis": 1, "descending": descending, "count": count}
    special = np.array([1, np.nan, -np.inf, -np.nan, np.inf, 0, -0.0, 1, -1, 0], np.float32)
    for x, count in ((special, 10), (np.tile(special, 60), 600), (special, 2)):
        for descending in (False, True):
            yield (x,), {"axis": 0, "descending": descending, "count": count}


def _usual(x: Type, *, axis: int, **_: Any) -> dict[str, Any]:
    return {"descending": False, "count": int(x.shape[axis]) if 0 <= axis < x.ndim else 0}


ARGSORT = register(Op(
    "argsort", Kind.ROUTINE, _infer_argsort, _eval_argsort, None, _emit_argsort, _sample_argsort,
    (), "the first `count` indices of the stable order along an axis; NaN is the largest",
    gradient="none", defaults=_usual))


def argsort(x: Any, axis: int = -1, descending: bool = False) -> Node:
    """i32 indices that sort x along `axis`; equal elements keep their order (stable).

    NaN is larger than every number. Raises DlcError for a bad axis. No gradient.
    """
    node = as_node(x)
    axis = axis_of(node, axis, "argsort")
    return first_places(node, axis, descending, int(node.shape[axis]))


def first_places(x: Node, axis: int, descending: bool, count: int) -> Node:
    """The first `count` indices of the order along `axis`."""
    plain = cast(x, u8) if x.dtype is bool_ else x
    return make(ARGSORT, (plain,), axis=axis, descending=descending, count=count)
