"""Places in the user's source that no frame tells: a call's arguments, a function's parameters."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from dlc.errors import Loc, is_user_file


@lru_cache(maxsize=32)
def _parse(file: str, text: str) -> dict[tuple[int, int], ast.AST]:
    """Calls and functions of a source text by where they start; empty when it does not parse."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    kinds = (ast.Call, ast.FunctionDef, ast.Lambda)
    found: dict[tuple[int, int], ast.AST] = {}
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            # f(x)(y): the outer call starts where the inner one does, and is walked first
            found[node.lineno, node.col_offset] = node
            if isinstance(node, ast.FunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found.setdefault((first, -1), node)
    return found


def _parsed(file: str) -> dict[tuple[int, int], ast.AST]:
    return _parse(file, "".join(linecache.getlines(file)))


def _place(file: str, node: ast.expr | ast.arg) -> Loc:
    same = node.end_lineno == node.lineno
    return Loc(file, node.lineno, node.col_offset, (node.end_col_offset or -1) if same else -1)


def call_arguments(call: Loc | None, count: int) -> list[Loc | None]:
    """Where the `count` positional arguments of the call at `call` stand.

    All are `call` itself when the source is not there or arguments are starred.
    """
    if call is None:
        return [None] * count
    for (line, column), node in _parsed(call.file).items():
        # a call over several lines is known by its line alone
        same = line == call.line and call.column in (column, -1)
        if same and isinstance(node, ast.Call) and len(node.args) == count:
            starred = any(isinstance(a, ast.Starred) for a in node.args)
            return [call] * count if starred else [_place(call.file, a) for a in node.args]
    return [call] * count


def parameter_places(function: Callable[..., Any]) -> dict[str, Loc]:
    """Where each parameter of `function` stands, by name; empty when the source is not there."""
    code = getattr(function, "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return {}
    node = _parsed(code.co_filename).get((code.co_firstlineno, -1))
    if not isinstance(node, ast.FunctionDef):
        return {}
    listed = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {a.arg: _place(code.co_filename, a) for a in listed}


def as_written(function: Callable[..., Any]) -> Callable[..., Any]:
    """The user's function that a transformation such as dlc.grad was given; else the same."""
    while definition(function) is None and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def definition(function: Callable[..., Any]) -> Loc | None:
    """The line of `def` of a user's function, below its decorators; None for any other."""
    code = getattr(function, "__code__", None)
    if code is None or not is_user_file(code.co_filename):
        return None
    node = _parsed(code.co_filename).get((code.co_firstlineno, -1))
    line = node.lineno if isinstance(node, ast.FunctionDef) else code.co_firstlineno
    return Loc(code.co_filename, line)
