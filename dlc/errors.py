"""Errors at the user's line: source locations, and the one exception for all user errors."""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from itertools import islice
from types import FrameType, TracebackType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_USER_PARTS = (os.path.join(_PACKAGE, "models") + os.sep,)

# How much of a text from outside is shown: characters of a line, and lines.
LINE, LINES = 2000, 200
LONGEST_NAME = 100  # that others are compared with; each comparison takes time for every letter


class Part(IntEnum):
    """What a line is served by: the value it computes, its derivative, or an optimizer's update.

    In this order each is computed from those before it.
    """

    FORWARD = 0
    BACKWARD = 1
    OPTIMIZER = 2


@dataclass(frozen=True, order=True)
class Loc:
    """A place in the user's source: file, line, and the columns of the call when known.

    `part` says for what a node serves it, and `scope` in which layer (block1/conv1); two places
    that differ in nothing else are one.
    """

    file: str
    line: int
    column: int = -1
    end_column: int = -1
    part: Part = field(default=Part.FORWARD, compare=False)
    scope: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{short_path(self.file)}:{self.line}"


def in_part(locs: tuple[Loc, ...], part: Part) -> tuple[Loc, ...]:
    """`locs` as those of `part`; those of a later part stay in it."""
    if all(loc.part >= part for loc in locs):
        return locs
    return tuple(loc if loc.part >= part else replace(loc, part=part) for loc in locs)


def part_of(locs: tuple[Loc, ...]) -> Part:
    """The part of a node that serves `locs`: what several share is computed in the earliest."""
    return min((loc.part for loc in locs), default=Part.FORWARD)


def short_path(path: str) -> str:
    """`path` as a reader would type it, on one line: bundled models as models/x.py, others relative
    to here."""
    for part in _USER_PARTS:
        if path.startswith(part):
            return printable("models/" + path[len(part):].replace(os.sep, "/"))
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return printable(path)
    shorter = len(relative) < len(path) and not relative.startswith("../..")
    return printable(relative if shorter else path)


@lru_cache(maxsize=4096)
def is_user_file(path: str) -> bool:
    """Whether code in `path` is the user's: everything but dlc itself; dlc.models counts as
    user's."""
    return not path.startswith(_PACKAGE) or path.startswith(_USER_PARTS)


def user_frame() -> FrameType | None:
    """The innermost frame on the stack that runs the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def here() -> Loc | None:
    """The user's line that is running now."""
    frame = user_frame()
    return None if frame is None else frame_location(frame)


def frame_location(frame: FrameType) -> Loc:
    """Where `frame` stands, with the columns of the running call (PEP 657)."""
    code = frame.f_code
    line, end_line, column, end_column = next(
        islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    if line is None:
        return Loc(code.co_filename, frame.f_lineno)
    if line != end_line or column is None or end_column is None:
        return Loc(code.co_filename, line)
    return Loc(code.co_filename, line, column, end_column)


def size(count: float) -> str:
    """Bytes as 320 B, 9.4 KiB, 3.6 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


# --- text from outside ----------------------------------------------------------------------------


def printable(text: object, limit: int = LINE) -> str:
    """`text` on one line, of about `limit` characters at most.

    What a terminal would act on (escapes, line ends, changes of the direction of writing) is
    written as in a Python literal; of a long text the middle is left out.
    """
    line = str(text)
    if len(line) > limit:
        left_out = len(line) - limit
        line = f"{line[:limit // 2]} ... {left_out} characters ... {line[-(limit // 2):]}"
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def printable_lines(text: object) -> str:
    """`text` with its lines and tabs kept, each line as `printable`; at most LINES of them."""
    whole = str(text)
    if whole.isprintable() and len(whole) <= LINE:
        return whole
    lines = whole.split("\n")
    if len(lines) > LINES:
        left_out = f"... {len(lines) - LINES} lines ..."
        lines = [*lines[:LINES // 2], left_out, *lines[-(LINES // 2):]]
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


# --- the error ------------------------------------------------------------------------------------


class DlcError(Exception):
    """An error in the user's program or input, reported once, at the user's line.

    `message` says what is wrong, `hint` what would be valid, `loc` where. Names and texts of files
    come into all three: they are kept as `printable_lines`.
    """

    def __init__(self, message: str, loc: Loc | None = None, hint: str = "") -> None:
        self.message = printable_lines(message)
        self.loc = loc
        self.hint = printable_lines(hint)
        super().__init__(self.render())

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows (IPython asks for it by this name)."""
        import traceback

        if shows_own_frames():
            return traceback.format_exception(self)
        return [f"{type(self).__name__}: {self}"]

    def render(self) -> str:
        """The message as shown to the user: place, message, source line with caret, hint."""
        lines = [self.message]
        if self.loc is not None:
            excerpt = map(printable_lines, source_excerpt(self.loc))
            lines = [f"{self.loc}: {self.message}", *excerpt]
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class DoesNotFit(DlcError):
    """A memory limit that no plan of a program meets; `needed` is the smallest that one does."""

    def __init__(self, message: str, loc: Loc | None, hint: str, needed: int) -> None:
        super().__init__(message, loc, hint)
        self.needed = needed


def shows_own_frames() -> bool:
    """Whether tracebacks keep the frames inside dlc."""
    return os.environ.get("DLC_DEBUG", "0") != "0"


def show_at_users_line(kind: type[BaseException], error: BaseException,
                       trace: TracebackType | None) -> None:
    """An excepthook: a user error is reported at their line, without the frames inside dlc.

    DLC_DEBUG asks for all frames.
    """
    if isinstance(error, DlcError) and not shows_own_frames():
        print(f"{kind.__name__}: {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def hide_own_frames() -> None:
    """Use `show_at_users_line` for uncaught errors, unless somebody else shows them already."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = show_at_users_line


def source_excerpt(loc: Loc) -> list[str]:
    """The source line of `loc` with a caret line beneath it; empty when the source is not there."""
    text = linecache.getline(loc.file, loc.line).rstrip("\n")
    if not text.strip():
        return []
    indent = len(text) - len(text.lstrip())
    shown = [f"    {text.strip()}"]
    if loc.column >= 0 and loc.end_column > loc.column:
        # co_positions counts UTF-8 bytes, the caret stands under characters
        start = len(text.encode()[: loc.column].decode(errors="replace"))
        end = len(text.encode()[: loc.end_column].decode(errors="replace"))
        shown.append("    " + " " * (start - indent) + "^" * max(1, end - start))
    return shown


def nearest(name: object, known: list[str]) -> str:
    """' (did you mean a, b?)' for the names in `known` close to `name`, or ''; '' for no string."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return ""
    import difflib

    close = difflib.get_close_matches(name, known, 3, 0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
