"""A user's function as text that kernels can call: its source, renamed and closed.

    LIMIT = 6.0                              import builtins as clipped__builtins
    def clipped(x):                   ->     clipped__LIMIT = 6.0
        return min(x, LIMIT)                 def clipped__clipped(x):
                                                 return clipped__builtins.min(x, clipped__LIMIT)

Every name from outside the function gets the operator's prefix, so that a kernel's own names and
several operators do not meet. Values of closures become part of the text, and so of all cache keys.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import math
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlc.errors import DlcError, Loc, here
from dlc.lang.source import definition

MODULES = {"math", "numpy", "builtins"}
BUILTINS = {"abs", "bool", "divmod", "enumerate", "float", "int", "len", "max", "min", "pow",
            "range", "round", "sum", "zip"}
# What a kernel can't hold: memory of its own, other functions' frames, text.
REFUSED: dict[type, str] = {
    ast.Import: "an import", ast.ImportFrom: "an import", ast.Try: "try", ast.With: "with",
    ast.Lambda: "a lambda", ast.FunctionDef: "a function inside", ast.ClassDef: "a class",
    ast.List: "a list", ast.Dict: "a dict", ast.Set: "a set", ast.JoinedStr: "an f-string",
    ast.ListComp: "a comprehension", ast.DictComp: "a comprehension", ast.SetComp:
    "a comprehension", ast.GeneratorExp: "a generator", ast.Global: "global",
    ast.Nonlocal: "nonlocal", ast.Starred: "a starred value"}


@dataclass(eq=False)
class FunctionText:
    """The text of a function and of all that it calls; where each of its lines comes from.

    `places[k]` is the user's line of line k + 1, None for those that dlc wrote. `parameters` are
    the names of the function's own, `keywords` those after the star.
    """

    name: str
    text: str
    places: list[Loc | None]
    parameters: list[str]
    keywords: list[str]

    def place(self, from_end: int) -> Loc | None:
        """The user's line of a line counted from the end and from 1."""
        return self.places[len(self.places) - from_end] if from_end <= len(self.places) else None

    def failing(self) -> list[int]:
        """The lines, counted from the end and from 1, on which the text may fail."""
        found = {node.lineno for node in ast.walk(ast.parse(self.text))
                 if isinstance(node, (ast.Subscript, ast.Raise))}
        return [len(self.places) + 1 - line for line in sorted(found)]

    def returns(self) -> list[Loc | None]:
        """The user's lines on which the function itself, and none that it calls, gives a value."""
        own = next(node for node in ast.parse(self.text).body
                   if isinstance(node, ast.FunctionDef) and node.name == self.name)
        given = [node.lineno for node in ast.walk(own)
                 if isinstance(node, ast.Return) and node.value is not None
                 and not (isinstance(node.value, ast.Constant) and node.value.value is None)]
        return [self.places[line - 1] for line in sorted(given)]


def function_text(operator: str, function: Callable[..., Any]) -> FunctionText:
    """`function` and what it needs, as text for `operator`'s kernels.

    Raises DlcError for what has no such text: a lambda, a generator, a global that is neither a
    number, a module of MODULES, nor a function.
    """
    writer = _Writer(operator)
    name = writer.add(_plain(function))
    return FunctionText(name, "\n".join(writer.lines) + "\n", writer.places,
                        *_parameters(_plain(function)))


def _plain(function: Any) -> Any:
    """The Python function behind a Numba dispatcher; itself otherwise."""
    return getattr(function, "py_func", function)


def _parameters(function: Any) -> tuple[list[str], list[str]]:
    positional: list[str] = []
    keywords: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DlcError(f"custom operator: {function.__name__} takes *{parameter.name}",
                           definition(function), "name its operands one by one")
        only = parameter.kind is parameter.KEYWORD_ONLY
        (keywords if only else positional).append(parameter.name)
    return positional, keywords


@dataclass(eq=False)
class _Writer:
    """Collects the definitions, those that others need first."""

    operator: str
    lines: list[str] = field(default_factory=list)
    places: list[Loc | None] = field(default_factory=list)
    known: dict[int, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # text of a definition by name

    def add(self, function: Any) -> str:
        """The name under which the text defines `function`."""
        if id(function) in self.known:
            return self.known[id(function)]
        name = self.fresh(function.__name__)
        self.known[id(function)] = name
        tree, first = _definition(self.operator, function)
        file = function.__code__.co_filename
        _check_body(self.operator, function, tree, file, first)
        outside = _outside(function)
        renamed = {word: self.global_name(function, word, value)
                   for word, value in outside.items()}
        tree = _Renamed({**renamed, function.__name__: name}, _locals(function)).visit(tree)
        tree.name = name
        text = ast.unparse(ast.fix_missing_locations(tree))
        self.lines += text.split("\n")
        self.places += [None if line is None else Loc(file, line + first - 1, 0)
                        for line in _origins(text, tree)]
        return name

    def fresh(self, word: str) -> str:
        """A name of its own for a function."""
        name, count = f"{self.operator}__{word}", 1
        while name in self.names:
            count += 1
            name = f"{self.operator}__{word}_{count}"
        self.names[name] = ""
        return name

    def global_name(self, function: Any, word: str, value: Any) -> str:
        """The name in the text for what `word` means to `function`."""
        if isinstance(value, types.ModuleType):
            return self.define(value.__name__, f"import {value.__name__} as", function, word)
        if isinstance(value, types.FunctionType) or hasattr(value, "py_func"):
            return self.add(_plain(value))
        if value is getattr(builtins, word, None) and not isinstance(value, (int, float, tuple)):
            return self.define("builtins", "import builtins as", function, word) + f".{word}"
        if isinstance(value, (types.BuiltinFunctionType, type)) or hasattr(value, "ufunc"):
            return self.module_member(function, word, value)
        if not _is_constant(value):
            if type(value).__module__.partition(".")[0] in MODULES and hasattr(value, "__name__"):
                return self.module_member(function, word, value)
            raise DlcError(
                f"custom operator {self.operator}: {word} is {type(value).__name__} "
                f"{value!r:.40}", definition(function),
                "outside its operands a function may use numbers, tuples of them, functions and "
                "the modules math and numpy; give arrays as operands")
        name = f"{self.operator}__{word}"
        text = f"{name} = {_literal(value)}"
        count = 1
        while self.names.get(name, text) != text:
            count += 1
            name = f"{self.operator}__{word}_{count}"
            text = f"{name} = {_literal(value)}"
        self.write(name, text)
        return name

    def module_member(self, function: Any, word: str, value: Any) -> str:
        """What `from math import exp` bound, through its module."""
        module = getattr(value, "__module__", None) or "numpy"
        name = getattr(value, "__name__", word)
        return self.define(module, f"import {module} as", function, word) + f".{name}"

    def define(self, module: str, statement: str, function: Any, word: str) -> str:
        if module.partition(".")[0] not in MODULES:
            raise DlcError(f"custom operator {self.operator}: {word} is of the module {module}",
                           definition(function), f"modules are {', '.join(sorted(MODULES))}")
        name = f"{self.operator}__{module.replace('.', '_')}"
        self.write(name, f"{statement} {name}")
        return name

    def write(self, name: str, text: str) -> None:
        if self.names.setdefault(name, "") != text:
            self.names[name] = text
            self.lines.append(text)
            self.places.append(None)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return isinstance(value, (bool, int, float))


def _literal(value: Any) -> str:
    """A number or tuple as source; infinities and NaN have no literal."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float) and not math.isfinite(value):
        return "1e999 - 1e999" if math.isnan(value) else "1e999" if value > 0 else "-1e999"
    return repr(float(value)) if isinstance(value, float) else repr(value)


def _definition(operator: str, function: Any) -> tuple[ast.FunctionDef, int]:
    """The function's definition, bare, and the number of its first line in its file."""
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError):
        raise DlcError(f"custom operator {operator}: the source of {function.__name__} can't be "
                       "read", here(), "define it with def in a file") from None
    if not isinstance(tree, ast.FunctionDef) or inspect.isgeneratorfunction(function):
        raise DlcError(f"custom operator {operator}: {function.__name__} is not a plain function",
                       definition(function), "define it with def; it may not yield")
    tree.decorator_list = []
    tree.returns = None
    for argument in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs):
        argument.annotation = None
    # in the text attributes come after the operands: kernels call by position
    tree.args.args = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
    tree.args.posonlyargs, tree.args.kwonlyargs = [], []
    tree.args.defaults, tree.args.kw_defaults = [], []
    if ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:] or [ast.copy_location(ast.Pass(), tree.body[0])]
    return tree, first


def _check_body(operator: str, function: Any, tree: ast.FunctionDef, file: str,
                first: int) -> None:
    """Raise DlcError for what no kernel can hold, at its line."""
    code = function.__code__
    known = {*code.co_varnames, *code.co_freevars, *function.__globals__, *BUILTINS,
             function.__name__}
    body = tree.body
    # what is raised, and an assertion's words, are left out of the text
    words = [r.exc if isinstance(r, ast.Raise) else r.msg for s in body for r in ast.walk(s)
             if isinstance(r, (ast.Raise, ast.Assert))]
    raised = {n for word in words if word is not None for n in ast.walk(word)}
    for node in (n for statement in body for n in ast.walk(statement)):
        what = REFUSED.get(type(node), "") if node not in raised else ""
        if isinstance(node, ast.Name) and node.id not in known and node not in raised:
            what = f"the name {node.id}"
        if what:
            line = getattr(node, "lineno", 1)
            raise DlcError(f"custom operator {operator}: {function.__name__} uses {what}",
                           Loc(file, line + first - 1, getattr(node, "col_offset", -1)),
                           "it may use what Numba compiles without memory of its own: numbers, "
                           "tuples, loops, indexing, math and " + ", ".join(sorted(BUILTINS)))


def _outside(function: Any) -> dict[str, Any]:
    """What the names that `function` does not bind itself mean: closure, globals, builtins."""
    code, found = function.__code__, {}
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    for word in sorted({*code.co_names, *code.co_freevars}):
        if word in cells:
            try:
                found[word] = cells[word].cell_contents
            except ValueError:
                continue  # bound later, or itself
        elif word in function.__globals__:
            found[word] = function.__globals__[word]
        elif hasattr(builtins, word):
            found[word] = getattr(builtins, word)
    used = {n.id for n in ast.walk(_definition("", function)[0]) if isinstance(n, ast.Name)}
    mine = function.__name__
    return {k: v for k, v in found.items() if k in used and not (
        k == mine and _plain(v) is function) and k not in ("range", "len")}


def _locals(function: Any) -> set[str]:
    return set(function.__code__.co_varnames)


class _Renamed(ast.NodeTransformer):
    """Outside names by their name in the text; errors raised without their words."""

    def __init__(self, names: dict[str, str], local: set[str]) -> None:
        self.names = {k: v for k, v in names.items() if k not in local}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = self.names.get(node.id)
        if name is None:
            return node
        new = ast.parse(name, mode="eval").body
        return ast.copy_location(new, node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        plain = ast.Assign([node.target], node.value) if node.value else ast.Pass()
        return self.visit(ast.copy_location(plain, node)) if node.value else (
            ast.copy_location(plain, node))

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(_raise(node), node)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        test = ast.copy_location(ast.UnaryOp(ast.Not(), self.visit(node.test)), node)
        return ast.copy_location(ast.If(test, [_raise(node)], []), node)


def _raise(node: ast.AST) -> ast.Raise:
    error = ast.copy_location(ast.Name("ValueError", ast.Load()), node)
    return ast.copy_location(ast.Raise(error, None), node)


def _origins(text: str, tree: ast.AST) -> list[int | None]:
    """For each line of `text`, the line of `tree`, which it was written from, that it stands for.
    """
    found: list[int | None] = [None] * len(text.split("\n"))
    for new, old in zip(ast.walk(ast.parse(text).body[0]), ast.walk(tree), strict=True):
        if isinstance(new, ast.stmt) and isinstance(old, ast.stmt):
            found[new.lineno - 1] = old.lineno
    last: int | None = None
    for i, line in enumerate(found):
        last = found[i] = last if line is None else line
    return found
