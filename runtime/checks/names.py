"""Which names of a kernel's text a loop or branch gives values, and whom these concern.

Answers are kept at the nodes of the text, whose trees are parsed once.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

NAME = ast.Name


def carried(s: Any) -> Sequence[str]:
    """Names that the body of a loop reads before it gives them a value in the same round."""
    found: Sequence[str] | None = getattr(s, "carried", None)
    if found is None:
        read: set[str] = set(loads(s.test)) if isinstance(s, ast.While) else set()
        _exposed(s.body, set(), read)
        found = s.carried = [n for n in assigned(s) if n in read]
    return found


def kept(function: ast.FunctionDef, s: Any) -> Sequence[str]:
    """Names that a loop or branch gives a value and that somebody outside of it reads."""
    found: Sequence[str] | None = getattr(s, "kept", None)
    if found is None:
        inside, everywhere = loads(s), loads(function)
        found = s.kept = [n for n in assigned(s) if everywhere[n] > inside[n] or n in carried(s)]
    return found


def assigned(s: Any) -> list[str]:
    """Names that the statements in `s` give a value."""
    found: list[str] | None = getattr(s, "assigned", None)
    if found is None:
        names: dict[str, None] = {}
        for part in (*s.body, *s.orelse):
            target = part.targets[0] if isinstance(part, ast.Assign) else (
                getattr(part, "target", None))
            if isinstance(target, NAME):
                names[target.id] = None
            if hasattr(part, "body"):
                names.update(dict.fromkeys(assigned(part)))
        found = s.assigned = list(names)
    return found


def loads(node: Any) -> Counter[str]:
    """How often each name is read; a name that is added to is."""
    found: Counter[str] | None = getattr(node, "loads", None)
    if found is None:
        found = node.loads = Counter()
        if isinstance(node, ast.expr):
            _count(node, found)
            return found
        if isinstance(node, ast.AugAssign) and isinstance(node.target, NAME):
            found[node.target.id] += 1
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                found.update(loads(child))
            elif isinstance(child, ast.expr):
                _count(child, found)
    return found


def _count(node: ast.expr, found: Counter[str]) -> None:
    if isinstance(node, NAME):
        if isinstance(node.ctx, ast.Load):
            found[node.id] += 1
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _count(child, found)


def _exposed(statements: Iterable[ast.stmt], known: set[str], read: set[str]) -> set[str]:
    """Add to `read` what is read before it is `known`; gives what is known at the end."""
    for s in statements:
        if isinstance(s, ast.For):
            read |= set(loads(s.iter)) - known
            assert isinstance(s.target, NAME)
            _exposed(s.body, {*known, s.target.id}, read)
        elif isinstance(s, ast.While):
            read |= set(loads(s.test)) - known
            _exposed(s.body, set(known), read)
        elif isinstance(s, ast.If):
            read |= set(loads(s.test)) - known
            arms = [_exposed(body, set(known), read) for body in (s.body, s.orelse)]
            known = arms[0] & arms[1]
        else:
            read |= set(loads(s)) - known
            if isinstance(s, ast.Assign) and isinstance(s.targets[0], NAME):
                known = {*known, s.targets[0].id}
    return known
