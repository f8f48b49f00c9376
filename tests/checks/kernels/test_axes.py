"""Parallel axes that are none: loops whose positions share what one of them writes are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

import dlc
from dlc import f32
from dlc.backend import assemble
from dlc.backend.emit.work import Lowered
from dlc.backend.ir import For, Statement
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import kernel_of
from dlc.checks.axes import check_axes
from dlc.checks.kernels.axes import check_positions, check_structure, one_by_one
from dlc.checks.kernels.segment import case_of
from dlc.checks.works import Works
from dlc.errors import DlcError
from dlc.passes import run_pipeline
from dlc.program import Parameter

PARAMS = (Parameter("x", "f32", "pointer"), Parameter("y", "f32", "pointer", True))
# lines after `def k(x, y):`, x and y of 60 elements; what is found of them, "" if nothing
STRUCTURES = [
    ("for i in parallel(60): y[i] = x[i]", ""),
    ("a = x[0]\n    for i in parallel(60): y[i] = a", ""),
    ("for b in parallel(6):\n        t = shared_f32(4)\n        t[0] = x[b]\n"
     "        for i in parallel(10): y[b * 10 + i] = t[0]", ""),
    ("total = f32(0.0)\n    for i in parallel(60): total = total + x[i]", "assign total"),
    ("for b in parallel(6):\n        t = local_f32(4)\n        t[0] = x[b]\n"
     "        for i in parallel(10): y[b * 10 + i] = t[0]", "use the stack buffer t"),
    ("for b in parallel(6):\n        t = shared_f32(4)\n"
     "        for i in parallel(10): t[0] = x[i]", "write the buffer t"),
    ("t = shared_f32(4)\n    for i in parallel(60): copy_f32(t, 4, x, 4, 1, 4)",
     "write the buffer"),
    ("for r in range(6):\n        for i in parallel(10): y[r * 10 + i] = x[i]", "stands in a loop"),
    ("for i in parallel(60): y[i] = x[i]\n    y[0] = x[0]", "statements follow"),
]
# the same, of what positions store and load
POSITIONS = [
    ("for i in parallel(60): y[i] = y[i] + x[i]", ""),
    ("for i in parallel(30):\n        for r in range(2): y[i * 2 + r] = x[i]", ""),
    ("for i in parallel(6):\n        for j in parallel(10): y[i * 10 + j] = x[i]", ""),
    ("for i in parallel(59): y[i] = y[i + 1]", "meet at y[1]"),
    ("for i in parallel(30):\n        for r in range(3): y[i * 2 + r] = x[i]", "meet at y[2]"),
    ("for i in parallel(7):\n        for j in parallel(10): y[i * 5 + j] = x[i]", "meet at y[5]"),
    ("for i in parallel(60): y[0] = y[0] + x[i]", "positions 0 and 1 meet at y[0]"),
]


@pytest.mark.parametrize("text, expected", STRUCTURES)
def test_structures(text: str, expected: str) -> None:
    found = check_structure(parse(f"def k(x, y):\n    {text}\n", PARAMS))
    assert (expected in found[0] and len(found) == 1) if expected else not found, found


@pytest.mark.parametrize("text, expected", POSITIONS)
def test_positions(text: str, expected: str) -> None:
    function = parse(f"def k(x, y):\n    {text}\n", PARAMS)
    assert not check_structure(function)
    single, count = one_by_one(function)
    found = check_positions(case_of(kernel_of(function), {}, (60, 60), (0, 0), count, single))
    assert not found.undecided
    assert (expected in found.wrong[0] if expected else not found.wrong), found


def test_long_axes_are_shortened() -> None:
    function = parse("def k(x, y):\n    for i in parallel(1000000):\n"
                     "        for j in parallel(3): y[i * 2 + j] = x[i]\n", PARAMS)
    single, count = one_by_one(function, 100)
    assert 50 < count <= 100
    found = check_positions(case_of(kernel_of(function), {}, (2000002, 2000002), (0, 0),
                                    count, single))
    assert "meet at y[2]" in found.wrong[0]


def test_a_serial_loop_marked_parallel_by_mistake_is_found() -> None:
    """The loop in which a sum adds up: its positions assign the total."""
    graph = run_pipeline(dlc.trace(lambda x: dlc.sum(x, axis=1), f32[40, 200]))[-1].graph
    program, drafts = assemble.assembled("f", {"main": graph}, "cpu", "avx2")
    assert check_axes(Works(program, drafts)) == []
    ((launch, ((part,)),),) = drafts[0].lowered.items()
    ((work,),) = part.stages
    assert work.whole is not None
    wrong = replace(work.whole, body=marked(work.whole.body, "r"))
    drafts[0].lowered[launch] = [Lowered(((replace(work, whole=wrong),),))]
    with pytest.raises(DlcError, match=r"test_axes.py.*statements follow the parallel axis r"):
        check_axes(Works(program, drafts))
    assert "positions of the parallel axis r assign sum, which they share" in check_structure(wrong)


def marked(statements: Sequence[Statement], var: str) -> tuple[Statement, ...]:
    """The statements with the loop over `var` taken for a parallel axis."""
    return tuple(replace(s, body=marked(s.body, var), kind="parallel" if s.var == var else s.kind)
                 if isinstance(s, For) else s for s in statements)
