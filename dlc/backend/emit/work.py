"""What lowering gives: kernels with their operands, in stages that a barrier separates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from dlc.backend.ir import Function
from dlc.ir.graph import Node
from dlc.passes.schedule.lives import Scratch

Operand: TypeAlias = Node | Scratch | int | float


@dataclass(frozen=True, eq=False)
class Work:
    """`chunks` calls of a kernel; operands in parameter order: body nodes, workspaces, numbers.
    `whole` is the kernel over its parallel axes, before it was cut, which takes the first of the
    operands. `as_written`: its lets stay where they are, as a routine's do, which are a text."""

    kernel: Function
    operands: tuple[Operand, ...]
    chunks: int
    whole: Function | None = None
    as_written: bool = False


@dataclass(frozen=True, eq=False)
class Lowered:
    """A component made executable: stages with a barrier between, each of independent works."""

    stages: tuple[tuple[Work, ...], ...]

    @property
    def scratch(self) -> tuple[Scratch, ...]:
        """The workspaces of the stages, each once, in order."""
        operands = (o for stage in self.stages for work in stage for o in work.operands)
        return tuple(dict.fromkeys(o for o in operands if isinstance(o, Scratch)))
