"""Chunks: texts in which two of them meet at an element, and texts in which they do not."""

from __future__ import annotations

import pytest

from dlc.checks.kernels.chunks import check_chunks
from dlc.checks.kernels.segment import case_of
from dlc.program import Kernel, Parameter

APART, MEET, OPEN = "apart", "meet", "undecided"
# chunks; lines after `def k(x, y, chunk):`, x and y of 60 elements, both written; what is found
TEXTS = [
    (4, "for i in range(chunk * 15, min((chunk + 1) * 15, 60)): y[i] = x[i]", APART),
    (4, "for i in range(chunk * 15, min((chunk + 1) * 16, 60)): y[i] = x[i]", MEET),
    (4, "for i in range(chunk * 15, min((chunk + 1) * 15, 60)): y[i] = y[i] + y[imod(i, 3)]", MEET),
    # rows of 10 and columns of 5, a chunk a block of both
    (4, "for i in range(3):\n        for j in range(5):\n"
        "            y[idiv(chunk, 2) * 30 + i * 10 + imod(chunk, 2) * 5 + j] = x[i]", APART),
    (4, "for i in range(3):\n        for j in range(6):\n"
        "            y[idiv(chunk, 2) * 30 + i * 10 + imod(chunk, 2) * 5 + j] = x[i]", MEET),
    # every fourth element
    (4, "for i in range(15): y[i * 4 + chunk] = x[i]", APART),
    (4, "for i in range(15): y[i * 3 + chunk] = x[i]", MEET),
    (4, "y[0] = x[chunk]", MEET),
    (4, "for i in range(15): y[chunk * 15 + i] = y[chunk * 15 + 14 - i]", APART),
    (4, "for i in range(15): y[chunk * 15 + i] = y[59 - chunk * 15 - i]", MEET),
    # a loaded row, columns of the chunk's own
    (3, "r = min(max(i64(x[0]), 0), 2)\n    for j in range(5): y[r * 15 + chunk * 5 + j] = i32(1)",
     APART),
    (3, "r = min(max(i64(x[0]), 0), 2)\n    for j in range(6): y[r * 15 + chunk * 5 + j] = i32(1)",
     MEET),
    (3, "y[min(max(i64(x[0]), 0), 2)] = i32(1)", OPEN),
    (3, "y[min(max(i64(y[chunk]), 0), 2)] = i32(1)", OPEN),
    (3, "t = local_i32(4)\n    t[0] = x[chunk]\n    y[chunk] = t[0]", APART),
    (1, "y[0] = x[0]\n    y[0] = x[1]", APART),
]


@pytest.mark.parametrize("chunks, text, expected", TEXTS)
def test_texts(chunks: int, text: str, expected: str) -> None:
    params = (Parameter("x", "i32", "pointer"), Parameter("y", "i32", "pointer", True))
    kernel = Kernel("k", params, f"def k(x, y, chunk):\n    {text}\n")
    found = check_chunks(case_of(kernel, {}, (60, 60), (0, 0), chunks))
    assert (MEET if found.wrong else OPEN if found.undecided else APART) == expected, found


def test_what_is_proven_stays_proven() -> None:
    """`y` lies apart once its loop is expanded; `x` takes a larger budget, for its own loop."""
    params = tuple(Parameter(name, "f32", "pointer", True) for name in "xy")
    text = ("def k(x, y, chunk):\n    for i in range(2): y[i * 3000 + chunk] = f32(0.0)\n"
            "    for a in range(100): x[a * 3000 + chunk] = f32(0.0)\n")
    found = check_chunks(case_of(Kernel("k", params, text), {}, (300000, 6000), (0, 0), 3000))
    assert not found.wrong
    assert not found.undecided


def test_the_message_names_element_and_chunks() -> None:
    params = (Parameter("y", "f32", "pointer", True),)
    kernel = Kernel("k", params, "def k(y, chunk):\n    for i in range(chunk * 4, chunk * 4 + 5):\n"
                                 "        y[i] = f32(0.0)\n")
    found = check_chunks(case_of(kernel, {}, (30,), (0,), 7))
    assert found.wrong == ["k: chunks 0 and 1 meet at y[4]"]
