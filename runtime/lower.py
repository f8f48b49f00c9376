"""Kernel to relocatable object: Numba types and lowers the text, LLVM optimizes it once.

Runs in the compile workers only. Numba's own back end is not used: a kernel gets no Python
wrappers, its callees are linked in as unoptimized IR, and the one exported function is
`void NAME(int64_t *args, int64_t chunk)`.
"""

from __future__ import annotations

import linecache
import types as python_types
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import llvmlite.binding as llvm
from numba.core import compiler, typing
from numba.core import types as numba_types
from numba.core.codegen import CodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.errors import NumbaError, TypingError
from numba.core.typing.templates import AbstractTemplate

from dlc.program import Kernel, Parameter, TileText
from dlc.runtime import passes_numba
from dlc.runtime.control import CONTROL
from dlc.runtime.isa import has_f16
from dlc.runtime.llvm_module import check_calls, entry_text, hide, pass_builder, target_machine
from dlc.runtime.primitives import (
    CONSTANTS,
    LLVM,
    PRIMITIVES,
    Primitive,
    PrimitiveError,
    call_intrinsic,
)

nb: Any = numba_types  # most of it is made at import time, which type checkers do not see
NUMBA = {"f32": nb.float32, "f64": nb.float64, "b1": nb.boolean, "void": nb.void,
         "i8": nb.int8, "i16": nb.int16, "i32": nb.int32, "i64": nb.int64,
         "u8": nb.uint8, "u16": nb.uint16, "u32": nb.uint32, "u64": nb.uint64}
NAMES = {value: name for name, value in NUMBA.items()}
STORED = {"bool": "u8", "f16": "u16", "bf16": "u16"}  # how a dtype lies in memory


class LowerError(Exception):
    """A kernel that does not compile; the message says why, in the terms of its text."""


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


@lru_cache(maxsize=1)
def numba_contexts() -> tuple[Any, Any]:
    """Numba's typing and target contexts, one pair a process.

    They stand in for Numba's own: filling those (with lists, strings, arrays, a reference-counting
    runtime that is compiled first) takes twice as long as everything here.
    """
    typing_context = passes_numba.KernelTyping()
    target = passes_numba.KernelContext(typing_context, "cpu")
    passes_numba.install(typing_context, target)
    target.refresh()
    return typing_context, target


class Toolchain:
    """Numba and LLVM set up for one instruction set, one prelude text and one set of tiles."""

    pipeline: Any = passes_numba.KernelCompiler

    def __init__(self, prelude: str, tiles: dict[str, TileText], isa: str = "") -> None:
        self.made_of = (prelude, tiles, isa)
        self.typing_context, self.target = self.contexts()
        self.tiles = tiles
        self.flags = self.compile_flags()
        self.machine = target_machine(isa)
        self.has_f16 = has_f16(isa)
        self.builder = pass_builder(self.machine)
        self.namespace: dict[str, Any] = dict(CONSTANTS)
        self.compiled: dict[Any, Any] = {}
        for primitive in (*PRIMITIVES.values(), *CONTROL.values()):
            self.define(primitive.name, self.primitive_template(primitive))
        for tile in tiles.values():
            self.define(tile.name, self.tile_template(tile))
        self.load_functions(prelude, "<prelude>", self.namespace)

    def contexts(self) -> tuple[Any, Any]:
        """The typing and target contexts to compile in, made those that Numba finds."""
        found = numba_contexts()
        passes_numba.install(*found)
        return found

    def compile_flags(self) -> Any:
        return compile_flags()

    @cached_property
    def viewing(self) -> Toolchain:
        """The toolchain for kernels whose functions take array views, made when one comes."""
        from dlc.runtime.views import ViewToolchain

        return ViewToolchain(*self.made_of)

    def warm_up(self) -> None:
        """Compile a small kernel: the first compilation of a process costs 0.1 s more."""
        text = "def warm(x, n, chunk):\n    for i in range(n):\n        x[i] = f32(i) * x[i]\n"
        parameters = (Parameter("x", "f32", "pointer"), Parameter("n", "i64", "scalar"))
        self.compile(Kernel("warm", parameters, text), "warm")

    @classmethod
    def from_request(cls, request: dict[str, Any]) -> Toolchain:
        """The toolchain that a worker's "setup" request describes."""
        tiles = {t["name"]: TileText(**{**t, "params": tuple(t["params"])})
                 for t in request["tiles"]}
        return cls(request["prelude"], tiles, request["isa"])

    def compile_request(self, request: dict[str, Any]) -> bytes:
        """The object that a worker's "compile" request asks for."""
        fields = request["kernel"]
        parameters = tuple(Parameter(name, dtype, kind) for name, dtype, kind in fields["params"])
        kernel = Kernel(fields["name"], parameters, fields["text"], tuple(fields["tiles"]),
                        fields["raises"])
        toolchain = self.viewing if kernel.raises else self
        toolchain.contexts()
        return toolchain.compile(kernel, request["symbol"])

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
        key = _marker(name)  # an object of its own: toolchains of one process share contexts
        Template.key = key
        self.target.insert_func_defn([(lower, key, (nb.VarArg(nb.Any),))])
        return Template

    def function_template(self, name: str, function: Any) -> Any:
        """A template that compiles a prelude function for the operand types it meets."""
        toolchain = self

        class Template(AbstractTemplate):  # type: ignore[misc]
            key = function

            def generic(self, args: Any, kws: Any) -> Any:
                kinds = tuple(nb.unliteral(a) for a in args)
                return toolchain.compile_function(name, function, kinds).signature
        return Template

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
            library=library, pipeline_class=self.pipeline)

    def compile(self, kernel: Kernel, symbol: str) -> bytes:
        """The ELF object of `kernel`, exporting `symbol`. Raises LowerError with the reason."""
        return bytes(self.machine.emit_object(self.optimized(kernel, symbol)))

    def assembly(self, kernel: Kernel) -> str:
        """The assembly of `kernel`, for tests and for `dlc show --asm`."""
        return str(self.machine.emit_assembly(self.optimized(kernel, "entry")))

    def optimized(self, kernel: Kernel, symbol: str) -> Any:
        """The LLVM module of `kernel` as it goes to the assembler, checked for forbidden calls."""
        module = self.module(kernel, symbol)
        module.verify()
        self.builder.getModulePassManager().run(module, self.builder)
        self.link_tiles(module, kernel)
        reason = check_calls(module)
        if reason:
            raise LowerError(reason)
        return module

    def module(self, kernel: Kernel, symbol: str) -> Any:
        """The unoptimized LLVM module of `kernel` with its callees and entry linked in."""
        function = self.kernel_function(kernel)
        try:
            with global_compiler_lock:
                lowered = self.lower(kernel.name, function, _kernel_kinds(kernel), nb.void)
        except NumbaError as error:
            raise LowerError(_reason(error)) from None
        inner = lowered.fndesc.llvm_func_name
        module = llvm.parse_assembly(entry_text(kernel, symbol, inner))
        module.triple = self.machine.triple
        module.data_layout = str(self.machine.target_data)
        for library in _closure(lowered.library):
            for part in library.modules():
                module.link_in(part, preserve=library is not lowered.library)
        hide(module, symbol, inner)
        return module

    def link_tiles(self, module: Any, kernel: Kernel) -> None:
        """Add the tiles that `kernel` calls: after the passes, which could only cost time, since
        tiles are written as they should be."""
        for name in kernel.tiles:
            module.link_in(llvm.parse_assembly(self.tile(kernel, name).ir))
            function = module.get_function(name)
            function.linkage = "internal"

    def tile(self, kernel: Kernel, name: str) -> TileText:
        if name not in self.tiles:
            raise LowerError(f"{kernel.name} calls tile {name!r}, which the program does not hold")
        return self.tiles[name]

    def kernel_function(self, kernel: Kernel) -> Any:
        """The function that the text of `kernel` defines; others beside it are its callees."""
        scope = dict(self.namespace)
        self.load_functions(kernel.text, f"<kernel {kernel.name}>", scope)
        function = scope.get(kernel.name)
        if not isinstance(function, python_types.FunctionType):
            raise LowerError(f"its text defines no function {kernel.name}")
        return function


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


def compile_flags() -> Any:
    """Numba's options for kernels."""
    flags = compiler.Flags()
    flags.no_compile = True
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = True
    flags.no_rewrites = True
    flags.error_model = "numpy"
    flags.noalias = True
    flags.nrt = False
    flags.enable_ssa = True
    return flags


def _kernel_kinds(kernel: Kernel) -> tuple[Any, ...]:
    kinds = [numba_type(p.dtype + "*" if p.kind == "pointer" else p.dtype) for p in kernel.params]
    return (*kinds, nb.int64)


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

