"""The user's variable names as name hints on nodes, read once a user's function has returned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from dlc.errors import is_user_file, user_frame
from dlc.ir.graph import Build, Node, current_build


def name_locals(values: dict[str, Any]) -> None:
    """Give every node that a variable holds the variable's name, unless it has one."""
    for name, value in values.items():
        if isinstance(value, Node) and not value.name and not name.startswith("_"):
            value.name = name


class Running:
    """The user's functions that run in a trace, outermost first; `base` is the frame around it.

    A frame keeps its variables after its function has returned for as long as somebody holds it.
    Whether one has returned is looked at when a node is made on another frame: a profiler would be
    called at every call and return, which doubles the time of a trace.
    """

    def __init__(self, base: FrameType | None) -> None:
        self.base = base
        self.frames: list[FrameType] = []

    def see(self, frame: FrameType | None) -> None:
        """The user's innermost frame is `frame`: those that it is not called from have returned."""
        if self.frames and self.frames[-1] is frame:
            return
        now = self.around(frame)
        kept = 0
        for before, after in zip(self.frames, now, strict=False):
            if before is not after:
                break
            kept += 1
        for frame in reversed(self.frames[kept:]):
            if _is_named(frame.f_code):
                name_locals(frame.f_locals)
        self.frames = now

    def around(self, frame: FrameType | None) -> list[FrameType]:
        """The user's frames from the base, which is left out, to this one."""
        found = []
        while frame is not None and frame is not self.base:
            if is_user_file(frame.f_code.co_filename):
                found.append(frame)
            frame = frame.f_back
        return found[::-1]


@contextmanager
def naming(build: Build) -> Iterator[None]:
    """While inside, nodes take the names of the local variables of user functions that return."""
    running = Running(around_managers(user_frame()))
    build.watch = running.see
    try:
        yield
    finally:
        running.see(running.base)


def around_managers(frame: FrameType | None) -> FrameType | None:
    """`frame`, or the user's frame around it where it is contextlib's, which runs `naming`. Reading
    the variables of a function that goes on would keep them alive."""
    while frame is not None and (frame.f_code.co_filename == contextlib.__file__
                                 or not is_user_file(frame.f_code.co_filename)):
        frame = frame.f_back
    return frame


def name_returned() -> None:
    """Name the variables of functions that have returned before their nodes are made anew."""
    build = current_build()
    if build is not None and build.watch is not None:
        build.watch(user_frame())


def _is_named(code: CodeType) -> bool:
    """Whether `code` is a named function, not a dataclass's generated __init__."""
    return not code.co_name.startswith(("<lambda", "__"))
