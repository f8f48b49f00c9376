"""`dlc train` under mpiexec: joining the other processes, and what is said when one fails."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dlc import interrupt
from dlc.errors import DlcError

if TYPE_CHECKING:
    from dlc.runtime.world.world import World


def joined() -> World:
    """The world of this process. Of several, each is watched by another (supervise.py)."""
    from dlc.runtime.world.join import join, started
    from dlc.runtime.world.supervise import supervised

    rank, size = started()
    if size > 1:
        supervised(rank, size)
    try:
        return join()
    except DlcError as error:
        if size == 1:
            raise
        status, text = told(error)
        print(text, file=sys.stderr, flush=True)
        os._exit(status)  # MPI would wait for the others to end as well


@contextmanager
def ending_together(world: World) -> Iterator[None]:
    """What fails in one process ends all, with one message; the leader's counts for all. In a world
    of one it is raised as ever."""
    from dlc.runtime.world.mpi import WorldLost

    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        if world.size == 1:
            raise
        status, text = told(error)
        if not world.leads and not isinstance(error, WorldLost):
            world.failed("" if in_step(error) else text)  # comes back where the leader is gone
        print(text, file=sys.stderr, flush=True)
        world.end(status)


def in_step(error: BaseException) -> bool:
    """Whether all processes have come to the same error: the leader has it as well."""
    from dlc.runtime.train.training import TrainingFault
    from dlc.runtime.world.world import WorldError

    return isinstance(error, (TrainingFault, WorldError, KeyboardInterrupt))


def told(error: BaseException) -> tuple[int, str]:
    """(exit status, what is said) of an error."""
    from dlc.cli import USER_ERROR, user_errors
    from dlc.errors import printable_lines

    if isinstance(error, KeyboardInterrupt):
        return interrupt.STATUS, interrupt.MESSAGE
    if isinstance(error, (*user_errors(), OSError, MemoryError)):
        return int(getattr(error, "status", USER_ERROR)), f"dlc: {printable_lines(error)}"
    return 1, "".join(traceback.format_exception(error)).rstrip()
