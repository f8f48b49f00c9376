"""Every CUDA kernel compiles, and gives what the evaluator does: `make cuda`, `make cuda-check`.

`make cuda` runs the programs of the day's slice, an eighth of them, and compiles the kernels that
figures.txt does not know; `make cuda-check` (CUDA_FULL=1) does all of everything.
"""

from __future__ import annotations

import os
import re
import zlib
from functools import cache
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.inspector.code import machine_code
from dlc.program import Kernel, Program
from dlc.runtime.cuda.machine_code import LinkerError, assembled, library
from dlc.runtime.cuda.ptx import ARCHITECTURES, PtxCompiler
from tests.conformance.cut import SEED
from tests.cuda import figures
from tests.cuda.cases import Case, cases, key_of, networks
from tests.cuda.fuzzed import blocks
from tests.ops.test_backend import TOLERANCE, compare

pytestmark = pytest.mark.cuda
FULL = os.environ.get("CUDA_FULL", "0") not in ("", "0")
PARTS = 8
SPILLS = 0  # bytes that a kernel may spill
OUTSIDE = re.compile(r"^\s*(call|\.extern)|\.approx|\.ftz", re.MULTILINE)


def is_of_today(name: str) -> bool:
    """Whether a case is in the slice of the day; eight days run all."""
    return FULL or zlib.crc32(name.encode()) % PARTS == SEED % PARTS


@cache
def programs() -> tuple[tuple[str, Program], ...]:
    """Every program with its name, compiled for CUDA."""
    found = [(case.name, dlc.compile(case.make()[0], "cuda").program) for case in cases()]
    return (*found, *((name, dlc.compile(task, "cuda").program) for name, task in networks()))


@cache
def kernels() -> dict[str, tuple[Program, Kernel]]:
    """The distinct kernels by hash."""
    found: dict[str, tuple[Program, Kernel]] = {}
    for _, program in programs():
        compiler = PtxCompiler(program)
        for kernel in program.kernels:
            found.setdefault(key_of(compiler, kernel), (program, kernel))
    return found


def test_programs_of_today_agree_with_the_evaluator() -> None:
    wrong = {}
    today = [case for case in cases() if is_of_today(case.name)]
    for case in today:
        try:
            agrees(case)
        except Exception as error:  # all of them are told
            wrong[case.name] = str(error)[:300]
    assert len(today) > 50 and not wrong


def agrees(case: Case) -> None:
    """Emulate a program, and compare with what it means."""
    graph, arrays = case.make()
    with dlc.compile(graph, target="cuda").load("emulate", 1) as program:
        found = program(*arrays)
    expected: Any = dlc.evaluate(graph, *arrays)
    for name, node in zip(graph.output_names, graph.outputs, strict=True):
        alone = len(graph.outputs) == 1
        got, want = (np.asarray(a if alone else a[name]) for a in (found, expected))
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        compare(got, want, TOLERANCE.get(node.dtype.name), name)


STEPPED = ("mlp", "lenet", "gru", "vae")


@pytest.mark.parametrize("name", STEPPED if FULL else ("xor", STEPPED[SEED % len(STEPPED)]))
def test_a_training_step_launch_by_launch(name: str) -> None:
    """Each launch beside the evaluator, then threads in random order (dlc/checks)."""
    task = dict(networks()).get(name)
    dlc.compile(task, "cuda", batch=4, verify=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ptx_and_machine_code(architecture: str) -> None:
    """The kernels that are new, and those of the day's slice: PTX that needs nothing else, and
    where NVIDIA's linker is installed no spilled register."""
    known, new, names = figures.read(), {}, {}
    compilers: dict[int, PtxCompiler] = {}
    for key, (program, kernel) in kernels().items():
        names[key] = kernel.name
        mine = architecture == "sm_90" and (key, architecture) not in known
        if not mine and not is_of_today(f"{key} {architecture}"):
            continue
        compiler = compilers.setdefault(id(program), PtxCompiler(program, architecture))
        text = compiler.ptx(kernel)
        assert not OUTSIDE.search(text), kernel.text
        if has_linker():
            new[key, architecture] = found = figures.figures_of(assembled(text, architecture))
            assert found.spilled <= SPILLS, f"{kernel.name} spills {found.spilled} bytes"
    if FULL and has_linker() and architecture == "sm_90":
        figures.write(new, names)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sass_of_a_product(architecture: str) -> None:
    """Where NVIDIA's programs are installed: sums of products by fma in registers, none of them
    spilled; jumps lead to labels."""
    def product(x: dlc.f32[64, 96], w: dlc.f32[96, 64]) -> Any:
        return x @ w

    program = dlc.compile(product, "cuda").program
    for code in machine_code(program, architecture, sass=True) if has_linker() else ():
        names = re.findall(r"^    (?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)", code.sass, re.MULTILINE)
        labels = set(re.findall(r"^([.\w$]+):$", code.sass, re.MULTILINE))
        assert "EXIT" in names and not {"STL", "LDL"} & set(names)
        assert names.count("FFMA") + 2 * names.count("FFMA2") >= 64
        assert set(re.findall(r"`\(([.\w$]+)\)", code.sass)) <= labels
        assert ".target" in code.assembly and code.told.endswith("0 B spilled")


def test_random_programs_of_today() -> None:
    """Seeds of the day, each with its own number; `python -m tests.cuda.fuzzed` runs others."""
    assert blocks(range(20 * SEED, 20 * SEED + (60 if FULL else 10))) == {}


def has_linker() -> bool:
    """Whether NVIDIA's linker is installed."""
    try:
        return library() is not None
    except LinkerError:
        return False


def test_the_kept_figures_are_of_kernels_that_are() -> None:
    """At least nine of ten: the file follows the compiler (`make cuda-check` writes it)."""
    known = {key for key, _ in figures.read()}
    assert len(known & set(kernels())) >= 0.9 * len(kernels())
