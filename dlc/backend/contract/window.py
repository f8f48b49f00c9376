"""Sliding windows over an operand of a contraction, and the padded images they read.

A window slides where a coordinate is column axis + inner axis, as in x[n, c, oy + ky - pad,
ox + kx - pad]. In an image padded to lines of `pitch` elements, one tap (c, ky, kx) is a constant
offset, so the row of B for one k is the image itself, shifted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dlc.backend.contract.gemm import Finish, GemmWriter
from dlc.backend.contract.pack import ZERO, Job, Run, loop, nest, stored, without
from dlc.backend.contract.plan import Box
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Expression, Let, Load, Number, Pointer, Store
from dlc.backend.ir.index import Sum, Var, sum_of
from dlc.ir.access import Condition, Within
from dlc.ir.graph import Node
from dlc.ir.types import DType, i64

Scalar = Callable[[Emitter, Sequence[Sum]], Expression]


@dataclass(frozen=True)
class Slide:
    """An axis along which the window slides: coordinate = col * by_col + inner * by_inner - low."""

    operand_axis: int
    by_col: int
    by_inner: int
    low: int
    cols: int
    inner: int
    extent: int  # of the operand

    @property
    def padded(self) -> int:
        """Positions that the window reaches."""
        return (self.cols - 1) * self.by_col + (self.inner - 1) * self.by_inner + 1

    @property
    def first(self) -> int:
        """The first padded position inside the operand."""
        return max(0, self.low)

    @property
    def count(self) -> int:
        """Padded positions inside the operand."""
        return min(self.padded, self.extent + self.low) - self.first


@dataclass(frozen=True)
class Window:
    """A sliding window: the operand, its sliding axes, and the variable of each other axis."""

    operand: Node
    slides: tuple[Slide, ...]
    others: tuple[tuple[int, Sum], ...]  # (operand axis, index by the variables of `symbols`)

    @property
    def plane(self) -> int:
        """Elements of a padded image."""
        return math.prod(s.padded for s in self.slides)

    @property
    def pitches(self) -> list[int]:
        """Elements from one position to the next, per sliding axis."""
        return [math.prod(s.padded for s in self.slides[i + 1:]) for i in range(len(self.slides))]

    def steps(self, lead: Sequence[int], by: Sequence[int]) -> list[int]:
        """Elements from one image to the next, per leading axis, then from one position to the one
        `by` so many positions on, per sliding axis."""
        planes = [self.plane * math.prod(lead[i + 1:]) for i in range(len(lead))]
        return planes + [p * n for p, n in zip(self.pitches, by, strict=True)]

    def flat(self, extents: list[int]) -> int:
        """Length of the flat run that holds a block of `extents` positions."""
        return sum((n - 1) * p for n, p in zip(extents, self.pitches, strict=True)) + 1


def symbols(job: Job) -> tuple[Sequence[Sum], Sequence[Sum], Sequence[Sum]]:
    """Variables that stand for the batch, column and inner axes."""
    shape = job.shape
    return tuple([sum_of(Var(f"{p}{i}", 0, n - 1)) for i, n in enumerate(extents)]  # type: ignore
                 for p, extents in (("b_", shape.batch), ("c_", shape.cols), ("k_", shape.inner)))


def window_of(job: Job) -> Window | None:
    """The window through which B is read: trailing column axes slide over trailing inner axes.

    The padded image holds zeros around sliding axes, and nothing around the others: where one of
    those leaves the operand, it slides too, along an axis of one tap or of one output.
    """
    access = job.read("b", *symbols(job))
    if len(access.pieces) != 1 or access.fill != 0:
        return None
    piece = access.pieces[0]
    operand, index = job.y.args[piece.operand], tuple(map(sum_of, piece.index))
    axes = [(axis, entry, int(operand.type.shape[axis])) for axis, entry in enumerate(index)]
    others = [(axis, entry) for axis, entry, extent in axes if is_lead(entry, extent)]
    sliding = [a for a in axes if not is_lead(*a[1:])]
    n = len(sliding)
    if not 1 <= n <= min(2, len(job.shape.cols), len(job.shape.inner)):
        return None
    found = [slide_of(job, *a, i - n) for i, a in enumerate(sliding)]
    slides = tuple(s for s in found if s is not None and s.count > 0)
    padded = {index[s.operand_axis]: s.extent for s in slides}
    known = all(is_known(c, padded) for c in piece.conditions)
    return Window(operand, slides, tuple(others)) if known and len(slides) == n else None


def is_lead(entry: Sum, extent: int) -> bool:
    """Whether an index is 0 or one variable, and never leaves an axis of `extent`."""
    plain = not entry.terms or (
        len(entry.terms) == 1 and isinstance(entry.terms[0][0], Var) and entry.terms[0][1] == 1)
    return plain and entry.const == 0 and entry.high < extent


def is_known(condition: Condition, padded: Mapping[Sum, int]) -> bool:
    """Whether a condition always holds, or is that a sliding axis stays inside the operand, which
    the zeros of the padded image answer; `padded` has the indices and extents of those axes."""
    if not isinstance(condition, Within):
        return False
    value, low, high = sum_of(condition.value), condition.low, condition.high
    return (low <= value.low and value.high < high) or (low == 0 and padded.get(value) == high)


def slide_of(job: Job, axis: int, entry: Sum, extent: int, back: int) -> Slide | None:
    """How operand axis `axis` slides along column axis and inner axis `back` (-1: the last); None
    when its index is no such sum."""
    col, inner = len(job.shape.cols) + back, len(job.shape.inner) + back
    cols, taps = job.shape.cols[col], job.shape.inner[inner]
    by_col = entry.coefficient(f"c_{col}") if cols > 1 else 1
    by_inner = entry.coefficient(f"k_{inner}") if taps > 1 else 1
    if not by_col or not by_inner or min(by_col, by_inner) < 1:
        return None
    if not entry.variables() <= {f"c_{col}", f"k_{inner}"}:
        return None
    return Slide(axis, by_col, by_inner, -entry.const, cols, taps, extent)


class WindowWriter(GemmWriter):
    """What both kinds of kernel share: filling a padded image, and the table of offsets."""

    def __init__(self, job: Job, finish: Finish, window: Window) -> None:
        super().__init__(job, finish)
        self.window = window
        n = len(window.slides)
        self.lead_cols, self.lead_inner = job.shape.cols[:-n], job.shape.inner[:-n]

    def operand_index(self, batch: Sequence[Sum], cols: Sequence[Sum], inner: Sequence[Sum],
                      position: Sequence[Sum]) -> tuple[Sum, ...]:
        """The operand's index at padded positions inside it; `cols`, `inner` the leading axes."""
        values = {**{f"b_{i}": v for i, v in enumerate(batch)},
                  **{f"c_{i}": v for i, v in enumerate(cols)},
                  **{f"k_{i}": v for i, v in enumerate(inner)}}
        index = [ZERO] * (len(self.window.others) + len(self.window.slides))
        for axis, entry in self.window.others:
            index[axis] = values[min(entry.variables())] if entry.terms else ZERO
        for slide, at in zip(self.window.slides, position, strict=True):
            index[slide.operand_axis] = at + (slide.first - slide.low)
        return tuple(index)

    def fill_image(self, e: Emitter, to: Pointer, batch: Sequence[Sum], cols: Sequence[Sum],
                   inner: Sequence[Sum]) -> None:
        """Copy the operand's image at these leading axes into its place among the zeros."""
        slides, pitches = self.window.slides, self.window.pitches
        first = sum(s.first * p for s, p in zip(slides, pitches, strict=True))

        def scalar(at: Emitter, position: Sequence[Sum]) -> Expression:
            return at.value(self.window.operand,
                            self.operand_index(batch, cols, inner, position))
        fill(e, self.job, to + first, scalar, [s.count for s in slides], pitches)

    @property
    def bordered(self) -> bool:
        """Whether some padded position lies outside of the operand."""
        return any(s.count < s.padded for s in self.window.slides)

    def table(self, e: Emitter, taps: tuple[int, ...], steps: list[int], size: int) -> str:
        """A table of the offsets of all (lead..., taps...) indices; filled up with zeros."""
        name = e.allocate("table", i64, size)
        run = Run(Box(taps, 0, taps[0]), (), ZERO, sum_of(taps[0]))
        index, position, close = nest(e, run, "t")
        offset = sum((i * s for i, s in zip(index, steps, strict=True)), ZERO)
        e.stack[-1].statements.append(Store(name, position, e.integer(offset, i64), i64))
        close()
        if size > math.prod(taps):
            self.zero(e, Pointer(name, sum_of(math.prod(taps))), size - math.prod(taps), i64)
        return name

    def zero(self, e: Emitter, to: Pointer, size: int, kind: DType | None = None) -> None:
        kind = kind or self.job.kind
        t, close = loop(e, "t", size)
        e.stack[-1].statements.append(Store(to.buffer, to.offset + t, Number(0, kind), kind))
        close()


def fill(e: Emitter, job: Job, to: Pointer, scalar: Scalar, counts: list[int],
         steps: list[int]) -> None:
    """to[position . steps] = scalar(position) for positions within `counts`: by the copy tile
    where rows lie in memory as they are."""
    source = plain_rows(e, job, scalar, counts)
    if source is not None:
        load, by_row = source
        rows, pitch = (counts[0], steps[0]) if len(counts) > 1 else (1, counts[0])
        e.tile(f"copy_{job.kind}", to, pitch, load, by_row, rows, counts[-1])
        return
    opened = [loop(e, "y", extent) for extent in counts]
    position = [var for var, _ in opened]
    place = to + sum((i * s for i, s in zip(position, steps, strict=True)), ZERO)
    value = e.k.cast(scalar(e, position), job.kind)
    e.stack[-1].statements.append(Store(place.buffer, place.offset, value, job.kind))
    for _, close in reversed(opened):
        close()


def plain_rows(e: Emitter, job: Job, scalar: Scalar,
               counts: list[int]) -> tuple[Pointer, int] | None:
    """(where position 0 lies, elements between rows), when rows can be copied as they lie."""
    probe = job.emitter()
    names = [f"at_{i}" for i in range(len(counts))]
    probe.levels = dict.fromkeys((*e.levels, *names), 0)
    scalar(probe, [sum_of(Var(n, 0, c - 1)) for n, c in zip(names, counts, strict=True)])
    statements = probe.stack[0].statements
    if len(statements) != 1 or not isinstance(statements[0], Let):
        return None
    load = statements[0].value
    if not isinstance(load, Load) or load.guard or stored(job, load.buffer) is not job.kind:
        return None
    by = [load.index.coefficient(n) if c > 1 else 0 for n, c in zip(names, counts, strict=True)]
    if None in by or by[-1] != (1 if counts[-1] > 1 else 0):
        return None
    return Pointer(load.buffer, without(load.index, names)), int(by[0] or 0)


def whole(size: int, unit: int) -> int:
    """`size` rounded up to a multiple of `unit`."""
    return -(-size // unit) * unit
