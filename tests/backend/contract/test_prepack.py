"""Packing before a loop: how often, where, and with which results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f16, f32, nn, optim
from dlc.backend.cpu.limits import DEFAULT
from dlc.compiler import Compiled
from dlc.program import Entry, Launch, Loop
from tests.instruction_sets import NATIVE, loaded


def last(h0: Any, w: Any, xs: Any) -> Any:
    return dlc.scan(lambda h, x: (dlc.tanh(h @ w + x), None), h0, xs)[0]


def forward(h0: f32[8, 48], w: f32[48, 48], xs: f32[4, 8, 48]) -> Any:
    return last(h0, w, xs)


def both(h0: f32[8, 48], w: f32[48, 48], xs: f32[4, 8, 48]) -> Any:
    return dlc.grad(lambda h, v: last(h, v, xs).sum(), (0, 1))(h0, w)


def tall(h0: f32[150, 100], w: f32[100, 100], xs: f32[4, 150, 100]) -> Any:
    return last(h0, w, xs)


def nested(h0: f32[8, 48], w: f32[48, 48], xs: f32[3, 8, 48]) -> Any:
    return dlc.scan(lambda h, x: (last(h, w, xs) + x, None), h0, xs)[0]


def twice(h0: f32[8, 48], w: f32[48, 48], xs: f32[3, 8, 48]) -> Any:
    return last(dlc.sin(last(h0, w, xs)), w, xs[:2])


def stacks(h0: f32[3, 8, 20], w: f32[3, 20, 20], xs: f32[4, 3, 8, 20]) -> Any:
    return last(h0, w, xs)


def image(h0: f32[2, 16, 12, 12], w: f32[16, 16, 3, 3], xs: f32[3, 2, 16, 12, 12]) -> Any:
    return dlc.scan(lambda h, x: (dlc.tanh(dlc.conv(h, w, padding=1) * 0.1 + x), None), h0, xs)[0]


# of a function: how many launches pack, in front of all loops
PACKED = {forward: 1, both: 2, tall: 1, nested: 1, twice: 1, stacks: 1, image: 1}


def launches(entry: Entry, inside: bool) -> list[str]:
    """Names of launches in loops, or in front of them."""
    loops = [s for s in entry.launches if isinstance(s, Loop)]
    assert loops
    names = [launch.name for launch in entry.flat]
    outside = [s.name for s in entry.launches if not isinstance(s, Loop)]
    if not inside:
        return outside
    for name in outside:
        names.remove(name)
    return names


@pytest.mark.parametrize("function", PACKED, ids=lambda f: f.__name__)
def test_packed_once_in_front_of_the_loops(function: Any,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """On narrower sets, some of these matrices are read as they lie."""
    monkeypatch.setenv("DLC_CPU", "avx512")
    entry = dlc.compile(function).program.entries["main"]
    assert launches(entry, inside=False).count("pack") == PACKED[function]
    assert "pack" not in launches(entry, inside=True)


@pytest.mark.swept(4)
@pytest.mark.parametrize("function,isa,device", [
    *((f, i, "cpu") for f in PACKED for i in NATIVE),
    *((f, "neon", "interpret") for f in PACKED if f not in (tall, image))],  # minutes in Python
    ids=lambda v: getattr(v, "__name__", v))
def test_results(function: Any, isa: str, device: str) -> None:
    rng = np.random.default_rng(5)
    graph = dlc.trace(function)
    arrays = [rng.standard_normal([int(d) for d in i.shape]).astype(np.float32) / 4
              for i in graph.inputs]
    want = listed(dlc.evaluate(graph, *arrays))
    with loaded(function, isa, device, verify=device == "cpu") as program:
        for value, exact in zip(listed(program(*arrays)), want, strict=True):
            # some steps of 48- to 144-term sums below 1, of which each rounds by eps a term
            np.testing.assert_allclose(value, exact, rtol=0, atol=4 * 144 * 6e-8 * max(
                1.0, float(abs(exact).max())))


def listed(results: Any) -> list[Any]:
    return list(results.values()) if isinstance(results, dict) else [results]


def packs(compiled: Compiled) -> int:
    return sum(x.name == "pack" for e in compiled.program.entries.values() for x in e.flat)


def test_what_the_loop_changes_stays() -> None:
    """The matrix is a carry, or its element: each step has another."""
    def changing(h0: f32[8, 48], w0: f32[48, 48], xs: f32[4, 8, 48]) -> Any:
        return dlc.scan(lambda c, x: ((dlc.tanh(c[0] @ c[1] + x), c[1] * 0.5), None), (h0, w0),
                        xs)[0]

    def elements(h0: f32[8, 48], ws: f32[4, 48, 48]) -> Any:
        return dlc.scan(lambda h, w: (dlc.tanh(h @ w), None), h0, ws)[0]

    assert packs(dlc.compile(changing)) == packs(dlc.compile(elements)) == 0


def test_halves_and_repeated_matrices_stay() -> None:
    """Tiles would want f32; one matrix for a stack would be packed for each of it."""
    def halves(h0: f16[8, 48], w: f16[48, 48], xs: f16[4, 8, 48]) -> Any:
        return last(h0, w, xs)

    def repeated(h0: f32[5, 8, 48], w: f32[48, 48], xs: f32[4, 5, 8, 48]) -> Any:
        return dlc.scan(lambda h, x: (dlc.tanh(dlc.broadcast_to(w, (5, 48, 48)) @ h.reshape(
            5, 48, 8) + x.reshape(5, 48, 8)).reshape(5, 8, 48), None), h0, xs)[0]

    assert packs(dlc.compile(halves)) == packs(dlc.compile(repeated)) == 0


@pytest.mark.swept(2)
@pytest.mark.parametrize("isa,device", [*((i, "cpu") for i in NATIVE), ("neon", "interpret")])
def test_matrices_of_whole_vectors_are_read_as_they_lie(isa: str, device: str) -> None:
    """64 columns need no packing in f32; a half has to be widened first, in a panel of rows too."""
    def f(x: f32[30, 24], w: f32[24, 64], a: f16[30, 24], b: f16[24, 64]) -> Any:
        return x @ w, a @ b

    def image(x: f16[1, 17, 7], w: f16[17, 2, 1]) -> Any:
        return dlc.conv_transpose(x, w)

    rng = np.random.default_rng(3)
    for function in (f, image):
        graph = dlc.trace(function)
        arrays = [rng.standard_normal([int(d) for d in i.shape]).astype(i.dtype.numpy)
                  for i in graph.inputs]
        want = listed(dlc.evaluate(graph, *arrays))
        with loaded(function, isa, device, verify=device == "cpu") as program:
            for value, exact in zip(listed(program(*arrays)), want, strict=True):
                eps = float(np.finfo(exact.dtype).eps)
                np.testing.assert_allclose(value, exact, rtol=0, atol=24 * eps * float(
                    abs(exact).max()))


def test_an_lstm_packs_its_weights_before_time() -> None:
    """Forward and backward: a step multiplies in one superstep, not two."""
    def loss(x: f32["batch", 6, 32], y: f32["batch", 6, 32]) -> dlc.Loss:
        return dlc.loss(nn.mse(nn.lstm(32)(x), y))

    program = dlc.compile(dlc.task(optimizer=optim.sgd(0.1), batch=16)(loss)).program
    entry = program.entries["train"]
    # of the two weights; beside them, where chunks are narrow, of what they share after the loop
    assert launches(entry, inside=False).count("pack") in (2, 3)
    inside = [launch for s in entry.launches if isinstance(s, Loop) for launch in s.launches]
    assert all(len(launch.stages) == 1 for launch in inside if isinstance(launch, Launch))


@pytest.mark.parametrize("m,stages", [(4, 1), (5, 2)])
def test_rows_are_packed_first_that_many_boxes_would_pack_again(
        m: int, stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """16 boxes of w, packed for both products: all but one pack m * 256 elements again."""
    def products(x: Any, y: Any, w: Any) -> Any:
        return x @ w, y @ w

    assert (15 * m * 256 > DEFAULT.apart) == (stages == 2)
    monkeypatch.setenv("DLC_CPU", "avx512")
    products.__annotations__ = {"x": f32[m, 256], "y": f32[400, 256], "w": f32[256, 1024]}
    entry = dlc.compile(products).program.entries["main"]
    assert [x.name for x in entry.flat].count("pack") == 1
    (small,) = (x for x in entry.flat if x.flops == 2 * m * 256 * 1024)
    assert len(small.stages) == stages
