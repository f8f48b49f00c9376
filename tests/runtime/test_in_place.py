"""Calls on large arrays: read where they lie where no launch writes over them, and left alone."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.ir.graph import Build, Graph, building
from dlc.ops import leaf
from dlc.runtime.cpu import in_place
from dlc.runtime.cpu.arena import PortError
from dlc.runtime.cpu.in_place import last_readers
from tests.random_graphs import random_arrays, random_graph
from tests.random_loops import LoopMaker, arrays_for

ROWS = f32[160, 256]
WIDE = f32[256, 256]
PAGE = mmap.PAGESIZE
Case = tuple[Callable[..., Any], dict[str, Any], set[str]]
CASES: dict[str, Case] = {  # the function, the types of its inputs, which it only reads
    "reduced": (lambda x: dlc.sum(x, axis=0), {"x": ROWS}, {"x"}),
    "product": (lambda x, w: x @ w, {"x": ROWS, "w": WIDE}, {"x", "w"}),
    "written over": (lambda x: dlc.tanh(x), {"x": ROWS}, set()),
    "written over, then read": (lambda x: dlc.sort(dlc.exp(x), axis=0), {"x": ROWS}, set()),
    "given out": (lambda x: (x, dlc.sum(x)), {"x": ROWS}, set()),
    "memory reused": (lambda x: dlc.sort(dlc.exp(dlc.sort(x, axis=1)), axis=0), {"x": ROWS}, {"x"}),
    "sequence": (lambda xs, w: dlc.scan(lambda c, r: (dlc.tanh(r @ w + c), c),
                                        dlc.zeros((256,)), xs), {"xs": ROWS, "w": WIDE},
                 {"xs", "w"}),
    "carry": (lambda h, w: dlc.fori(5, lambda i, c: dlc.tanh(c @ w), h), {"h": ROWS, "w": WIDE},
              {"w"}),
    "branch": (lambda x, w: dlc.cond(dlc.sum(x) > 0.0, lambda: x @ w, lambda: x - 1.0),
               {"x": ROWS, "w": WIDE}, {"x", "w"}),
    "rows taken": (lambda x, i: dlc.take(x, i, 0) * 2.0, {"x": ROWS, "i": i32[200]}, {"x"}),
}


def graph_of(function: Callable[..., Any], kinds: dict[str, Any]) -> Graph:
    """The function of inputs that are data, as those of tasks: a launch may write over them."""
    with building(Build()):
        inputs = tuple(leaf.input_(name, kind, "data") for name, kind in kinds.items())
        found = function(*inputs)
    outputs = found if isinstance(found, tuple) else (found,)
    return Graph("in_place", inputs, outputs, tuple(f"out{i}" for i in range(len(outputs))))


def arrays_of(kinds: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: rng.uniform(-1, 1, t.shape).astype("f4") if t.dtype is f32
            else rng.integers(0, 160, t.shape).astype("i4") for n, t in kinds.items()}


@contextmanager
def fenced(array: np.ndarray) -> Iterator[np.ndarray]:
    """`array` in memory that may only be read, with no memory right behind it."""
    size = -(-array.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    place = np.frombuffer(memory, array.dtype, array.size, size - array.nbytes).reshape(array.shape)
    place[...] = array
    start = place.__array_interface__["data"][0] - (size - array.nbytes)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    assert protect(start, size, mmap.PROT_READ) == protect(start + size, PAGE, 0) == 0
    yield place
    assert protect(start, size + PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def written(running: Any, arrays: dict[str, np.ndarray]) -> list[bytes]:
    """The outputs of a run on the arena."""
    for name, value in arrays.items():
        running.write(name, value, "main")
    running.run("main")
    return [running.read(p.name, "main").tobytes() for p in running.entry("main").outputs]


def called(running: Any, arrays: dict[str, np.ndarray]) -> list[bytes]:
    running.run_on("main", arrays)
    return [running.read(p.name, "main").tobytes() for p in running.entry("main").outputs]


@pytest.mark.parametrize("name", CASES)
def test_results_and_arrays_are_those_of_a_run_on_the_arena(name: str) -> None:
    """However an array lies in memory: contiguous, turned, with gaps, or off its alignment."""
    function, kinds, only_read = CASES[name]
    given = arrays_of(kinds)
    with dlc.compile(graph_of(function, kinds)).load(threads=2) as loaded:
        running, entry = loaded.running, loaded.running.entry("main")
        ports = in_place.large(running.program, entry)
        assert set(last_readers(running.program, entry, ports)) == only_read
        expected = written(running, given)
        for lay in (np.copy, turned, with_gaps, unaligned):
            laid = {k: lay(v) for k, v in given.items()}
            assert called(running, laid) == expected
            assert all(np.array_equal(laid[k], given[k]) for k in given)
        other = arrays_of(kinds, 1)
        assert called(running, other) == written(running, other) != expected


def turned(x: np.ndarray) -> np.ndarray:
    return np.asfortranarray(x)


def with_gaps(x: np.ndarray) -> np.ndarray:
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def unaligned(x: np.ndarray) -> np.ndarray:
    place = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    place[...] = x
    return place


@pytest.mark.parametrize("name", CASES)
def test_results_share_nothing_with_the_arrays(name: str) -> None:
    """Nor does the program remember where they were."""
    function, kinds, _ = CASES[name]
    given = arrays_of(kinds)
    with dlc.compile(graph_of(function, kinds)).load(threads=1) as loaded:
        expected = called(loaded.running, given)
        found = loaded(**given)
        for array in given.values():
            array[...] = 0
        results = found.values() if isinstance(found, dict) else [found]
        assert [np.asarray(r).tobytes() for r in results] == expected
        assert called(loaded.running, arrays_of(kinds)) == expected


def test_the_arena_does_not_hold_what_a_call_read_elsewhere() -> None:
    """A second run, and reading the input back, are refused until it is written."""
    function, kinds, _ = CASES["reduced"]
    given = arrays_of(kinds)
    with dlc.compile(graph_of(function, kinds)).load(threads=1) as loaded:
        expected = loaded(**given)
        with pytest.raises(PortError, match="main can't run again: x is not in the arena any more"):
            loaded.run("main")
        with pytest.raises(PortError, match="x is not in the arena any more"):
            loaded.read("x", "main")
        loaded.write("x", given["x"])
        loaded.run("main")
        np.testing.assert_array_equal(loaded.read("out0", "main"), expected)
        np.testing.assert_array_equal(loaded.read("x", "main"), given["x"])


def programs() -> Iterator[tuple[Graph, list[Any]]]:
    """Each of the cases, and programs at random with loops and branches."""
    for function, kinds, _ in CASES.values():
        yield graph_of(function, kinds), list(arrays_of(kinds).values())
    for seed in range(4):
        graph = random_graph(seed, 12)
        yield graph, random_arrays(graph, seed)
    for seed in range(4):
        graph = LoopMaker(seed).graph()
        yield graph, arrays_for(graph, seed)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_kernels_write_to_no_array_and_read_none_beyond_its_end(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of any size in memory that the system protects: a stray access ends the process."""
    monkeypatch.setattr(in_place, "LEAST_BYTES", 1)
    read = 0
    for graph, arrays in programs():
        labels = [n.attrs["label"] for n in graph.inputs]
        roles = {n.attrs["label"]: n.attrs["role"] for n in graph.inputs}
        values = dict(zip(labels, arrays, strict=True))
        free = {k: np.asarray(v) for k, v in values.items() if roles[k] not in ("param", "state")}
        with dlc.compile(graph).load(threads=2) as loaded:
            for label in values.keys() - free.keys():
                loaded.write(label, values[label])
            expected = written(loaded.running, free)
            for label in values.keys() - free.keys():
                loaded.write(label, values[label])
            contexts = {k: fenced(v) for k, v in free.items()}
            places = {k: c.__enter__() for k, c in contexts.items()}
            assert called(loaded.running, places) == expected, graph.name
            for context in contexts.values():
                context.__exit__(None, None, None)
            entry = loaded.running.entry("main")
            ports = in_place.large(loaded.running.program, entry)
            read += len(last_readers(loaded.running.program, entry, ports))
    assert read > 20  # so many inputs were read where they lay
