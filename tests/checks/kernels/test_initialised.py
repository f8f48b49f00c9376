"""Buffers are written before they are read: texts that read too early, launches that leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import f32
from dlc.backend import assemble
from dlc.backend.cpu.tiles import tile
from dlc.backend.emit.work import Lowered, Work
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.checks.kernels.initialised import check_locals, touched
from dlc.checks.kernels.segment import case_of
from dlc.errors import DlcError
from dlc.program import Kernel, Parameter

PARAMS = (Parameter("x", "f32", "pointer"), Parameter("y", "f32", "pointer", True))
FINE, EARLY = "fine", "early"
# chunks; lines behind `t = local_f32(8)`; x and y have 24 elements
TEXTS = [
    (1, "for i in range(8): t[i] = x[i]\n    for i in range(8): y[i] = t[i]", FINE),
    (1, "for i in range(7): t[i] = x[i]\n    for i in range(8): y[i] = t[i]", EARLY),
    (1, "for i in range(8): y[i] = t[i]\n    for i in range(8): t[i] = x[i]", EARLY),
    (1, "for i in range(8):\n        t[i] = x[i]\n        y[i] = t[7 - i]", EARLY),
    (1, "for i in range(8):\n        t[i] = x[i]\n        y[i] = t[i] + t[0]", FINE),
    (1, "for i in range(8):\n        y[i] = t[i]\n        t[i] = x[i]", EARLY),
    (1, "for i in range(1, 8):\n        t[i] = x[i]\n        y[i] = t[i - 1]", EARLY),
    (3, "for i in range(min(8, 20 - chunk * 8)): t[i] = x[chunk * 8 + i]\n"
        "    for i in range(min(8, 20 - chunk * 8)): y[chunk * 8 + i] = t[i]", FINE),
    (3, "for i in range(min(8, 20 - chunk * 8)): t[i] = x[chunk * 8 + i]\n"
        "    for i in range(8): y[chunk * 8 + i] = t[i]", EARLY),
    (1, "copy_f32(t, 4, x, 4, 2, 4)\n    for i in range(8): y[i] = t[i]", FINE),
    (1, "copy_f32(t, 4, x, 4, 1, 4)\n    for i in range(8): y[i] = t[i]", EARLY),
    (1, "for i in range(8):\n        if x[i] > f32(0.0):\n            t[i] = x[i]\n"
        "    for i in range(8): y[i] = t[i]", FINE),  # whether it was stored is not known
    (1, "n = 0\n    while n < 8:\n        t[n] = x[n]\n        n += 1\n"
        "    for i in range(8): y[i] = t[i]", FINE),
]


@pytest.mark.parametrize(("chunks", "text", "expected"), TEXTS)
def test_texts(chunks: int, text: str, expected: str) -> None:
    body = f"def k(x, y, chunk):\n    t = local_f32(8)\n    {text}\n"
    tiles = ("copy_f32",) if "copy" in text else ()
    case = case_of(Kernel("k", PARAMS, body, tiles), {t: tile(t, "avx512") for t in tiles},
                   (24, 24), (0, 0), chunks)
    found = check_locals(case)
    assert (EARLY if found.wrong else FINE) == expected, found


def test_a_long_buffer_and_the_second_chunk_are_followed() -> None:
    """1,000 elements, and what is left out by chunk 1 of 4 alone."""
    for stored, expected in ((1_000, FINE), (999, EARLY)):
        body = ("def k(x, y, chunk):\n    t = local_f32(1000)\n"
                f"    for i in range({stored}): t[i] = x[i]\n"
                "    for i in range(1000): y[i] = t[i]\n")
        found = check_locals(case_of(Kernel("k", PARAMS, body), {}, (1_000, 1_000), (0, 0), 1))
        assert (EARLY if found.wrong else FINE) == expected, found
    body = ("def k(x, y, chunk):\n    t = local_f32(8)\n"
            "    for i in range(8 - min(chunk, 2 - min(chunk, 2))): t[i] = x[i]\n"
            "    for i in range(8): y[chunk * 8 + i] = t[i]\n")
    assert check_locals(case_of(Kernel("k", PARAMS, body), {}, (24, 32), (0, 0), 4)).wrong


def test_a_long_result_of_which_an_element_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch, lambda x: dlc.exp(x) * 2.0, [f32[3_999]], "3999", "3998",
            "no kernel of .* writes element 3998 of")


def test_what_is_touched_of_a_parameter() -> None:
    body = "def k(x, y, chunk):\n    for i in range(3): y[chunk * 4 + i] = x[i * 2]\n"
    found = touched(case_of(Kernel("k", PARAMS, body), {}, (6, 8), (0, 0), 2))
    x, y = found["x"], found["y"]
    assert x.loaded is not None and x.stored is not None and y.stored is not None
    assert x.loaded.tolist() == [True, False] * 3 and not x.stored.any()
    assert y.stored.tolist() == ([True] * 3 + [False]) * 2


# --- through the compiler -------------------------------------------------------------------------


def refused(monkeypatch: pytest.MonkeyPatch, f: Callable[..., Any], types: list[Any],
            old: str, new: str, told: str) -> None:
    """Lowering writes `new` for `old` in every kernel."""
    def edited(work: Work) -> Work:
        text = function_text(work.kernel).replace(old, new)
        return replace(work, kernel=parse(text, work.kernel.params))

    def planted(*args: Any) -> list[Lowered]:
        return [Lowered(tuple(tuple(map(edited, stage)) for stage in part.stages))
                for part in lower(*args)]

    lower = assemble.lower
    monkeypatch.setattr(assemble, "lower", planted)
    with pytest.raises(DlcError, match=told):
        dlc.compile(dlc.trace(f, *types))


def test_a_result_of_which_the_last_element_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    refused(monkeypatch, lambda x: dlc.exp(x) * 2.0, [f32[3, 9]], "range(27)", "range(26)",
            "no kernel of .* writes element 26 of")


def test_a_local_buffer_that_is_cleared_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum over rows keeps the totals of its columns: the first loop makes them 0."""
    monkeypatch.setenv("DLC_CPU", "avx512")
    refused(monkeypatch, lambda x: x.sum(0), [f32[40, 32]],
            "for j in range(32):\n        total[j] = ", "for j in range(31):\n        total[j] = ",
            r"total\[j4\] loads total\[31\], which nothing has stored before")
