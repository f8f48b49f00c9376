"""`dlc build`: what it refuses before anything is compiled, and the tables that it writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

import dlc
from dlc import DlcError, Task, f32, nn, optim
from dlc.cli import main
from dlc.library import build_library
from dlc.runtime.build import wrapper_plain
from dlc.runtime.build.features import FEATURES, needed
from dlc.runtime.build.model import quoted
from dlc.runtime.build.tables import ARENA, relative_table
from dlc.runtime.compile import runner
from dlc.runtime.compile.isa import machine_isa
from dlc.runtime.cpu.table import address_of
from dlc.runtime.cpu.table_builder import TableBuilder
from dlc.runtime.train import checkpoint
from dlc.runtime.train.tensorfile import DTYPE_NAMES

net = nn.dense(2)
SETTINGS = {"data": "", "optimizer": optim.sgd(0.1), "batch": 4, "epochs": 1}


@dlc.task(**SETTINGS)
def lengthy(x: f32["batch", "time<=8", 3], y: f32["batch", "time<=8", 2]) -> dlc.Loss:
    return dlc.loss(dlc.square(net(x) - y).mean())


@dlc.task(**SETTINGS, micro_batches=2)
def parted(x: f32["batch", 3], y: f32["batch", 2]) -> dlc.Loss:
    return dlc.loss(dlc.square(net(x) - y).mean())


@dlc.task(**SETTINGS)
def whole(x: f32["batch", 3], y: f32["batch", 2]) -> dlc.Loss:
    return dlc.loss(dlc.square(net(x) - y).mean())


@dlc.task(**SETTINGS)
def größe(x: f32["batch", 3], y: f32["batch", 2]) -> dlc.Loss:
    return dlc.loss(dlc.square(net(x) - y).mean())


@pytest.mark.parametrize(("task", "options", "told"), [
    (lengthy, {}, "time varies from row to row"), (parted, {}, "a step has 2 micro-batches"),
    (größe, {}, "names in C cannot begin so"),
    (parted, {"train": False, "isas": ["sse9"]}, "--isa sse9: there is no such"),
    (whole, {"train": False, "data": True}, "--data: data are for training"),
], ids=["lengths", "parts", "name", "set", "data"])
def test_what_is_refused(task: Task, options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(DlcError, match=told):
        build_library(task, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cc", ["no_such_cc -O2", "'no_such_cc"])
def test_a_compiler_that_is_not_there_is_refused(cc: str, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one in its place would not be what was asked for."""
    monkeypatch.setenv("CC", cc)
    with pytest.raises(DlcError, match=f"CC={cc}: there is no such program"):
        build_library(whole, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_file_of_the_user_is_written_over(tmp_path: Path) -> None:
    """A task in parted.py, built beside it, would lose its file to the wrapper."""
    (tmp_path / "parted.py").write_text("mine")
    with pytest.raises(DlcError, match="holds files that are no library of dlc"):
        build_library(parted, tmp_path, train=False)
    assert (tmp_path / "parted.py").read_text() == "mine"


def test_a_memory_limit_is_kept_or_refused(tmp_path: Path) -> None:
    with pytest.raises(DlcError, match="the smallest limit that can be met"):
        build_library(whole, tmp_path / "out", memory_limit=100)


def test_a_limit_that_nothing_meets_is_told_at_the_task(tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "xor", "-o", str(tmp_path), "--memory-limit", "100"]) == 2
    assert capsys.readouterr().err.startswith("dlc: models/xor.py:")


@pytest.mark.parametrize(("arguments", "told"), [
    (["xor"], "required: -o"), (["xor", "-o", "x", "--isa", "neon"], "--isa neon"),
    (["no_such", "-o", "x"], "no bundled model"), (["xor", "-o", "x", "--batch", "0"], "--batch"),
])
def test_usage(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_every_feature_of_this_machine_has_its_place() -> None:
    """Of what kernels may use here, all can be asked of another machine; the base of x86-64 is."""
    if machine_isa() != "neon":
        names = {feature.name for feature in needed(machine_isa())}
        assert {"sse4.2", "popcnt"} <= names
        assert {k for k, on in llvm.get_host_cpu_features().items() if on and (
            k.startswith(("avx", "bmi", "sse", "fma")))} <= names
    places = {(f.leaf, f.subleaf, f.word, f.bit) for f in FEATURES.values()}
    assert len(places) == len(FEATURES) - 1  # crc32 came with SSE 4.2


@pytest.mark.parametrize("text", ["", 'a "b" \\ ??= \n ü', "x" * 79 + "\n" * 5, "7\x01" * 50])
def test_a_literal_is_its_text(text: str) -> None:
    """As C reads it: pieces side by side, octal escapes of three digits."""
    pieces = [line.strip() for line in quoted(text).splitlines()]
    assert all(p[0] == p[-1] == '"' and len(p) < 90 for p in pieces)
    assert "".join(eval(f"b{p}").decode("latin-1") for p in pieces).encode("latin-1") == (
        text.encode())


def test_c_and_python_agree_on_versions() -> None:
    """Of the interface, of checkpoints, and on the numbers of dtypes."""
    folder = Path(wrapper_plain.__file__).parent / "library"
    header, record = ((folder / name).read_text() for name in ("dlcnet.h", "record.c"))
    assert f"#define DLCNET_ABI {wrapper_plain.ABI} " in header
    assert f"FORMAT = {checkpoint.FORMAT} " in record
    dtypes = re.findall(r"DLCNET_([A-Z]+\d*)\b(?=[,\n ])", header[header.index("DLCNET_F64"):])
    assert [d.lower() for d in dtypes[:13]] == list(wrapper_plain.DTYPES)
    assert list(wrapper_plain.DTYPES) == list(DTYPE_NAMES.values())


def turned(x: f32[3, 5]) -> dlc.Node:
    """A loop whose arguments move, with a branch in it."""
    def step(carry: dlc.Node, row: dlc.Node) -> tuple[dlc.Node, dlc.Node]:
        following = dlc.cond(row.sum() > 0, lambda: carry + row, lambda: carry * 2.0)
        return following, following.sum()

    last, sums = dlc.scan(step, dlc.zeros((5,)), x)
    return last.sum() + sums.sum()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_relative_table_becomes_the_table_of_a_process(threads: int) -> None:
    """What library/table.c does with it gives what `finish` does, word by word."""
    program = dlc.compile(turned).program
    entry, arena = program.entries["main"], 1 << 40
    numbers = list(range(1, len(program.kernels) + 1))
    builder = TableBuilder(program, threads, numbers, 0, arena)
    builder.add_entry(entry)
    table = builder.table.finish()
    plain = relative_table(program, entry, numbers)
    words = np.array(plain.arguments)
    words[plain.based[ARENA]] += arena
    assert (words == table._words).all()
    kinds = [code[runner.KIND] for code in plain.code]
    assert {runner.LOOP, runner.AGAIN, runner.BRANCH, runner.JUMP} <= set(kinds)
    base = address_of(table._words)
    for at, (code, mine) in enumerate(zip(table._instructions.tolist(), plain.code, strict=True)):
        wanted = list(mine)
        wanted[runner.OPENED] = int(at == 0)  # where a run begins
        if mine[runner.KIND] == runner.BRANCH:
            wanted[runner.FLAG] = base + 8 * mine[runner.FLAG]
        if mine[runner.KIND] == runner.WORK and at > 0:
            wanted[runner.INLINE] = threads == 1 or mine[runner.INLINE]
        if mine[runner.KIND] == runner.AGAIN:
            assert code[runner.MOVE_COUNT] == mine[runner.MOVE_COUNT] > 0
            code[runner.MOVES] = wanted[runner.MOVES] = 0
        assert code == wanted
