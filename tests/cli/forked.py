"""Commands in forks of a process that has imported dlc and done nothing else.

Each is a process of its own, with its own folder, environment and streams, that starts in a tenth
of the time of an interpreter. What concerns the start itself is run by command.py.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import sys
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlc.cli import main

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload([
    "tests.cli.forked", "dlc.compiler", "dlc.cli.train", "dlc.cli.show", "dlc.backend.assemble",
    "dlc.checks.static", "dlc.runtime.cpu.arena", "dlc.runtime.train.loop"])


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str],
        streams: Sequence[str], seconds: float = 120) -> int:
    """The exit status of `dlc ARGUMENTS` whose output and errors go to the files `streams`; one
    alone is a terminal."""
    child = SERVER.Process(target=_command, args=(
        list(arguments), str(folder), dict(environment), list(streams)))
    child.start()
    child.join(seconds)
    if child.exitcode is None:
        child.kill()
        child.join()
        raise TimeoutError(f"dlc {' '.join(arguments)} ran for more than {seconds} s")
    return child.exitcode


def _command(arguments: list[str], folder: str, environment: dict[str, str],
             streams: list[str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["dlc", *arguments]
    if len(streams) == 1:
        os.setsid()
    for number, name in ((1, streams[0]), (2, streams[-1])):
        opened = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    if len(streams) == 1:
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    line_by_line = os.isatty(1)
    sys.stdout = os.fdopen(1, "w", 1 if line_by_line else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, closefd=False)
    sys.exit(main(arguments))
