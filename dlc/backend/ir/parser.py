"""Parsing a kernel's text to the IR: the inverse of printer.py, and the entry point of routines.

A routine's text is hand-written (dlc/ops/argsort.py, ...) in the same language, and is printed in
the IR's own form. Nothing else parses a kernel's text.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from dlc.backend.ir import (
    Alloc,
    Binary,
    Break,
    Call,
    Expression,
    For,
    Function,
    If,
    Let,
    Pointer,
    Statement,
    Store,
    TileCall,
    UserCall,
    View,
    While,
    computing,
    later,
    printer,
)
from dlc.backend.ir.index import Sum
from dlc.backend.ir.reading import (
    SIGNS,
    KernelSyntaxError,
    Scope,
    common,
    index,
    place,
    read,
    refused,
)
from dlc.backend.ir.walks import flattened
from dlc.backend.ir.whole import settled, with_scalars
from dlc.ir.types import DTYPES, DType, bool_, dtype
from dlc.program import Parameter

TILES = ("gemm", "taps", "dots", "transpose", "copy")
KINDS = {word: kind for kind, word in printer.KINDS.items()}
SPACES = {word: space for space, word in printer.SPACES.items()}
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult)


@lru_cache(maxsize=1024)  # the same routines, packing and shared kernels are read again and again
def parse(text: str, params: tuple[Parameter, ...]) -> Function:
    """The IR of a kernel's text, whose parameters have these dtypes (`chunk` follows them where it
    does one chunk); raises KernelSyntaxError for what the grammar does not have."""
    first, helpers = kernel_and_helpers(text)
    words = [a.arg for a in first.args.args]
    chunked = words[-1:] == ["chunk"]
    if words != [*(p.name for p in params), *words[len(words) - chunked:]]:
        raise KernelSyntaxError(f"{first.name} takes other parameters than those given")
    doc = ast.get_docstring(first, clean=False)
    body = first.body[1:] if doc is not None else first.body
    scope = Scope({p.name: dtype(p.dtype) for p in params if p.kind == "pointer"},
                  {p.name: dtype(p.dtype) for p in params if p.kind == "scalar"},
                  indices_of(body, params), defined(helpers))
    # a text may hold an index times 0, which is gone in what it means: settled as lowering does
    statements = tuple(with_scalars(block(body, scope)))
    raises = any(isinstance(s, UserCall) for s in flattened(statements))
    return Function(first.name, tuple(params), doc_lines(doc), statements,
                    helpers, raises, chunked)


def doc_lines(doc: str | None) -> tuple[str, ...]:
    """The lines of a docstring without the indentation of a function's body."""
    first, *others = (doc or "").rstrip().split("\n")
    return (first, *(line.removeprefix("    ") for line in others)) if doc else ()


def kernel_and_helpers(text: str) -> tuple[ast.FunctionDef, str]:
    """The kernel's function, and the text behind it: the functions of custom operators."""
    try:
        found = ast.parse(text).body
    except SyntaxError as error:
        raise KernelSyntaxError(f"line {error.lineno}: {error.msg}") from None
    if not found or not isinstance(found[0], ast.FunctionDef):
        raise KernelSyntaxError("a kernel's text begins with its function")
    lines = text.splitlines(keepends=True)
    return found[0], "".join(lines[found[0].end_lineno:]) if len(found) > 1 else ""


def defined(text: str) -> set[str]:
    """The functions that a custom operator's text defines."""
    body = ast.parse(text).body if text.strip() else ()
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def parameter_names(text: str) -> list[str]:
    """The names of a kernel's parameters, without `chunk`."""
    return [a.arg for a in kernel_and_helpers(text)[0].args.args if a.arg != "chunk"]


# ---- which names are indices ---------------------------------------------------------------------


def indices_of(body: Sequence[ast.stmt], params: Sequence[Parameter]) -> set[str]:
    """The loops' variables, `chunk`, the whole numbers that the kernel takes, and every local that
    is part of an index, a bound or an argument of a tile, or of what such a local is."""
    found = {"chunk", *(p.name for p in params if p.kind == "scalar" and p.dtype == "i64")}
    made_of: dict[str, set[str]] = {}
    for node in nodes_of(body):
        if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made_of.setdefault(node.targets[0].id, set()).update(summed(node.value))
        for part in indexing(node):
            found |= set(summed(part))
    pending = list(found)
    while pending:
        more = made_of.get(pending.pop(), set()) - found
        found |= more
        pending += more
    return found - {p.name for p in params if p.kind == "pointer"}


def nodes_of(body: Sequence[ast.stmt]) -> Iterator[ast.AST]:
    """Every statement and expression, in any order; operators and contexts are none. A third of the
    time of ast.walk."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        yield node
        for name in HELD.get(type(node)) or held(type(node)):
            value = getattr(node, name, None)
            if isinstance(value, list):
                pending += [v for v in value if isinstance(v, ast.AST)]
            elif isinstance(value, ast.AST):
                pending.append(value)


HELD: dict[type, tuple[str, ...]] = {}  # the fields in which a node may hold others


def held(kind: type[ast.AST]) -> tuple[str, ...]:
    HELD[kind] = tuple(f for f in kind._fields if f not in ("ctx", "op", "ops"))
    return HELD[kind]


def indexing(node: ast.AST) -> Iterator[ast.expr]:
    """The parts of a node that are indices."""
    if isinstance(node, ast.Subscript):
        yield node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        word = node.func.id
        if word in (*KINDS, "idiv", "imod") or is_tile(word):
            yield from node.args
        elif word == "at":
            yield node.args[1]


def summed(node: ast.expr) -> Iterator[str]:
    """The names of which an index is the sum; not those of what is computed for it otherwise."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ARITHMETIC):
        yield from summed(node.left)
        yield from summed(node.right)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "min":
        for part in node.args:
            yield from summed(part)


def is_tile(word: str) -> bool:
    """Whether a function is a tile by its name, as gemm_f32_14x32 is."""
    family, _, rest = word.partition("_")
    return family in TILES and rest.split("_")[0] in ("f32", "f64")


# ---- statements ----------------------------------------------------------------------------------


def block(body: Sequence[ast.stmt], scope: Scope) -> tuple[Statement, ...]:
    found = []
    for node in body:
        if isinstance(node, ast.Pass):
            continue
        rule = RULES.get(type(node))
        if rule is None:
            raise refused(node)
        found.append(rule(node, scope))
    return tuple(found)


def loop(node: ast.For, scope: Scope) -> For:
    call = node.iter
    if not (isinstance(node.target, ast.Name) and isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name) and call.func.id in KINDS and not node.orelse):
        raise refused(node)
    kind = KINDS[call.func.id]
    into, by = combination(call, scope) if kind == "reduce" else ((), ())
    bounds = [index(a, scope) for a in call.args]
    low, high = bounds[:2] if len(bounds) > 1 else (Sum(), bounds[0])
    step = bounds[2] if len(bounds) > 2 else Sum(1)
    if step.terms or step.const < 1 or (
            kind in ("parallel", "threads") and len(bounds) > 1):
        raise refused(node)
    return For(node.target.id, low, high, block(node.body, scope), step.const, kind, into, by)


def combination(call: ast.Call, scope: Scope) -> tuple[tuple[str, ...], tuple[Expression, ...]]:
    """What a loop folds into, and by what: into=[total], by=lambda total, total_: total + total_.
    """
    given = {k.arg: k.value for k in call.keywords}
    names, by = given.get("into"), given.get("by")
    if not isinstance(names, ast.List) or not given.keys() <= {"into", "by"}:
        raise refused(call)
    into = tuple(n.id for n in names.elts if isinstance(n, ast.Name))
    if by is None:
        return into, ()
    if not isinstance(by, ast.Lambda) or [a.arg for a in by.args.args] != [
            *into, *map(later, into)]:
        raise refused(call)
    known = {**scope.buffers, **scope.locals}
    inner = Scope({}, {word: known[n] for n in into for word in (n, later(n)) if n in known},
                  set(), scope.helpers)
    parts = by.body.elts if isinstance(by.body, ast.Tuple) else [by.body]
    return into, tuple(read(part, inner) for part in parts)


def repeated(node: ast.While, scope: Scope) -> While:
    return While(read(node.test, scope), block(node.body, scope))


def branch(node: ast.If, scope: Scope) -> If:
    return If(read(node.test, scope), block(node.body, scope), block(node.orelse, scope))


def assignment(node: ast.Assign, scope: Scope) -> Statement:
    target = node.targets[0]
    value = node.value
    if isinstance(target, ast.Name) and isinstance(value, ast.Call) and (
            isinstance(value.func, ast.Name) and value.func.id.partition("_")[0] in SPACES):
        return allocation(target.id, value, scope)
    return assigned(target, read(value, scope), scope)


def allocation(name: str, node: ast.Call, scope: Scope) -> Alloc:
    assert isinstance(node.func, ast.Name)
    word, _, dtype_ = node.func.id.partition("_")
    kind, size = DTYPES.get(dtype_), index(node.args[0], scope)
    if kind is None or size.terms:
        raise refused(node)
    scope.buffers[name] = kind
    return Alloc(name, kind, size.const, SPACES[word])


def assigned(target: ast.expr, value: Expression, scope: Scope) -> Statement:
    if isinstance(target, ast.Name):
        scope.locals[target.id] = value.dtype
        return Let(target.id, value)
    if not (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)
            and target.value.id in scope.buffers):
        raise refused(target)
    memory = scope.buffers[target.value.id]
    return Store(target.value.id, index(target.slice, scope), unpacked(value, memory), memory)


def unpacked(value: Expression, memory: DType) -> Expression:
    """What is stored, before it is brought to how `memory` lies."""
    word = "u8" if memory is bool_ else f"f32_to_{memory}"
    if memory is computing(memory) and memory is not bool_:
        return value
    if isinstance(value, Call) and value.function == word:
        return value.args[0]
    raise KernelSyntaxError(f"a {memory} is stored by {word}(...)")


def changed(node: ast.AugAssign, scope: Scope) -> Statement:
    """x += y is x = x + y."""
    sign = SIGNS.get(type(node.op))
    old = read(ast.copy_location(loaded(node.target), node), scope)
    new = read(node.value, scope)
    if sign is None:
        raise refused(node)
    value = settled(Binary(sign, old, new, common(old.dtype, new.dtype)))
    return assigned(node.target, value, scope)


def loaded(target: ast.expr) -> ast.expr:
    """The target of an assignment as an expression."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    raise refused(target)


def called(node: ast.Expr, scope: Scope) -> Statement:
    call = node.value
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise refused(node)
    if is_tile(call.func.id):
        return TileCall(call.func.id, tuple(place(a, scope) for a in call.args))
    return UserCall(call.func.id, tuple(argument(a, scope) for a in call.args))


def argument(node: ast.expr, scope: Scope) -> View | int | float | tuple[int | float | bool, ...]:
    """A view of a buffer, or a number or tuple of numbers."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and "view_" in node.func.id:
        word, _, kind = node.func.id.rpartition("_")
        where = place(node.args[0], scope)
        sizes = [index(a, scope).const for a in node.args[1:]]
        if isinstance(where, Pointer) and word in ("view", "const_view"):
            return View(where, DTYPES[kind], tuple(sizes), word == "view")
    if isinstance(node, ast.BinOp):
        return float("nan")  # (1e999 - 1e999): the only one that is written
    try:
        found: int | float | tuple[int | float | bool, ...] = ast.literal_eval(node)
    except ValueError:
        raise refused(node) from None
    return found


def left(node: ast.Break, scope: Scope) -> Break:
    return Break()


RULES: dict[type, Callable[..., Statement]] = {
    ast.For: loop, ast.While: repeated, ast.If: branch, ast.Assign: assignment,
    ast.AugAssign: changed, ast.Expr: called, ast.Break: left}
