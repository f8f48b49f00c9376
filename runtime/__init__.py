"""The runtime, which runs a Program (docs/design/runtime.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlc.program import Program
    from dlc.runtime.cpu.arena import ArenaProgram


def load(program: Program, device: str = "cpu", threads: int | None = None) -> ArenaProgram:
    """Make `program` executable on `device`: "cpu", "null" (checks only), "interpret" (slow) or
    "shuffle" (the CPU, chunks in random order).

    `threads` is the number of CPU threads (None: DLC_THREADS, else the cores this process may use).
    Raises ValueError for an unknown device and CompileError when a kernel does not compile.
    """
    if device == "cpu":
        from dlc.runtime.cpu.program import CpuProgram
        return CpuProgram(program, threads)
    if device == "null":
        from dlc.runtime.reference.null import NullProgram
        return NullProgram(program)
    if device == "interpret":
        from dlc.runtime.reference.interpret import InterpretedProgram
        return InterpretedProgram(program)
    if device == "shuffle":
        from dlc.runtime.reference.shuffled import ShuffledProgram
        return ShuffledProgram(program, threads)
    raise ValueError(f"unknown device {device!r}; there are 'cpu', 'null', 'interpret' and "
                     "'shuffle'")
