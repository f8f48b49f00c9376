"""How a contraction is blocked over columns, rows and the summed axis, and which scheme runs it.

Everything here is arithmetic on extents: no text, no graph. The cuts depend on shapes and on the
instruction set only, never on the number of threads, so results are the same on any number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dlc.backend.cpu.isa import Isa, gemm_block
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import contraction_chunks, least_panels, panel_groups
from dlc.backend.ir.index import Sum
from dlc.ir.access import Index, unravel
from dlc.ir.types import DType


@dataclass(frozen=True)
class Box:
    """Extents cut into boxes: axes before `axis` one by one, `axis` in runs of `size`, the rest
    whole. A box of (img, y, x) may be some rows y of one image, or some whole images.

    `open`: the extent of the cut axis may be another one when the same text is used again (the
    batch), so the text says that the last run may be shorter even where it is not.
    """

    extents: tuple[int, ...]
    axis: int
    size: int
    open: bool = False

    @property
    def count(self) -> int:
        """Number of boxes."""
        return math.prod(self.extents[:self.axis]) * self.runs

    @property
    def runs(self) -> int:
        return -(-self.extents[self.axis] // self.size)

    @property
    def inner(self) -> int:
        """Elements per step of `axis`."""
        return math.prod(self.extents[self.axis + 1:])

    @property
    def width(self) -> int:
        """Elements of a full box."""
        return self.size * self.inner

    @property
    def ragged(self) -> bool:
        """Whether the last run is shorter, or may be."""
        return self.open or self.extents[self.axis] % self.size != 0

    def outer(self, number: Sum) -> Index:
        """Indices of the axes before `axis` in box `number`."""
        return unravel(number // self.runs, self.extents[:self.axis])

    def start(self, number: Sum) -> Sum:
        """Where box `number` starts on `axis`."""
        return (number % self.runs if self.axis else number) * self.size


def cut(extents: tuple[int, ...], target: int, multiple: int = 1) -> Box:
    """Boxes of about `target` elements. Runs along the only axis, or along one of an image, are
    equal but for the last, and a multiple of `multiple` where they are innermost; runs of whole
    images are of one length whatever their number."""
    if not extents:
        return Box((1,), 0, 1)
    axis, inner = len(extents) - 1, 1
    while axis > 0 and inner * extents[axis] * 2 <= target:
        inner *= extents[axis]
        axis -= 1
    if axis == 0 and len(extents) > 1:
        return Box(extents, 0, max(1, round(target / inner)), True)
    runs = max(1, round(extents[axis] * inner / target))
    size = max(1, -(-extents[axis] // runs))
    if inner == 1:
        size = -(-size // multiple) * multiple
    return Box(extents, axis, min(size, extents[axis]))


@dataclass(frozen=True)
class Shape:
    """A contraction's extents: batch axes, rows of C, columns of C, and the summed axes."""

    batch: tuple[int, ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    inner: tuple[int, ...]

    @property
    def b(self) -> int:
        return math.prod(self.batch)

    @property
    def m(self) -> int:
        return math.prod(self.rows)

    @property
    def n(self) -> int:
        return math.prod(self.cols)

    @property
    def k(self) -> int:
        return math.prod(self.inner)

    @property
    def products(self) -> int:
        """Multiplications."""
        return self.b * self.m * self.n * self.k


@dataclass(frozen=True)
class Blocking:
    """How a Shape is cut for the gemm tile.

    A chunk is one batch index, `panels` panels of `height` rows, and one box of `cols`; inside it
    boxes of `inner` are packed one after the other, `stride` columns wide. `splits` > 0: chunks
    are runs of that many boxes of `inner` instead, whose partial sums a later stage adds up.
    """

    height: int
    width: int
    cols: Box
    inner: Box
    panels: int
    splits: int = 0
    highest: int = 1  # panels that a chunk may have while it walks boxes of `inner`

    @property
    def stride(self) -> int:
        """Columns of a packed block of B: whole tiles."""
        return -(-self.cols.width // self.width) * self.width


def blocking(shape: Shape, kind: DType, isa: Isa) -> Blocking:
    """The cuts of a contraction of `shape` that accumulates in `kind`."""
    height, width = gemm_block(isa, kind)
    limits, panels = isa.limits, -(-shape.m // height)
    if shape.k >= limits.split_sum and few_outputs(panels, height, shape, limits):
        return split_blocking(shape, kind, isa)
    cols = cut(shape.cols, max(limits.columns, width), width)
    stride = -(-cols.width // width) * width
    inner = cut_inner(shape.inner, limits.local_bytes // (stride * kind.bytes))
    wanted = panel_groups(panels, height, shape.b * cols.count, shape.products, limits)
    # a block of C as high as the chunk stays in cache while the summed axis is walked in boxes
    highest = max(1, limits.local_bytes // (height * stride * kind.bytes))
    each = max(2, -(-panels // wanted))  # 1 would be another text than more
    return Blocking(height, width, cols, inner, each if inner.count == 1 else min(each, highest),
                    highest=highest)


def few_outputs(panels: int, height: int, shape: Shape, limits: Limits) -> bool:
    """Whether the outputs are too few to share: for any threads, or for those of a large machine
    where the sum is so long that its parts are worth adding up."""
    if panels * shape.n <= limits.chunks * limits.columns:
        return True
    groups = shape.b * -(-panels // least_panels(height)) * -(-shape.n // limits.columns)
    return (contraction_chunks(shape.products, limits) == limits.cores
            and 2 * groups <= limits.cores and panels * height + shape.n <= limits.wide)


def cut_inner(extents: tuple[int, ...], most: int) -> Box:
    """Boxes of at most about `most` elements along the summed axes; one box when all fit."""
    if not extents:
        return Box((1,), 0, 1)
    if math.prod(extents) <= most:
        return Box(extents, 0, extents[0])
    inner, axis = math.prod(extents), -1
    while inner > most and axis < len(extents) - 1:
        axis += 1
        inner //= extents[axis]
    return Box(extents, axis, max(1, most // inner), axis == 0 and len(extents) > 1)


def split_blocking(shape: Shape, kind: DType, isa: Isa) -> Blocking:
    """Few outputs, a long sum: every chunk takes a part of the sum and all of the outputs."""
    height, width = gemm_block(isa, kind)
    panels = -(-shape.m // height)
    cols = Box(shape.cols or (1,), 0, (shape.cols or (1,))[0])
    stride = -(-cols.width // width) * width
    most = isa.limits.local_bytes // ((stride + panels * height) * kind.bytes)
    inner = cut_inner(shape.inner, max(1, most))
    parts = max(2 * isa.limits.chunks, contraction_chunks(shape.products, isa.limits))
    splits = -(-inner.count // parts)
    return Blocking(height, width, cols, inner, panels, splits)
