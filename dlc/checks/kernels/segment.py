"""A segment as the checkers see it: its arguments, walks with growing budgets, and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from dlc.backend.ir import For, Function
from dlc.checks.kernels.frames import Event, Memory, Unsettled
from dlc.checks.kernels.spots import Spot, all_spots, spots_in, spots_of
from dlc.checks.kernels.walk import Walk
from dlc.program import Kernel, TileText

BUDGETS = (1 << 11, 1 << 15, 1 << 19)  # rows at most, one after the other until all is proven
Found = TypeVar("Found")


@dataclass
class Verdict:
    """What a checker found in a segment: what is wrong, and what it could not decide."""

    wrong: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Case:
    """Kernel, arguments and chunks; `free` are local buffers whose values are not followed, `key`
    is all that a verdict depends on. `cut` is what the kernel, which runs over parallel axes, does
    in one chunk; without it that is the kernel's own text."""

    kernel: Kernel
    tiles: Mapping[str, TileText]
    arguments: list[Any]
    chunks: int
    key: tuple[Any, ...]
    cut: Function | None = None
    free: set[str] = field(default_factory=set)
    only: int | None = None  # a chunk that is walked alone
    short: bool = False  # the last walk would have told more with a larger budget

    @cached_property
    def block(self) -> tuple[Spot, ...]:
        """The statements of one chunk."""
        return spots_in(self.cut) if self.cut else spots_of(self.kernel)

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """Every statement of one chunk, inner ones included."""
        return tuple(all_spots(self.block))

    def walk(self, budget: int, around: Collection[Spot] | None, begin: Callable[[], Found],
             see: Callable[[Found, Event], None], ends_only: bool = False,
             split: bool = False) -> tuple[Found, set[Spot]]:
        """One walk: what `see` made of the events, and the loops that were cut short. It begins
        again where a local buffer turned out to change after it was read."""
        while True:
            found = begin()
            walk = Walk(self.block, self.kernel.params, self.tiles, budget,
                        lambda event, found=found: see(found, event),  # type: ignore[misc]
                        None if around is None else around.__contains__, self.free, ends_only,
                        split)
            try:
                walk.run(self.arguments, self.chunks, self.only)
            except Unsettled as local:
                self.free.add(str(local))
                continue
            self.short = walk.short
            return found, walk.cut


def case_of(kernel: Kernel, tiles: Mapping[str, TileText], extents: Sequence[int | None],
            args: Sequence[Any], chunks: int, cut: Function | None = None) -> Case:
    """A Case whose arguments are a Memory for every pointer, the number for every scalar.

    `extents` are the elements of each pointer, `args` the segment's arguments. `cut`, where it is
    given, follows from the kernel and `chunks`.
    """
    found: list[Any] = []
    for parameter, extent, value in zip(kernel.params, extents, args, strict=True):
        found.append(Memory(parameter.name, parameter.dtype, extent or 0, written=parameter.written)
                     if parameter.kind == "pointer" else value)
    numbers = [v for p, v in zip(kernel.params, args, strict=True) if p.kind == "scalar"]
    called = tuple(tiles[name] for name in kernel.tiles)
    return Case(kernel, tiles, found, chunks,
                (kernel, called, tuple(extents), repr(numbers), chunks), cut)


def can_expand(spots: Collection[Spot]) -> bool:
    """Whether a larger budget may tell more: some loop was taken as a range."""
    return any(isinstance(s.statement, For) for s in spots)
