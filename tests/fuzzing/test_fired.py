"""The histogram sees each scheme, packing, box and tail in a program that is made to have it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import dlc
from dlc import f32
from tests.fuzzing import fired
from tests.fuzzing.building import SMALL, build


def both_gradients(x: Any, w: Any, **how: Any) -> Any:
    return dlc.grad(lambda a, b: (dlc.conv(a, b, **how) ** 2).sum(), wrt=(0, 1))(x, w)


def over_an_operand(m: Any) -> Any:
    """A sort is a launch of its own; what becomes of its result may lie where that lies."""
    return dlc.tanh(dlc.sort(m, 0)) * 2.0 - m


PROGRAMS = {
    "turned": (lambda x, w, b: dlc.tanh((dlc.flip(x, 0) * 0.5) @ w + b),
               f32[29, 61], f32[61, 70], f32[70]),
    "split": (lambda x, w: (x * 0.5) @ w + 1.0, f32[5, 161], f32[161, 7]),
    "taps": (lambda x, w: dlc.conv(x, w, padding=1), f32[3, 2, 6, 7], f32[5, 2, 3, 3]),
    "dots": (lambda x, w: both_gradients(x, w, padding=1), f32[7, 1, 4, 4], f32[2, 1, 3, 3]),
    "residues": (lambda x, w: both_gradients(x, w, stride=2), f32[3, 2, 16, 7], f32[5, 2, 1, 3]),
    "plain": (lambda x, w: x @ w, f32[3, 3], f32[3, 3]),
    "columns": (lambda x: (x.sum(0), x - x.sum(1)[:, None]), f32[30, 22]),
    "place": (over_an_operand, f32[8, 9]),
    "apart": (lambda x, w: dlc.tanh(x @ w), f32[50, 61], f32[61, 70]),
}
LIMITS = {"turned": replace(SMALL, apart=1 << 20)}  # each chunk packs B
SHOWN = {
    "turned": ("gemm", "A turned", "A turned in boxes", "B copied", "boxes of sums",
               "tail of columns", "tail of sums", "tail of rows", "rows finished"),
    "split": ("split", "A turned", "tail of rows"),
    "taps": ("taps", "A by the shared transpose", "image copied", "image with border",
             "boxes of images"),
    "dots": ("dots", "tail of images", "block copied out"),
    "residues": ("residues", "empty residue", "B straight"),
    "plain": ("plain contraction", "one chunk"),
    "columns": ("columns", "blocks of columns", "tail of blocks", "several chunks"),
    "place": ("written in place",),
    "apart": ("gemm", "packed for chunks", "packed by copying", "boxes of columns"),
}


@cache
def counted(name: str) -> Counter[str]:
    function, *types = PROGRAMS[name]
    graph = dlc.trace(function, *types)
    return fired.fired(build({"main": graph}, "avx2", LIMITS.get(name, SMALL)).program)


@pytest.mark.parametrize("name", PROGRAMS)
def test_shown(name: str) -> None:
    assert fired.lacking(counted(name), SHOWN[name], 1) == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_not_shown(name: str) -> None:
    """A scheme of another program is not counted here."""
    own = {n for n in SHOWN[name] if n in fired.SCHEMES}
    others = set(fired.SCHEMES) - own - {"gemm", "taps", "split"}
    assert own == set() or not others & set(counted(name)), counted(name)


def test_sharing_and_passes() -> None:
    graphs = {f"g{n}": dlc.trace(lambda x: dlc.tanh(x) * 2.0 + 0.0, f32[n], name=f"g{n}")
              for n in (70, 80, 90)}
    built = build(graphs, "avx2")
    count = fired.fired(built.program)
    assert count["kernel shared with numbers"] == 1
    assert fired.fired_passes(built.records.values())["simplify"] == 3


def test_lacking_and_table() -> None:
    assert fired.lacking({"gemm": 19, "taps": 20}, ("gemm", "taps", "dots")) == [
        "gemm (19)", "dots (0)"]
    assert "      5  loop" in fired.table({"loop": 5})
