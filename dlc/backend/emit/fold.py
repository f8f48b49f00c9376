"""Inlining of lets that are used once; the names that remain are those a reader needs.

    t = x[i] * y[i]                 ->      out[i] = x[i] * y[i] + z[i]
    out[i] = t + z[i]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dlc.backend.cpu.mapping import Cuts, chunked
from dlc.backend.ir import (
    Alloc,
    Expression,
    For,
    Function,
    Let,
    Load,
    Ref,
    Statement,
    Store,
    TileCall,
)
from dlc.backend.ir.printer import text
from dlc.backend.ir.walks import expressions, flattened, indices, operands, with_operands
from dlc.backend.ir.whole import settled, with_scalars

LONGEST = 50  # characters: a longer value keeps its own line, unless it is all that is stored


def fold_lets(statements: Sequence[Statement]) -> list[Statement]:
    """Put each let that is assigned once and used once, in the same block, into its use."""
    uses: Counter[str] = Counter()
    assigned: Counter[str] = Counter()
    for statement in flattened(statements):
        uses += used(statement)
        if isinstance(statement, Let):
            assigned[statement.name] += 1
    once = {n for n, count in assigned.items() if count == 1 and uses[n] == 1}
    return with_scalars(_block(statements, once))


def mapped(function: Function, cuts: Cuts) -> tuple[Function, int]:
    """The kernel that does one chunk of `function`, as it is printed, and how many chunks there
    are."""
    kernel, chunks = chunked(function, cuts)
    return folded(kernel), chunks


def folded(function: Function) -> Function:
    """The kernel with its lets in their uses."""
    return replace(function, body=tuple(fold_lets(function.body)))


def used(statement: Statement) -> Counter[str]:
    """How often each name is used. What an index uses stays a let, and counts as used twice."""
    found: Counter[str] = Counter()
    for item in (statement, *expressions(statement)):
        if isinstance(item, Ref):
            found[item.name] += 1
        for index in indices(item):
            found.update(dict.fromkeys(index.variables(), 2))
    return found


def _block(statements: Sequence[Statement], once: set[str]) -> list[Statement]:
    pending: dict[str, Expression] = {}
    out: list[Statement] = []
    for s, following in zip(statements, [*statements, None][1:], strict=True):
        match s:
            case For():
                _flush(pending, out)
                out.append(replace(s, body=tuple(_block(s.body, once))))
            case Let():
                value = _fold(s.value, pending)
                # what is still pending meant the old value of a name that is assigned again
                _flush(_taken(pending, partial(_mentions, s.name)), out)
                if s.name in once and (len(text(value)) < LONGEST or _stores(following, s.name)):
                    pending[s.name] = value
                else:
                    out.append(Let(s.name, value))
            case Store():
                value = _fold(s.value, pending)
                # a load that is still pending must not move past a store into its buffer
                _flush(_taken(pending, partial(_reads, s.buffer)), out)
                out.append(Store(s.buffer, s.index, value, s.dtype))
            case Alloc() | TileCall():
                _flush(pending, out)
                out.append(s)
    _flush(pending, out)
    return out


def _taken(pending: dict[str, Expression],
           wanted: Callable[[Expression], bool]) -> dict[str, Expression]:
    """The pending values that are `wanted`, which are pending no longer."""
    return {name: pending.pop(name) for name in list(pending) if wanted(pending[name])}


def _stores(statement: Statement | None, name: str) -> bool:
    """Whether a statement does nothing but store the local `name`."""
    return isinstance(statement, Store) and isinstance(statement.value, Ref) and (
        statement.value.name == name)


def _flush(pending: dict[str, Expression], out: list[Statement]) -> None:
    out.extend(Let(n, v) for n, v in pending.items())
    pending.clear()


def _mentions(name: str, value: Expression) -> bool:
    return name in used(Let("", value))


def _reads(buffer: str, value: Expression) -> bool:
    if isinstance(value, Load):
        return value.buffer == buffer
    return any(_reads(buffer, part) for part in operands(value))


def _fold(value: Expression, pending: dict[str, Expression]) -> Expression:
    if isinstance(value, Ref) and value.name in pending:
        return pending.pop(value.name)
    return settled(with_operands(value, lambda part: _fold(part, pending)))
