"""Standard output and error in every condition: closed, full, or with a limited encoding."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

from dlc import interrupt
from dlc.errors import printable_lines

# What the command line draws with, for encodings that do not have it.
PLAIN = {"─": "-", "━": "=", "·": ".", "…": "~", "│": "|", "╸": "=", "╺": "-"}


def prepare() -> None:
    """Let both streams take every text: what is closed is thrown away, what an encoding does not
    have is written as ASCII."""
    codecs.register_error("dlc-plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, nowhere())
        elif isinstance(stream, io.TextIOWrapper) and name == "stdout":
            stream.reconfigure(errors="dlc-plain")


def say(text: str, out: TextIO | None = None) -> None:
    """Write lines in which names of files or metrics stand: nothing that a terminal acts on."""
    out = sys.stdout if out is None else out
    out.write(printable_lines(text) + "\n")
    out.flush()


def nowhere() -> TextIO:
    """A stream that takes everything and keeps nothing."""
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(c, "?") for c in error.object[error.start:error.end]), error.end


def abandon_output() -> None:
    """Point standard output nowhere: the interpreter must not complain of it at its end."""
    silent = nowhere()
    try:
        os.dup2(silent.fileno(), sys.stdout.fileno())
    except (OSError, ValueError):  # it has no file of its own
        sys.stdout = silent


def reason(error: OSError) -> str:
    """What the system refused: `cannot write runs/x.csv: No space left on device`."""
    what = f"{error.filename}: " if error.filename else ""
    full = error.errno == errno.ENOSPC and not error.filename
    return f"{'cannot write: ' if full else what}{error.strerror or error}"


def leave(number: int) -> NoReturn:
    """End the process at once, from within a signal's handler: the cursor that a live table hides
    comes back, and one line is said."""
    cursor = b"\x1b[?25h" if sys.stdout.isatty() else b""
    with suppress(OSError):
        os.write(1, cursor)
        os.write(2, f"{interrupt.MESSAGE}\n".encode())
    os._exit(128 + number)
