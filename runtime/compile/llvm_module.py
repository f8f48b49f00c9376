"""LLVM modules of kernels: the machine they are made for, their entry, their visibility."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from dlc.program import Kernel
from dlc.runtime.compile.isa import target_cpu
from dlc.runtime.compile.link import ALLOWED_SYMBOLS
from dlc.runtime.compile.primitives import LLVM

_RAISES = ".const.picklebuf"  # how Numba names the data of an exception


def target_machine(isa: str) -> Any:
    """The LLVM target machine for `isa` ("" is this machine's own), position independent."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = target_cpu(isa)
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(cpu=name, features=features, opt=2, reloc="pic",
                                        codemodel="small")


# LLVM's own at O2. With that of O3, 300, a net of convolutions takes 1.6 times as long to compile,
# and a GPT steps some 2 % faster (docs/design/runtime.md).
UNROLL_THRESHOLD = 150


def pass_builder(machine: Any) -> Any:
    """LLVM's O3 pipeline, loops and straight code vectorized."""
    llvm.set_option("dlc", f"--unroll-threshold={UNROLL_THRESHOLD}")  # of the process
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_interleaving = True
    options.loop_unrolling = True
    return llvm.create_pass_builder(machine, options)


# ---- functions as text ---------------------------------------------------------------------------

def llvm_type(dtype: Any) -> Any:
    """The LLVM type of a dtype's name, a pointer's or a tuple of names."""
    if isinstance(dtype, tuple):
        return ir.LiteralStructType([LLVM[d] for d in dtype])
    return ir.PointerType() if dtype.endswith("*") else LLVM[dtype]


@dataclass(frozen=True)
class Lowered:
    """A function as LLVM text: `declared` are the outside names it calls, with their declarations,
    `calls` the functions of the text."""

    symbol: str
    result: Any
    text: str
    declared: Mapping[str, str]
    calls: tuple[Lowered, ...]


def closure(kernel: Lowered) -> list[Lowered]:
    """A function and all that it calls, directly or not, each once."""
    found: dict[str, Lowered] = {}
    pending = deque([kernel])
    while pending:
        part = pending.popleft()
        if found.setdefault(part.symbol, part) is part:
            pending.extend(c for c in part.calls if c.symbol not in found)
    return list(found.values())


def module_text(kernel: Lowered) -> str:
    """A function, what it calls and their declarations as the text of an LLVM module."""
    parts = closure(kernel)
    defined = {p.symbol for p in parts}
    declared = {name: text for p in parts for name, text in p.declared.items()
                if name not in defined}
    return "\n".join([*declared.values(), *(p.text for p in parts)])


def entry_text(kernel: Kernel, symbol: str, inner: str, result: str,
               before: tuple[str, ...]) -> str:
    """LLVM IR of the exported function: unpack the argument slots and call `inner`.

    Numba's functions take two pointers `before` their own arguments and give a status, an i32.
    """
    lines, arguments = [], []
    for i, parameter in enumerate(kernel.params):
        kind = "ptr" if parameter.kind == "pointer" else LLVM[parameter.dtype]
        lines.append(f"  %s{i} = getelementptr i64, ptr %args, i64 {i}")
        lines.append(f"  %a{i} = load {kind}, ptr %s{i}")
        arguments.append(f"{kind} %a{i}")
    given = [*before, *arguments, "i64 %chunk"]
    declared = [f'declare {result} @"{inner}"({", ".join(g.split()[0] for g in given)})']
    return "\n".join([
        *(declared if before else ()),
        f'define void @"{symbol}"(ptr %args, i64 %chunk) nounwind {{',
        *(f"  {b.split()[1]} = alloca ptr" for b in before), *lines,
        f'  {"%status = " if before else ""}call {result} @"{inner}"({", ".join(given)})',
        *_fault(kernel), "  ret void", "}", ""])


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
