"""Small Programs written by hand for the runtime's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.ir.types import BY_NUMPY, Type, f32, i32, i64
from dlc.program import (
    Buffer,
    Entry,
    Kernel,
    Launch,
    Parameter,
    Port,
    Program,
    Segment,
    Slot,
    TileText,
)
from dlc.runtime import load

Array = np.ndarray[Any, Any]


def pointer(name: str, dtype: str = "f32", written: bool = False) -> Parameter:
    """A pointer parameter."""
    return Parameter(name, dtype, "pointer", written)


def scalar(name: str, dtype: str = "i64") -> Parameter:
    """A number parameter."""
    return Parameter(name, dtype, "scalar")


def place(sizes: Sequence[int]) -> tuple[list[int], int]:
    """(offset of each buffer, total bytes), every buffer on a 64-byte line."""
    offsets, end = [], 0
    for size in sizes:
        offsets.append(end)
        end += -(-size // 64) * 64
    return offsets, end


def kernel_program(kernel: Kernel, arrays: Mapping[str, Array], scalars: Sequence[Any] = (),
                   chunks: int = 1, prelude: str = "",
                   tiles: Mapping[str, TileText] | None = None, isa: str = "") -> Program:
    """A Program with the single entry "run": one launch of `kernel` on `arrays` by name.

    Arrays of u16 stand as f16 ports: the bits are what counts.
    """
    offsets, total = place([a.nbytes for a in arrays.values()])
    ports = []
    for (name, array), offset in zip(arrays.items(), offsets, strict=True):
        ports.append(Port(name, Type(BY_NUMPY[array.dtype], array.shape), offset))
    segment = Segment(0, (*map(Slot, offsets), *scalars), chunks)
    entry = Entry("run", (Launch("launch", ((segment,),), ("models/small.py:3",)),), (), ())
    return Program("small", "cpu", {"run": entry}, (kernel,), total, tuple(ports),
                   prelude=prelude, tiles=dict(tiles or {}), isa=isa)


def run_kernel(kernel: Kernel, arrays: Mapping[str, Array], scalars: Sequence[Any] = (),
               chunks: int = 1, device: str = "cpu", **options: Any) -> dict[str, Array]:
    """The arrays after one launch of `kernel` on `device`."""
    program = kernel_program(kernel, arrays, scalars, chunks, **options)
    with load(program, device, threads=1) as loaded:
        for name, array in arrays.items():
            loaded.write(name, array)
        loaded.run("run")
        return {name: loaded.read(name).view(a.dtype) for name, a in arrays.items()}


AXPY = Kernel("axpy", (pointer("y", written=True), pointer("x"), scalar("n"), scalar("a", "f64")),
              '''def axpy(y, x, n, a, chunk):
    """y += a x        models/small.py:5"""
    for i in range(chunk * 16, min((chunk + 1) * 16, n)):
        y[i] = y[i] + f32(a) * x[i]
''')

TOTAL = Kernel("total", (pointer("out", written=True), pointer("x"), scalar("n")),
               '''def total(out, x, n, chunk):
    """sum(x)"""
    acc = f32(0.0)
    for i in range(n):
        acc = radd(acc, x[i])
    out[0] = acc
''')

SMOOTH = Kernel("smooth", (pointer("out", written=True), pointer("x"), scalar("n")),
                '''def smooth(out, x, n, chunk):
    """every element with its neighbours at a distance: chunks read what others wrote before"""
    for i in range(chunk * 16, min((chunk + 1) * 16, n)):
        out[i] = (x[i] + x[imod(i * 7 + 13, n)] + x[n - 1 - i]) * f32(0.3333)
''')

FAULT = Kernel("trip", (pointer("fault", "i32", True), pointer("step", "i32"), scalar("at")),
               '''def trip(fault, step, at, chunk):
    """1000 + the step from step `at` on"""
    fault[0] = select(i64(step[0]) >= at, i32(1000 + i64(step[0])), i32(0))
''')

N = 160


def train_program(fault_at: int = 10**9, launches: int = 6) -> Program:
    """Entries "train" (mixes a batch of [4, 40] into y, logs the sum, may fault) and "scale"."""
    offsets, total = place([4 * N, 4 * N, 4 * N, 4, 4, 4, 4])
    y, x, z, loss, step, fault, rate = offsets
    mix = [Launch("mix", ((Segment(0, (Slot(y), Slot(x), N, 0.25), 10),),), ("models/small.py:7",))]
    there = Segment(2, (Slot(z), Slot(y), N), 10)
    back = Segment(2, (Slot(y), Slot(z), N), 10)
    mix += [Launch("there and back", ((there,), (back,)))] * launches
    end = Launch("end", ((Segment(1, (Slot(loss), Slot(y), N), 1),
                          Segment(3, (Slot(fault), Slot(step), fault_at), 1)),))
    inputs = (Port("x", f32[4, N // 4], x), Port("step", i32[()], step, "step"))
    outputs = (Port("loss", f32[()], loss), Port("fault", i32[()], fault, "fault"))
    scale = Launch("scale", ((Segment(0, (Slot(y), Slot(z), N, -0.5), 10),),))
    copy = Launch("copy", ((Segment(2, (Slot(z), Slot(y), N), 10),),))
    return Program(
        "small", "cpu",
        {"train": Entry("train", (*mix, end), inputs, outputs),
         "scale": Entry("scale", (copy, scale), (Port("rate", f32[()], rate),),
                        (Port("other", f32[2, 3], z),))},
        (AXPY, TOTAL, SMOOTH, FAULT), total,
        persistent=(Port("y", f32[N], y),),
        buffers=(Buffer("z", f32[N], z, 4 * N, "workspace", "", 0, 99),))


COUNT = Kernel("count", (pointer("cells", "i64", True),), '''def count(cells, chunk):
    """how often each chunk ran"""
    cells[chunk * 8] = cells[chunk * 8] + 1
''')


def count_program(stages: Sequence[Sequence[int]]) -> Program:
    """One entry "run" whose segments count their chunks, in cells a cache line apart."""
    counts = [chunks for stage in stages for chunks in stage]
    offsets, total = place([64 * max(c, 1) for c in counts])
    rest = iter(offsets)
    launches = tuple(Launch("stage", (tuple(Segment(0, (Slot(next(rest)),), chunks)
                                            for chunks in stage),)) for stage in stages)
    cells = Port("cells", i64[total // 8], 0)
    return Program("count", "cpu", {"run": Entry("run", launches, (), ())}, (COUNT,), total,
                   (cells,))
