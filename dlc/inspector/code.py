"""What kernels are compiled to: assembly for a CPU, PTX for a GPU."""

from __future__ import annotations

from dlc.errors import DlcError
from dlc.program import Program

# What tells the linker and a debugger something; readers of a loop need none of it.
SILENT = (".cfi_", ".type", ".size", ".file", ".section", ".ident", ".globl", ".p2align", ".text",
          ".addrsig", ".intel_syntax")
ARCHITECTURE = "sm_80"  # of the PTX


def machine_code(program: Program) -> tuple[str, ...]:
    """The code of each kernel, as the compiler makes it anew in this process. Raises DlcError for
    an instruction set that this machine has not."""
    if program.target == "cuda":
        from dlc.runtime.cuda.ptx import PtxCompiler

        compiler = PtxCompiler(program, ARCHITECTURE)
        return tuple(compiler.ptx(kernel) for kernel in program.kernels)
    from dlc.runtime.compile.isa import IsaError
    from dlc.runtime.compile.lower import Toolchain

    try:
        toolchain = Toolchain(program.prelude, dict(program.tiles), program.isa)
    except IsaError as problem:
        raise DlcError(f"no assembly: {problem}", None,
                       "DLC_CPU chooses one that this machine has") from None
    return tuple(readable(toolchain.assembly(k, k.name)) for k in program.kernels)


def readable(assembly: str) -> str:
    """Assembly without what is not for readers."""
    return "\n".join(line.expandtabs(4).rstrip() for line in assembly.splitlines()
                     if line.strip() and not line.strip().startswith(SILENT))
