"""Which names of a kernel's text a loop or branch gives values, and whom these concern."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any


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
    return list(dict.fromkeys(n.id for part in (*s.body, *s.orelse) for n in ast.walk(part)
                              if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)))


def loads(node: ast.AST) -> Counter[str]:
    """How often each name is read; a name that is added to is."""
    found: Counter[str] | None = getattr(node, "loads", None)
    if found is None:
        found = Counter(n.id for n in ast.walk(node)
                        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
        found.update(n.target.id for n in ast.walk(node)
                     if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name))
        node.loads = found  # type: ignore[attr-defined]
    return found


def _exposed(statements: Iterable[ast.stmt], known: set[str], read: set[str]) -> set[str]:
    """Add to `read` what is read before it is `known`; gives what is known at the end."""
    for s in statements:
        if isinstance(s, ast.For):
            read |= set(loads(s.iter)) - known
            assert isinstance(s.target, ast.Name)
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
            if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name):
                known = {*known, s.targets[0].id}
    return known
