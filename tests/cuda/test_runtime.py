"""The device's run-time path on a driver in host memory (fake_driver.py): results and misuses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn
from dlc.cli.source import load_task
from dlc.program import Program
from dlc.runtime.cuda.driver import CudaError, Driver
from dlc.runtime.cuda.program import CudaProgram
from dlc.runtime.steps import Phase
from tests.cuda.fake_driver import FakeLibrary, Misuse

pytestmark = pytest.mark.cuda


def small(x: f32[4, 200], w: f32[200, 3]) -> Any:
    return {"y": nn.softmax(x @ w), "rows": nn.softmax(x)}


def looped(x: f32[5, 8], h: f32[8]) -> Any:
    def cell(h: Any, x: Any) -> Any:
        h = dlc.tanh(h * 0.5 + x)
        return h, h

    return dlc.scan(cell, h, x)


@pytest.fixture(scope="module")
def program() -> Program:
    return dlc.compile(small, target="cuda").program


def loaded(program: Program, **options: Any) -> tuple[CudaProgram, FakeLibrary]:
    library = FakeLibrary(program, **options)
    return CudaProgram(program, Driver(library)), library


def arrays() -> dict[str, Any]:
    made = np.random.default_rng(5)
    return {"x": made.standard_normal((4, 200), np.float32),
            "w": made.standard_normal((200, 3), np.float32)}


def test_a_call_is_one_graph_launch(program: Program) -> None:
    running, library = loaded(program)
    expected = dlc.evaluate(small, **arrays())
    for _ in range(2):
        found = running.call("main", **arrays())
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=2e-6, atol=2e-6)
    assert library.calls.count("cuGraphLaunch") == 2
    assert library.calls.count("cuStreamBeginCapture_v2") == 1
    assert library.calls.count("cuMemAlloc_v2") == 1
    assert library.calls.count("cuLaunchKernel") == sum(
        len(stage) for launch in program.entries["main"].flat for stage in launch.stages)
    running.close()  # which refuses to leave anything behind


def test_a_loop_is_unrolled_into_the_graph() -> None:
    compiled = dlc.compile(looped, target="cuda")
    running, library = loaded(compiled.program)
    made = np.random.default_rng(6)
    given = {"x": made.standard_normal((5, 8), np.float32),
             "h": made.standard_normal(8, np.float32)}
    found, expected = running.call("main", **given), dlc.evaluate(looped, **given)
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=2e-6, atol=2e-6)
    assert len(library.launches) >= 5
    running.close()


def test_training_steps_equal_those_of_the_emulated_program() -> None:
    """Three steps of xor, fed row by row: parameters, bit for bit."""
    compiled = dlc.compile(load_task("xor"), target="cuda")
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    feeds = {p.name: (x if p.type.shape[1:] == (2,) else y)
             for p in compiled.program.entries["train"].inputs
             if p.role == "data"}
    index = np.array([[0, 1, 2, 3]] * 3, np.int64)
    running, _ = loaded(compiled.program)
    states = []
    for device in (running, compiled.load("emulate").running):
        for name, value in compiled.initial_values(3).items():
            device.write(name, value)
        report = device.run_steps([Phase("train", feeds=feeds, index=index)], 3)
        assert (report.steps, report.reason) == (3, "done")
        states.append({p.name: device.read(p.name) for p in compiled.program.persistent})
        device.close()
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)


FAILURES = ["cuInit", "cuDevicePrimaryCtxRetain", "cuStreamCreate", "cuMemAlloc_v2",
            "cuModuleLoadData", "cuModuleGetFunction", "cuMemcpyHtoDAsync_v2",
            "cuStreamSynchronize", "cuStreamBeginCapture_v2", "cuLaunchKernel",
            "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch"]


@pytest.mark.parametrize("function", FAILURES)
def test_a_failure_is_one_message_and_leaves_nothing(program: Program, function: str) -> None:
    library, running = FakeLibrary(program, fails={function: 719}), None
    with pytest.raises(CudaError, match=f"fails in {function}: a kernel failed"):
        running = CudaProgram(program, Driver(library))
        running.call("main", **arrays())
    library.fails.clear()
    if running is not None:
        running.close()
    assert not library.context and not library.memory and not library.stream


def test_failed_capture_leaves_the_stream_usable(program: Program) -> None:
    running, library = loaded(program)
    library.fails["cuLaunchKernel"] = 1
    with pytest.raises(CudaError):
        running.call("main", **arrays())
    library.fails.clear()
    assert running.call("main", **arrays())["y"].shape == (4, 3)
    running.close()


def test_too_little_memory_is_said_before_it_is_asked_for(program: Program) -> None:
    library = FakeLibrary(program, memory_bytes=65 << 20)
    with pytest.raises(MemoryError, match=r"largest values: .*a smaller batch takes less"):
        CudaProgram(replace(program, arena_bytes=1 << 24), Driver(library))
    assert "cuMemAlloc_v2" not in library.calls and not library.stream


# ---- misuses, numbered as in fake_driver.py ------------------------------------------------------

Act = Callable[[CudaProgram, FakeLibrary], object]


def _launch(running: CudaProgram, **changed: Any) -> None:
    """The first launch, changed."""
    segment = running.program.entries["main"].flat[0].stages[0][0]
    kernel = running.program.kernels[segment.kernel]
    words = [ctypes.c_uint64(running._address + a.offset) for a in segment.args]
    given = {"blocks": None, "threads": None, "words": words, **changed}
    blocks = -(-segment.chunks // 32) if not kernel.block else segment.chunks
    count = ctypes.c_int64(segment.chunks)
    running.driver.launch(
        running._functions[segment.kernel],
        blocks if given["blocks"] is None else given["blocks"],
        (kernel.block or 32) if given["threads"] is None else given["threads"],
        [*given["words"], count])


def _words(running: CudaProgram, first: int) -> list[Any]:
    segment = running.program.entries["main"].flat[0].stages[0][0]
    words = [ctypes.c_uint64(running._address + a.offset) for a in segment.args]
    return [ctypes.c_uint64(first), *words[1:]]


def _before_init(running: CudaProgram, library: FakeLibrary) -> None:
    library.began = False
    running.driver.wait()


def _without_context(running: CudaProgram, library: FakeLibrary) -> None:
    running.driver.call("cuCtxSetCurrent", ctypes.c_void_p())
    running.driver.wait()


def _freed(running: CudaProgram, act: Callable[[], object]) -> None:
    running.driver.free(running._address)
    act()


def _captured(running: CudaProgram, act: Callable[[], object]) -> None:
    running.driver.begin_capture()
    act()


def _after_a_run(running: CudaProgram, change: Callable[[], object]) -> None:
    running.call("main", **arrays())
    change()
    running.driver.launch_graph(running._graphs["main"])


def _overlapping(running: CudaProgram) -> None:
    words = _words(running, running._address)
    _launch(running, words=[words[0]] * len(words))


def _release(running: CudaProgram) -> None:
    running.driver.wait()
    running.driver.call("cuDevicePrimaryCtxRelease_v2", running.driver.device)


def _release_early(running: CudaProgram) -> None:
    _launch(running)
    running.driver.call("cuDevicePrimaryCtxRelease_v2", running.driver.device)


MISUSES: dict[str, Act] = {
    "1": _before_init,
    "2": _without_context,
    "3": lambda r, _: r.driver.copy_in(r._address + 8, r._address, r.program.arena_bytes),
    "4": lambda r, _: _freed(r, lambda: r._fetch(0, 4)),
    "5": lambda r, _: _freed(r, lambda: _launch(r)),
    "6": lambda r, _: _launch(r, words=_words(r, r._address - (1 << 40))),
    "7": lambda r, _: _freed(r, lambda: r.driver.free(r._address)),
    "8": lambda r, _: _captured(r, r.driver.wait),
    "9": lambda r, _: _captured(r, r.driver.begin_capture),
    "10": lambda r, _: r.driver.end_capture(),
    "11": lambda r, _: _launch(r, blocks=0),
    "12": lambda r, _: _launch(r, threads=2048),
    "13": lambda r, _: _launch_block(r, threads=64),
    "14": lambda r, _: _launch(r, blocks=1000),
    "15": lambda r, _: [r.driver.unload(m) for m in r._modules] and _launch(r),
    "16": lambda r, _: _after_a_run(r, lambda: r.driver.drop_graph(r._graphs["main"])),
    "17": lambda r, _: _after_a_run(r, lambda: r.driver.free(r._address)),
    "18": lambda r, _: _after_a_run(r, lambda: [r.driver.unload(m) for m in r._modules]),
    "19": lambda r, _: r.driver.call("cuStreamDestroy_v2", r.driver.stream) or r.driver.wait(),
    "21": lambda r, _: _launch(r, words=_words(r, r._address + 1)),
    "22": lambda r, _: _overlapping(r),
    "23": lambda r, _: _release(r),
    "24": lambda r, _: _release_early(r),
    "25": lambda r, _: _captured(r, lambda: r.driver.call("cuStreamDestroy_v2", r.driver.stream)),
    "26": lambda r, _: _launch(r, words=_words(r, r._address)[:-1]),
    "27": lambda r, _: r.driver.load(b".visible .entry another(.param .u64 a)"),
}


def _launch_block(running: CudaProgram, threads: int) -> None:
    """The launch of a kernel with regions, with another block."""
    for launch in running.program.entries["main"].flat:
        for segment in launch.stages[0]:
            if running.program.kernels[segment.kernel].block:
                words = [ctypes.c_uint64(running._address + a.offset) for a in segment.args]
                running.driver.launch(running._functions[segment.kernel], segment.chunks, threads,
                                      [*words, ctypes.c_int64(segment.chunks)])


@pytest.mark.parametrize("number", MISUSES)
def test_a_misuse_is_refused(program: Program, number: str) -> None:
    running, library = loaded(program)
    with pytest.raises(Misuse, match=f"^{number}: "):
        MISUSES[number](running, library)


def test_a_result_that_is_read_too_early_is_not_there(program: Program) -> None:
    """Misuse 20: nothing refuses it, what is read is garbage."""
    running, _ = loaded(program)
    expected = running.call("main", **arrays())["y"]
    running.driver.wait = lambda: None  # type: ignore[method-assign]
    assert not np.array_equal(running.read("y", "main"), expected)
