"""How a product of matrices is cut into tiles of blocks of threads, by its extents alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlc.backend.contract.plan import Shape
from dlc.backend.cpu.limits import Limits

SIDE = 16
"""A block is SIDE x SIDE threads; each has a part of the tile, as high and as wide."""
THREADS = SIDE * SIDE
DEPTH = 32
"""Products of a step, for which a block holds both operands in shared memory: a run of a sum, and
128 bytes of a row that lies along the sum."""
TILES = ((128, 64), (64, 64), (64, 32), (32, 64), (32, 32))
"""Rows and columns, the largest first: 32 products of a thread take 12 loads from shared memory,
16 take 8, 4 take 4. A thread of the largest keeps 32 sums and 32 totals in registers."""
LEAST_STEPS = 8
"""Steps of a part of a sum: fewer would not pay for adding up the parts."""
LEAST_SIDE = 8
"""Rows and columns from which a tile is worth filling: of fewer most would be of zeros."""
LONG = 1024
"""Products of a sum from which few results are tiled however narrow: a thread would take them one
after the other."""


@dataclass(frozen=True)
class Cut:
    """A tile of `rows` x `cols` for each block; the sum is taken in `parts` of `part` products."""

    rows: int
    cols: int
    parts: int
    part: int

    @property
    def height(self) -> int:
        """Rows of a thread."""
        return self.rows // SIDE

    @property
    def width(self) -> int:
        """Columns of a thread."""
        return self.cols // SIDE

    def blocks(self, shape: Shape) -> int:
        """Blocks of the grid."""
        return shape.b * self.parts * -(-shape.m // self.rows) * -(-shape.n // self.cols)


def is_tiled(shape: Shape, limits: Limits) -> bool:
    """Whether a product fills tiles, or has long sums and too few results for a thread each; plain
    loops serve the others."""
    few = shape.b * shape.m * shape.n < limits.loop_chunks and shape.k >= LONG
    return shape.k > 0 and (few or min(shape.m, shape.n) >= LEAST_SIDE)


def cut_of(shape: Shape, limits: Limits) -> Cut:
    """The largest tile that gives every processor a block; else the smallest, whose sums are cut
    into parts where they are long."""
    rows, cols = next((t for t in fitting(shape) if _blocks(shape, *t) >= limits.cores),
                      list(fitting(shape))[-1])
    steps = -(-shape.k // DEPTH)
    wanted = min(limits.cores // _blocks(shape, rows, cols), steps // LEAST_STEPS)
    part = -(-steps // max(1, wanted)) * DEPTH
    return Cut(rows, cols, -(-shape.k // part), part)


def fitting(shape: Shape) -> Iterator[tuple[int, int]]:
    """The tiles of which a product fills more than half in either direction, and the smallest."""
    for rows, cols in TILES:
        if (rows == 32 or 2 * shape.m > rows) and (cols == 32 or 2 * shape.n > cols):
            yield rows, cols


def _blocks(shape: Shape, rows: int, cols: int) -> int:
    return shape.b * -(-shape.m // rows) * -(-shape.n // cols)
