"""Convolutions without im2col: kernels that read a padded image through a table of offsets.

`TapsWriter`, the convolution: lanes run along the flat image, also over the few columns at the end
of each line that belong to no output; `taps` tiles multiply, then whole lines are cut out.
`DotsWriter`, the gradient of the kernel: a few outputs are sums over whole images; `dots` tiles run
along the flat image of both operands, with zeros at the end of each line of A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from dlc.backend.contract.gemm import Finish
from dlc.backend.contract.pack import ZERO, Job, Run, grid, loop, nest, run_of, within
from dlc.backend.contract.plan import Blocking, Box, Shape
from dlc.backend.contract.ready import Form
from dlc.backend.contract.window import Window, WindowWriter, fill, whole, window_of
from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts, contraction_chunks
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Expression, Pointer
from dlc.backend.ir.index import Sum, sum_of
from dlc.ir.access import unravel
from dlc.ir.types import DType


class TapsWriter(WindowWriter):
    """C = A @ shifted images, one image after the other; A is packed by GemmWriter.write_pack."""

    def form(self, side: str) -> Form | None:
        return super().form(side) if side == "a" else None

    def write_multiply(self, e: Emitter, space: str) -> Cuts:
        """Runs of some images are the parallel axis: each fills its border and table once."""
        window, job, cuts, shape = self.window, self.job, self.cuts, self.shape
        spatial = [s.cols for s in window.slides]
        chunks = max(2 * job.limits.chunks, contraction_chunks(shape.products, job.limits))
        images = image_box(math.prod(self.lead_cols), chunks)
        *batch, number = grid(e, shape.batch, part=images.count)
        run = run_of(e, images, number, "n")
        steps = window.steps(self.lead_inner, [s.by_inner for s in window.slides])
        table = self.table(e, shape.inner, steps, shape.k)
        stride = whole(window.flat(spatial), cuts.width)
        size = math.prod(self.lead_inner) * window.plane + stride
        image = Pointer(e.allocate("image", job.kind, size))
        acc = Pointer(e.allocate("acc", job.kind, cuts.height * stride))
        if self.bordered:
            self.zero(e, image, size)
        step, close = loop(e, "n", images.size, run.size)
        lead = unravel(run.start + step, self.lead_cols)
        self.fill_channels(e, image, batch, lead)
        p, shut = loop(e, "p", self.panels)
        rows = self.rows(e, p)
        panel = self.packed_panel(self.ready["a"] or space, batch, p)
        self.multiply_strips(e, panel, rows, image, Pointer(table), acc, stride)
        self.finish_image(e, batch, lead, p, rows, acc, stride)
        shut()
        close()
        return dict.fromkeys(e.axes, 1)

    def multiply_strips(self, e: Emitter, panel: Pointer, rows: Sum, image: Pointer,
                        table: Pointer, acc: Pointer, stride: int) -> None:
        """The products of a panel with the flat image: strip by strip where that is longer."""
        cuts, count = self.cuts, self.shape.k
        several = stride > cuts.width
        s = sum_of(e.open("s", 0, stride)) if several else ZERO
        k, many, joined = self.open_products(e, count, sum_of(count))
        e.tile(f"taps_{self.job.kind}_{cuts.height}x{cuts.width}", panel + k * cuts.height,
               image + s, table + k, many, acc + s, stride, rows, k)
        joined()
        if several:
            self.close_strips(e, s, sum_of(stride))

    def fill_channels(self, e: Emitter, image: Pointer, batch: Sequence[Sum],
                      lead: Sequence[Sum]) -> None:
        """All leading inner indices of one image."""
        extents = self.lead_inner or (1,)
        run = Run(Box(extents, 0, extents[0]), (), ZERO, sum_of(extents[0]))
        index, position, close = nest(e, run, "c")
        inner = index if self.lead_inner else []
        self.fill_image(e, image + position * self.window.plane, batch, lead, inner)
        close()

    def finish_image(self, e: Emitter, batch: Sequence[Sum], lead: Sequence[Sum], p: Sum, rows: Sum,
                     acc: Pointer, stride: int) -> None:
        """Extract the outputs from the flat image, line by line, and store the epilogue of each."""
        spatial = [s.cols for s in self.window.slides]
        size, kind = math.prod(spatial), self.job.kind
        i, close = loop(e, "i", self.cuts.height, rows)
        line = acc + i * stride
        if len(spatial) > 1:
            block = Pointer(e.allocate("block", kind, size))
            e.tile(f"copy_{kind}", block, spatial[1], line, self.window.pitches[0], spatial[0],
                   spatial[1])
            line = block
        axis = len(self.lead_cols)
        cols = Run(Box(self.shape.cols, axis, self.shape.cols[axis]), tuple(lead), ZERO,
                   sum_of(self.shape.cols[axis]))
        first = p * self.cuts.height + i
        row = unravel(within(e, "row", first, self.shape.m), self.shape.rows)
        self.finish_row(e, batch, row, cols, line)
        close()


class DotsWriter(WindowWriter):
    """Parts of C, each summed over some images; GemmWriter.write_sum adds them up."""

    lanes = 1

    def form(self, side: str) -> Form | None:
        return None  # both operands are read as images

    def write_partial(self, e: Emitter, space: str) -> Cuts:
        """Runs of some images are the parallel axis: each is a part of the sums."""
        window, job, cuts, shape = self.window, self.job, self.cuts, self.shape
        *batch, number = grid(e, shape.batch, part=self.parts)
        run = run_of(e, cuts.inner, number, "m")
        steps = window.steps(self.lead_cols, [s.by_col for s in window.slides])
        table = self.table(e, shape.cols, steps, cuts.stride)
        length, high = self.length(), self.panels * cuts.height
        step_a, step_b = high * length, math.prod(self.lead_cols) * window.plane
        left = Pointer(e.allocate("left", job.kind, cuts.inner.size * step_a))
        image = Pointer(e.allocate("image", job.kind, cuts.inner.size * step_b + length))
        self.zero(e, left, cuts.inner.size * step_a)
        self.zero(e, image, cuts.inner.size * step_b + length)
        step, close = loop(e, "m", cuts.inner.size, run.size)
        lead = unravel(run.start + step, self.lead_inner)
        self.fill_all(e, image + step * step_b, batch, lead)
        self.fill_left(e, left + step * step_a, batch, lead, length)
        close()
        part = self.part_place(space, batch, number)
        self.multiply_images(e, (left, step_a), (image, step_b), Pointer(table), length, run.size,
                             part)
        return dict.fromkeys(e.axes, 1)

    def multiply_images(self, e: Emitter, left: tuple[Pointer, int], image: tuple[Pointer, int],
                        table: Pointer, length: int, count: Sum, part: Pointer) -> None:
        """All blocks of a part: sums along `count` flat images of both operands, each with the
        step from one image to the next."""
        cuts = self.cuts
        (a, step_a), (b, step_b) = left, image
        s, shut = loop(e, "s", cuts.stride // cuts.width)
        p, done = loop(e, "p", self.panels)
        mine = part + (p * (cuts.height * cuts.stride) + s * cuts.width)
        e.tile(f"dots_{self.job.kind}_{cuts.height}x{cuts.width}", a + p * (cuts.height * length),
               length, b, table + s * cuts.width, length, count, step_a, step_b, mine, cuts.stride)
        done()
        shut()

    def length(self) -> int:
        """Elements of one flat image of A: whole vectors."""
        return whole(self.window.flat([s.inner for s in self.window.slides]), self.lanes)

    def fill_all(self, e: Emitter, image: Pointer, batch: Sequence[Sum],
                 lead: Sequence[Sum]) -> None:
        """Every leading column index of one image of B."""
        extents = self.lead_cols or (1,)
        run = Run(Box(extents, 0, extents[0]), (), ZERO, sum_of(extents[0]))
        index, position, close = nest(e, run, "c")
        cols = index if self.lead_cols else []
        self.fill_image(e, image + position * self.window.plane, batch, cols, lead)
        close()

    def fill_left(self, e: Emitter, left: Pointer, batch: Sequence[Sum], lead: Sequence[Sum],
                  length: int) -> None:
        """Every row of one image of A, with zeros at the end of each line."""
        i, close = loop(e, "i", self.shape.m)
        row = unravel(i, self.shape.rows)

        def scalar(at: Emitter, position: Sequence[Sum]) -> Expression:
            access = self.job.read("a", batch, row, [*lead, *position])
            return at.access(access, self.job.y, ())
        counts = [s.inner for s in self.window.slides]
        fill(e, self.job, left + i * length, scalar, counts, self.window.pitches)
        close()


# ---- which convolutions ------------------------------------------------------------------------


def image_box(images: int, chunks: int) -> Box:
    """Images in at most about `chunks` equal runs."""
    return Box((images,), 0, -(-images // chunks), True)


def taps_writer(job: Job, finish: Finish, isa: Isa) -> TapsWriter | None:
    """A writer for a convolution of stride 1 with few rows, where packing would cost more than
    the columns between the rows of outputs; None for any other."""
    window = window_of(job)
    if window is None or any(s.by_col != 1 for s in window.slides) or job.cuts.splits:
        return None
    spatial = [s.cols for s in window.slides]
    height, width = taps_block(job.shape.m, window.flat(spatial), job.kind, isa)
    stride = whole(window.flat(spatial), width)
    waste = stride / math.prod(spatial)
    lead = math.prod(job.shape.inner) // math.prod(s.inner for s in window.slides)
    size = lead * window.plane + (height + 2) * stride
    limits = job.limits
    if waste > 1 + limits.waste / job.shape.m or size * job.kind.bytes > 2 * limits.local_bytes:
        return None
    cuts = replace(job.cuts, height=height, width=width, panels=-(-job.shape.m // height))
    return TapsWriter(replace(job, cuts=cuts), finish, window)


def taps_block(m: int, n: int, kind: DType, isa: Isa) -> tuple[int, int]:
    """(rows, columns) of the taps tile: equal panels of rows, and as many vectors as the registers
    hold and `n` columns fill."""
    highest = (isa.registers - 4) // 2
    height = -(-m // -(-m // highest))
    lanes = isa.lanes(kind)
    fits = [v for v in (4, 3, 2) if height * v + v + 2 <= isa.registers] or [2]
    return height, lanes * min(fits, key=lambda v: whole(n, v * lanes))


def dots_writer(job: Job, finish: Finish, isa: Isa) -> DotsWriter | None:
    """A writer for the gradient of a kernel, a long sum over images of stride 1, where gemm would
    be slower; None for any other."""
    window = window_of(job)
    shape, lanes = job.shape, isa.lanes(job.kind)
    if window is None or any(s.by_inner != 1 or s.inner <= s.cols for s in window.slides):
        return None
    if shape.m * shape.n > job.limits.local_bytes // job.kind.bytes:
        return None
    height, width = dots_block(shape.m, shape.n, isa)
    panels, n = -(-shape.m // height), len(window.slides)
    length = whole(window.flat([s.inner for s in window.slides]), lanes)
    each = panels * height * length + math.prod(shape.cols[:-n]) * window.plane
    images = math.prod(shape.inner[:-n])
    most = job.limits.local_bytes // (each * job.kind.bytes)
    if most < 1:
        return None
    inner = Box((images,), 0, min(most, job.limits.images), True)
    cols = Box(shape.cols, 0, shape.cols[0])
    cuts = Blocking(height, width, cols, inner, panels, 1)
    if dots_share(shape, cuts, window, lanes, job.limits) < gemm_share(job):
        return None
    writer = DotsWriter(replace(job, cuts=cuts), finish, window)
    writer.lanes = lanes
    return writer


def dots_share(shape: Shape, cuts: Blocking, window: Window, lanes: int, limits: Limits) -> float:
    """The share of the machine's products that dots reach: of the flat images only their elements
    count, of the blocks only the outputs, and the lanes of every sum are added up for each part."""
    inner = [s.inner for s in window.slides]
    vectors = whole(window.flat(inner), lanes) // lanes
    products = min(cuts.inner.size, math.prod(cuts.inner.extents)) * vectors
    outputs = shape.m / whole(shape.m, cuts.height) * shape.n / whole(shape.n, cuts.width)
    used = math.prod(inner) / (vectors * lanes) * outputs
    return used * products / (products + limits.lane_sums)


def gemm_share(job: Job) -> float:
    """The share that gemm reaches: packing an element takes as long as `limits.packing` products,
    and each run of panels packs its columns of B."""
    shape, cuts = job.shape, job.cuts
    panels = -(-shape.m // cuts.height)
    times = 1 if cuts.splits else -(-panels // cuts.panels)
    used = shape.m / (panels * cuts.height) * cuts.cols.width / cuts.stride
    return used / (1 + job.limits.packing * (times / shape.m + 1 / shape.n))


def dots_block(m: int, n: int, isa: Isa) -> tuple[int, int]:
    """(rows, columns) of the dots tile: little waste, and enough products for each load."""
    def score(block: tuple[int, int]) -> tuple[float, float]:
        rows, cols = block
        used = m / (-(-m // rows) * rows) * (n / (-(-n // cols) * cols))
        loads = min(1.0, rows * cols / (rows + cols)) * min(1.0, rows * cols / 12)
        return round(used * loads, 3), rows * cols / (rows + cols)
    fits = [(r, c) for r in range(1, 7) for c in range(1, 9)
            if r * c + r + 1 <= isa.registers - 2]
    return max(fits, key=score)
