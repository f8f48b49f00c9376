"""The null device and check_program: every way in which a Program can fail to hold together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dlc.ir.types import f32, f64, i32
from dlc.program import Buffer, Constant, Parameter, Port, Program, Segment, Slot
from dlc.runtime import load
from dlc.runtime.cpu.check import ProgramError, check_program
from dlc.runtime.reference.null import NullProgram
from dlc.runtime.steps import Phase, PhaseError
from tests.runtime.programs import AXPY, N, train_program


def test_a_good_program_passes_and_nothing_runs() -> None:
    with load(train_program(), "null") as loaded:
        assert isinstance(loaded, NullProgram)
        loaded.write("y", np.full(N, 2, np.float32))
        out = loaded.call("train", x=np.ones((4, N // 4), np.float32))
        assert (loaded.read("y") == 2).all()
        assert out["loss"] == 0
        launches = len(loaded.program.entries["train"].launches)
        assert loaded.launched == launches
        feeds = {"x": np.zeros((9, N // 4), np.float32)}
        index = np.zeros((5, 4), np.int64)
        report = loaded.run_steps([Phase("train", feeds=feeds, index=index)], 5)
        assert loaded.launched == 6 * launches
        assert report.log["train", "loss"].shape == (5,)
        with pytest.raises(PhaseError):
            loaded.run_steps([Phase("train", feeds=feeds, index=index + 9)], 5)


def with_segment(change: Callable[[Segment], Segment]) -> Program:
    program = train_program()
    entry = program.entries["train"]
    launch = entry.launches[0]
    changed = replace(launch, stages=((change(launch.stages[0][0]),),))
    entries = {**program.entries, "train": replace(entry, launches=(changed, *entry.launches[1:]))}
    return replace(program, entries=entries)


def with_args(*args: Any) -> Program:
    return with_segment(lambda s: replace(s, args=args))


def with_stage(*segments: Segment, **changes: Any) -> Program:
    program = replace(train_program(), **changes)
    entry = program.entries["train"]
    launch = replace(entry.launches[0], stages=(segments,))
    return replace(program, entries={"train": replace(entry, launches=(launch,))})


def kernel(**changes: Any) -> Program:
    program = train_program()
    return replace(program, kernels=(replace(AXPY, **changes), *program.kernels[1:]))


BAD: dict[str, tuple[Callable[[], Program], str]] = {
    "no such kernel": (lambda: with_segment(lambda s: replace(s, kernel=9)),
                       r"train, launch 0 \(mix\): no kernel 9; there are 4"),
    "negative kernel": (lambda: with_segment(lambda s: replace(s, kernel=-1)), "no kernel -1"),
    "too many chunks": (lambda: with_segment(lambda s: replace(s, chunks=2**31)),
                        "2147483648 chunks"),
    "negative chunks": (lambda: with_segment(lambda s: replace(s, chunks=-1)), "-1 chunks"),
    "too few arguments": (lambda: with_args(Slot(0), Slot(640), N),
                          "kernel axpy takes 4 arguments, got 3"),
    "a number for a pointer": (lambda: with_args(Slot(0), 640, N, 0.5),
                               "argument x of kernel axpy is a pointer, got 640"),
    "a pointer for a number": (lambda: with_args(Slot(0), Slot(640), Slot(0), 0.5),
                               "argument n of kernel axpy is an i64, got Slot"),
    "a float for an integer": (lambda: with_args(Slot(0), Slot(640), 1.0, 0.5), "is an i64"),
    "an integer too large": (lambda: with_args(Slot(0), Slot(640), 2**63, 0.5), "is not an i64"),
    "outside the arena": (lambda: with_args(Slot(0), Slot(1 << 20), N, 0.5),
                          "argument x of kernel axpy takes bytes 1048576"),
    "below the arena": (lambda: with_args(Slot(-64), Slot(640), N, 0.5), "takes bytes -64"),
    "not aligned": (lambda: with_args(Slot(2), Slot(640), N, 0.5), "offset 2 is not aligned"),
    "written and aliased": (lambda: with_args(Slot(640), Slot(640), N, 0.5),
                            "segment 0 writes y .* while segment 0 uses x"),
    "two writers": (lambda: with_stage(Segment(0, (Slot(0), Slot(640), N, 0.5), 1),
                                       Segment(0, (Slot(0), Slot(640), N, 0.5), 1)),
                    "writes y .* while segment"),
    "writer and reader": (lambda: with_stage(Segment(0, (Slot(0), Slot(640), N, 0.5), 1),
                                             Segment(2, (Slot(1280), Slot(0), N), 1)),
                          r"segment 0 writes y \(bytes 0 to 640\) while segment 1 uses x"),
    "overlapping buffers": (lambda: with_stage(
        Segment(2, (Slot(1280), Slot(0), N), 1), Segment(2, (Slot(1408), Slot(640), N), 1),
        buffers=(Buffer("h", f32[N], 1280, 640, "activation", "train", 0, 0),)),
        "writes out .*while"),
    "port outside": (lambda: replace(train_program(), persistent=(Port("y", f32[10**6], 0),)),
                     "persistent y takes bytes 0 to 4000000 of an arena"),
    "port not aligned": (lambda: replace(train_program(), persistent=(Port("y", f64[2], 4),)),
                         "persistent y at 4 is not aligned to its 8 bytes"),
    "step is not a scalar": (lambda: replace(train_program(),
                                          persistent=(Port("s", i32[2], 0, "step"),)),
                          "role step is not an integer scalar"),
    "fault is not an i32": (lambda: replace(train_program(),
                                        persistent=(Port("s", f32[()], 0, "fault"),)),
                        "role fault is not an i32 scalar"),
    "constant outside": (lambda: replace(train_program(), constants=(Constant(1 << 20, b"x"),)),
                         "a constant takes bytes"),
    "negative arena": (lambda: replace(train_program(), arena_bytes=-1), "arena of -1 bytes"),
    "parameters not distinct": (lambda: kernel(params=(AXPY.params[0],) * 2 + AXPY.params[2:]),
                                "are not distinct"),
    "scalars first": (lambda: kernel(params=AXPY.params[::-1]), "pointers come before scalars"),
    "scalar of f32": (lambda: kernel(params=(*AXPY.params[:3], Parameter("a", "f32", "scalar"))),
                      "kernel axpy: scalar a of f32"),
    "unknown tile": (lambda: kernel(tiles=("gemm",)), "calls tile gemm, which is not there"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_hold_together_is_named(case: str) -> None:
    make, told = BAD[case]
    for device in ("null", "cpu", "interpret"):
        with pytest.raises(ProgramError, match=told):
            load(make(), device)


@pytest.mark.parametrize(("text", "told"), [
    ("def axpy(y, x, n, a, chunk)\n    pass", "kernel axpy, line 1"),
    ("def other(y, x, n, a, chunk):\n    pass", "its text defines no such function"),
    ("def axpy(x, y, n, a, chunk):\n    pass", r"its text takes \(x, y, n, a, chunk\), its"),
    ("def axpy(y, x, n, a, chunk):\n    y[0] = tanh_f32(x[0])", "uses tanh_f32, which is not def"),
    ("def axpy(y, x, n, a, chunk):\n    print(n)", "uses print, which is a Python built-in"),
])
def test_texts_that_do_not_fit(text: str, told: str) -> None:
    with pytest.raises(ProgramError, match=told):
        load(kernel(text=text), "null")


def test_a_broken_prelude_is_named() -> None:
    with pytest.raises(ProgramError, match="the prelude, line 1"):
        load(replace(train_program(), prelude="def ("), "null")


def test_prelude_functions_are_known() -> None:
    program = kernel(text="def axpy(y, x, n, a, chunk):\n    y[0] = half(x[0]) * ONE\n")
    prelude = "ONE = f32(1.0)\ndef half(x):\n    return x * f32(0.5)\n"
    load(replace(program, prelude=prelude), "null").close()


def test_segments_that_share_only_what_they_read_pass() -> None:
    check_program(with_stage(Segment(0, (Slot(0), Slot(640), N, 0.5), 1),
                             Segment(2, (Slot(1280), Slot(640), N), 1)))


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        load(train_program(), "tpu")
