"""Products of one value in one launch: fewer barriers, one packing, what is written in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn
from dlc.compiler import Compiled, instruction_set
from dlc.ir.graph import Node
from tests.instruction_sets import loaded


def attention(x: f32[96, 32], wq: f32[32, 32], wk: f32[32, 32], wv: f32[32, 32],
              wo: f32[32, 32]) -> Any:
    """The loss of one attention head and its gradients."""
    def loss(x: Node, wq: Node, wk: Node, wv: Node, wo: Node) -> Node:
        q, k, v = x @ wq, x @ wk, x @ wv
        y = nn.softmax(q @ k.T * 0.2) @ v
        return ((y @ wo) ** 2).mean()

    return loss(x, wq, wk, wv, wo), *dlc.grad(loss, (0, 1, 2, 3, 4))(x, wq, wk, wv, wo)


def arrays() -> list[Any]:
    rng = np.random.default_rng(7)
    return [rng.standard_normal(s).astype(np.float32) / 4
            for s in ((96, 32), *[(32, 32)] * 4)]


def barriers(compiled: Compiled) -> int:
    return sum(launch.barrier + len(launch.stages) - 1
               for launch in compiled.program.entries["main"].flat)


def test_an_attention_head_has_few_launches_and_barriers() -> None:
    """21 launches and 38 barriers when every product is a launch of its own, in the same arena."""
    compiled = dlc.compile(attention)
    names = [launch.name for launch in compiled.program.entries["main"].flat]
    assert sum(not name.startswith("pack") for name in names) <= 15 and barriers(compiled) <= 24


@pytest.mark.parametrize("isa,device", [(instruction_set(), "cpu"), ("neon", "interpret")])
def test_its_gradients(isa: str, device: str) -> None:
    want = dlc.evaluate(dlc.trace(attention), *arrays()).values()
    with loaded(attention, isa, device, verify=device == "cpu") as program:
        for got, exact in zip(program(*arrays()).values(), want, strict=True):
            # 96-term sums of products of 32-term sums, relative to the largest element
            np.testing.assert_allclose(got, exact, rtol=0, atol=4e-5 * float(abs(exact).max()))


def test_a_parameter_is_still_updated_in_place() -> None:
    """x @ w reads what the other launch replaces: in one launch the new w would need a copy."""
    from dlc import optim

    @dlc.task(data="digits8", optimizer=optim.sgd(0.1), batch=32)
    def deep(image: f32["batch", 64]) -> dlc.Loss:
        net = nn.chain(*(layer for _ in range(4) for layer in (nn.dense(48), dlc.tanh)))
        return dlc.loss((nn.dense(64, name="last")(net(image)) - image).mean() ** 2)

    compiled = dlc.compile(deep)
    assert not any("copy" in compiled.kernels[s.kernel].text.splitlines()[1]
                   for launch in compiled.program.entries["train"].flat if launch.flops == 0
                   and launch.bytes > 256 for stage in launch.stages for s in stage)


def test_operands_that_other_products_read_keep_their_value() -> None:
    """A residual is written over x only where no product beside it still reads x."""
    def block(x: f32[64, 48], a: f32[48, 48], b: f32[48, 48]) -> Any:
        y = dlc.tanh(x)
        return y + y @ a, y @ b, (y @ a) * y

    rng = np.random.default_rng(3)
    given = [rng.standard_normal(s).astype(np.float32) for s in ((64, 48), (48, 48), (48, 48))]
    want = dlc.evaluate(dlc.trace(block), *given).values()
    with dlc.compile(block, verify=True).load() as program:
        for got, exact in zip(program(*given).values(), want, strict=True):
            np.testing.assert_allclose(got, exact, rtol=0, atol=2e-5)
