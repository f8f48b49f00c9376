"""Ctrl-C before the command line runs: one line and status 130 while `dlc` is being imported.

Half of the first second of a command goes into imports, where no `try` of ours is yet. Loading this
module, which `dlc/__init__.py` does before anything else, sets a handler if the process is the
command line; `dlc.cli.main` takes it off. A program that imports dlc keeps its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

STATUS = 128 + signal.SIGINT
MESSAGE = "dlc: interrupted"


def is_command_line(called: str, given: list[str]) -> bool:
    """Whether a process with sys.argv[0] `called` and sys.orig_argv `given` is `dlc` or
    `python -m dlc`."""
    if called == "-m":  # what it is while Python looks for the module
        return given[given.index("-m") + 1:][:1] == ["dlc"] if "-m" in given else False
    return os.path.splitext(os.path.basename(called))[0] == "dlc"


def leave(number: int, frame: FrameType | None) -> NoReturn:
    """Say so and end the process at once: nothing has been begun that could be lost."""
    os.write(2, f"{MESSAGE}\n".encode())
    os._exit(STATUS)


def as_usual() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _watch() -> None:
    mine = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if mine and usual and is_command_line(sys.argv[0] if sys.argv else "", sys.orig_argv):
        signal.signal(signal.SIGINT, leave)


_watch()
