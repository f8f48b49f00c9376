"""Overwriting: texts that read an element after it was replaced, and texts that do not."""

from __future__ import annotations

from typing import Any

import pytest

import dlc
from dlc import f32
from dlc.checks.kernels.overwriting import check_overwriting
from dlc.checks.kernels.segment import case_of
from dlc.program import Kernel, Parameter

FINE, LATE = "fine", "late"
# chunks; lines after `def k(x, y, chunk):`; x, of 12 elements, lies where a result does
TEXTS = [
    (1, "for i in range(12): x[i] = x[i] + f32(1.0)", FINE),
    (1, "for i in range(12): x[i] = x[11 - i]", LATE),
    (1, "for i in range(11): x[i] = x[i + 1]", FINE),
    (1, "for i in range(11): x[i + 1] = x[i]", LATE),
    (1, "for i in range(12):\n        a = x[i]\n        x[i] = f32(0.0)\n        y[i] = a", FINE),
    (1, "for i in range(12):\n        x[i] = f32(0.0)\n        y[i] = x[i]", LATE),
    (1, "for i in range(12): x[i] = f32(0.0)\n    for j in range(12): y[j] = x[j]", LATE),
    (1, "for j in range(12): y[j] = x[j]\n    for i in range(12): x[i] = f32(0.0)", FINE),
    (1, "for i in range(3):\n        for j in range(4): y[i] = y[i] + x[i * 4 + j]\n"
        "        for k in range(4): x[i * 4 + k] = y[i]", FINE),
    (1, "for i in range(3):\n        for k in range(4): x[i * 4 + k] = y[i]\n"
        "        for j in range(4): y[i] = y[i] + x[i * 4 + j]", LATE),
    (1, "for i in range(2):\n        for j in range(12): y[i] = y[i] + x[j]\n"
        "        for k in range(6): x[i * 6 + k] = y[i]", LATE),
    (3, "for i in range(4): x[chunk * 4 + i] = x[chunk * 4 + i] * f32(2.0)", FINE),
    (3, "for i in range(4): x[chunk * 4 + i] = x[imod(chunk * 4 + i, 4)]", LATE),
    (1, "x[0] = f32(0.0)\n    for i in range(12): y[i] = x[min(max(i64(y[i]), 0), 11)]", LATE),
    (1, "x[0] = f32(0.0)\n    for i in range(12): y[i] = x[min(max(i64(y[i]), 1), 11)]", FINE),
    (1, "for i in range(12): y[i] = x[i] if i < 6 else f32(0.0)\n"
        "    for i in range(6): x[i] = y[i]", FINE),
    (1, "for i in range(6): x[i] = y[i]\n"
        "    for i in range(12): y[i] = x[i] if i >= 6 else f32(0.0)", FINE),
]


@pytest.mark.parametrize("chunks, text, expected", TEXTS)
def test_texts(chunks: int, text: str, expected: str) -> None:
    params = (Parameter("x", "f32", "pointer", True), Parameter("y", "f32", "pointer", True))
    kernel = Kernel("k", params, f"def k(x, y, chunk):\n    {text}\n")
    found = check_overwriting(case_of(kernel, {}, (12, 12), (0, 0), chunks), "x")
    assert (LATE if found.wrong else FINE) == expected, found
    assert not found.undecided


def test_the_message_names_both_lines() -> None:
    kernel = Kernel("k", (Parameter("x", "f32", "pointer", True),),
                    "def k(x, chunk):\n    x[3] = f32(0.0)\n    x[2] = x[3]\n")
    found = check_overwriting(case_of(kernel, {}, (4,), (0,), 1), "x")
    assert found.wrong == ["k, line 3: x[3] loads x[3], which line 2 has overwritten"]


# --- through the compiler -------------------------------------------------------------------------


def folds(m: f32[1, 6, 1, 2], div: f32[1, 6, 2, 3], sub: f32[1, 6, 2, 3],
          sign: f32[1, 1, 1, 2]) -> Any:
    """Results of one, two and three reductions, of which one might lie over an operand that the
    others read: in `a` and the sum the same number of them, not the same ones."""
    m, div, sub, sign = (dlc.cumsum(v, 0) for v in (m, div, sub, sign))
    weighted = dlc.grad(lambda z: (dlc.avg_pool(z, 2, stride=1) * 4.0 * m).sum())
    fold = weighted(dlc.zeros((1, 6, 2, 3)))
    a = fold * div
    return a, sign.sum() * sub + a, fold.sum((0, 1))


def test_a_result_over_an_operand_that_a_later_loop_reads() -> None:
    """Compiling runs the checker, over every kernel that writes in place."""
    assert dlc.compile(folds, verify=True).kernels
