"""LLVM modules of kernels: the machine they are made for, their entry, their visibility."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm

from dlc.program import Kernel
from dlc.runtime.isa import target_cpu
from dlc.runtime.link import ALLOWED_SYMBOLS
from dlc.runtime.primitives import LLVM

_RAISES = ".const.picklebuf"  # how Numba names the data of an exception


def target_machine(isa: str) -> Any:
    """The LLVM target machine for `isa` ("" is this machine's own), position independent."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = target_cpu(isa)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=name, features=features, opt=2, reloc="pic",
                                        codemodel="small")


def pass_builder(machine: Any) -> Any:
    """LLVM's O3 pipeline, loops and straight code vectorized."""
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_interleaving = True
    options.loop_unrolling = True
    return llvm.create_pass_builder(machine, options)


def entry_text(kernel: Kernel, symbol: str, inner: str) -> str:
    """LLVM IR of the exported function: unpack the argument slots and call `inner`."""
    lines, arguments = [], []
    for i, parameter in enumerate(kernel.params):
        kind = "ptr" if parameter.kind == "pointer" else LLVM[parameter.dtype]
        lines.append(f"  %s{i} = getelementptr i64, ptr %args, i64 {i}")
        lines.append(f"  %a{i} = load {kind}, ptr %s{i}")
        arguments.append(f"{kind} %a{i}")
    kinds = ["ptr", "ptr", *(a.split()[0] for a in arguments), "i64"]
    call = ", ".join(["ptr %r", "ptr %e", *arguments, "i64 %chunk"])
    return "\n".join([
        f'declare i32 @"{inner}"({", ".join(kinds)})',
        f'define void @"{symbol}"(ptr %args, i64 %chunk) nounwind {{',
        "  %r = alloca ptr", "  %e = alloca ptr", *lines,
        f'  %status = call i32 @"{inner}"({call})', *_fault(kernel), "  ret void", "}", ""])


def _fault(kernel: Kernel) -> list[str]:
    """Where a kernel may raise: the line of its text that did, counted from the end and from 1, to
    the chunk's place in its last buffer; 0 when none did."""
    if not kernel.raises:
        return []
    last = max(i for i, p in enumerate(kernel.params) if p.kind == "pointer")
    return [
        "  %failed = icmp sgt i32 %status, 0",
        f"  %line = sub i32 {len(kernel.text.splitlines()) + 1}, %status",
        "  %code = select i1 %failed, i32 %line, i32 0",
        f"  %place = getelementptr i32, ptr %a{last}, i64 %chunk",
        "  store i32 %code, ptr %place"]


def hide(module: Any, exported: str, inner: str) -> None:
    """Make everything internal but the exported function; nothing unwinds.

    `inner` stays a call of its own: noalias on parameters is strongest where it is not inlined.
    Numba counts compilations in its names; numbers of ours make equal kernels equal objects.
    """
    module.get_function(inner).add_function_attribute("noinline")
    for number, value in enumerate([*module.functions, *module.global_variables]):
        if not value.is_declaration and value.name != exported:
            value.linkage = "internal"
            if not value.name.startswith(_RAISES):
                value.name = f"{exported}.{number}"
    for function in module.functions:
        if not function.is_declaration:
            function.add_function_attribute("nounwind")


def callable_outside(symbol: str) -> bool:
    """Whether an object may leave `symbol` to the linker: LLVM intrinsics and the C library's."""
    return symbol.startswith("llvm.") or symbol in ALLOWED_SYMBOLS


def check_calls(module: Any) -> str:
    """What is wrong with an optimized module: "" or the reason for which it may not run."""
    for variable in module.global_variables:
        if variable.name.startswith(_RAISES):
            return "a kernel may not raise (raise, assert or a checked operation)"
    for function in module.functions:
        if function.is_declaration and not callable_outside(function.name):
            return f"it calls {function.name}, which no kernel may call"
    return ""
