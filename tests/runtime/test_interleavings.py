"""The runner's text under random schedules: several threads, one of which runs at a time, changed
before any access to memory."""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any

import pytest

from dlc.runtime.compile.runner import CURRENT, DONE, POSITION, REASON, RUNNER
from dlc.runtime.cpu.table import Table
from dlc.runtime.reference.interpret import kernel_function

WAITS = ("pause", "give_way", "sleep_ns")
ACCESSES = ("load_word", "store_word", "atomic_load", "atomic_store", "atomic_add", "atomic_claim",
            "call_kernel", *WAITS)
LONGEST = 60_000  # accesses of a run; it takes some thousand


class Stuck(Exception):
    """A run that does not end."""


class Schedule:
    """Runs the first of the threads that are alive, in an order that changes (Burckhardt et al.
    2010): one that waits goes last, and so, at random, does one about to touch a shared word."""

    def __init__(self, count: int, seed: int, shared: set[int]) -> None:
        self.draw, self.turns = random.Random(seed), [threading.Semaphore(0) for _ in range(count)]
        self.order, self.shared, self.accesses = list(range(count)), shared, 0

    def access(self, thread: int, name: str, address: Any) -> None:
        """What a thread does before it touches memory."""
        self.accesses += 1
        if self.accesses > LONGEST:
            raise Stuck
        if name in WAITS or (address in self.shared and self.draw.random() < 0.2):
            self.order.remove(thread)
            self.order.append(thread)
            self.turns[self.order[0]].release()
            self.turns[thread].acquire()

    def leave(self, thread: int) -> None:
        """The end of a thread."""
        self.order.remove(thread)
        if self.order:
            self.turns[self.order[0]].release()


def interleaved(table: Table, count: int, seed: int) -> Counter[tuple[int, int]]:
    """How often each chunk of each row ran in a run of `count` threads. Raises Stuck."""
    shared = {table.control_address + 8 * word for word in (CURRENT, POSITION)}
    schedule, ran, failed = Schedule(count, seed, shared), Counter[tuple[int, int]](), []
    here = threading.local()

    def guarded(name: str, plain: Any) -> Any:
        def call(*args: Any) -> Any:
            schedule.access(here.number, name, args[0] if args else None)
            if name == "call_kernel":
                ran[args[0], args[2]] += 1
                return None
            return None if name in WAITS else plain(*args)
        return call

    def work(number: int) -> None:
        here.number = number
        schedule.turns[number].acquire()
        try:
            runner = kernel_function(RUNNER)
            scope = runner.__globals__
            scope.update({name: guarded(name, scope[name]) for name in ACCESSES})
            runner(table.control_address, number)
        except Stuck as problem:
            failed.append(problem)
        schedule.leave(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    schedule.turns[0].release()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return ran


@pytest.mark.parametrize("count", [2, 3])
def test_every_schedule_ends_and_runs_every_chunk(count: int) -> None:
    """A few supersteps, three steps: a thread that is late with what it knows does no harm."""
    for seed in range(300):
        table = Table(count)
        for row, chunks in enumerate((2, 3, 2), 1):
            table.add(row, [], chunks, barrier=True, work=1 << 20)
        table.finish().rewind(steps=3, first_step=0, spins=2)
        ran = interleaved(table, count, seed)
        assert ran == {(row, chunk): 3 for row, chunks in enumerate((2, 3, 2), 1)
                       for chunk in range(chunks)}, seed
        assert (table.control[DONE], table.control[REASON]) == (3, 0), seed
