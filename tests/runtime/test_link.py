"""Linking: only intact objects of ours, and never a crash on other bytes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.program import Kernel
from dlc.runtime.compile import workers
from dlc.runtime.compile.link import Linked, LinkError, check_object, symbols
from dlc.runtime.compile.workers import Job
from tests.runtime.programs import COUNT, pointer, scalar
from tests.runtime.test_workers import job


@pytest.fixture(scope="module")
def counted() -> Job:
    one = job(COUNT)
    workers._pool.compile([one])
    return one


def test_linked_code_runs(counted: Job) -> None:
    linked = Linked({counted.symbol: counted.data})
    cells = (ctypes.c_int64 * 16)()
    slots = (ctypes.c_int64 * 1)(ctypes.addressof(cells))
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
        linked.addresses[counted.symbol])
    function(ctypes.addressof(slots), 1)
    function(ctypes.addressof(slots), 1)
    assert list(cells) == [0] * 8 + [2] + [0] * 7


def test_the_c_library_is_found() -> None:
    text = ("import math\ndef k(x, n, chunk):\n    for i in range(n):\n"
            "        x[i] = math.exp(x[i])\n")
    one = job(Kernel("k", (pointer("x", "f64", True), scalar("n")), text))
    workers._pool.compile([one])
    assert {name for name, defined in symbols(one.data) if not defined} - {
        "_GLOBAL_OFFSET_TABLE_"} == {"exp"}
    linked = Linked({one.symbol: one.data})
    x = (ctypes.c_double * 1)(1.0)
    slots = (ctypes.c_int64 * 2)(ctypes.addressof(x), 1)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(linked.addresses[one.symbol])(
        ctypes.addressof(slots), 0)
    assert x[0] == pytest.approx(2.718281828459045, rel=1e-15)


def test_many_objects_link_in_milliseconds(counted: Job) -> None:
    text = COUNT.text
    jobs = [job(Kernel(f"count{i}", COUNT.params, text.replace("def count", f"def count{i}")))
            for i in range(12)]
    workers._pool.compile(jobs)
    objects = {j.symbol: j.data for j in jobs}
    Linked(objects)  # LLVM's own start is not what is measured
    began = time.perf_counter()
    Linked(objects)
    assert time.perf_counter() - began < 0.1


# Free memory in holes of one page, four GiB apart: no two sections fit side by side in one.
_HOLES = """
import ctypes, pathlib, sys
from dlc.runtime.compile.link import Linked

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

def taken(size, private_anonymous_noreserve=0x4022):
    return libc.mmap(None, size, 0, private_anonymous_noreserve, -1, 0)

name, data = sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes()
Linked({name: data})
start = taken(200 << 32)
for _ in range(20000):  # whatever other hole there is
    taken(4096)
for i in range(200):
    libc.munmap(start + (i << 32), 4096)
kept = [Linked({name: data}) for _ in range(20)]
for linked in kept:
    x = (ctypes.c_double * 1)(1.0)
    slots = (ctypes.c_int64 * 2)(ctypes.addressof(x), 1)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(linked.addresses[name])(
        ctypes.addressof(slots), 0)
    assert abs(x[0] - 3.7 * 2.718281828459045) < 1e-12, x[0]
"""


def test_memory_in_holes_far_apart(tmp_path: Path) -> None:
    text = ("import math\ndef k(x, n, chunk):\n    for i in range(n):\n"
            "        x[i] = 3.7 * math.exp(x[i])\n")
    one = job(Kernel("k", (pointer("x", "f64", True), scalar("n")), text))
    workers._pool.compile([one])
    path = tmp_path / "k.o"
    path.write_bytes(one.data)
    done = subprocess.run([sys.executable, "-c", _HOLES, one.symbol, str(path)], timeout=60,
                          cwd=Path(__file__).resolve().parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_wrong_names_are_refused(counted: Job) -> None:
    with pytest.raises(LinkError, match=f"object of other defines {counted.symbol}"):
        Linked({"other": counted.data})


def test_foreign_symbols_are_refused(counted: Job) -> None:
    with pytest.raises(LinkError, match="not a 64-bit little-endian ELF object"):
        check_object("x", b"MZ" + bytes(100))
    needing = counted.data.replace(counted.symbol.encode(), b"z" * len(counted.symbol))
    with pytest.raises(LinkError, match="defines zzz"):
        check_object(counted.symbol, needing)


@given(st.data())
def test_damaged_objects_are_refused_or_read(counted: Job, data: st.DataObject) -> None:
    damaged = bytearray(counted.data)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for candidate in (bytes(damaged), bytes(damaged[:cut])):
        try:
            check_object(counted.symbol, candidate)
        except LinkError:
            continue


def test_numba_is_never_imported_here() -> None:
    code = ("import sys; import dlc.runtime.cpu.program, dlc.runtime.reference.interpret\n"
            "import dlc.runtime.reference.null\n"
            "assert 'numba' not in sys.modules")
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=30).returncode == 0
