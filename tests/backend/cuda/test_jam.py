"""Several positions of a product to a thread: the same bits, fewer loads, other programs untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, nn
from dlc.backend.cuda import jam
from dlc.runtime.cuda.ptx import PtxCompiler


def dense(x: f32[12, 40], w: f32[40, 20], b: f32[20]) -> Any:
    return dlc.tanh(x @ w + b)


def images(x: f32[4, 3, 9, 9], w: f32[8, 3, 3, 3]) -> Any:
    return dlc.conv(x, w, padding=1)


def odd(x: f32[3, 5], w: f32[5, 7]) -> Any:
    return x @ w


def rows(x: f32[12, 40]) -> Any:
    return nn.softmax(x)


def compiled(function: Callable[..., Any], least: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(jam, "LEAST_THREADS", least)
    # a name of its own: programs are kept by name, text and the compiler's sources
    return dlc.compile(dlc.trace(function), target="cuda", name=f"{function.__name__}_{least}")


def threads(program: Any) -> list[int]:
    return [s.chunks for launch in program.program.entries["main"].flat
            for stage in launch.stages for s in stage]


@pytest.mark.parametrize("function", [dense, images])
def test_the_same_bits_with_a_quarter_of_the_threads(
        function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    alone, together = (compiled(function, n, monkeypatch) for n in (1 << 60, 4))
    assert threads(alone) == [4 * n for n in threads(together)]
    made = np.random.default_rng(2)
    arrays = [made.standard_normal(tuple(map(int, n.type.shape)), np.float32)
              for n in together.source.graphs["main"].inputs]
    found = []
    for program, device in ((alone, "emulate"), (together, "emulate"), (together, "interpret")):
        with program.load(device) as running:
            found.append(running(*arrays))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[2], found[0], rtol=2e-6, atol=2e-6)


def test_what_positions_share_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight operands of four products five are loaded."""
    program = compiled(dense, 4, monkeypatch)
    (kernel,) = program.kernels
    assert kernel.text.count("fma(") == 4
    text = PtxCompiler(program.program).ptx(kernel)
    # loads: b once; fma: 13 of tanh_f32 for each of four elements, counted in its own kernel
    def act(x: f32[12, 20]) -> Any:
        return dlc.tanh(x)

    own = dlc.compile(dlc.trace(act), target="cuda")
    tanh = PtxCompiler(own.program).ptx(own.kernels[0]).count("fma.rn.f32")
    products = text.count("fma.rn.f32") - 4 * tanh
    assert products % 4 == 0 and text.count("ld.global") <= 5 * products // 4 + 4


@pytest.mark.parametrize("function", [odd, rows])
def test_others_stay(function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """35 positions are no quadruples, and a softmax adds no products."""
    assert threads(compiled(function, 4, monkeypatch)) == threads(
        compiled(function, 1 << 60, monkeypatch))
