"""Loops that are not of the kind that they say: each is found, and those that are pass."""

from __future__ import annotations

import pytest

from dlc.backend.ir import For, Function
from dlc.backend.ir.carried import folded_into, is_vector
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.checks.kernels.kinds import check_kinds
from dlc.program import Parameter

PARAMS = (Parameter("x", "f32", "pointer"), Parameter("y", "f32", "pointer", True))
INTO = "into=[total], by=lambda total, total_: total + total_"
SUM = f"total = f32(0.0)\nfor r in reduce(9, {INTO}): total = total + x[r]\ny[0] = total"
# statements of a kernel k(x, y); what is found of them, "" if nothing
TEXTS = [
    ("for j in vector(60): y[j] = y[j] + x[j]", ""),
    ("for j in vector(60):\n    t = x[j]\n    y[j * 2 + 3] = t * t", ""),
    ("for j in vector(60): y[j] = y[j + 1]", "may meet in y"),
    ("for j in vector(60): y[idiv(j, 2)] = x[j]", "may meet in y"),
    ("for j in vector(60): y[3] = x[j]", "may meet in y"),
    ("for i in range(9):\n    for j in vector(6): y[i] = x[j]", "may meet in y"),
    ("for j in vector(6):\n    for i in range(9): y[j * 9 + i] = x[j]", "more than values"),
    ("t = x[0]\nfor j in vector(60):\n    y[j] = t\n    t = x[j]", "leaves t to its next round"),
    (SUM, ""),
    (SUM.replace(INTO, "into=[total]"), "does not say how"),
    (SUM.replace(INTO, "into=[]"), "does not name it"),
    (SUM.replace("f32(0.0)", "x[9]"), "begins with a total that is not a number"),
    (f"total = f32(0.0)\nfor r in reduce(9, {INTO}):\n"
     f"    for s in reduce(4, {INTO}): total = total + x[r * 4 + s]\ny[0] = total", ""),
    ("a = f32(0.0)\nb = f32(1.0)\nfor r in reduce(9, into=[a], by=lambda a, a_: a + a_):\n"
     "    a = a + b * x[r]\n    b = b * x[r]\ny[0] = a", "leaves b to its next round"),
]


def kernel(text: str) -> Function:
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    return parse(f"def k(x, y):\n{body}", PARAMS)


@pytest.mark.parametrize("text, expected", TEXTS)
def test_kinds(text: str, expected: str) -> None:
    function = kernel(text)
    found = check_kinds(function)
    assert (expected in found[0] and len(found) == 1) if expected else not found, found
    assert parse(function_text(function), PARAMS) == function


@pytest.mark.parametrize("text, expected", [t for t in TEXTS if "vector" in t[0]])
def test_a_loop_is_called_a_vector_where_it_is_one(text: str, expected: str) -> None:
    loops = [s for s in kernel(text).body if isinstance(s, For)]
    while isinstance(loops[-1].body[0], For):
        loops.append(loops[-1].body[0])
    loop = next(s for s in loops if s.kind == "vector")
    assert is_vector(loop.var, loop.body) is (expected == "")


@pytest.mark.parametrize("text, into", [
    ("for r in range(9): t = t + x[r]", ("t",)),
    ("for r in range(9):\n    u = x[r]\n    t = t + u", ("t",)),
    ("b = local_f32(4)\nfor r in range(9):\n"
     "    for j in vector(4): b[j] = b[j] + x[r * 4 + j]", ("b",)),
    ("b = local_f32(4)\nfor r in range(9):\n    for j in vector(4): b[j] = x[r * 4 + j]\n"
     "    for j in vector(4): t = t + b[j]", ("t",)),
    ("for r in range(9):\n    t = t + x[r]\n    y[r] = y[r] + t", ("t",)),
    ("for r in range(9):\n    t = t + x[r]\n    y[r] = y[r + 1] + t", None),
    ("for r in range(9):\n    t = t + x[r]\n    copy_f32(y, 4, x, 4, 1, 4)", None),
    ("for r in range(9): y[r] = x[r]", ()),
], ids=["name", "let", "buffer", "cleared", "in place", "neighbours", "tile", "nothing"])
def test_what_rounds_fold_into(text: str, into: tuple[str, ...] | None) -> None:
    loop = kernel(f"t = f32(0.0)\n{text}").body[-1]
    assert isinstance(loop, For)
    assert folded_into(loop.var, loop.body) == into


@pytest.mark.parametrize("rounds", [
    "9", "9, into=total", "9, into=[total], by=3", "9, into=[total], by=lambda a, b: a + b",
    "9, into=[total], to=[total]"])
def test_reductions_that_do_not_say_how_are_refused(rounds: str) -> None:
    with pytest.raises(ValueError, match="line 3"):
        kernel(f"total = f32(0.0)\nfor r in reduce({rounds}): total = total + x[r]")
