"""What kernels are compiled to: assembly for a CPU, PTX for a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlc.errors import DlcError
from dlc.inspector.units import plural
from dlc.program import Kernel, Program

if TYPE_CHECKING:
    from dlc.runtime.cuda.ptx import PtxCompiler

# What tells the linker and a debugger something; readers of a loop need none of it.
SILENT = (".cfi_", ".type", ".size", ".file", ".section", ".ident", ".globl", ".p2align", ".text",
          ".addrsig", ".intel_syntax")


@dataclass(frozen=True)
class Code:
    """What a kernel is compiled to: assembly or PTX, a GPU's machine code where it was asked for,
    and a line on its registers."""

    assembly: str
    sass: str = ""
    told: str = ""


def machine_code(program: Program, architecture: str, sass: bool = False) -> tuple[Code, ...]:
    """The code of each kernel, as the compiler makes it anew in this process; `architecture` and
    `sass` are for CUDA. Raises DlcError for an instruction set that this machine has not, and for
    machine code without the programs that make it."""
    if program.target == "cuda":
        return gpu_code(program, architecture, sass)
    from dlc.runtime.compile.isa import IsaError
    from dlc.runtime.compile.lower import Toolchain

    try:
        toolchain = Toolchain(program.prelude, dict(program.tiles), program.isa)
    except IsaError as problem:
        raise DlcError(f"no assembly: {problem}", None,
                       "DLC_CPU chooses one that this machine has") from None
    return tuple(Code(readable(toolchain.assembly(k, k.name))) for k in program.kernels)


def gpu_code(program: Program, architecture: str, sass: bool) -> tuple[Code, ...]:
    """The PTX of each kernel for CUDA, and its machine code. Raises DlcError where that is asked
    for and can't be made."""
    from dlc.runtime.cuda.machine_code import LinkerError
    from dlc.runtime.cuda.ptx import PtxCompiler

    compiler = PtxCompiler(program, architecture)
    try:
        return tuple(cuda_code(compiler, k, architecture, sass) for k in program.kernels)
    except LinkerError as reason:
        raise DlcError(f"no machine code: {reason}") from None


def cuda_code(compiler: PtxCompiler, kernel: Kernel, architecture: str, sass: bool) -> Code:
    """One kernel's. Raises LinkerError where `sass` is asked for and can't be made."""
    from dlc.runtime.cuda.machine_code import LinkerError, assembled, disassembled

    ptx = compiler.ptx(kernel)
    try:
        made = assembled(ptx, architecture)
    except LinkerError as reason:
        if sass:
            raise
        return Code(ptx, told=str(reason))
    told = (f"{architecture}: {plural(made.registers, 'register')}, {made.shared} B shared, "
            f"{made.stack} B stack, {made.spilled} B spilled")
    return Code(ptx, disassembled(made.cubin) if sass else "", told)


def readable(assembly: str) -> str:
    """Assembly without what is not for readers."""
    return "\n".join(line.expandtabs(4).rstrip() for line in assembly.splitlines()
                     if line.strip() and not line.strip().startswith(SILENT))
