"""dlc.compile warns, once and at the user's line, when one function is compiled for many shapes."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.ir.types import Dim, Type
from dlc.recompiles import MOST, told


def line_of(caught: list[warnings.WarningMessage]) -> list[str]:
    """What was said, each with the text of its line."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return [f"{lines[w.lineno - 1].strip()} | {w.message}" for w in caught
            if w.filename == __file__]


def compiled_for(sizes: Any, function: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in sizes:
            dlc.compile(function, batch=n, out=3)  # here
    return line_of(caught)


def test_a_dimension_that_varies_is_named_at_the_line_once() -> None:
    def scores(x: f32["batch", 10], w: f32[10, "out"]) -> Any:
        return x @ w

    assert compiled_for(range(1, MOST + 1), scores) == []
    said = compiled_for(range(1, MOST + 8), scores)
    assert len(said) == 1
    assert said[0].startswith(
        "dlc.compile(function, batch=n, out=3)  # here | scores was compiled for 9 different types "
        "of its arguments: batch (axis 0 of x) is 1, 2, 3, 4, ... 9. ")
    assert "out" not in said[0].split(". Each")[0].split(": ")[1] and "pad" in said[0]


def test_the_same_shapes_again_are_nothing_new() -> None:
    def scores(x: f32["batch", 10], w: f32[10, "out"]) -> Any:
        return x @ w

    assert compiled_for([1, 2, 3] * 5, scores) == []


def test_functions_that_are_made_anew_are_others() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, MOST + 4):
            def same(x: f32["batch", 2]) -> Any:
                return x + 1

            dlc.compile(same, batch=n)


def test_a_task_with_many_batches() -> None:
    net = dlc.nn.dense(1)

    @dlc.task(data="", optimizer=dlc.optim.sgd(0.1), batch=4)
    def line(x: f32["batch", 2], y: f32["batch", 1]) -> Any:
        return dlc.loss(dlc.mean((net(x) - y) ** 2))

    with pytest.warns(UserWarning, match=r"batch \(axis 0 of x\) is 1, 2, 3, 4, ... 9"):
        for n in range(1, MOST + 2):
            dlc.compile(line, batch=n)


def test_nothing_is_kept_alive() -> None:
    from dlc import recompiles

    def lonely(x: f32[2]) -> Any:
        return x + np.float32(1)

    dlc.compile(lonely)
    before = len(recompiles._SEEN)
    del lonely
    gc.collect()
    assert len(recompiles._SEEN) < before


def test_what_else_may_differ_is_told() -> None:
    several = [{"x": Type(f32, (n, 4)), "y": Type(d, (2,) * n)}
               for n, d in ((1, f32), (2, f32), (3, i32))]
    assert "y has 1, 2, 3 axes" in told("f", several)
    assert "x is f32, i32" in told("f", [{"x": Type(d, (2,))} for d in (f32, i32)])
    named = [{"x": Type(f32, (Dim(n, "rows"), 4))} for n in (5, 6)]
    assert "rows (axis 0 of x) is 5, 6." in told("f", named)
