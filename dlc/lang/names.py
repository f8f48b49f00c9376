"""The user's variable names as name hints on nodes, read when a user's function returns."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from dlc.errors import is_user_file
from dlc.ir.graph import Node


def name_locals(values: dict[str, Any]) -> None:
    """Give every node that a variable holds the variable's name, unless it has one."""
    for name, value in values.items():
        if isinstance(value, Node) and not value.name and not name.startswith("_"):
            value.name = name


@contextmanager
def naming() -> Iterator[None]:
    """While inside, nodes take the names of the local variables of user functions that return.

    Does nothing under another profiler: names are a convenience, the profile is not ours.
    """
    if sys.getprofile() is not None:
        yield
        return
    sys.setprofile(_on_event)
    try:
        yield
    finally:
        sys.setprofile(None)


def _is_named(code: CodeType) -> bool:
    """Whether `code` is a named function, not a dataclass's generated __init__."""
    return not code.co_name.startswith(("<lambda", "__"))


def _on_event(frame: FrameType, event: str, arg: Any) -> None:
    """Called at every call and return while a function is traced: what is not the user's leaves at
    once."""
    if event == "return" and is_user_file(frame.f_code.co_filename) and _is_named(frame.f_code):
        name_locals(frame.f_locals)
