"""Compile workers: errors name the kernel, any __main__ works, nothing is left or printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from dlc.program import Kernel, TileText
from dlc.runtime.compile import frames, workers
from dlc.runtime.compile.cache import Cache, kernel_key
from dlc.runtime.compile.link import symbols
from dlc.runtime.compile.workers import CompileError, Job, Setup, Worker
from tests.runtime.programs import AXPY, kernel_program, pointer, run_kernel, scalar

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers a pool, whatever else runs beside these tests."""
    monkeypatch.setenv("DLC_WORKERS", "2")


def job(kernel: Kernel, prelude: str = "", tiles: tuple[TileText, ...] = ()) -> Job:
    key = kernel_key(kernel, prelude, {t.name: t for t in tiles}, "")
    return Job(kernel, key, Setup(prelude, tiles, ""), ("models/net.py:12", "models/net.py:14"))


def compile_one(text: str, prelude: str = "", name: str = "k",
                tiles: tuple[TileText, ...] = ()) -> bytes:
    """Compile, past the cache, a kernel of one f32 pointer `x` and one i64 `n`."""
    kernel = Kernel(name, (pointer("x", "f32", True), scalar("n")), text,
                    tuple(t.name for t in tiles))
    one = job(kernel, prelude, tiles)
    workers._pool.compile([one])
    return one.data


def test_object_exports_one_symbol_and_needs_none() -> None:
    one = job(AXPY)
    workers._pool.compile([one])
    assert list(symbols(one.data)) == [(one.symbol, True)]


@pytest.mark.swept(4)
@pytest.mark.parametrize(("text", "told"), [
    ("def k(x, n, chunk):\n    x[0] = undefined(n)\n", "undefined"),
    ("def k(x, n, chunk):\n    x[0] = fma(x[0], n, n)\n", "fma takes 3 operands"),
    ("def other(x, n, chunk):\n    pass\n", "defines no function k"),
    ("def k(x, n, chunk)\n    pass\n", "SyntaxError"),
    ("def k(x, n, chunk):\n    if n > 3:\n        raise ValueError\n", "raise"),
    ("def k(x, n, chunk):\n    for i in range(0, 9, n):\n        x[i] = f32(1)\n", "a step"),
    ("def k(x, n, chunk):\n    x[n] = [1, 2]\n", "k"),
    ("import nowhere_at_all\ndef k(x, n, chunk):\n    pass\n", "nowhere_at_all"),
])
def test_error_names_kernel_and_lines(text: str, told: str) -> None:
    with pytest.raises(CompileError) as caught:
        compile_one(text)
    message = str(caught.value)
    assert message.startswith("kernel k (serves models/net.py:12, models/net.py:14) does not")
    assert told in message
    assert "Traceback" not in message


def test_workers_serve_on_after_an_error() -> None:
    with pytest.raises(CompileError):
        compile_one("def k(x, n, chunk):\n    x[0] = undefined(n)\n")
    assert compile_one("def k(x, n, chunk):\n    x[0] = f32(n)\n")


def test_a_broken_prelude_is_every_kernels_error() -> None:
    with pytest.raises(CompileError, match=r"(?s)kernel k .*<prelude>: Assign outside"):
        compile_one("def k(x, n, chunk):\n    x[0] = f32(n)\n", prelude="y = unknown_name\n")


def test_foreign_calls_are_refused() -> None:
    tile = TileText("evil", 'declare i32 @system(ptr)\n'
                    'define void @evil(ptr %x) {\n  %r = call i32 @system(ptr %x)\n  ret void\n}\n',
                    ("f32*",))
    with pytest.raises(CompileError, match="calls system, which no kernel may call"):
        compile_one("def k(x, n, chunk):\n    evil(x)\n", tiles=(tile,))


def test_tiles_inline_and_are_checked() -> None:
    tile = TileText("double_it", "define float @double_it(float %x) {\n"
                    "  %r = fadd float %x, %x\n  ret float %r\n}\n", ("f32",), "f32",
                    "def double_it(x):\n    return x + x\n")
    kernel = Kernel("k", (pointer("x", "f32", True), scalar("n")),
                    "def k(x, n, chunk):\n    for i in range(n):\n        x[i] = double_it(x[i])\n",
                    ("double_it",))
    x = np.arange(40, dtype=np.float32)
    for device in ("cpu", "interpret"):
        got = run_kernel(kernel, {"x": x}, (40,), device=device, tiles={"double_it": tile})
        assert np.array_equal(got["x"], 2 * x), device
    with pytest.raises(CompileError, match=r"tile double_it takes \(f32\), got \(i64\)"):
        compile_one("def k(x, n, chunk):\n    x[0] = double_it(n)\n", tiles=(tile,))


def test_prelude_functions_call_each_other() -> None:
    prelude = ("def half(x):\n    return x * f32(0.5)\n"
               "def quarter(x):\n    return half(half(x))\n")
    kernel = Kernel("k", (pointer("x", "f32", True), scalar("n")),
                    "def k(x, n, chunk):\n    for i in range(n):\n        x[i] = quarter(x[i])\n")
    x = np.arange(40, dtype=np.float32)
    for device in ("cpu", "interpret"):
        got = run_kernel(kernel, {"x": x}, (40,), device=device, prelude=prelude)
        assert np.array_equal(got["x"], x / 4), device


def test_a_dead_worker_is_one_clear_error() -> None:
    worker = Worker()
    try:
        worker.begin(job(AXPY))
        worker.process.kill()
        with pytest.raises(CompileError, match=r"kernel axpy .* its compile worker ended with st"):
            worker.finish()
    finally:
        worker.stop()


def test_dead_workers_are_replaced() -> None:
    workers.start()
    for worker in workers._pool.workers:
        worker.process.kill()
        worker.process.wait()
    assert compile_one("def k(x, n, chunk):\n    x[1] = f32(n)\n")


def test_workers_that_end_as_a_job_is_on_its_way_are_replaced(
        monkeypatch: pytest.MonkeyPatch) -> None:
    ensure, calls = workers._pool.ensure, []

    def ensure_idle_ones(count: int) -> None:
        ensure(count)
        calls.append(count)
        if len(calls) == 1:
            for worker in workers._pool.workers:
                worker.process.stdin.close()  # type: ignore[union-attr]
                assert worker.process.wait(60) == 0
                worker.process.stdin = open(os.devnull, "wb")  # noqa: SIM115  stop closes it

    workers.stop()
    monkeypatch.setattr(workers._pool, "ensure", ensure_idle_ones)
    assert compile_one("def k(x, n, chunk):\n    x[2] = f32(n)\n")
    assert len(calls) == 2


def test_a_worker_that_ends_without_a_job_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    ensure = workers._pool.ensure

    def ensure_one_idle(count: int) -> None:
        ensure(2)
        idle = workers._pool.workers[1]
        idle.process.stdin.close()  # type: ignore[union-attr]
        assert idle.process.wait(20) == 0
        idle.process.stdin = open(os.devnull, "wb")  # noqa: SIM115  stop closes it

    workers.stop()
    monkeypatch.setattr(workers._pool, "ensure", ensure_one_idle)
    assert compile_one("def k(x, n, chunk):\n    x[3] = f32(n)\n")
    monkeypatch.undo()
    workers.stop()


def test_a_worker_ends_when_its_parent_closes_the_pipe() -> None:
    worker = Worker()
    worker.process.stdin.close()  # type: ignore[union-attr]
    assert worker.process.wait(20) == 0
    assert worker.death().args[0].endswith("status 0")
    worker.stop()


def test_idle_means_nothing_to_read() -> None:
    read, write = os.pipe()
    try:
        began = time.monotonic()
        assert not frames.wait_readable(read, 0.05)
        assert time.monotonic() - began >= 0.05
        frames.write_frame(write, {"a": 1}, b"xyz")
        frames.write_frame(write, {"b": 2})
        assert frames.wait_readable(read, 0)
        assert frames.read_frame(read) == ({"a": 1}, b"xyz")
        assert frames.wait_readable(read, 0)  # nothing of the second frame was read ahead
        assert frames.read_frame(read) == ({"b": 2}, b"")
    finally:
        os.close(write)
    assert frames.read_frame(read) is None
    os.close(read)


def test_objects_come_from_the_cache_the_second_time(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    jobs = workers.program_jobs(kernel_program(AXPY, {"y": np.zeros(4, np.float32),
                                                      "x": np.zeros(4, np.float32)}, (4, 1.0)))
    first = workers.objects(jobs, cache)
    assert (cache.hits, cache.misses) == (0, 1)
    assert workers.objects(jobs, cache) == first
    assert (cache.hits, cache.misses) == (1, 1)


def test_an_intact_entry_with_another_kernels_object_is_recompiled(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    one, other = job(AXPY), job(Kernel("k", (), "def k(chunk):\n    pass\n"))
    objects = workers.objects([one, other], cache)
    cache.put(one.key, objects[other.symbol])
    assert workers.objects([one], cache) == {one.symbol: objects[one.symbol]}
    assert cache.get(one.key) == objects[one.symbol]


SCRIPT = """
import sys
import numpy as np
sys.path.insert(0, {root!r})
from tests.runtime.programs import AXPY, run_kernel
got = run_kernel(AXPY, {{"y": np.ones(40, np.float32), "x": np.ones(40, np.float32)}},
                 (40, 2.0), 3)
assert (got["y"] == 3).all()
assert "numba" not in sys.modules
print("fine")
"""


@pytest.mark.swept(2)
@pytest.mark.parametrize("how", ["script", "-c", "stdin"])
def test_any_main_module(how: str, tmp_path: Path) -> None:
    text = SCRIPT.format(root=str(ROOT))
    file = tmp_path / "no_guard.py"
    file.write_text(text)
    command = {"script": [str(file)], "-c": ["-c", text], "stdin": ["-"]}[how]
    done = subprocess.run([sys.executable, *command], input=text if how == "stdin" else "",
                          capture_output=True, text=True, timeout=60, cwd=tmp_path,
                          env={**os.environ, "DLC_CACHE": str(tmp_path / "cache")})
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_ctrl_c_while_compiling_prints_one_traceback(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from dataclasses import replace
        from dlc.runtime.compile import workers
        from tests.runtime.test_workers import job
        from tests.runtime.programs import AXPY
        workers.start()
        print([w.process.pid for w in workers._pool.workers], flush=True)
        texts = [AXPY.text + f"# {{i}}\\n" for i in range(400)]
        workers._pool.compile([job(replace(AXPY, text=text)) for text in texts])
    """)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, start_new_session=True,
                             env={**os.environ, "DLC_CACHE": str(tmp_path / "cache")})
    assert child.stdout is not None
    pids = [int(p) for p in child.stdout.readline().strip(" []\n").split(",")]
    time.sleep(0.7)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt" in errors
    assert "worker.py" not in errors
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    """Whether process `pid` runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_environment_of_workers_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "NUMBA_DISABLE_JIT" not in workers.worker_environment()


def test_worker_count_follows_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_WORKERS", "3")
    assert workers.worker_count() == 3


def test_a_listener_hears_of_each_kernel(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    parameters = (pointer("x", "f32", True), scalar("n"))
    text = "def k(x, n, chunk):\n    x[0] = f32(n) + f32({}.0)\n"
    jobs = [job(Kernel("k", parameters, text.format(i))) for i in range(4)]
    cache = Cache(tmp_path)
    with workers.listening(lambda done, total: heard.append((done, total))):
        workers.objects(jobs[:3], cache)
        workers.objects(jobs[:3], cache)  # they are there
    assert heard == [(1, 3), (2, 3), (3, 3)]
    workers.objects(jobs, cache)
    assert len(heard) == 3
