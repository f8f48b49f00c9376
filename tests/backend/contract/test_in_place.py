"""A contraction whose result is written over an operand of the group."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.backend.contract.lower import lower_contract
from dlc.backend.cpu.isa import ISAS
from dlc.backend.ir.printer import kernel_of
from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import f32
from dlc.ops.contract import matmul
from dlc.ops.leaf import input_
from dlc.reference.evaluate import run as evaluate_nodes
from tests.backend.contract.test_contract import data, native


def test_output_over_an_operand_of_another() -> None:
    with building(Build()):
        x, w, p = input_("x", f32[24, 30]), input_("w", f32[30, 20]), input_("p", f32[24, 20])
        y = matmul(x, w)
        body = Graph("k", (x, w, p), (y * 2.0, y + p))
        first, second = body.outputs
        lowered = lower_contract("k", ["in place"], body, {x: "x", w: "w", p: "p"},
                                 {first: "p", second: "out"}, ISAS["avx512"])
        arrays = data(body.inputs)
        memory: dict[Any, np.ndarray] = dict(
            zip(body.inputs, [a.copy() for a in arrays], strict=True))
        memory[second] = np.empty((24, 20), np.float32)
        memory |= {s: np.empty(s.size, np.float32) for s in lowered.scratch}
        for stage in lowered.stages:
            for part in stage:
                call = native(kernel_of(part.kernel), "avx512")
                for chunk in range(part.chunks):
                    call(*(a if isinstance(a, int) else memory[a] for a in part.operands), chunk)
        want = evaluate_nodes(body, arrays)
        np.testing.assert_allclose(memory[p], want[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(memory[second], want[1], rtol=1e-4, atol=1e-4)
