"""The CPU device: the ways a run ends, threads, processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlc.ir.types import f32
from dlc.program import Entry, Port, Program
from dlc.runtime.cpu.arena import ArenaProgram, PortError
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.cpu.threads import ForkError
from dlc.runtime.steps import Phase, StepReport
from tests.runtime.programs import place, train_program
from tests.runtime.test_cpu import START, train_phase

ROOT = Path(__file__).resolve().parents[2]


def endless(loaded: ArenaProgram, **options: Any) -> StepReport:
    steps = 20_000_000
    phase = Phase("scale", fixed={"rate": 1.0})
    small = replace(loaded.program.entries["scale"], outputs=())
    loaded.program.entries["scale"] = small  # 480 MB of log otherwise
    return loaded.run_steps([phase], steps, **options)


def test_watch_sees_progress_and_stops_the_run() -> None:
    seen: list[tuple[int, int]] = []
    with CpuProgram(train_program(), 2) as loaded:
        def watch(done: int, log: Any) -> bool:
            seen.append((done, loaded.progress))
            return len(seen) < 3
        report = endless(loaded, watch=watch, interval=0.02)
        assert loaded.progress == report.steps
    assert report.reason == "stopped"
    assert len(seen) == 3
    assert 0 < seen[0][0] < seen[1][0] < seen[2][0] <= report.steps < 20_000_000
    assert all(done <= progress for done, progress in seen)


def test_an_error_in_watch_ends_the_run_and_comes_out() -> None:
    def watch(done: int, log: Any) -> bool:
        raise ZeroDivisionError("mine")
    with CpuProgram(train_program(), 2) as loaded:
        with pytest.raises(ZeroDivisionError, match="mine"):
            endless(loaded, watch=watch, interval=0.01)
        loaded.call("scale", rate=1.0)  # and the program still works


def test_ctrl_c_stops_after_the_step() -> None:
    with CpuProgram(train_program(), 2) as loaded:
        pid, sent = os.getpid(), [0.0]

        def send() -> None:
            while not loaded.progress:
                time.sleep(0.01)
            sent[0] = time.process_time()
            os.kill(pid, signal.SIGINT)
        sender = threading.Thread(target=send)
        sender.start()
        report = endless(loaded)
        late = time.process_time() - sent[0]  # of this process, whatever else the machine does
        sender.join()
        assert report.reason == "interrupt"
        assert 0 < report.steps < 20_000_000
        assert late < 1.0  # two threads compute
        loaded.call("scale", rate=1.0)


def test_one_run_at_a_time() -> None:
    with CpuProgram(train_program(), 2) as loaded:
        refused: list[str] = []

        def watch(done: int, log: Any) -> bool:
            def second() -> None:
                try:
                    loaded.run("scale")
                except RuntimeError as error:
                    refused.append(str(error))
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
            return False
        endless(loaded, watch=watch, interval=0.01)
    assert refused == ["small is running in another thread"]


def test_closed_programs_refuse() -> None:
    loaded = CpuProgram(train_program(), 2)
    loaded.run("scale")
    loaded.close()
    loaded.close()
    for use in (lambda: loaded.run("scale"), lambda: loaded.read("y"),
                lambda: loaded.write("y", START), lambda: loaded.allocated_bytes,
                lambda: loaded.run_steps([train_phase(1)], 1)):
        with pytest.raises(PortError, match="small is closed"):
            use()


def test_threads_end_with_the_program() -> None:
    before = set(threading.enumerate())
    first, second = CpuProgram(train_program(), 3), CpuProgram(train_program(), 2)
    first.run("scale")
    second.run("scale")
    started = set(threading.enumerate()) - before
    assert sorted(t.name for t in started) == ["dlc-0", "dlc-0", "dlc-1", "dlc-1", "dlc-2"]
    first.close()
    del second  # without close: collected
    gc.collect()
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)


def test_threads_start_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, [2]

    def limited(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(thread)
    with CpuProgram(train_program(), 4) as loaded:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", limited)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="4 threads: can't start new thread; ask"):
                    loaded.run("scale")
                left[0] = 2
        loaded.run("scale")


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_impossible_thread_counts(threads: int) -> None:
    with pytest.raises(ValueError, match="it takes a number from 1 to 256"):
        CpuProgram(train_program(), threads)


def test_thread_count_follows_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_THREADS", "3")
    with CpuProgram(train_program()) as loaded:
        assert loaded.threads == 3


def test_profile_times_every_launch() -> None:
    program = train_program()
    with CpuProgram(program, 2) as loaded:
        times = loaded.profile("train", repeat=5)
    assert len(times) == len(program.entries["train"].launches)
    assert all(0 < t < 0.5 for t in times)


def test_a_large_log_is_not_made() -> None:
    offsets, total = place([128, 64])
    ports = (Port("big", f32[32], offsets[0]), Port("small", f32[16], offsets[1]))
    program = Program("p", "cpu", {"e": Entry("e", (), (), ports)}, (), total)
    with CpuProgram(program, 1) as loaded:
        assert set(loaded.run_steps([Phase("e")], 3).log) == {("e", "small")}


# ---- processes -----------------------------------------------------------------------------

CHILD = """
import os, sys
import numpy as np
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.cpu.threads import ForkError
from tests.runtime.programs import train_program
loaded = CpuProgram(train_program(), 2)
loaded.run("scale")
loaded.write("y", np.ones(160, np.float32))
pid = os.fork()
if pid == 0:
    try:
        loaded.run("scale")
    except ForkError as error:
        print(error, flush=True)
    loaded.write("y", np.zeros(160, np.float32))
    loaded.close()
    with CpuProgram(train_program(), 2) as own:
        own.run("scale")
    print("child", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
loaded.run("scale")
assert np.allclose(loaded.read("y"), 0.50005)
print("parent")
assert "numba" not in sys.modules
"""


def test_a_forked_child_says_that_its_threads_are_dead() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD], capture_output=True,
                          text=True, timeout=60, cwd=ROOT)
    assert done.stderr == ""
    first, *rest = done.stdout.splitlines()
    assert first.startswith("this program was loaded before a fork, its threads live in process")
    assert "'spawn'" in first
    assert rest == ["child", "parent"]
    assert issubclass(ForkError, RuntimeError)


def test_a_run_in_progress_does_not_keep_the_interpreter() -> None:
    code = ("import threading, time\n"
            "from dlc.runtime.cpu.program import CpuProgram\n"
            "from tests.runtime.test_cpu_runs import endless, train_program\n"
            "loaded = CpuProgram(train_program(), 2)\n"
            "threading.Thread(target=endless, args=(loaded,), daemon=True).start()\n"
            "while not loaded.progress:\n    time.sleep(0.01)\nprint('runs')\n")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          cwd=ROOT)
    assert (done.stdout, done.stderr, done.returncode) == ("runs\n", "", 0)


