"""Persistent threads that call native code with the GIL released.

The first thread leads: it wakes the others, runs its share, and waits for them. Python's main
thread is never among them, so Ctrl-C cannot tear a run apart; it waits for the leader instead
and takes signals within milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

_PR_SET_TIMERSLACK = 29  # <linux/prctl.h>
NATIVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


class ForkError(RuntimeError):
    """Use in a child process of something whose threads stayed in the parent."""


class Run:
    """One call of native code by all threads, from its submission on.

    `held` are the objects whose memory the native code uses: the threads keep them alive.
    """

    def __init__(self, function: Any, arguments: int, held: Any) -> None:
        self.function = function
        self.arguments = arguments
        self.held = held
        self.completed = False
        self.ended = _locked()


class _Shared:
    """What the threads know; it does not keep their owner alive."""

    def __init__(self, count: int) -> None:
        self.queue: SimpleQueue[Run | None] = SimpleQueue()
        self.wake = [_locked() for _ in range(count)]
        self.done = [_locked() for _ in range(count)]
        self.run: Run | None = None


class Threads:
    """`count` threads, started at the first run. Raises ForkError in a forked child."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pid = os.getpid()
        self._shared: _Shared | None = None

    def check_process(self) -> None:
        """Raise ForkError when this process is not the one that made the threads."""
        if os.getpid() != self.pid:
            raise ForkError(f"this program was loaded before a fork, its threads live in process "
                            f"{self.pid}; load it again in the child, or start children with "
                            "the 'spawn' method")

    def submit(self, run: Run) -> None:
        """Have every thread call run.function(run.arguments, number of the thread).

        Submitting a run twice runs it once, so a caller torn away by a signal may try again.
        """
        self.check_process()
        if self._shared is None:
            self._shared = self._start()
        self._shared.queue.put(run)

    def _start(self) -> _Shared:
        """Start all threads or none. Raises RuntimeError when the system gives no more."""
        shared = _Shared(self.count)
        try:
            for number in range(self.count):
                threading.Thread(target=_lead if number == 0 else _follow, daemon=True,
                                 args=(shared, number), name=f"dlc-{number}").start()
        except RuntimeError as error:
            shared.queue.put(None)  # those that did start end again
            raise RuntimeError(f"{self.count} threads: {error}; ask for fewer") from None
        weakref.finalize(self, shared.queue.put, None)
        return shared

    def close(self) -> None:
        """Let the threads end after the runs submitted so far."""
        if self.pid == os.getpid() and self._shared is not None:
            self._shared.queue.put(None)


def _locked() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


def _wake_precisely() -> None:
    """Let this thread's short sleeps end on time: Linux may stretch them by 50 us otherwise."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1000), 0, 0, 0)


def _lead(shared: _Shared, number: int) -> None:
    _wake_precisely()
    while True:
        shared.run = run = shared.queue.get()
        if run is not None and run.completed:
            continue
        for lock in shared.wake[1:]:
            lock.release()
        if run is None:
            return
        run.function(run.arguments, number)
        for lock in shared.done[1:]:
            lock.acquire()
        run.completed = True
        run.ended.release()


def _follow(shared: _Shared, number: int) -> None:
    _wake_precisely()
    while True:
        shared.wake[number].acquire()
        run = shared.run
        if run is None:
            return
        run.function(run.arguments, number)
        shared.done[number].release()


class Attendant:
    """What the calling thread does while a run goes on: wait, watch, and pass on a stop.

    `stop` is called once at the first Ctrl-C, error or False from `watch`; the run then ends by
    itself and stays waited for.
    """

    def __init__(self, run: Run, threads: Threads, stop: Callable[[], None],
                 watch: Callable[[], bool | None] | None, interval: float) -> None:
        self.run, self.threads, self.stop = run, threads, stop
        self.watch, self.interval = watch, interval
        self.interrupted = False
        self.error: Exception | None = None

    def attend(self) -> None:
        """Submit the run and return when it has ended. Raises what `watch` raised, afterwards."""
        while not self.run.completed:
            try:
                self._submit()
                while not self.run.completed:
                    self._wait()
            except KeyboardInterrupt:
                self.interrupted = True
                self.stop()
        if self.error is not None:
            raise self.error

    def _submit(self) -> None:
        try:
            self.threads.submit(self.run)
        except RuntimeError:  # no threads: nothing of it will ever run
            self.run.completed = True
            raise

    def _wait(self) -> None:
        self.run.ended.acquire(timeout=self.interval)
        if self.watch is None or self.run.completed:
            return
        try:
            goes_on = self.watch() is not False
        except Exception as error:
            self.error, goes_on = error, False
        if not goes_on:
            self.watch = None
            self.stop()
