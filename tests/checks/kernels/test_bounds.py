"""Bounds: texts that leave their buffers, and texts that do not."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import f32
from dlc.backend import assemble
from dlc.backend.emit.work import Lowered
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.checks.kernels.bounds import check_bounds
from dlc.checks.kernels.program import check_static
from dlc.checks.kernels.segment import Verdict, case_of
from dlc.program import Kernel, Parameter

MODELS = ("linear_regression", "logistic_regression", "xor", "mlp", "lenet")
# extents of x (i32), y (f32); chunks; lines after `def k(x, y, chunk):`; what is found
INSIDE, WRONG, OPEN = "inside", "wrong", "undecided"
TEXTS = [
    (10, 10, 1, "for i in range(10): y[i] = f32(x[i])", INSIDE),
    (9, 10, 1, "for i in range(10): y[i] = f32(x[i])", WRONG),
    (10, 10, 1, "for i in range(10): y[i] = f32(x[9 - i])", INSIDE),
    (10, 10, 1, "for i in range(10): y[i] = f32(x[8 - i])", WRONG),
    (10, 10, 3, "for i in range(chunk * 4, min((chunk + 1) * 4, 10)): y[i] = f32(x[i])", INSIDE),
    (10, 10, 3, "for i in range(chunk * 4, min((chunk + 1) * 4, 11)): y[i] = f32(x[i])", WRONG),
    (64, 64, 5, "for i in range(min(14, 64 - chunk * 14)): y[chunk * 14 + i] = f32(x[i])", INSIDE),
    (64, 63, 5, "for i in range(min(14, 64 - chunk * 14)): y[chunk * 14 + i] = f32(x[i])", WRONG),
    (9, 9, 1, "for i in range(9): y[i] = f32(x[i - 2]) if i - 2 >= 0 else f32(0.0)", INSIDE),
    (9, 9, 1, "for i in range(9): y[i] = f32(x[i - 2]) if i - 1 >= 0 else f32(0.0)", WRONG),
    (9, 9, 1, "for i in range(9): y[min(max(i64(x[i]), 0), 8)] = f32(1.0)", INSIDE),
    (9, 9, 1, "for i in range(9): y[min(max(i64(x[i]), 0), 9)] = f32(1.0)", WRONG),
    (9, 9, 1, "for i in range(9): y[x[i]] = f32(1.0)", WRONG),
    (9, 9, 1, "for i in range(0, 9, 4): y[i] = f32(x[i])", INSIDE),
    (9, 9, 1, "for i in range(9): y[imod(i, 3) * 3 + idiv(i, 3)] = f32(x[i])", INSIDE),
    (9, 9, 1, "for i in range(9): y[imod(i - 1, 3)] = f32(x[idiv(i - 1, 3)])", WRONG),
    (9, 9, 1, "at_ = 8\n    while at_ > 0 and x[at_ - 1] > x[at_]:\n        at_ -= 1", INSIDE),
    (9, 9, 1, "at_ = 8\n    while at_ >= 0 and x[at_ - 1] > i32(0):\n        at_ -= 1", OPEN),
    (9, 9, 1, "n = 0\n    for i in range(9):\n        if x[i] > i32(0):\n"
              "            y[n] = f32(1.0)\n            n += 1", OPEN),
    (9, 9, 1, "for i in range(9):\n        if i > 6:\n            break\n"
              "        y[i + 2] = f32(0.0)", INSIDE),
    (9, 9, 1, "t = local_i64(3)\n    for i in range(3): t[i] = i * 4\n    y[t[2]] = f32(x[0])",
     INSIDE),
    (9, 9, 1, "t = local_i64(3)\n    for i in range(3): t[i] = i * 5\n    y[t[1]] = f32(x[0])",
     WRONG),
    (9, 9, 1, "t = local_i64(2)\n    for i in range(3): t[i] = i", WRONG),
    # what the first walk proves is not lost when the second expands other loops
    (1, 32, 1, "for p in range(3):\n        for i in range(min(14, 32 - p * 14)):\n"
               "            y[p * 14 + i] = f32(0.0)\n"
               "    for a in range(3000): y[a - a] = f32(x[0])", INSIDE),
]


def verdict(text: str, x: int, y: int, chunks: int) -> Verdict:
    params = (Parameter("x", "i32", "pointer"), Parameter("y", "f32", "pointer", True))
    kernel = Kernel("k", params, f"def k(x, y, chunk):\n    {text}\n")
    return check_bounds(case_of(kernel, {}, (x, y), (0, 0), chunks))


@pytest.mark.parametrize("x, y, chunks, text, expected", TEXTS)
def test_texts(x: int, y: int, chunks: int, text: str, expected: str) -> None:
    found = verdict(text, x, y, chunks)
    assert (WRONG if found.wrong else OPEN if found.undecided else INSIDE) == expected, found


def test_the_message_says_what_is_reached() -> None:
    found = verdict("for i in range(12): y[i] = f32(x[i])", 12, 9, 1)
    assert found.wrong == ["k, line 3: y[i] stores y[0 .. 11] of 9 elements"]


def test_large_loops_need_no_expansion() -> None:
    """10**12 rounds: ranges alone prove them."""
    text = ("for i in range(chunk * 1000, min((chunk + 1) * 1000, 1000000)):\n"
            "        for j in range(1000000): y[j] = f32(x[i])")
    assert verdict(text, 10**6, 10**6, 1000) == Verdict()
    assert verdict(text, 10**6, 10**6 - 1, 1000).wrong


@pytest.mark.swept(3)
@pytest.mark.parametrize("name, isa", [*((name, "avx512") for name in MODELS), ("mlp", "avx2"),
                                       ("lenet", "neon"), ("mlp", "scalar")])
def test_every_access_of_the_bundled_models_is_decided(
        name: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", isa)
    module = __import__(f"dlc.models.{name}", fromlist=["models"])
    (task,) = (v for v in vars(module).values() if isinstance(v, dlc.Task))
    findings = check_static(dlc.compile(task).program)
    assert findings.segments
    assert findings.undecided == []


# --- through the compiler -------------------------------------------------------------------------


def test_compile_refuses_a_kernel_that_leaves_its_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """verify=True names launch, line, access and extent."""
    def longer(work: Any) -> Any:
        text = function_text(work.kernel).replace("range(9)", "range(10)")
        return replace(work, kernel=parse(text, work.kernel.params))

    def planted(*args: Any) -> list[Lowered]:
        return [Lowered(tuple(tuple(map(longer, stage)) for stage in part.stages))
                for part in lower(*args)]

    lower = assemble.lower
    monkeypatch.setattr(assemble, "lower", planted)
    monkeypatch.setattr(assemble, "assembled", inspect.unwrap(assemble.assembled))
    with pytest.raises(dlc.DlcError) as found:
        dlc.compile(dlc.trace(lambda x: x * 2.0, f32[9]), verify=True)
    assert ": x[i] loads x[0 .. 9] of 9 elements" in str(found.value)
    assert "tests/checks/kernels/test_bounds.py" in str(found.value)
