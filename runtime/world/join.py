"""Which world a process was started in, by mpiexec or alone, and joining it."""

from __future__ import annotations

import os
import time
from typing import NoReturn

from dlc import env
from dlc.errors import DlcError
from dlc.runtime.world.mpi import MpiWorld
from dlc.runtime.world.world import World, WorldError

# how MPICH and those of its kind, Open MPI, and MVAPICH tell a process its rank and their number
NAMES = (("PMI_RANK", "PMI_SIZE"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
         ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"))
SECONDS = 300  # without an answer, where DLC_WORLD_SECONDS says nothing
NEED = 'pip install "dlc[mpi]"'


def started() -> tuple[int, int]:
    """(rank, number of processes) as the environment says; (0, 1) of a process by itself."""
    for rank, size in NAMES:
        found = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(text.isdecimal() for text in found):
            return int(found[0]), int(found[1])
    return 0, 1


def join() -> World:
    """The world of this process. Raises WorldError, in the first process, where mpi4py is missing
    or belongs to another MPI than mpiexec, and for a number of processes that is no power of 2."""
    rank, size = started()
    if size == 1:
        return World()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as problem:  # the second where it finds no MPI
        why = str(problem).partition("\n")[0]
        alone(rank, WorldError(f"mpiexec started {size} processes, and to train together they need "
                               f"mpi4py ({why})", None, NEED))
    if MPI.COMM_WORLD.Get_size() != size:
        alone(rank, WorldError(
            f"mpiexec started {size} processes, but mpi4py, which uses "
            f"{MPI.Get_library_version().splitlines()[0].strip()}, knows of "
            f"{MPI.COMM_WORLD.Get_size()}", None,
            f"the mpiexec of that MPI; {NEED} brings one, in the environment's bin folder"))
    if size & (size - 1):
        alone(rank, WorldError(f"{size} processes are no power of 2", None,
                               f"mpiexec -n {1 << (size.bit_length() - 1)}"))
    try:
        limit = env.number("DLC_WORLD_SECONDS") or SECONDS
    except env.EnvError as problem:
        alone(rank, WorldError(str(problem)))
    return MpiWorld(MPI.COMM_WORLD, limit)


def alone(rank: int, error: DlcError) -> NoReturn:
    """Raise `error`, in the first process at once: its end is that of the others, which cannot be
    told, and wait for it. One that is still there has an error of its own."""
    if rank != 0:
        time.sleep(10)
    raise error
