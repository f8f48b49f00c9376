"""Numba's contexts and pipeline for kernels: scalars and arrays, no Python objects, IR as text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import callconv, cpu, lowering, typing
from numba.core.codegen import CodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import mathdecl, npydecl
from numba.core.untyped_passes import (
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)
from numba.np import npyimpl

from dlc.runtime.compile.lower import LowerError


class LineConvention(callconv.CPUCallConv):  # type: ignore[misc]
    """Numba's calling convention, with the line as the status of a call that failed.

    `line` is that of the instruction which is being lowered: contexts make a convention each time.
    """

    line = 1

    def return_user_exc(self, builder: Any, exc: Any, exc_args: Any = None, loc: Any = None,
                        func_name: Any = None) -> None:
        self._return_errcode_raw(builder, ir.Constant(ir.IntType(32), max(1, self.line)))

    def return_dynamic_user_exc(self, builder: Any, exc: Any, exc_args: Any, nb_types: Any,
                                loc: Any = None, func_name: Any = None) -> None:
        self.return_user_exc(builder, exc)


class KernelTyping(typing.Context):  # type: ignore[misc]
    """Numba's typing rules of scalars, arrays and NumPy's functions."""

    def load_additional_registries(self) -> None:
        self.install_registry(mathdecl.registry)
        self.install_registry(npydecl.registry)


class KernelContext(cpu.CPUContext):  # type: ignore[misc]
    """Numba's CPU target without lists, dicts, strings and a reference-counting runtime."""

    def load_additional_registries(self) -> None:
        from numba.core import optional  # noqa: F401
        from numba.cpython import (  # noqa: F401
            builtins,
            iterators,
            mathimpl,
            numbers,
            rangeobj,
            slicing,
            tupleobj,
        )
        self.install_registry(mathimpl.registry)
        self.install_registry(npyimpl.registry)

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Link nothing: kernels need no reference-counting runtime."""


class LineLower(lowering.Lower):  # type: ignore[misc]
    """Lowering that tells the calling convention the line."""

    def notify_loc(self, loc: Any) -> None:
        LineConvention.line = loc.line


@register_pass(mutates_CFG=True, analysis_only=False)
class LineLowering(NativeLowering):  # type: ignore[misc]
    """Native lowering by LineLower."""

    _name = "line_lowering"

    @property
    def lowering_class(self) -> Any:
        return LineLower


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Bytecode, constant raises and indices, SSA, types, LLVM IR."""

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("kernel")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, ReconstructSSA,
                     NopythonTypeInference, PreLowerStripPhis, IRLegalization, LineLowering,
                     NoPythonBackend):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


class LineContext(KernelContext):
    """The target of functions that may raise."""

    @property
    def call_conv(self) -> Any:
        return LineConvention(self)


@lru_cache(maxsize=2)
def numba_contexts(lines: bool) -> tuple[Any, Any]:
    """Numba's typing and target contexts, one pair a process; another where a call that fails gives
    its line, as what Numba compiles for one of them it keeps."""
    typing_context = KernelTyping()
    target = (LineContext if lines else KernelContext)(typing_context, "cpu")
    install(typing_context, target)
    target.refresh()
    return typing_context, target


def install(typing_context: Any, target: Any) -> None:
    """Make these the contexts that Numba's own functions find."""
    cpu_target._toplevel_typing_context = typing_context
    cpu_target._toplevel_target_context = target


class Collector(CodeLibrary):  # type: ignore[misc]
    """Takes the IR that Numba lowers and compiles nothing: texts, and the libraries it calls."""

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self.texts: list[str] = []
        self.libraries: list[Collector] = []
        self.parsed: list[Any] = []

    def add_ir_module(self, module: Any) -> None:
        self.texts.append(str(module))

    def add_linking_library(self, library: Any) -> None:
        if not isinstance(library, Collector):
            library = _compiled(library)  # a function of Numba's own
        self.libraries.append(library)

    def finalize(self) -> None:
        self._finalized = True

    def get_function(self, name: str) -> Any:
        raise LowerError(f"{name} is not compiled")

    def get_llvm_str(self) -> str:
        return "\n".join(self.texts)

    def get_asm_str(self) -> str:
        return ""

    def modules(self) -> list[Any]:
        if not self.parsed:
            self.parsed = [llvm.parse_assembly(text) for text in self.texts]
        return self.parsed


def _compiled(library: Any) -> Collector:
    """A library that Numba compiled by itself (max, integer powers), as its IR; what it shares with
    others of them is linked once."""
    found = Collector(library.codegen, library.name)
    module = llvm.parse_assembly(library.get_llvm_str())
    for value in [*module.functions, *module.global_variables]:
        if not value.is_declaration and value.linkage != llvm.Linkage.internal:
            value.linkage = "linkonce_odr"
    found.parsed = [module]
    return found
