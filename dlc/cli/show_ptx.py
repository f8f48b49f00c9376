"""`dlc show --target cuda --kernels --ptx`: a kernel's PTX, and what ptxas makes of it."""

from __future__ import annotations

from dlc.inspector.units import plural
from dlc.program import Program


class Ptx:
    """The PTX of the kernels of one program, with the registers where NVIDIA's linker is there."""

    def __init__(self, program: Program, architecture: str) -> None:
        from dlc.runtime.cuda.ptx import PtxCompiler

        self.program, self.architecture = program, architecture
        self.compiler = PtxCompiler(program, architecture)

    def texts(self, kernel: int) -> tuple[str, str]:
        """A kernel's PTX, and a line on its machine code or on what is missing to make it."""
        from dlc.runtime.cuda.machine_code import LinkerError, assembled

        ptx = self.compiler.ptx(self.program.kernels[kernel])
        try:
            code = assembled(ptx, self.architecture)
        except LinkerError as reason:
            return ptx, str(reason)
        return ptx, (f"{self.architecture}: {plural(code.registers, 'register')}, {code.shared} B "
                     f"shared, {code.stack} B stack, {code.spilled} B spilled")
