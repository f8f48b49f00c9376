"""The runtime, which runs a Program (docs/design/runtime.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlc.program import Program
    from dlc.runtime.cpu.arena import ArenaProgram


def load(program: Program, device: str = "cpu", threads: int | None = None) -> ArenaProgram:
    """Make `program` executable on `device`: "cpu", "cuda", "emulate" (the CPU runs a CUDA
    program's threads), "null" (checks only), "interpret" (slow) or "shuffle" (the CPU, chunks or
    CUDA's threads in random order).

    `threads` is the number of CPU threads (None: DLC_THREADS, else the cores this process may use).
    Raises ValueError for an unknown device, for one that is not there or not the program's, and
    CompileError when a kernel does not compile.
    """
    if device in ("cpu", "cuda", "emulate"):
        return _compiled(program, device, threads)
    if device == "null":
        from dlc.runtime.reference.null import NullProgram
        return NullProgram(program)
    if device == "interpret":
        from dlc.runtime.reference.interpret import InterpretedProgram
        return InterpretedProgram(program)
    if device == "shuffle":
        from dlc.runtime.reference.shuffled import ShuffledProgram
        return ShuffledProgram(_here(program), threads)
    raise ValueError(f"unknown device {device!r}; there are 'cpu', 'cuda', 'emulate', 'null', "
                     "'interpret' and 'shuffle'")


def _compiled(program: Program, device: str, threads: int | None) -> ArenaProgram:
    """A program as machine code: of the CPU, where a CUDA program may be emulated, or of a GPU."""
    from dlc.runtime.cpu.program import CpuProgram

    if device == "cuda" and program.target == "cuda":
        from dlc.runtime.cuda.devices import missing
        from dlc.runtime.cuda.program import CudaProgram
        if missing():
            raise ValueError(missing())
        return CudaProgram(program)
    if (device == "cpu") != (program.target == "cpu"):
        fits = "'emulate' or 'cuda'" if program.target == "cuda" else "'cpu'"
        raise ValueError(f"{program.name} is compiled for {program.target}, which does not run on "
                         f"device {device!r}; load it on {fits}")
    return CpuProgram(_here(program), threads)


def _here(program: Program) -> Program:
    """The program with its kernels for this machine's CPU: texts of CUDA kernels are made for none.
    """
    from dataclasses import replace

    return replace(program, isa="") if program.target == "cuda" else program
