"""Numba for custom operators: texts that the front end does not support (arrays, raises).

Imported by a compile worker when the first such kernel comes. Arrays are bounds-checked: an index
out of range and a raise end the call with the line of the kernel's text; nothing is read or written
outside a view.
"""

from __future__ import annotations

import linecache
import types as python_types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, compiler, typing
from numba.core import types as numba_types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError, TypingError
from numba.core.typing.templates import AbstractTemplate
from numba.np import arrayobj

from dlc.program import Kernel, TileText
from dlc.runtime.compile.llvm_module import entry_text, hide
from dlc.runtime.compile.lower import KNOWN, LowerError, parameter_types
from dlc.runtime.compile.numba_contexts import Collector, KernelCompiler, install, numba_contexts
from dlc.runtime.compile.operators import STORED
from dlc.runtime.compile.primitives import (
    CONSTANTS,
    LLVM,
    Primitive,
    PrimitiveError,
    call_intrinsic,
)

nb: Any = numba_types  # most of it is made at import time, which type checkers do not see
NUMBA = {"f32": nb.float32, "f64": nb.float64, "b1": nb.boolean, "void": nb.void,
         "i8": nb.int8, "i16": nb.int16, "i32": nb.int32, "i64": nb.int64,
         "u8": nb.uint8, "u16": nb.uint16, "u32": nb.uint32, "u64": nb.uint64}
NAMES = {value: name for name, value in NUMBA.items()}
VIEWED = ("f32", "f64", "i32", "i64", "i16", "i8", "u64", "u32", "u16", "u8", "bool")


def numba_type(name: str) -> Any:
    """The Numba type of a dtype name ("f32") or pointer ("f32*")."""
    if name.endswith("*"):
        return nb.CPointer(NUMBA[STORED.get(name[:-1], name[:-1])])
    return NUMBA[name]


def dtype_name(kind: Any) -> str:
    """The inverse of numba_type; unknown types keep Numba's name, for messages."""
    kind = nb.unliteral(kind)
    if isinstance(kind, nb.CPointer):
        return dtype_name(kind.dtype) + "*"
    return NAMES.get(kind, str(kind))


class NumbaRoute:
    """Numba with the primitives, tiles and functions that a text may call, and views of buffers.

    `view_T(buffer, n0, n1, ...)` is a C-contiguous array over `buffer`, `const_view_T` one that is
    read only. Of texts that `raise`, a call that fails gives its line, and indices are checked.
    """

    def __init__(self, prelude: str, tiles: dict[str, TileText], has_f16: bool,
                 raises: bool) -> None:
        self.typing_context, self.target = numba_contexts(raises)
        self.flags, self.has_f16 = compile_flags(raises), has_f16
        self.namespace: dict[str, Any] = dict(CONSTANTS)
        self.compiled: dict[Any, Any] = {}
        for primitive in KNOWN.values():
            self.define(primitive.name, self.primitive_template(primitive))
        for tile in tiles.values():
            self.define(tile.name, self.tile_template(tile))
        for name in VIEWED:
            self.define(f"view_{name}", self.view_template(name, readonly=False))
            self.define(f"const_view_{name}", self.view_template(name, readonly=True))
        self.load_functions(prelude, "<prelude>", self.namespace)

    def define(self, name: str, template: Any) -> None:
        """Bind `name` in kernel texts to a function that Numba types through `template`."""
        marker = _marker(name)
        self.namespace[name] = marker
        self.typing_context.insert_global(marker, nb.Function(template))

    def load_functions(self, text: str, filename: str, scope: dict[str, Any]) -> None:
        """Execute `text`; its functions are compiled when a kernel first calls them."""
        before = dict(scope)
        execute(text, filename, scope)
        for name, value in list(scope.items()):
            if before.get(name) is not value and isinstance(value, python_types.FunctionType):
                self.typing_context.insert_global(
                    value, nb.Function(self.function_template(name, value)))

    def primitive_template(self, primitive: Primitive) -> Any:
        def rule(arguments: tuple[Any, ...]) -> Any:
            names = tuple(dtype_name(a) for a in arguments)
            try:
                result = primitive.result(names)
            except PrimitiveError as error:
                raise TypingError(str(error)) from None
            literal = primitive.literal and not isinstance(arguments[0], nb.IntegerLiteral)
            if literal:
                raise TypingError(f"the size given to {primitive.name} must be a literal")
            return numba_type(result)

        emit = primitive.emit
        if not self.has_f16 and primitive.without_f16c is not None:
            emit = primitive.without_f16c

        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            names = tuple(dtype_name(a) for a in signature.args)
            operands = [a.literal_value for a in signature.args] if primitive.literal else values
            return emit(builder, names, list(operands))
        return self.template(primitive.name, rule, lower, primitive.literal)

    def tile_template(self, tile: TileText) -> Any:
        expected = tuple(numba_type(p) for p in tile.params)

        def rule(arguments: tuple[Any, ...]) -> Any:
            if tuple(nb.unliteral(a) for a in arguments) != expected:
                got = ", ".join(dtype_name(a) for a in arguments)
                raise TypingError(f"tile {tile.name} takes ({', '.join(tile.params)}), got ({got})")
            return NUMBA[tile.result]

        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            result = call_intrinsic(builder, tile.name, LLVM[tile.result], list(values))
            return context.get_dummy_value() if tile.result == "void" else result
        return self.template(tile.name, rule, lower)

    def template(self, name: str, rule: Callable[..., Any], lower: Callable[..., Any],
                 literal: bool = False) -> Any:
        """A Numba function template: `rule` types a call, `lower` emits it."""
        class Template(AbstractTemplate):  # type: ignore[misc]
            prefer_literal = literal

            def generic(self, args: Any, kws: Any) -> Any:
                return typing.signature(rule(args), *args)
        key = _marker(name)  # an object of its own: all NumbaRoutes of a process share contexts
        Template.key = key
        self.target.insert_func_defn([(lower, key, (nb.VarArg(nb.Any),))])
        return Template

    def function_template(self, name: str, function: Any) -> Any:
        """A template that compiles a prelude function for the operand types it meets."""
        route = self

        class Template(AbstractTemplate):  # type: ignore[misc]
            key = function

            def generic(self, args: Any, kws: Any) -> Any:
                kinds = tuple(nb.unliteral(a) for a in args)
                return route.compile_function(name, function, kinds).signature
        return Template

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

    def compile_function(self, name: str, function: Any, kinds: tuple[Any, ...]) -> Any:
        """Type and lower `function` for `kinds`, once; callable from kernels afterwards."""
        found = self.compiled.get((function, kinds))
        if found is None:
            found = self.lower(name, function, kinds, None)
            self.compiled[function, kinds] = found
            self.target.insert_user_function(function, found.fndesc, [found.library])
        return found

    def lower(self, name: str, function: Any, kinds: tuple[Any, ...], result: Any) -> Any:
        library = Collector(self.target.codegen(), name)
        return compiler.compile_extra(
            self.typing_context, self.target, function, kinds, result, self.flags.copy(), {},
            library=library, pipeline_class=KernelCompiler)

    def module(self, kernel: Kernel, symbol: str) -> Any:
        """The unoptimized LLVM module of `kernel` with its callees and entry linked in. Whatever
        fails is the fault of the text: raises LowerError."""
        function = self.kernel_function(kernel)
        install(self.typing_context, self.target)
        kinds = tuple(numba_type(t) for t in parameter_types(kernel))
        try:
            with global_compiler_lock:
                lowered = self.lower(kernel.name, function, kinds, nb.void)
        except NumbaError as error:
            raise LowerError(_reason(error)) from None
        except LowerError:
            raise
        except Exception as error:
            raise LowerError(f"{type(error).__name__}: {error}") from None
        return linked(kernel, symbol, lowered)

    def kernel_function(self, kernel: Kernel) -> Any:
        """The function that the text of `kernel` defines; others beside it are its callees."""
        scope = dict(self.namespace)
        self.load_functions(kernel.text, f"<kernel {kernel.name}>", scope)
        function = scope.get(kernel.name)
        if not isinstance(function, python_types.FunctionType):
            raise LowerError(f"its text defines no function {kernel.name}")
        return function


def linked(kernel: Kernel, symbol: str, lowered: Any) -> Any:
    """What Numba made of a kernel, its callees and its entry as one module."""
    inner = lowered.fndesc.llvm_func_name
    module = llvm.parse_assembly(entry_text(kernel, symbol, inner, "i32", ("ptr %r", "ptr %e")))
    for library in _closure(lowered.library):
        for part in library.modules():
            module.link_in(part, preserve=library is not lowered.library)
    hide(module, symbol, inner)
    return module


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


# each set of tiles has a toolchain of its own, and all of them the same long prelude
compiled = lru_cache(maxsize=8)(compile)


def execute(text: str, filename: str, namespace: dict[str, Any]) -> None:
    """Run `text`, remembered so that Numba's messages can quote its lines."""
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    try:
        exec(compiled(text, filename, "exec"), namespace)
    except Exception as error:
        raise LowerError(f"{filename} does not execute: {type(error).__name__}: {error}") from None


def _marker(name: str) -> Any:
    """A stand-in function object: what the name is bound to in a kernel's globals."""
    def marker() -> None:
        """Typed by Numba through a template, never called."""
    marker.__name__ = name
    return marker


def compile_flags(bounds: bool) -> Any:
    """Numba's options for kernels; `bounds` asks for a check of every index of an array."""
    flags = compiler.Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_rewrites = True
    flags.error_model = "numpy"
    flags.noalias = True
    flags.nrt = False
    flags.enable_ssa = True
    flags.boundscheck = bounds
    return flags


def _closure(library: Collector) -> list[Collector]:
    """`library` and every library it calls, directly or not, each once."""
    seen: list[Collector] = []
    pending = [library]
    while pending:
        part = pending.pop()
        if part not in seen:
            seen.append(part)
            pending.extend(part.libraries)
    return seen


def _reason(error: NumbaError) -> str:
    """Numba's message without its advice and internal frames, but with every place it names."""
    kept: list[str] = []
    for line in str(error).splitlines():
        noise = ("During:", "This error may", "Failed in", "There are", "  - ", "Overload of")
        if line.strip() and not line.strip().startswith(noise) and (
                len(kept) < 12 or 'File "<kernel' in line):
            kept.append(line.rstrip())
    return "\n".join(kept)

