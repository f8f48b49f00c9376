"""The CUDA target: kernels with a thread for each position, emulated and compiled to PTX."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn, random
from dlc.program import Kernel, Parameter, Program
from dlc.runtime.cuda.ptx import PtxCompiler, PtxError, shape_of
from tests.ops.sampled import SAMPLES, Sample, graph_of
from tests.ops.test_backend import TOLERANCE, compare

# of each kind of lowering one: nests, folds, gathers, scatters, contractions, routines
KINDS = ("exp", "sum", "argmax", "gather", "scatter_add", "matmul", "conv", "cumsum", "sort",
         "cholesky", "transpose", "pad", "random_bits")
# and a routine whose branches decide what it gives
CHOSEN = [s for s in SAMPLES if (s.op.name in KINDS and s.number == 0)
          or (s.op.name, s.number) == ("cumargmax", 2)]


def mixed(x: f32[64, 300], w: f32[300, 30], at: i32[50]) -> Any:
    y = nn.softmax(x @ w)
    return {"y": y, "columns": x.sum(axis=0), "all": x.sum(), "rows": y[at],
            "bits": random.normal((64,))}


@pytest.fixture(scope="module")
def compiled() -> Any:
    return dlc.compile(mixed, target="cuda")


@pytest.mark.parametrize("sample", CHOSEN, ids=str)
def test_a_sample_emulated(sample: Sample) -> None:
    graph = graph_of(sample)
    with dlc.compile(graph, target="cuda").load("emulate", 1) as program:
        found = program(*sample.arrays)
    expected = dlc.evaluate(graph, *sample.arrays)
    for name, node in zip(graph.output_names, graph.outputs, strict=True):
        alone = len(graph.outputs) == 1
        got, want = (np.asarray(a if alone else a[name]) for a in (found, expected))
        compare(got, want, TOLERANCE.get(node.dtype.name), name)


def arrays() -> tuple[Any, ...]:
    made = np.random.default_rng(7)
    return (made.standard_normal((64, 300), np.float32),
            made.standard_normal((300, 30), np.float32), made.integers(0, 64, 50, np.int32))


def test_emulated_interpreted_and_shuffled_give_the_same_bits(compiled: Any) -> None:
    found = []
    for device in ("emulate", "interpret", "shuffle"):
        with compiled.load(device) as program:
            found.append(program(*arrays()))
    for name, value in found[0].items():
        if name != "all":  # LLVM adds up its 128 products of a run in vectors
            np.testing.assert_array_equal(value, found[2][name], err_msg=name)
        np.testing.assert_allclose(value, found[1][name], rtol=2e-6, atol=2e-6, err_msg=name)


def test_random_bits_are_the_cpus(compiled: Any) -> None:
    with compiled.load("emulate") as cuda, dlc.compile(mixed).load() as cpu:
        np.testing.assert_array_equal(cuda(*arrays())["bits"], cpu(*arrays())["bits"])


def test_every_position_is_a_thread(compiled: Any) -> None:
    program: Program = compiled.program
    assert program.target == "cuda"
    threads = {launch.name: [[s.chunks for s in stage] for stage in launch.stages]
               for launch in program.entries["main"].flat}
    assert 300 in [n for stages in threads.values() for stage in stages for n in stage]
    assert {kernel.block for kernel in program.kernels} == {0, 128, 256}
    assert not any(kernel.tiles for kernel in program.kernels)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_ptx(compiled: Any, architecture: str) -> None:
    """Whole: nothing is called, nothing is fused to fma that the text does not say."""
    compiler = PtxCompiler(compiled.program, architecture)
    for kernel in compiled.kernels:
        text = compiler.ptx(kernel)
        assert f".target {architecture}" in text and f".entry {kernel.name}(" in text
        assert "call" not in text and ".extern" not in text and "approx" not in text
        if "fma" not in kernel.text and not re.search(r"_f\d\d\(", kernel.text):
            assert "fma" not in text


def test_a_kernel_that_is_outside_the_dialect() -> None:
    kernel = Kernel("bad", (Parameter("x", "f32", "pointer", True),),
                    "def bad(x, chunk):\n    x[chunk] = unknown(x[chunk])\n")
    with pytest.raises(PtxError, match="unknown"):
        PtxCompiler(_empty()).ptx(kernel)
    with pytest.raises(PtxError, match="sm_10"):
        PtxCompiler(_empty(), "sm_10")


def _empty() -> Program:
    return Program("empty", "cuda", {}, (), 64)


@pytest.mark.parametrize(("positions", "blocks", "threads"), [
    (1, 1, 32), (33, 1, 64), (128, 1, 128), (129, 2, 128), (1 << 20, 8192, 128)])
def test_shape_of_a_launch(positions: int, blocks: int, threads: int) -> None:
    found = shape_of(Kernel("k", (), ""), positions)
    assert (found.blocks, found.threads) == (blocks, threads)
    assert found.blocks * found.threads >= positions > (found.blocks - 1) * found.threads


def test_loading_says_in_one_line_what_is_missing(compiled: Any) -> None:
    with pytest.raises(dlc.DlcError, match=r"device 'cuda': .*load\(device='emulate'\)"):
        compiled.load()
    with pytest.raises(dlc.DlcError, match="compiled for cuda, which does not run on device 'cpu'"):
        compiled.load("cpu")


