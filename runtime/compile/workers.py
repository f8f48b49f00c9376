"""Compile workers: processes that compile kernels to objects in the background.

They are started by their script's path and talk over pipes, so that it does not matter what
`__main__` is (a script without a guard, a REPL, pytest, `python -c`), and they live in their own
session, so that Ctrl-C in the terminal does not reach them. One that has been idle for 30 s exits.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlc import env
from dlc.program import Kernel, Program, TileText
from dlc.runtime.compile.cache import Cache, kernel_key
from dlc.runtime.compile.frames import read_frame, write_frame
from dlc.runtime.compile.link import LinkError, check_object
from dlc.runtime.compile.runner import COPY_ROWS, RUNNER
from dlc.runtime.cores import available_cores

Listener = Callable[[int, int], None]


class CompileError(Exception):
    """A kernel that did not compile, or a worker that died; the message names the kernel."""


@dataclass(frozen=True)
class Setup:
    """What kernels are compiled against: a worker makes one toolchain of each and keeps it."""

    prelude: str
    tiles: tuple[TileText, ...]
    isa: str

    @property
    def request(self) -> dict[str, Any]:
        tiles = [{"name": t.name, "ir": t.ir, "params": t.params, "result": t.result}
                 for t in self.tiles]
        return {"op": "setup", "prelude": self.prelude, "tiles": tiles, "isa": self.isa}


class Job:
    """One kernel to compile: what to send, and its object once it is there."""

    def __init__(self, kernel: Kernel, key: str, setup: Setup, lines: Sequence[str] = ()) -> None:
        self.kernel = kernel
        self.key = key
        self.setup = setup
        self.lines = tuple(lines)
        self.symbol = symbol_of(kernel, key)
        self.data = b""

    @property
    def request(self) -> dict[str, Any]:
        parameters = [(p.name, p.dtype, p.kind) for p in self.kernel.params]
        kernel = {"name": self.kernel.name, "params": parameters, "text": self.kernel.text,
                  "tiles": list(self.kernel.tiles), "raises": self.kernel.raises}
        return {"op": "compile", "kernel": kernel, "symbol": self.symbol}

    def error(self, reason: str) -> CompileError:
        """`reason` as one message naming the kernel and the user's lines."""
        serves = f" (serves {', '.join(self.lines)})" if self.lines else ""
        return CompileError(f"kernel {self.kernel.name}{serves} does not compile: {reason}")


def symbol_of(kernel: Kernel, key: str) -> str:
    """The name that a kernel's object exports: its own and part of its key, so none collide."""
    return f"{kernel.name}_{key[:16]}"


class WorkerEnded(CompileError):
    """A worker that ended of itself, after half a minute without work, as a job was on its way."""


class Worker:
    """One worker process, the setups it holds and the job it is doing."""

    def __init__(self) -> None:
        if not sys.executable:
            raise CompileError("can't start compile workers: sys.executable is empty")
        here = Path(__file__)
        self.errors: Any = tempfile.TemporaryFile()  # noqa: SIM115  closed in stop
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(here.with_name("worker.py")), str(here.parents[2]),
             json.dumps(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0,
            pipesize=1 << 20,  # a whole prelude and its tiles, so that sending does not wait
            start_new_session=True, env=worker_environment())
        self.setups: list[Setup] = []
        self.job: Job | None = None

    @property
    def requests(self) -> int:
        return self.process.stdin.fileno()  # type: ignore[union-attr]

    @property
    def answers(self) -> int:
        return self.process.stdout.fileno()  # type: ignore[union-attr]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def begin(self, job: Job) -> None:
        """Send `job`. Raises CompileError when the worker is gone."""
        self.job = job
        try:
            if job.setup not in self.setups:
                write_frame(self.requests, job.setup.request)
                self.setups.append(job.setup)
            write_frame(self.requests, {**job.request, "setup": self.setups.index(job.setup)})
        except BrokenPipeError:
            raise self.death() from None

    def finish(self) -> None:
        """Receive the object of the job. Raises CompileError when there is none."""
        job = self.job
        if job is None:
            raise CompileError("a compile worker answered without a request")
        frame = read_frame(self.answers)
        if frame is None:
            raise self.death()
        self.job = None
        header, job.data = frame
        if not header["ok"]:
            raise job.error(header["error"])
        try:
            check_object(job.symbol, job.data)
        except LinkError as error:
            raise job.error(str(error)) from None

    def death(self) -> CompileError:
        """The error for a worker that ended in the middle of its job."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.errors.seek(0)
        words = self.errors.read().decode(errors="replace").strip()[-2000:]
        said = f"; it said:\n{words}" if words else ""
        reason = f"its compile worker ended with status {self.process.returncode}{said}"
        error = self.job.error(reason) if self.job else CompileError(reason)
        return WorkerEnded(str(error)) if self.process.returncode == 0 else error

    def stop(self) -> None:
        """End the process and release its pipes."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.process.wait()


def worker_environment() -> dict[str, str]:
    """The environment of a worker: the user's NUMBA_* settings would change what is compiled."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return {**kept, "PYTHONWARNINGS": "ignore", "PYTHONNOUSERSITE": "1",
            "NUMBA_DISABLE_PERFORMANCE_WARNINGS": "1", "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1"}


class Pool:
    """The workers of this process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Have no workers, without ending any: after a fork they are the parent's."""
        self.workers: list[Worker] = []
        self.early: dict[str, Job] = {}  # begun by `start`, by key
        self.listeners: list[Listener] = []
        self.lock = threading.Lock()

    def ensure(self, count: int) -> None:
        """Have `count` live workers: those that idled out are replaced."""
        for worker in [w for w in self.workers if not w.alive]:
            worker.stop()
            self.workers.remove(worker)
            if worker.job is not None:
                self.early.pop(worker.job.key, None)
        while len(self.workers) < count:
            self.workers.append(Worker())

    def stop(self) -> None:
        """End all workers of this process."""
        for worker in self.workers:
            worker.stop()
        self.workers = []
        self.early = {}

    def begin_early(self, jobs: Sequence[Job]) -> None:
        """Have free workers begin `jobs`; a later `compile` of the same keys takes the results."""
        free = [w for w in self.workers if w.job is None]
        for worker, job in zip(free, jobs, strict=False):
            if job.key not in self.early:
                worker.begin(job)
                self.early[job.key] = job

    def compile(self, jobs: Sequence[Job]) -> None:
        """Give every job its `data`, the longest texts first. Raises CompileError.

        Any exception, Ctrl-C included, ends the workers: their answers would be out of step.
        """
        with self.lock:
            try:
                try:
                    self._compile_missing(jobs)
                except WorkerEnded:
                    self.stop()  # new workers have their half minute before them
                    self._compile_missing(jobs)
            except BaseException:
                self.stop()
                raise
            for job in jobs:
                job.data = job.data or self.early[job.key].data

    def _compile_missing(self, jobs: Sequence[Job]) -> None:
        self.ensure(min(len(jobs), worker_count()))
        self._compile(sorted((j for j in jobs if not j.data and j.key not in self.early),
                             key=lambda job: len(job.kernel.text)))

    def _compile(self, pending: list[Job]) -> None:
        done, total = 0, len(pending) + sum(w.job is not None for w in self.workers)
        with selectors.DefaultSelector() as selector:
            for worker in self.workers:
                selector.register(worker.answers, selectors.EVENT_READ, worker)
                if pending and worker.job is None:
                    worker.begin(pending.pop())
            while any(worker.job for worker in self.workers):
                for ready, _ in selector.select():
                    worker = ready.data
                    if worker.job is None:  # it idled out: the end of its pipe reads as ready
                        selector.unregister(ready.fileobj)
                        continue
                    worker.finish()
                    done += 1
                    for listener in self.listeners:
                        listener(done, total)
                    if pending:
                        worker.begin(pending.pop())


_pool = Pool()
atexit.register(_pool.stop)
os.register_at_fork(after_in_child=_pool.forget)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(done, total)` after each kernel that is compiled meanwhile; those that the
    cache holds are not among them."""
    _pool.listeners.append(listener)
    try:
        yield
    finally:
        _pool.listeners.remove(listener)


def worker_count() -> int:
    """DLC_WORKERS, else the number of cores this process may use."""
    return env.number("DLC_WORKERS") or available_cores()


def start() -> None:
    """Start the workers and return at once; call it as early as a cold compile is foreseen.

    They begin with the runtime's own kernels if the cache lacks them.
    """
    cache = Cache()
    jobs = [job for job in map(runtime_job, (RUNNER, COPY_ROWS)) if not cache.has(job.key)]
    with _pool.lock:
        _pool.ensure(worker_count())
        _pool.begin_early(jobs)


def stop() -> None:
    """End the workers; they are started again when needed."""
    with _pool.lock:
        _pool.stop()


def objects(jobs: Sequence[Job], cache: Cache) -> dict[str, bytes]:
    """The object of every job by symbol, from `cache` where it is there and intact.

    Raises CompileError for the first kernel that does not compile.
    """
    found, missing = {}, {}
    for job in jobs:
        data = cache.get(job.key)
        if data is not None and _exports(job.symbol, data):
            found[job.symbol] = data
        else:
            missing[job.symbol] = job
    if missing:
        _pool.compile(list(missing.values()))
    for symbol, job in missing.items():
        cache.put(job.key, job.data)
        found[symbol] = job.data
    return found


def runtime_job(kernel: Kernel, isa: str = "") -> Job:
    """The job of a kernel of the runtime's own (runtime/compile/runner.py)."""
    return Job(kernel, kernel_key(kernel, "", {}, isa), Setup("", (), isa))


def _exports(symbol: str, data: bytes) -> bool:
    try:
        check_object(symbol, data)
    except LinkError:
        return False
    return True


def program_jobs(program: Program) -> list[Job]:
    """One job for every kernel of `program`."""
    lines: dict[int, dict[str, None]] = {}
    for entry in program.entries.values():
        for launch in entry.flat:
            for segment in (s for stage in launch.stages for s in stage):
                lines.setdefault(segment.kernel, {}).update(dict.fromkeys(launch.lines))
    used = {name for kernel in program.kernels for name in kernel.tiles}
    tiles = tuple(program.tiles[name] for name in sorted(used & set(program.tiles)))
    setup = Setup(program.prelude, tiles, program.isa)
    return [Job(kernel, kernel_key(kernel, program.prelude, program.tiles, program.isa), setup,
                list(lines.get(i, ()))) for i, kernel in enumerate(program.kernels)]
