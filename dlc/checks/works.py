"""Lowered work as the checkers see it: each kernel is printed once, and each use of it is one Case,
shared by all checkers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from dlc.backend.draft import Draft
from dlc.backend.emit.work import Work
from dlc.backend.ir import Function
from dlc.backend.ir.printer import kernel_of
from dlc.checks.kernels.segment import Case, case_of
from dlc.ir.graph import Node
from dlc.passes.schedule.lives import Scratch
from dlc.program import Kernel, Program

Operand = Node | Scratch | int | float
printed = lru_cache(maxsize=4096)(kernel_of)  # the same kernels are lowered in many programs


@dataclass(eq=False)
class Works:
    """The kernels of the drafts of a Program, which outlive it."""

    program: Program
    drafts: Sequence[Draft]
    _printed: dict[int, Kernel] = field(default_factory=dict)
    _cases: dict[int, Case] = field(default_factory=dict)

    def all(self) -> Iterator[tuple[Draft, Node, Work]]:
        """Every use of a kernel, its entry and its launch."""
        for draft in self.drafts:
            for launch, parts in draft.lowered.items():
                for work in (w for part in parts for stage in part.stages for w in stage):
                    yield draft, launch, work

    def kernel(self, function: Function) -> Kernel:
        """The kernel as it is printed."""
        if id(function) not in self._printed:
            # numbers that a user's function is given may be equal and print otherwise: 1 and True
            as_printed = kernel_of if function.helpers else printed
            self._printed[id(function)] = as_printed(function)
        return self._printed[id(function)]

    def case(self, work: Work) -> Case:
        """The use as the checkers of kernels take it."""
        if id(work) not in self._cases:
            self._cases[id(work)] = self.case_of(self.kernel(work.kernel), work.operands,
                                                work.chunks)
        return self._cases[id(work)]

    def case_of(self, kernel: Kernel, operands: Sequence[Operand], chunks: int,
                cut: Function | None = None) -> Case:
        """A kernel on these operands, in so many chunks, which do what `cut` says."""
        extents = [_extent(o) for o in operands]
        numbers = [o if isinstance(o, (int, float)) else 0 for o in operands]
        return case_of(kernel, self.program.tiles, extents, numbers, chunks, cut)


def _extent(operand: Operand) -> int | None:
    if isinstance(operand, Node):
        return int(operand.type.size)
    return operand.size if isinstance(operand, Scratch) else None
