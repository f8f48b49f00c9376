"""The part of Numba's pipeline that kernels need: its cheapest route from text to LLVM IR."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from numba.core import cpu, ir, typing
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import mathdecl
from numba.core.untyped_passes import FixupArgs, IRProcessing, TranslateByteCode

from dlc.runtime.numba_ssa import KernelSSA


def list_variables(value: Any) -> list[Any]:
    """The variables in a statement's or expression's fields.

    Does what Numba's ir.Inst._rec_list_vars does, which takes a tenth of a compilation, and asks
    each value's class once instead of testing it against abstract base classes.
    """
    kind = type(value)
    if kind is ir.Var:
        return [value]
    found: list[Any] = []
    if kind is dict or kind is list or kind is tuple:
        for item in value.values() if kind is dict else value:
            if type(item) is ir.Var:
                found.append(item)
            elif type(item) not in _LEAVES:
                found += list_variables(item)
    elif issubclass(kind, ir.Inst):
        found = value.list_vars()
    return found


def _list_variables(self: Any, value: Any) -> list[Any]:
    return list_variables(value)


_LEAVES = frozenset([str, int, float, bool, type(None), ir.Loc])
ir.Inst._rec_list_vars = _list_variables


class KernelTyping(typing.Context):  # type: ignore[misc]
    """Numba's typing rules without NumPy's functions: operators on scalars resolve faster."""

    def load_additional_registries(self) -> None:
        self.install_registry(mathdecl.registry)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Numba's answer, remembered: a kernel asks for f32 + f32 over and over."""
        if kws:
            return super().resolve_function_type(func, args, kws)
        found = self._resolved.get((func, args))
        if found is None:
            found = super().resolve_function_type(func, args, kws)
            self._resolved[func, args] = found
        return found

    @cached_property
    def _resolved(self) -> dict[Any, Any]:
        return {}


class KernelContext(cpu.CPUContext):  # type: ignore[misc]
    """Numba's CPU target without the registries of lists, dicts, strings and arrays."""

    def load_additional_registries(self) -> None:
        from numba.core import optional  # noqa: F401
        from numba.cpython import builtins, mathimpl, numbers, rangeobj, tupleobj  # noqa: F401
        self.install_registry(mathimpl.registry)

    def post_lowering(self, mod: Any, library: Any) -> None:
        """Link nothing: kernels need no reference-counting runtime."""


def install(typing_context: Any, target: Any) -> None:
    """Make these the contexts that Numba's own functions find."""
    cpu_target._toplevel_typing_context = typing_context
    cpu_target._toplevel_target_context = target


class KernelPasses(PassManager):  # type: ignore[misc]
    """Numba's pass manager without a liveness analysis after every pass: lowering has its own."""

    _ENFORCING = False


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """Bytecode, SSA, types, LLVM IR: no rewrites, no closures, no overload inlining."""

    def define_pipelines(self) -> list[Any]:
        passes = KernelPasses("kernel")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, KernelSSA,
                     NopythonTypeInference, PreLowerStripPhis, IRLegalization, NativeLowering,
                     NoPythonBackend):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]
