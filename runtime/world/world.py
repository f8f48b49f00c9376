"""A world of processes, seen from one of them: here the world of a single process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from dlc.errors import DlcError
from dlc.runtime.world.sums import Array, Layout

T = TypeVar("T")


class WorldError(DlcError):
    """Processes that cannot train together, or one that is gone."""


class World:
    """Process `rank` of `size`, a power of 2. Of a world of one every method is local.

    Each process runs micro_batches / size micro-batches of a step, the ones that follow each other
    from `rank` times that on, and all of them make the same update of the same sums.
    """

    rank, size = 0, 1
    on_host = 1  # processes on this machine

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints and the report, and shows the run."""
        return self.rank == 0

    def share(self, micro_batches: int) -> range:
        """The numbers of this process's micro-batches. Raises WorldError where the world does not
        divide them."""
        if micro_batches % self.size:
            raise WorldError(f"{self.size} processes do not divide {micro_batches} micro-batches",
                             None, f"--micro-batches {self.size}, or a multiple of it")
        count = micro_batches // self.size
        return range(self.rank * count, (self.rank + 1) * count)

    def rank_of(self, number: int, micro_batches: int) -> int:
        """The process that runs micro-batch `number`."""
        return number * self.size // micro_batches

    def all_reduce(self, buffer: Array, layout: Layout) -> None:
        """Make `buffer` the sum of the buffers of all processes, in the tree over their ranks."""

    def agree(self, facts: Mapping[str, str]) -> None:
        """Raise WorldError, in every process, unless `facts` are the same in all of them."""

    def from_leader(self, content: bytes) -> bytes:
        """`content` as the leader gives it, in every process."""
        return content

    def in_turn(self, make: Callable[[], T]) -> T:
        """What `make` gives, in one process of each machine before the others."""
        return make()

    def failed(self, text: str) -> None:
        """Tell the leader that this process failed."""

    def end(self, status: int) -> NoReturn:
        """End all processes."""
        raise SystemExit(status)
