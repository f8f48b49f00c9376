"""The user's variable names as name hints on nodes, read when a user's function returns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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
    known: dict[CodeType, bool] = {}
    sys.setprofile(_profiler(known))
    try:
        yield
    finally:
        sys.setprofile(None)


def _is_users(code: CodeType) -> bool:
    """Whether `code` is a named function of the user's, not a dataclass's generated __init__."""
    return is_user_file(code.co_filename) and not code.co_name.startswith(("<lambda", "__"))


def _profiler(known: dict[CodeType, bool]) -> Callable[[FrameType, str, Any], None]:
    def on_event(frame: FrameType, event: str, arg: Any) -> None:
        if event != "return":
            return
        code = frame.f_code
        users = known.get(code)
        if users is None:
            users = known[code] = _is_users(code)
        if users:
            name_locals(frame.f_locals)

    return on_event
