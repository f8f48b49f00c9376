"""Launch tables whose arguments are counted from the arena, wherever it lies in a process."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.program import Entry, Program, Slot
from dlc.runtime.cpu.table import Moving, PlainTable
from dlc.runtime.cpu.table_builder import TableBuilder

ARENA = "the arena"


class RelativeBuilder(TableBuilder):
    """A TableBuilder for any arena: every pointer is a place in it. Functions are numbers from 1.
    """

    def __init__(self, program: Program, kernels: Sequence[int]) -> None:
        # how many threads there will be is not known: what depends on it is left to the library
        super().__init__(program, 2, kernels, copy_rows=0, arena=0)

    def _address(self, slot: Slot) -> Moving:
        return Moving(slot.offset, slot.strides, slot.swaps, ARENA)


def relative_table(program: Program, entry: Entry, kernels: Sequence[int]) -> PlainTable:
    """The launches of `entry`, its kernels by their numbers from 1."""
    builder = RelativeBuilder(program, kernels)
    builder.add_entry(entry)
    return builder.table.plain()
