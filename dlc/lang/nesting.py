"""Nestings of tuples, lists and dicts: their leaves, the paths to them, and their structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any


class Mismatch(ValueError):
    """Two nestings differ; the message says where and how."""


def children(value: Any) -> list[tuple[str, Any]] | None:
    """(step of the path, part) of a nesting, in order; None for a leaf. None itself holds nothing.
    """
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(f"[{k!r}]", v) for k, v in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(f".{k}", v) for k, v in zip(value._fields, value, strict=True)]
    if isinstance(value, (tuple, list)):
        return [(f"[{i}]", v) for i, v in enumerate(value)]
    return None


def with_paths(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of every leaf, in order: ("['h'][0]", x)."""
    parts = children(value)
    if parts is None:
        yield path, value
        return
    for step, part in parts:
        yield from with_paths(part, path + step)


def leaves(value: Any) -> list[Any]:
    """The leaves of `value`, in order."""
    return [leaf for _, leaf in with_paths(value)]


def filled(like: Any, values: Iterator[Any]) -> Any:
    """The nesting of `like` with the next of `values` for each leaf."""
    parts = children(like)
    if parts is None:
        return next(values)
    if like is None:
        return None
    if isinstance(like, Mapping):
        return {k: filled(v, values) for k, v in like.items()}
    inner = [filled(v, values) for _, v in parts]
    if hasattr(like, "_fields"):
        return type(like)(*inner)
    return inner if isinstance(like, list) else tuple(inner)


def rebuilt(like: Any, values: Sequence[Any]) -> Any:
    """The nesting of `like` around `values`, one for each leaf."""
    return filled(like, iter(values))


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """`value` with `change` applied to every leaf."""
    return rebuilt(value, [change(v) for v in leaves(value)])


def matched(like: Any, value: Any, path: str = "") -> list[Any]:
    """The leaves of `value` in the order of those of `like`. Raises Mismatch where they differ."""
    parts, others = children(like), children(value)
    if parts is None:
        if others is not None:
            raise Mismatch(f"{path or 'it'} is one value before, {_word(value)} after")
        return [value]
    if others is None or (like is None) != (value is None):
        raise Mismatch(f"{path or 'it'} is {_word(like)} before, {_word(value)} after")
    before, after = dict(parts), dict(others)
    for step in (*before, *after):
        if step not in after or step not in before:
            where = "before, not after" if step in before else "after, not before"
            raise Mismatch(f"{path}{step} is there {where}")
    return [v for step, part in parts for v in matched(part, after[step], path + step)]


def _word(value: Any) -> str:
    if value is None:
        return "None"
    kinds = ((Mapping, "a dict"), (tuple, "a tuple"), (list, "a list"))
    name = next((word for kind, word in kinds if isinstance(value, kind)), "")
    return f"{name} of {len(value)}" if name else "one value"
