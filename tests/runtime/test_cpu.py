"""The CPU device: values in and out, many steps in one call, the ways a run ends, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc.ir.types import Dim, Type, bf16, bool_, f16, f32, f64, i32, i64, u8, u32
from dlc.program import Constant, Entry, Launch, Port, Program, Segment, Slot
from dlc.runtime import load
from dlc.runtime.cpu import table_builder
from dlc.runtime.cpu.arena import PortError
from dlc.runtime.cpu.program import CpuProgram
from dlc.runtime.steps import Phase, PhaseError, StepReport
from tests.runtime.programs import AXPY, N, place, train_program

ROOT = Path(__file__).resolve().parents[2]
DATA = np.random.default_rng(5).standard_normal((50, N // 4)).astype(np.float32)
START = np.linspace(-1, 1, N, dtype=np.float32)


def train_phase(runs: int, seed: int = 0, **changes: Any) -> Phase:
    index = np.random.default_rng(seed).integers(0, len(DATA), (runs, 4))
    return Phase("train", feeds={"x": DATA}, index=index, **changes)


def run_training(device: str = "cpu", threads: int | None = 2, steps: int = 25, first_step: int = 3,
                 **changes: Any) -> tuple[StepReport, bytes]:
    """The report of a run of two phases, and the bytes of y afterwards."""
    with load(train_program(**changes), device, threads) as loaded:
        loaded.write("y", START)
        phases = [train_phase(steps), Phase("scale", every=4, offset=1, fixed={"rate": 0.5})]
        report = loaded.run_steps(phases, steps, first_step=first_step)
        return report, loaded.read("y").tobytes()


def test_threads_change_no_bit() -> None:
    expected = run_training(threads=1)[1]
    for threads in (2, 3, 4):
        assert run_training(threads=threads)[1] == expected
    assert run_training(threads=2)[1] == expected


def test_a_short_call_is_run_by_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is started for it, its bits are the same, and a longer one has all threads."""
    x = np.linspace(-2, 2, 4096, dtype=np.float32).reshape(64, 64)
    compiled = dlc.compile(dlc.trace(lambda x: dlc.tanh(x @ x) @ x, f32[64, 64]))
    found = {}
    for short in (0, 1 << 24):
        monkeypatch.setattr(table_builder, "SHORT", short)
        with compiled.load(threads=2) as loaded:
            found[short] = loaded(x).tobytes()
            assert (loaded.running._threads._shared is None) == bool(short)
            loaded.running.run_steps([Phase("main", fixed={"x": x})], 2)
            assert loaded.running._threads._shared is not None
    assert found[0] == found[1 << 24]


def test_one_call_is_many_runs() -> None:
    """run_steps equals writing the batch and running the entries one by one."""
    report, after = run_training(steps=25, first_step=3)
    index = train_phase(25).index
    assert index is not None
    with CpuProgram(train_program(), 2) as loaded:
        loaded.write("y", START)
        losses = []
        for k in range(25):
            out = loaded.call("train", x=DATA[index[k]], step=3 + k)
            losses.append(out["loss"])
            if (3 + k) % 4 == 1:
                loaded.call("scale", rate=0.5)
        assert loaded.read("y").tobytes() == after
    assert np.array_equal(report.log["train", "loss"], np.stack(losses))
    assert report.log["scale", "other"].shape == (6, 2, 3)


def test_the_interpreter_agrees() -> None:
    report, after = run_training(steps=6)
    plain, plain_after = run_training("interpret", steps=6)
    assert report.log.keys() == plain.log.keys()
    y, plain_y = np.frombuffer(after, np.float32), np.frombuffer(plain_after, np.float32)
    np.testing.assert_array_equal(y, plain_y)
    for key, values in report.log.items():  # the sum runs in another order
        np.testing.assert_allclose(values, plain.log[key], rtol=1e-5)


def test_a_fault_ends_the_run_after_its_step() -> None:
    for device in ("cpu", "interpret"):
        report, _ = run_training(device, fault_at=9, steps=25)
        assert (report.reason, report.steps, report.fault) == ("fault", 7, 1009)
        assert report.log["train", "fault"].tolist() == [0] * 6 + [1009]
        assert report.log["scale", "other"].shape == (2, 2, 3)


def test_zero_steps() -> None:
    for device in ("cpu", "interpret", "null"):
        report, after = run_training(device, steps=0)
        assert (report.steps, report.reason, after) == (0, "done", START.tobytes())
        assert report.log["train", "loss"].shape == (0,)


def test_allocated_bytes_is_peak_bytes() -> None:
    for size in (0, 64, 2112, 5 << 20):
        program = Program("p", "cpu", {}, (), size)
        with load(program, "cpu") as loaded:
            assert loaded.allocated_bytes == program.peak_bytes == size


# ---- values --------------------------------------------------------------------------------

KINDS = [f64[2, 3], f32[2, 3], f16[2, 3], bf16[5], i64[3], i32[()], u32[4], u8[7], bool_[2, 2],
         Type(f32, (2, 3, 4), (0, 2, 1)), Type(f64, (2, 3, 4), (2, 0, 1)), f32[0, 3]]


@pytest.fixture
def values() -> CpuProgram:
    offsets, total = place([kind.bytes for kind in KINDS])
    ports = tuple(Port(f"v{i}", kind, offset) for i, (kind, offset)
                  in enumerate(zip(KINDS, offsets, strict=True)))
    return CpuProgram(Program("values", "cpu", {}, (), total, ports), 1)


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_values_come_back(values: CpuProgram, number: int, rng: np.random.Generator) -> None:
    kind = KINDS[number]
    array = (rng.standard_normal(kind.shape) * 3 + 4).astype(kind.dtype.numpy)
    values.write(f"v{number}", array)
    got = values.read(f"v{number}")
    assert (got.dtype, got.shape) == (array.dtype, array.shape)
    assert np.array_equal(got, array)
    got[...] = 0
    assert np.array_equal(values.read(f"v{number}"), array)  # a copy came out


def test_layout_is_how_it_lies_in_memory(values: CpuProgram) -> None:
    array = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    values.write("v10", array)
    offset = values.program.persistent[10].offset
    stored = values._bytes(offset, array.nbytes).view(np.float64)
    assert np.array_equal(stored, array.transpose(2, 0, 1).ravel())


@pytest.mark.parametrize(("name", "value", "told"), [
    ("v1", np.zeros((2, 3)), r"v1 takes f32\[2, 3\], got dtype float64; convert it with .astype"),
    ("v1", np.zeros((3, 2), np.float32), r"v1 takes f32\[2, 3\], got shape \[3, 2\]"),
    ("v1", 1.0, r"v1 takes f32\[2, 3\], got the number 1.0"),
    ("v5", 1.5, r"v5 takes i32\[\], got the float 1.5"),
    ("v5", 2**31, "out of range"),
    ("v5", "text", "got dtype"),
    ("v5", None, "got dtype object"),
    ("v1", [[1], [1, 2]], "v1 takes"),
    ("v3", np.zeros(5, np.float16), "got dtype float16"),
    ("v99", 1, "values has no value 'v99'; did you mean v9"),
    ("nothing", 1, "has no value 'nothing'; there are v0, v1"),
])
def test_what_does_not_fit_is_refused(values: CpuProgram, name: str, value: Any, told: str) -> None:
    with pytest.raises(PortError, match=told):
        values.write(name, value)


def test_python_numbers_are_weak() -> None:
    with CpuProgram(train_program(), 1) as loaded:
        loaded.write("rate", 1, "scale")
        assert loaded.read("rate") == np.float32(1)
        loaded.write("rate", 0.25)
        assert loaded.read("rate", "scale") == np.float32(0.25)


def test_constants_lie_in_the_arena() -> None:
    data = np.arange(5, dtype=np.int32)
    program = Program("p", "cpu", {}, (), 128, (Port("c", i32[5], 64),),
                      constants=(Constant(64, data.tobytes()),))
    with load(program) as loaded:
        assert np.array_equal(loaded.read("c"), data)


def test_names_that_differ_between_entries_need_an_entry() -> None:
    program = train_program()
    twin = replace(program.entries["train"], name="eval", inputs=(
        Port("x", f32[4, N // 4], 1280),))
    with CpuProgram(replace(program, entries={**program.entries, "eval": twin}), 1) as loaded:
        with pytest.raises(PortError, match="'x' is not the same value in every entry; say which"):
            loaded.write("x", DATA[:4])
        loaded.write("x", DATA[:4], "eval")
        assert np.array_equal(loaded.read("x", "eval"), DATA[:4])


@pytest.mark.parametrize(("inputs", "told"), [
    ({}, "train also takes x"), ({"x": DATA[:4], "z": 1}, "train has no input 'z'"),
    ({"x": DATA[:3]}, r"x takes f32\[4, 40\], got shape"),
])
def test_calls_that_do_not_fit(inputs: dict[str, Any], told: str) -> None:
    with CpuProgram(train_program(), 1) as loaded, pytest.raises(PortError, match=told):
        loaded.call("train", **inputs)


def test_shapes_are_told_with_dimension_names() -> None:
    kind = Type(f32, (Dim(4, "batch"), 2))
    program = Program("p", "cpu", {}, (), 64, (Port("x", kind, 0),))
    with load(program) as loaded, pytest.raises(PortError, match=r"x takes f32\[batch=4, 2\]"):
        loaded.write("x", np.zeros((3, 2), np.float32))


def bad_phase(**changes: Any) -> Callable[[], Phase]:
    return lambda: replace(train_phase(5), **changes)


@pytest.mark.parametrize(("make", "told"), [
    (bad_phase(entry="nope"), "small has no entry 'nope'; there are train, scale"),
    (bad_phase(feeds={}), "train: neither fed nor fixed: x"),
    (bad_phase(feeds={"q": DATA}), "train has no input 'q'; there are x, step"),
    (bad_phase(fixed={"x": DATA[:4]}), "x is both fed and fixed"),
    (bad_phase(index=None), r"feeds need an index, int64 \[5, batch\]"),
    (bad_phase(index=np.zeros((5, 4), np.int32)), r"got int32\[5, 4\]"),
    (bad_phase(index=np.zeros((6, 4), np.int64)), "the index has 6 rows for 5 runs"),
    (bad_phase(index=np.zeros((5, 3), np.int64)), r"x takes f32\[4, 40\]; got rows of \[40\], 3 a"),
    (bad_phase(index=np.full((5, 4), 50)), "index 50 lies outside the 50 rows of x"),
    (bad_phase(index=np.full((5, 4), -1)), "index -1 lies outside"),
    (bad_phase(feeds={"x": DATA.astype(np.float64)}), "fed from an array of float32, got float64"),
    (bad_phase(feeds={"x": DATA[:, :39]}), r"got rows of \[39\]"),
    (bad_phase(feeds={"x": DATA.tolist()}), "got list"),
    (bad_phase(every=0), "every is at least 1"),
    (bad_phase(every=2, offset=2), "offset from 0 to every - 1"),
])
def test_phases_that_do_not_fit(make: Callable[[], Phase], told: str) -> None:
    for device in ("cpu", "interpret", "null"):
        with load(train_program(), device) as loaded:
            with pytest.raises((PhaseError, PortError), match=told):
                loaded.run_steps([make()], 5)
            with pytest.raises(PhaseError, match="at least one phase"):
                loaded.run_steps([], 5)


def test_steps_must_fit_their_input() -> None:
    with load(train_program(), "cpu", 1) as loaded:
        loaded.run_steps([train_phase(2)], 2, first_step=2**31 - 2)
        with pytest.raises(PhaseError, match=r"step 2147483648 does not fit step, i32\[\(\)\]"):
            loaded.run_steps([train_phase(2)], 2, first_step=2**31 - 1)


@pytest.mark.parametrize("interval", [0, -1.0, float("nan"), 1e9])
def test_impossible_intervals(interval: float) -> None:
    with CpuProgram(train_program(), 1) as loaded, pytest.raises(PhaseError, match="interval="):
        loaded.run_steps([train_phase(2)], 2, interval=interval)


def test_an_arena_that_the_system_does_not_give() -> None:
    with pytest.raises(MemoryError, match="huge takes 4,294,967,296"):
        load(Program("huge", "cpu", {}, (), 1 << 62))


def test_feeds_of_any_strides_and_large_rows() -> None:
    """A data set that is a view, rows that take several chunks to copy."""
    rows = 32
    total = place([rows * 5000 * 4])[1]
    program = Program("p", "cpu", {"e": Entry("e", (), (Port("x", f32[rows, 5000], 0),), ())}, (),
                      total)
    data = np.random.default_rng(1).standard_normal((5000, 100)).astype(np.float32).T
    index = np.random.default_rng(2).integers(0, 100, (3, rows))
    with CpuProgram(program, 2) as loaded:
        loaded.run_steps([Phase("e", feeds={"x": data}, index=index)], 3)
        assert np.array_equal(loaded.read("x"), data[index[2]])


def test_f64_scalars_and_infinities_reach_the_kernel() -> None:
    total = place([64, 64])[1]
    segment = Segment(0, (Slot(0), Slot(64), 3, float("inf")), 1)
    program = Program("p", "cpu", {"e": Entry("e", (Launch("l", ((segment,),)),), (), ())}, (AXPY,),
                      total, (Port("y", f32[16], 0), Port("x", f32[16], 64)))
    with CpuProgram(program, 1) as loaded:
        loaded.write("x", np.array([1, -1, 0] + [5] * 13, np.float32))
        loaded.run("e")
        got = loaded.read("y")
    assert np.array_equal(got[:4], [np.inf, -np.inf, np.nan, 0], equal_nan=True)
    assert ml_dtypes.bfloat16(1.0) == 1
    assert i64.bytes == 8


@pytest.mark.parametrize("device", ["cpu", "interpret", "shuffle"])
def test_a_second_run_is_right_or_refused(device: str) -> None:
    """x's memory is reused once it was read; a program that leaves it alone may run again."""
    def reuses(x: Any) -> Any:
        return dlc.sort(dlc.exp(dlc.sort(x, axis=1)), axis=0)

    def leaves(x: Any) -> Any:
        return x * 2.0

    x = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
    for function in (reuses, leaves):
        with dlc.compile(dlc.trace(function, f32[64, 64])).load(device=device) as loaded:
            entry = next(iter(loaded.program.entries))
            loaded.write("x", x)
            loaded.run(entry)
            first = loaded.read("out")
            try:
                loaded.run(entry)
            except PortError as problem:
                assert function is reuses
                assert "x is not in the arena any more" in str(problem)
                loaded.write("x", x)
                loaded.run(entry)
            else:
                assert function is leaves
            np.testing.assert_array_equal(loaded.read("out"), first)
