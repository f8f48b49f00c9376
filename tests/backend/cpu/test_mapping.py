"""How work is cut: enough chunks for 64 cores where there is much of it, few where there is not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.backend.assemble import assembled
from dlc.backend.cpu.limits import DEFAULT
from dlc.backend.cpu.mapping import contraction_chunks, panel_groups, panels_per_packing
from dlc.ir.graph import Graph
from dlc.ir.types import Type
from dlc.passes import run_pipeline
from dlc.program import Program


def product(x: Any, w: Any) -> Any:
    return x @ w


def along_samples(x: Any, d: Any) -> Any:
    """The gradient of a weight: a sum over all samples."""
    return x.transpose((1, 0)) @ d


def program_of(f: Any, *types: Type, **limits: int) -> Program:
    graph: Graph = run_pipeline(dlc.trace(f, *types))[-1].graph
    return assembled("f", {"main": graph}, "cpu", "avx512", limits=replace(DEFAULT, **limits))[0]


def chunks(program: Program) -> list[int]:
    return [s.chunks for launch in program.entries["main"].flat
            for stage in launch.stages for s in stage]


@pytest.mark.parametrize(("f", "types", "least"), [
    (product, (f32[4096, 1024], f32[1024, 256]), 64),
    (product, (f32[1024, 1024], f32[1024, 1024]), 64),
    (product, (f32[8192, 512], f32[512, 64]), 56),
    (along_samples, (f32[65536, 64], f32[65536, 128]), 64),
    (along_samples, (f32[16384, 256], f32[16384, 256]), 64),
], ids=["tall", "square", "narrow", "few outputs", "more outputs"])
def test_large_contractions_have_work_for_64_cores(f: Any, types: Any, least: int) -> None:
    assert max(chunks(program_of(f, *types))) >= least


def test_small_contractions_have_few_chunks() -> None:
    assert max(chunks(program_of(product, f32[64, 784], f32[784, 128]))) <= 8
    assert contraction_chunks(64 * 784 * 128, DEFAULT) == DEFAULT.chunks
    assert panels_per_packing(5, 1, 64 * 784, DEFAULT) == 1


def test_a_chunk_is_worth_packing_its_columns() -> None:
    """However large the product: no run of panels is shorter than what packing pays for."""
    for height, panels in itertools.product((14, 6), (8, 19, 74, 300)):
        groups = panel_groups(panels, height, 1, 1 << 40, DEFAULT)
        assert groups <= max(DEFAULT.chunks, panels * height // 112) and groups <= DEFAULT.cores


def test_the_parts_of_a_sum_add_up() -> None:
    """Outputs more than strips, a long sum: parts of it, then their sum."""
    program = program_of(along_samples, f32[600, 20], f32[600, 24], split_sum=512, cores=8,
                        chunk_products=20_000, chunks=2, columns=16)
    assert len(program.entries["main"].flat[0].stages) == 2
    assert max(chunks(program)) >= 8
    rng = np.random.default_rng(3)
    x, d = (rng.standard_normal((600, n)).astype(np.float32) for n in (20, 24))
    with dlc.runtime.load(program, "interpret") as run:
        names = [p.name for p in program.entries["main"].inputs]
        for name, array in zip(names, (x, d), strict=True):
            run.write(name, array, "main")
        run.run("main")
        found = run.read(program.entries["main"].outputs[0].name, "main")
    # 600 products and their additions, each rounded once
    bound = 600 * 2**-24 * (np.abs(x).T.astype(np.float64) @ np.abs(d))
    exact = x.astype(np.float64).T @ d.astype(np.float64)
    assert (np.abs(found - exact) <= bound).all()
