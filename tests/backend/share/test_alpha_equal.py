"""Kernels that are equal but for names are one; whatever else differs keeps them apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import dlc
from dlc import f32, init, optim
from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import kernel_of
from dlc.backend.share.alpha_equal import merge_equal
from dlc.backend.share.parametrize import Use, form_of
from dlc.program import Parameter


def kernel(body: str, x: str = "x", y: str = "y", name: str = "k", doc: str = "a.py:1") -> Function:
    params = (Parameter(x, "f32", "pointer"), Parameter(y, "f32", "pointer", True))
    text = f'def {name}({x}, {y}, chunk):\n    """{doc}"""\n'
    return parse(text + "".join(f"    {line}\n" for line in body.split("; ")), params)


FIRST = kernel("tanh = tanh_f32(x[chunk]); y[chunk] = tanh * tanh")


def kept(*functions: Function) -> list[int]:
    """Which kernel each one becomes."""
    uses = [Use(i, (i,)) for i in range(len(functions))]
    return [u.kernel for u in merge_equal([form_of(f) for f in functions], uses)[1]]


def test_names_and_lines_do_not_count() -> None:
    other = kernel("h = tanh_f32(w[chunk]); out[chunk] = h * h", "w", "out", "k2", "b.py:7")
    kernels, uses = merge_equal([form_of(FIRST), form_of(other)], [Use(0, (5,)), Use(1, (6,))])
    assert kernels == [kernel_of(FIRST)]
    assert uses == [Use(0, (5,)), Use(0, (6,))]


@pytest.mark.parametrize("other", [
    kernel("tanh = tanh_f32(x[chunk]); y[chunk] = tanh * x[chunk]"),
    kernel("tanh = tanh_f32(y[chunk]); x[chunk] = tanh * tanh"),
    kernel("tanh = sinh_f32(x[chunk]); y[chunk] = tanh * tanh"),
    kernel("chunk2 = tanh_f32(x[chunk]); y[chunk] = chunk2 * chunk"),
    replace(FIRST, params=(replace(FIRST.params[0], dtype="f64"), FIRST.params[1])),
    replace(FIRST, params=(replace(FIRST.params[0], written=True), FIRST.params[1])),
    replace(FIRST, helpers="def helper(x):\n    return x\n"),
    replace(FIRST, raises=True),
], ids=["operand", "swapped", "function", "chunk", "dtype", "written", "function after", "raises"])
def test_whatever_else_differs_keeps_them_apart(other: Kernel) -> None:
    assert kept(FIRST, other, FIRST) == [0, 1, 0]


def test_names_that_two_kernels_have_are_told_apart() -> None:
    forms = [form_of(FIRST), form_of(kernel("y[chunk] = x[chunk]"))]
    kernels, _ = merge_equal(forms, [Use(0, ()), Use(1, ())])
    assert [k.name for k in kernels] == ["k", "k_2"]
    assert kernels[1].text.startswith("def k_2(")


def test_equal_layers_are_launches_of_the_same_kernels() -> None:
    """However deep, and wherever the layers were written."""

    def deep(layers: int) -> dlc.Task:
        @dlc.task(data="none", optimizer=optim.adam(1e-3), batch=8)
        def stack(x: f32["batch", 16]) -> dlc.Loss:
            for i in range(layers):
                x = dlc.tanh(x @ dlc.parameter(f"w{i}", f32[16, 16], init.orthogonal()))
            return dlc.loss((x * x).mean())

        return stack

    five, nine = (dlc.compile(deep(n)) for n in (5, 9))
    assert len(five.kernels) == len(nine.kernels) < 16
    assert len(nine.program.entries["train"].launches) > 20
    x = np.ones((8, 16), np.float32)
    with nine.load() as run:
        values = {p.name: run.read(p.name) for p in nine.program.persistent}
        expected = dlc.evaluate(nine.source.graphs["train"], x=x, **values)
        assert abs(run(x=x)["loss"] - expected["loss"]) < 1e-6
        for name in (f"w{i}" for i in range(9)):
            np.testing.assert_allclose(run.read(name), expected[name], atol=1e-5)
