"""Routines: operators whose kernel is a text of its own (sorts, factorizations, a user's function).

A routine's text is one function in the dialect of docs/ir.md over flat C-contiguous buffers:

    def NAME(operands..., results..., workspaces..., axes...):

It does one position of its parallel axes, which may run in any order and at the same time. It may
read its operands anywhere; it writes its own part of results and workspaces only. Operands and
results in half precisions are f32 there: they are converted before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from dlc.ir.graph import Node
from dlc.ir.types import DType, TupleType, Type, accumulator


@dataclass(frozen=True)
class Workspace:
    """Memory that a routine needs while it runs: `size` elements for each of its positions."""

    dtype: DType
    size: int


@dataclass(frozen=True)
class Routine:
    """What the record of a ROUTINE emits: the text of its function, and the extents of its axes.

    `flops` counts the arithmetic of all positions, for reports and for how many of them make a
    chunk; `work` says in elements of a loop what one costs whose arithmetic is not counted. One
    that `raises` calls a user's function: its last result, i32 with a place for each position,
    takes the line that failed.
    """

    text: str
    axes: Mapping[str, int]
    workspaces: tuple[Workspace, ...] = ()
    flops: int = 0
    work: int = 0
    raises: bool = False

    @property
    def positions(self) -> int:
        """How many positions the axes have together."""
        return math.prod(self.axes.values())

    def over_axes(self) -> str:
        """The text as a function whose parallel loops are around what it does."""
        head, *lines = self.text.strip("\n").splitlines()
        for axis, extent in reversed(list(self.axes.items())):
            head = head.replace(f", {axis}):", "):")
            lines = [f"    for {axis} in parallel({extent}):", *(f"    {line}" for line in lines)]
        return "\n".join([head, *lines, ""])


def filled(text: str, **values: Any) -> str:
    """A routine's text with `$name` replaced: sizes, dtypes ($T) and other words."""
    return Template(text).substitute({k: str(v) for k, v in values.items()})


def result_types(node: Node) -> tuple[Type, ...]:
    """The types of a node's results."""
    return tuple(node.type.items) if isinstance(node.type, TupleType) else (node.type,)


def batch_count(shape: Sequence[Any], core: int) -> int:
    """How many arrays of the last `core` axes there are: the positions of a batched routine."""
    count = 1
    for d in shape[:len(shape) - core]:
        count *= int(d)
    return count


def kernel_dtype(type_: Type) -> str:
    """The dtype in which a routine's text holds values of `type_`: half precisions are f32."""
    return accumulator(type_.dtype).name if type_.dtype.is_float else type_.dtype.name
