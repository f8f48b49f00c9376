"""A world of several processes over MPI: sums, agreement, and who is gone.

Everything is a message from one process to another that is waited for with a limit. Who waits
answers questions of others meanwhile, so that one that is stopped, or never comes to its part of
a step, is told from one that waits for it as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from dlc.runtime.world.sums import LINE, Array, Layout
from dlc.runtime.world.world import World, WorldError

DATA, TURN, ASK, ANSWER, FAILED = range(1, 6)  # kinds of messages
SMALL = 1 << 12  # bytes up to which buffers are exchanged whole: fewer messages, more bytes
EAGER_SECONDS = 0.002  # how long a wait yields the processor before it sleeps between looks,
NAPS = 32  # each time for this part of what it has waited,
NAP_SECONDS = 0.01  # and at most so long
START_SECONDS = 3600.0  # the limit until all have compiled, which no process answers in


class WorldLost(WorldError):
    """A process that failed, died or does not answer: nothing can be waited for any more."""


class MpiWorld(World):
    """The processes of `comm`, an mpi4py communicator; one that does not answer for `limit` seconds
    while it is waited for is gone."""

    def __init__(self, comm: Any, limit: float) -> None:
        from mpi4py import MPI

        self.mpi = MPI
        self.limit, self.limit_of_steps = max(limit, START_SECONDS), limit
        self.comm, self.control = comm.Dup(), comm.Dup()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.local = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.on_host = self.local.Get_size()
        self.kept: list[Any] = []  # requests, and what they read: sends that nobody waits for
        self.heard: set[int] = set()

    # -- messages ----------------------------------------------------------------------------

    def exchange(self, peer: int, sent: Array, received: Array) -> None:
        """Send one buffer to `peer` and fill another with what it sends."""
        arriving = self.comm.Irecv(received, source=peer, tag=DATA)
        leaving = self.comm.Isend(sent, dest=peer, tag=DATA)
        self.wait(arriving, peer)
        self.wait(leaving, peer)

    def wait(self, request: Any, peer: int) -> None:
        """Until `request` is complete. Raises WorldLost for a process that is gone."""
        began = time.monotonic()
        while not request.Test():
            passed = time.monotonic() - began
            if passed < EAGER_SECONDS:
                os.sched_yield()
                continue
            self.listen()
            if passed > self.limit:
                self.ask_all(peer)
                began = time.monotonic()
            time.sleep(min(NAP_SECONDS, passed / NAPS))

    def listen(self) -> None:
        """Answer questions, note answers. Raises WorldLost when a process says that it failed."""
        status = self.mpi.Status()
        while self.control.Iprobe(source=self.mpi.ANY_SOURCE, tag=self.mpi.ANY_TAG, status=status):
            who, kind = status.Get_source(), status.Get_tag()
            content = bytearray(status.Get_count(self.mpi.BYTE))
            self.control.Recv([content, self.mpi.BYTE], source=who, tag=kind)
            if kind == ASK:
                self.post(who, ANSWER)
            elif kind == ANSWER:
                self.heard.add(who)
            elif kind == FAILED:
                raise WorldLost(f"rank {who} of {self.size}: "
                                f"{content.decode().removeprefix('dlc: ')}")

    def post(self, peer: int, kind: int, content: bytes = b"") -> None:
        """Send a short message and go on."""
        self.kept = [(r, c) for r, c in self.kept if not r.Test()]
        request = self.control.Isend([content, self.mpi.BYTE], dest=peer, tag=kind)
        self.kept.append((request, content))

    # -- who is gone -------------------------------------------------------------------------

    def ask_all(self, peer: int) -> None:
        """Ask all others whether they are there, as `peer` has sent nothing for the limit. Raises
        WorldLost in the first of those that are, for those that are not."""
        self.heard = {self.rank}
        for other in range(self.size):
            if other != self.rank:
                self.post(other, ASK)
        self.attend(self.grace, lambda: len(self.heard) == self.size)
        silent = sorted(set(range(self.size)) - self.heard)
        if not silent:
            return
        if self.rank != min(self.heard):
            self.attend(self.limit + self.grace, lambda: False)  # the first one ends all
        names = " and ".join(f"rank {r}" for r in silent)
        raise WorldLost(f"{names} of {self.size} {'has' if len(silent) == 1 else 'have'} not "
                        f"answered for {self.limit:g} s", None, "stopped, or in a step that takes "
                        "longer: DLC_WORLD_SECONDS is the limit; the last checkpoint is complete, "
                        "--resume goes on from it")

    @property
    def grace(self) -> float:
        """Seconds in which whoever waits, too, has answered."""
        return min(2.0, self.limit)

    def attend(self, seconds: float, done: Callable[[], bool]) -> None:
        """Answer others for some time, or until `done`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not done():
            self.listen()
            time.sleep(NAP_SECONDS)

    def failed(self, text: str) -> None:
        """Let the leader tell that this process failed, and end all; without a text it knows.
        Comes back only where the leader does not."""
        if text:
            self.post(0, FAILED, text.encode())
        self.attend(self.limit, lambda: False)

    def end(self, status: int) -> NoReturn:
        """End all processes: mpiexec ends the others of one that leaves with a status, and with
        fewer words than after MPI_Abort."""
        os._exit(status)

    # -- what they do together ---------------------------------------------------------------

    def all_reduce(self, buffer: Array, layout: Layout) -> None:
        """See World. Neighbours are added first, then pairs of them, as the tree has it. A large
        buffer is cut in halves on the way, so that each process adds a part and sends it round:
        the same additions, in 2 (n - 1) / n of its bytes (Rabenseifner 2004)."""
        if layout.bytes <= SMALL:
            self.exchange_whole(buffer, layout)
        else:
            self.exchange_halves(buffer, layout)

    def exchange_whole(self, buffer: Array, layout: Layout) -> None:
        other = layout.empty()
        for bit in self.bits():
            self.exchange(self.rank ^ bit, buffer, other)
            left, right = (other, buffer) if self.rank & bit else (buffer, other)
            layout.add(left, right, buffer)

    def exchange_halves(self, buffer: Array, layout: Layout) -> None:
        other, ranges = layout.empty(), [(0, layout.bytes // LINE)]
        for bit in self.bits():
            low, high = ranges[-1]
            middle = (low + high) // 2
            halves = [(low, middle), (middle, high)]
            mine, theirs = halves[::-1] if self.rank & bit else halves
            part = slice(mine[0] * LINE, mine[1] * LINE)
            self.exchange(self.rank ^ bit, buffer[theirs[0] * LINE:theirs[1] * LINE], other[part])
            left, right = (other, buffer) if self.rank & bit else (buffer, other)
            layout.add(left, right, buffer, part.start, part.stop)
            ranges.append(mine)
        for bit in reversed(self.bits()):
            low, high = ranges.pop()
            whole = ranges[-1]
            rest = (high, whole[1]) if low == whole[0] else (whole[0], low)
            self.exchange(self.rank ^ bit, buffer[low * LINE:high * LINE],
                          buffer[rest[0] * LINE:rest[1] * LINE])

    def bits(self) -> list[int]:
        """1, 2, 4, ... below the size."""
        return [1 << k for k in range(self.size.bit_length() - 1)]

    def agree(self, facts: Mapping[str, str]) -> None:
        """See World. From then on all processes are in the same steps."""
        found = self.gather(json.dumps(dict(facts)).encode())
        mine: dict[str, str] = json.loads(found[0])
        for rank, content in enumerate(found):
            theirs = json.loads(content)
            for what, fact in mine.items():
                if theirs.get(what) != fact:
                    raise WorldError(f"rank {rank} of {self.size} has another {what} than rank 0: "
                                     f"{theirs.get(what)}, not {fact}", None,
                                     "the same command, files and dlc for every rank")
        self.limit = self.limit_of_steps

    def gather(self, content: bytes) -> list[bytes]:
        """What each process gave, in all of them."""
        length = max(self.longest(len(content)), 1)
        mine = np.zeros(length, np.uint8)
        mine[:len(content)] = np.frombuffer(content, np.uint8)
        rows = np.zeros((self.size, length), np.uint8)
        rows[self.rank] = mine
        for step in range(1, self.size):
            came, goes = (self.rank - step) % self.size, (self.rank + step) % self.size
            arriving = self.comm.Irecv(rows[came], source=came, tag=DATA)
            leaving = self.comm.Isend(mine, dest=goes, tag=DATA)
            self.wait(arriving, came)
            self.wait(leaving, goes)
        return [row.tobytes().rstrip(b"\0") for row in rows]

    def longest(self, count: int) -> int:
        """The largest of the numbers that the processes give."""
        mine, other = np.array([count], np.int64), np.zeros(1, np.int64)
        for bit in self.bits():
            self.exchange(self.rank ^ bit, mine, other)
            mine = np.maximum(mine, other)
        return int(mine[0])

    def from_leader(self, content: bytes) -> bytes:
        """See World."""
        count = self.longest(len(content) if self.leads else 0)
        buffer = np.zeros(count, np.uint8)
        if self.leads:
            buffer[:] = np.frombuffer(content, np.uint8)
        for bit in reversed(self.bits()):
            if self.rank % (2 * bit) == 0:
                self.wait(self.comm.Isend(buffer, dest=self.rank + bit, tag=DATA), self.rank + bit)
            elif self.rank % (2 * bit) == bit:
                self.wait(self.comm.Irecv(buffer, source=self.rank - bit, tag=DATA),
                          self.rank - bit)
        return buffer.tobytes()

    def in_turn(self, make: Callable[[], Any]) -> Any:
        """What `make` gives, in one process of each machine before the others: they find in the
        cache what it compiled."""
        token, first = np.zeros(1, np.uint8), self.local.Get_rank() == 0
        leader = self.local_leader()
        if not first:
            self.wait(self.local.Irecv(token, source=0, tag=TURN), leader)
        made = make()
        if first:
            for other in range(1, self.on_host):
                self.wait(self.local.Isend(token, dest=other, tag=TURN), self.rank)
        return made

    def local_leader(self) -> int:
        """The rank, in the world, of the first process on this machine."""
        group, local = self.comm.Get_group(), self.local.Get_group()
        return int(self.mpi.Group.Translate_ranks(local, [0], group)[0])
