"""Limits: they reach all of lowering and fusion, change kernels and no result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, runtime
from dlc.backend.cpu.limits import DEFAULT, Limits
from dlc.passes.fuse.limits import DEFAULT as USUAL
from tests.fuzzing.building import SMALL, SMALL_FUSION, build


def layer(x: Any, w: Any, b: Any) -> Any:
    h = dlc.tanh((x * 0.5) @ w + b)
    return h - h.mean(0), h.max(1), (h[:5] * x[:5, :11]).sum(0)


GRAPH = dlc.trace(layer, f32[11, 61], f32[61, 11], f32[11])


@pytest.mark.parametrize("field", ["plain_products", "split_sum", "column", "long_column"])
def test_each_limit_decides(field: str) -> None:
    """The kernels at small limits are others where only this one is the default again."""
    first = build({"main": GRAPH}, "avx2").program
    again = replace(SMALL, **{field: getattr(DEFAULT, field)})
    assert build({"main": GRAPH}, "avx2", again).program.kernels != first.kernels


def test_fusion_limits_decide() -> None:
    apart = build({"main": GRAPH}, "avx2", fusion=replace(USUAL, operators=1)).program
    usual = build({"main": GRAPH}, "avx2", fusion=USUAL).program
    assert len(apart.entries["main"].flat) > len(usual.entries["main"].flat)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "scalar"])
def test_limits_change_no_result(isa: str, rng: np.random.Generator) -> None:
    arrays = [rng.standard_normal(i.type.shape).astype(np.float32) for i in GRAPH.inputs]
    want = dlc.evaluate(GRAPH, *arrays).values()
    for limits, fusion in ((SMALL, SMALL_FUSION), (DEFAULT, USUAL)):
        program = build({"main": GRAPH}, isa, limits, fusion).program
        running: Any = runtime.load(program, "interpret")
        for port, array in zip(program.entries["main"].inputs, arrays, strict=True):
            running.write(port.name, array, "main")
        running.run("main")
        for port, value in zip(program.entries["main"].outputs, want, strict=True):
            # 80 roundings (61 products, a mean of 11, tanh) of values below 32
            np.testing.assert_allclose(running.read(port.name, "main"), value, 0, 80 * 32 * 2**-24)


def test_limits_below_one() -> None:
    with pytest.raises(ValueError, match="columns, turned must"):
        Limits(columns=0, turned=-1)
