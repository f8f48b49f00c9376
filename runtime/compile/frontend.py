"""The front end of kernel texts: lowers each function once for its types.

    text of a function, types of its arguments  ->  its LLVM text, what it calls, its result's type

The dialect is that of docs/ir.md and of routines: numbers, pointers, assignments, loops, branches,
calls of primitives, tiles and other functions of the text. Numba takes the same texts and gives the
same numbers; it needs ten times as long, since it starts from bytecode and has to find out what is
written here. A construct that the dialect lacks raises OutsideError.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dlc.program import TileText
from dlc.runtime.compile.llvm_module import Lowered
from dlc.runtime.compile.operators import OutsideError
from dlc.runtime.compile.primitives import Primitive
from dlc.runtime.compile.walk import Walk


@lru_cache(maxsize=64)
def functions_of(text: str) -> dict[str, ast.FunctionDef]:
    """The functions that a text defines. Raises OutsideError when it holds anything else."""
    found: dict[str, ast.FunctionDef] = {}
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise OutsideError(str(error)) from None
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # what the text says of itself
        if not isinstance(statement, ast.FunctionDef) or statement.decorator_list:
            raise OutsideError(f"{type(statement).__name__} outside of a function")
        arguments = statement.args
        if arguments.defaults or arguments.vararg or arguments.kwonlyargs or arguments.kwarg:
            raise OutsideError(f"the arguments of {statement.name}")
        found[statement.name] = statement
    return found


@dataclass
class Scope:
    """What names stand for in the functions of a text; compiled functions are kept."""

    functions: Mapping[str, ast.FunctionDef]
    primitives: Mapping[str, Primitive]
    tiles: Mapping[str, TileText]
    has_f16: bool
    outer: Scope | None = None
    region: Callable[[Any, str, ast.For], None] | None = None  # how a block's threads run a loop
    lowered: dict[tuple[str, tuple[str, ...]], Lowered] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)

    def function(self, name: str, types: tuple[str, ...]) -> Lowered:
        """The function `name` for these types of arguments, lowered once."""
        if name not in self.functions and self.outer is not None:
            return self.outer.function(name, types)
        found = self.lowered.get((name, types))
        if found is None:
            if name in self.running:
                raise OutsideError(f"{name} calls itself")
            self.running.add(name)
            try:
                found = Walk(self, self.functions[name], types).lowered()
            finally:
                self.running.discard(name)
            self.lowered[name, types] = found
        return found

    def defines(self, name: str) -> bool:
        return name in self.functions or (self.outer is not None and self.outer.defines(name))
