"""Kernels whose functions take array views: a user's Numba function, bounds-checked, may raise.

Loaded by a compile worker when the first such kernel comes: Numba's registries of arrays and of
NumPy's functions take as long to load as everything else. An index out of range and a raise end the
call with the line of the kernel's text; nothing is read or written outside a view.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from llvmlite import ir
from numba.core import callconv, cgutils, lowering
from numba.core import types as numba_types
from numba.core.compiler_machinery import register_pass
from numba.core.errors import TypingError
from numba.core.typed_passes import (
    IRLegalization,
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import npydecl
from numba.core.untyped_passes import (
    FixupArgs,
    GenericRewrites,
    IRProcessing,
    TranslateByteCode,
)
from numba.np import arrayobj, npyimpl

from dlc.program import Kernel
from dlc.runtime import passes_numba
from dlc.runtime.lower import NUMBA, LowerError, Toolchain, compile_flags
from dlc.runtime.numba_ssa import KernelSSA

nb: Any = numba_types
VIEWED = ("f32", "f64", "i32", "i64", "i16", "i8", "u64", "u32", "u16", "u8", "bool")


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


class ViewTyping(passes_numba.KernelTyping):
    """The kernels' typing rules, and those of NumPy's functions."""

    def load_additional_registries(self) -> None:
        super().load_additional_registries()
        self.install_registry(npydecl.registry)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Numba's own answer: a constant slice is no key to remember it by."""
        return super(passes_numba.KernelTyping, self).resolve_function_type(func, args, kws)


class ViewContext(passes_numba.KernelContext):
    """The kernels' target, and arrays on it."""

    def load_additional_registries(self) -> None:
        from numba.cpython import iterators, slicing  # noqa: F401
        super().load_additional_registries()
        self.install_registry(npyimpl.registry)

    @property
    def call_conv(self) -> Any:
        return LineConvention(self)


class LineLower(lowering.Lower):  # type: ignore[misc]
    """Lowering that tells the calling convention the line."""

    def notify_loc(self, loc: Any) -> None:
        LineConvention.line = loc.line


@register_pass(mutates_CFG=True, analysis_only=False)
class ViewLowering(NativeLowering):  # type: ignore[misc]
    """Native lowering by LineLower."""

    _name = "view_lowering"

    @property
    def lowering_class(self) -> Any:
        return LineLower


class ViewCompiler(passes_numba.KernelCompiler):
    """The kernels' pipeline, with constant raises and indices."""

    def define_pipelines(self) -> list[Any]:
        passes = passes_numba.KernelPasses("views")
        for step in (TranslateByteCode, FixupArgs, IRProcessing, GenericRewrites, KernelSSA,
                     NopythonTypeInference, PreLowerStripPhis, IRLegalization, ViewLowering,
                     NoPythonBackend):
            passes.add_pass(step, step.__name__)
        passes.finalize()
        return [passes]


@lru_cache(maxsize=1)
def view_contexts() -> tuple[Any, Any]:
    """Numba's typing and target contexts with arrays, one pair a process."""
    typing_context = ViewTyping()
    target = ViewContext(typing_context, "cpu")
    passes_numba.install(typing_context, target)
    target.refresh()
    return typing_context, target


class ViewToolchain(Toolchain):
    """A toolchain for kernels that raise: its functions take the views that a kernel makes.

    `view_T(buffer, n0, n1, ...)` is a C-contiguous array over `buffer`, `const_view_T` one that is
    read only.
    """

    pipeline = ViewCompiler

    def __init__(self, prelude: str, tiles: Any, isa: str) -> None:
        super().__init__(prelude, tiles, isa)
        for name in VIEWED:
            self.define(f"view_{name}", self.view_template(name, readonly=False))
            self.define(f"const_view_{name}", self.view_template(name, readonly=True))

    def contexts(self) -> tuple[Any, Any]:
        found = view_contexts()
        passes_numba.install(*found)
        return found

    def compile_flags(self) -> Any:
        flags = compile_flags()
        flags.boundscheck = True
        return flags

    def module(self, kernel: Kernel, symbol: str) -> Any:
        """The module of `kernel`. Numba's own failures, too, are the fault of the user's text."""
        try:
            return super().module(kernel, symbol)
        except LowerError:
            raise
        except Exception as error:
            raise LowerError(f"{type(error).__name__}: {error}") from None

    def view_template(self, name: str, readonly: bool) -> Any:
        def kind(count: int) -> Any:
            dtype = nb.boolean if name == "bool" else NUMBA[name]
            return nb.Array(dtype, count, "C", readonly=readonly)

        def rule(arguments: tuple[Any, ...]) -> Any:
            if not isinstance(arguments[0], nb.CPointer):
                raise TypingError(f"view_{name} takes a buffer and the sizes of the axes")
            return kind(len(arguments) - 1)

        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return array_over(context, builder, signature.return_type, values[0], values[1:])
        return self.template(f"view_{name}", rule, lower)


def array_over(context: Any, builder: Any, kind: Any, pointer: Any, sizes: Any) -> Any:
    """A Numba array struct of C-contiguous memory at `pointer`."""
    width = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    strides: list[Any] = []
    step: Any = context.get_constant(nb.intp, width)
    for size in reversed(sizes):
        strides.insert(0, step)
        step = builder.mul(step, size)
    array = arrayobj.make_array(kind)(context, builder)
    data = builder.bitcast(pointer, context.get_data_type(kind.dtype).as_pointer())
    arrayobj.populate_array(
        array, data=data, shape=cgutils.pack_array(builder, sizes, ty=ir.IntType(64)),
        strides=cgutils.pack_array(builder, strides, ty=ir.IntType(64)),
        itemsize=context.get_constant(nb.intp, width), meminfo=None)
    return array._getvalue()
