"""Kernel to relocatable object: the front end lowers the text, LLVM optimizes it once.

Runs in the compile workers only. A kernel gets no Python wrappers; what it calls is linked in as
unoptimized IR, and the one exported function is `void NAME(int64_t *args, int64_t chunk)`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm

from dlc.program import Kernel, Parameter, TileText
from dlc.runtime.compile.frontend import Scope, functions_of
from dlc.runtime.compile.isa import has_f16
from dlc.runtime.compile.llvm_module import (
    check_calls,
    entry_text,
    module_text,
    pass_builder,
    target_machine,
)
from dlc.runtime.compile.operators import STORED, OutsideError
from dlc.runtime.compile.primitives import PRIMITIVES
from dlc.runtime.compile.runner_primitives import CONTROL

KNOWN = {**PRIMITIVES, **CONTROL}


class LowerError(Exception):
    """A kernel that does not compile; the message says why, in the terms of its text."""


class Toolchain:
    """The front end and LLVM set up for one instruction set, one prelude text and one set of tiles.

    Raises LowerError when the prelude is none.
    """

    def __init__(self, prelude: str, tiles: dict[str, TileText], isa: str = "") -> None:
        self.prelude, self.tiles = prelude, tiles
        self.machine = target_machine(isa)
        self.has_f16 = has_f16(isa)
        self.builder = pass_builder(self.machine)
        try:
            functions = functions_of(prelude)
        except OutsideError as error:
            raise LowerError(f"<prelude>: {error}") from None
        self.routes: dict[bool, Any] = {}
        self.scope = Scope(functions, KNOWN, tiles, self.has_f16)

    def numba(self, raises: bool) -> Any:
        """Numba, for users' functions; imported and set up when the first of them comes."""
        from dlc.runtime.compile.numba_route import NumbaRoute

        if raises not in self.routes:
            self.routes[raises] = NumbaRoute(self.prelude, self.tiles, self.has_f16, raises)
        return self.routes[raises]

    def warm_up(self) -> None:
        """Compile a small kernel: the first compilation of a process costs more."""
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
        return self.compile(kernel, request["symbol"])

    def compile(self, kernel: Kernel, symbol: str) -> bytes:
        """The ELF object of `kernel`, exporting `symbol`. Raises LowerError with the reason."""
        return bytes(self.machine.emit_object(self.optimized(kernel, symbol)))

    def assembly(self, kernel: Kernel, symbol: str) -> str:
        """The same as text in the assembler's language."""
        return str(self.machine.emit_assembly(self.optimized(kernel, symbol)))

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
        """The unoptimized LLVM module of `kernel` with its callees and entry: by the front end, or
        by Numba where functions of a user stand beside it and say what only Numba knows."""
        try:
            module = self.lowered(kernel, symbol)
        except OutsideError as error:
            if alone(kernel):
                raise LowerError(str(error)) from None
            module = self.numba(kernel.raises).module(kernel, symbol)
        module.triple = self.machine.triple
        module.data_layout = str(self.machine.target_data)
        return module

    def lowered(self, kernel: Kernel, symbol: str) -> Any:
        """The module as the front end makes it. Raises OutsideError."""
        if kernel.raises:
            raise OutsideError("a function that may raise")
        functions = functions_of(kernel.text)
        if kernel.name not in functions:
            raise LowerError(f"its text defines no function {kernel.name}")
        scope = Scope(functions, KNOWN, self.tiles, self.has_f16, self.scope)
        inner = scope.function(kernel.name, parameter_types(kernel))
        entry = entry_text(kernel, symbol, inner.symbol, "void", ())
        module = llvm.parse_assembly(module_text(inner) + entry)
        # noalias on parameters is strongest where a function stays one of its own
        module.get_function(inner.symbol).add_function_attribute("noinline")
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


def parameter_types(kernel: Kernel) -> tuple[str, ...]:
    """The types of a kernel's parameters as they lie in memory, and of `chunk`."""
    kinds = (STORED.get(p.dtype, p.dtype) + "*" if p.kind == "pointer" else p.dtype
             for p in kernel.params)
    return (*kinds, "i64")


def alone(kernel: Kernel) -> bool:
    """Whether the text of `kernel` holds nothing but its own function: it is all dlc's."""
    try:
        return not kernel.raises and len(functions_of(kernel.text)) == 1
    except OutsideError:
        return False
