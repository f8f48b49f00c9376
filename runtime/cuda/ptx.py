"""Kernel to PTX: the CPU's front end lowers the text, LLVM's NVPTX back end prints it.

    text  ->  LLVM IR (compile/frontend.py)  ->  LLVM's passes for NVPTX  ->  PTX

No package of NVIDIA's is needed, and no CUDA C++: a kernel has one LLVM text for both targets. LLVM
contracts no product and sum to fma unless the text says so, on either.
"""

from __future__ import annotations

import ast
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from dlc.ir.types import DTYPES
from dlc.program import Kernel, Program, Slot
from dlc.runtime.compile.frontend import Scope, functions_of
from dlc.runtime.compile.llvm_module import module_text, pass_builder
from dlc.runtime.compile.lower import parameter_types
from dlc.runtime.compile.operators import OutsideError
from dlc.runtime.compile.primitives import LLVM
from dlc.runtime.cuda.regions import ALIGNED, ON_CUDA, Places, region

TRIPLE = "nvptx64-nvidia-cuda"
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
REGISTERS = ("ctaid", "ntid", "tid")  # block of the grid, threads of a block, thread of the block
BLOCK = 128
"""Threads of a block: a multiple of a warp's 32; four warps hide the latency of one another."""


class PtxError(Exception):
    """A kernel that does not compile for CUDA; the message says why, in the terms of its text."""


@dataclass(frozen=True)
class Shape:
    """How a kernel is launched: blocks of the grid, threads of a block."""

    blocks: int
    threads: int


def shape_of(kernel: Kernel, positions: int) -> Shape:
    """The launch of so many positions: a block each where the kernel has regions, else a thread
    each; the last block may have idle threads."""
    if kernel.block:
        return Shape(positions, kernel.block)
    threads = min(BLOCK, -(-positions // 32) * 32)
    return Shape(-(-positions // threads), threads)


class PtxCompiler:
    """Kernels of one program to PTX for one architecture. Raises PtxError."""

    def __init__(self, program: Program, architecture: str = "sm_90") -> None:
        if architecture not in ARCHITECTURES:
            raise PtxError(f"unknown architecture {architecture!r}; there are "
                           f"{', '.join(ARCHITECTURES)}")
        self.machine = machine(architecture)
        self.aligned = aligned_parameters(program)
        self.scope = Scope(functions_of(program.prelude), ON_CUDA, {}, True)

    def ptx(self, kernel: Kernel) -> str:
        """The PTX of one kernel: an entry of its name that takes the parameters in order, then
        the number of positions, an i64."""
        module = llvm.parse_assembly(self.source(kernel))
        module.triple = TRIPLE
        module.data_layout = str(self.machine.target_data)
        for function in module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.internal:
                function.add_function_attribute("alwaysinline")
                function.add_function_attribute("convergent")
        module.verify()
        builder = pass_builder(self.machine)
        builder.getModulePassManager().run(module, builder)
        return str(self.machine.emit_assembly(module))

    def placed(self, kernel: Kernel, function: ast.FunctionDef) -> ast.FunctionDef:
        """A function of a kernel's text with what is known of the places of elements."""
        places = self.aligned.get(id(kernel), ()) if function.name == kernel.name else ()
        known = (kernel.params[at] for at in places)
        found: ast.FunctionDef = Places({p.name: DTYPES[p.dtype].bytes for p in known}).visit(
            function)
        return found

    def source(self, kernel: Kernel) -> str:
        """The unoptimized LLVM IR of a kernel, of all that it calls, and of its entry."""
        try:
            functions = {name: self.placed(kernel, deepcopy(f))  # which are kept by their text
                         for name, f in functions_of(kernel.text).items()}
            scope = Scope(functions, ON_CUDA, {}, True, self.scope, region)
            inner = scope.function(kernel.name, parameter_types(kernel))
        except OutsideError as error:
            raise PtxError(f"{kernel.name}: {error}") from None
        text = module_text(inner)
        declared = [f"declare i32 @{r}()" for r in map(register, REGISTERS) if f"@{r}" not in text
                    and f'@"{r}"' not in text]
        return "\n".join([*declared, text, entry_text(kernel, inner.symbol)])


def aligned_parameters(program: Program) -> dict[int, set[int]]:
    """The pointers of each kernel, by its identity, that are multiples of 16 bytes in all launches
    and in all rounds of the loops around them; the arena itself begins at one of 256."""
    found: dict[int, set[int]] = {}
    for segment in (s for entry in program.entries.values() for launch in entry.flat
                    for stage in launch.stages for s in stage):
        places = {at for at, value in enumerate(segment.args) if isinstance(value, Slot)
                  and not any(n % ALIGNED for n in (value.offset, *value.strides, *value.swaps))}
        kernel = program.kernels[segment.kernel]
        found[id(kernel)] = found.get(id(kernel), places) & places
    return found


@lru_cache(maxsize=len(ARCHITECTURES))
def machine(architecture: str) -> Any:
    """LLVM's machine for an architecture."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=architecture, opt=3)


def register(name: str) -> str:
    """LLVM's name of what reads one of a thread's special registers."""
    return f"llvm.nvvm.read.ptx.sreg.{name}.x"


def entry_text(kernel: Kernel, inner: str) -> str:
    """LLVM IR of the entry: a thread whose number is below the count runs its position; of a kernel
    with regions, each thread runs that of its block."""
    given = [f"ptr noalias{'' if p.written else ' readonly'} %a{i}" if p.kind == "pointer"
             else f"{LLVM[p.dtype]} %a{i}" for i, p in enumerate(kernel.params)]
    passed = [f"{'ptr' if p.kind == 'pointer' else LLVM[p.dtype]} %a{i}"
              for i, p in enumerate(kernel.params)]
    return "\n".join([
        f'define ptx_kernel void @"{kernel.name}"({", ".join([*given, "i64 %count"])}) {{',
        *(f"  %{r} = call i32 @{register(r)}()" for r in REGISTERS),
        *(f"  %{r}.wide = zext i32 %{r} to i64" for r in REGISTERS),
        f"  %first = mul nuw nsw i64 %ctaid.wide, {1 if kernel.block else '%ntid.wide'}",
        f"  %chunk = add nuw nsw i64 %first, {0 if kernel.block else '%tid.wide'}",
        "  %is = icmp slt i64 %chunk, %count",
        "  br i1 %is, label %run, label %end", "run:",
        f'  call void @"{inner}"({", ".join([*passed, "i64 %chunk"])})',
        "  br label %end", "end:", "  ret void", "}", ""])
