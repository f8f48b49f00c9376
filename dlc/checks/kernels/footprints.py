"""What the tiles touch, from their contract (dlc/backend/cpu/tiles.py): rectangles behind pointers.

A native tile may touch more than its plain body: a gemm stores whole blocks of rows, a dot product
loads whole vectors, and every loop runs once at least.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.checks.kernels.ranges import (
    Range,
    Space,
    add,
    between,
    larger,
    least,
    most,
    multiply,
    number,
)
from dlc.program import TileText

_NAME = re.compile(r"(gemm|taps|dots|transpose|copy)_(?:f32|f64)(?:_(\d+)x(\d+))?")
ONE = number(1)
Side = tuple[Range, Range]  # how many steps, elements from one to the next


@dataclass(frozen=True)
class Box:
    """The elements base + shift + i * stride + j * ... of a pointer argument, for all i, j, ...

    `table` names the argument whose words are added, the first `words` of them.
    """

    pointer: str
    sides: tuple[Side, ...]
    written: bool = False
    table: str = ""
    words: Range = ONE


def is_tile(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def footprint(tile: TileText, given: Mapping[str, Range], space: Space) -> list[Box]:
    """The boxes that a call of `tile` with these numbers touches."""
    match = _NAME.fullmatch(tile.name)
    assert match is not None, tile.name
    rows, cols = int(match[2] or 0), int(match[3] or 0)
    if match[1] in ("copy", "transpose"):
        return _moved(match[1], given, space)
    if match[1] == "dots":
        return _dots(tile, rows, cols, given, space)
    return _block(match[1], rows, cols, given, space)


def _moved(kind: str, given: Mapping[str, Range], space: Space) -> list[Box]:
    """dst[i, j] = src[i, j], or turned; masked at the edges, but copies run one row at least."""
    rows, cols = given["rows"], given["cols"]
    if kind == "copy":
        rows = larger(rows, ONE, space)
    to = ((rows, given["ldd"]), (cols, ONE)) if kind == "copy" else (
        (cols, given["ldd"]), (rows, ONE))
    return [Box("src", ((rows, given["lds"]), (cols, ONE))), Box("dst", to, True)]


def _block(kind: str, rows: int, cols: int, given: Mapping[str, Range],
           space: Space) -> list[Box]:
    """C[rows, cols] of panels of A and rows of B; loops of fewer rows where `rows` allows it."""
    k = larger(given["k"], ONE, space)
    stored = _stored_rows(rows, given["rows"], space)
    out = ((stored, given["ldc"]), (number(cols), ONE))
    right = Box("b", ((k, given["ldb"]), (number(cols), ONE))) if kind == "gemm" else Box(
        "b", ((number(cols), ONE),), False, "table", k)
    read = [Box("table", ((k, ONE),))] if kind == "taps" else []
    return [Box("a", ((k, number(rows)), (stored, ONE))), right, *read, Box("c", out, True),
            Box("c", out)]


def _stored_rows(rows: int, live: Range, space: Space) -> Range:
    """The rows of the smallest loop that has `live`: 4, 8 or all (tiles._row_counts)."""
    def up(bound: Any) -> Any:
        found: Any = float(rows) if isinstance(bound, np.ndarray) else rows
        for count in (8, 4):
            if count < rows:
                if isinstance(bound, np.ndarray):
                    found = np.where(bound <= count, count, found)
                elif bound <= count:
                    found = count
        return found
    lo = up(live.lo)
    return between(lo, lo if live.exact else up(live.hi), space)


def _dots(tile: TileText, rows: int, cols: int, given: Mapping[str, Range],
          space: Space) -> list[Box]:
    """`repeat` runs of k elements, in whole vectors, of each row of A and each shift of B."""
    repeat, k = larger(given["repeat"], ONE, space), larger(given["k"], ONE, space)
    lanes = _lanes(tile)
    if lanes > 1:
        low, high = (lanes * np.ceil(np.asarray(b, np.float64) / lanes) for b in (k.lo, k.hi))
        k = between(low, low if k.exact else high, space) if k.space else Range(
            float(low), float(high))
    return [Box("a", ((repeat, given["step_a"]), (number(rows), given["lda"]), (k, ONE))),
            Box("table", ((number(cols), ONE),)),
            Box("b", ((repeat, given["step_b"]), (k, ONE)), False, "table", number(cols)),
            Box("c", ((number(rows), given["ldc"]), (number(cols), ONE)), True)]


def _lanes(tile: TileText) -> int:
    """The width of the tile's vectors, from its instructions."""
    widths = [int(w) for w in re.findall(r"<(\d+) x (?:float|double)>", tile.ir)]
    return max(widths, default=1)


def reach(sides: tuple[Side, ...], offset: Range, space: Space) -> Range:
    """The first and the last element of a box at `offset`, all its sides being longer than 0."""
    found = offset
    for count, stride in sides:
        steps = add(count, number(-1), space)
        way = multiply(steps, stride, space)
        found = between(found.lo + least(way.lo, 0), found.hi + most(way.hi, 0), space)
    return found
