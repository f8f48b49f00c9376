"""The part of Numba's pipeline that kernels need: its cheapest route from text to LLVM IR."""

from __future__ import annotations

from typing import Any

from numba.core import cpu, typing
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import mathdecl
from numba.core.untyped_passes import (
    DeadBranchPrune,
    FixupArgs,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)


class KernelTyping(typing.Context):  # type: ignore[misc]
    """Numba's typing rules without NumPy's functions: operators on scalars resolve faster."""

    def load_additional_registries(self) -> None:
        self.install_registry(mathdecl.registry)


class KernelContext(cpu.CPUContext):  # type: ignore[misc]
    """Numba's CPU target without the registries of lists, dicts, strings and arrays."""

    def load_additional_registries(self) -> None:
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401
        self.install_registry(mathimpl.registry)


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Bytecode, SSA, types, LLVM IR: no rewrites, no closures, no overload inlining."""

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("kernel")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, DeadBranchPrune, ReconstructSSA,
                     NopythonTypeInference, PreLowerStripPhis, IRLegalization, NativeLowering,
                     NoPythonBackend):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]
