"""A process that watches the one that trains, and says so when a signal ends it.

mpiexec ends all processes when one dies, and names no rank. So each rank is two processes: the
one that mpiexec started waits, and its child trains.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress
from types import FrameType

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def supervised(rank: int, size: int) -> None:
    """Go on in a child, which ends when this process does. The parent ends as the child does, and
    tells of a signal that ended it. To be called before threads are started."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)  # a terminal's Ctrl-C reaches it once, through its parent
        end_with_parent()
        return
    for number in FORWARDED:
        signal.signal(number, lambda n, frame: forward(child, n, frame))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        name = signal.Signals(-code).name
        print(f"dlc: rank {rank} of {size} was ended by {name} (process {child} on "
              f"{socket.gethostname()})\n  the last checkpoint is complete, --resume goes on from "
              "it", file=sys.stderr, flush=True)
    os._exit(code if code >= 0 else 128 - code)


def forward(child: int, number: int, frame: FrameType | None) -> None:
    """Pass a signal on."""
    with suppress(ProcessLookupError):
        os.kill(child, number)


def end_with_parent() -> None:
    """Let the system kill this process when its parent dies, where it can (Linux)."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(DEATH_SIGNAL, signal.SIGKILL)
