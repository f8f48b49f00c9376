"""`dlc show --target cuda --kernels --ptx --sass`: what a CUDA kernel becomes, as texts."""

from __future__ import annotations

from dlc.cli.arguments import UsageError
from dlc.inspector.code import cuda_code
from dlc.program import Program


class MachineCode:
    """The PTX and the SASS of one program's kernels for an architecture, as far as they are asked
    for, and what ptxas says of each. Raises UsageError where SASS can't be made here."""

    def __init__(self, program: Program, architecture: str, ptx: bool, sass: bool) -> None:
        from dlc.runtime.cuda.machine_code import LinkerError, disassembler, library
        from dlc.runtime.cuda.ptx import PtxCompiler

        try:
            _ = (library(), disassembler()) if sass else ()
        except LinkerError as reason:
            raise UsageError(f"--sass: {reason}") from None
        self.program, self.ptx, self.sass = program, ptx, sass
        self.compiler = PtxCompiler(program, architecture)
        self.architecture = architecture

    def texts(self, kernel: int) -> tuple[list[str], str]:
        """A kernel's texts, and a line on its registers or on what is missing to count them."""
        code = cuda_code(self.compiler, self.program.kernels[kernel], self.architecture, self.sass)
        return [t for t in (code.assembly if self.ptx else "", code.sass) if t], code.told
