"""Parallel axes cut into chunks: any cut of any kernel leaves what its axes say, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from math import prod
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn
from dlc.backend import assemble
from dlc.backend.cpu.mapping import axes_of, chunked, finest
from dlc.backend.draft import Draft
from dlc.backend.emit.fold import folded
from dlc.backend.emit.work import Work
from dlc.backend.ir import Function
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text, kernel_of
from dlc.ir.types import Type
from dlc.passes import run_pipeline
from dlc.passes.schedule.lives import Scratch
from dlc.program import Program
from dlc.runtime.compile.plain import UNCUT, Pointer
from dlc.runtime.reference.interpret import kernel_function
from tests.fuzzing.building import SMALL

PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Type, ...]]] = {
    "rows": (nn.softmax, (f32[40, 6],)),
    "blocks of columns": (lambda x: dlc.sum(x, axis=1) * 0.5, (f32[3, 7, 21],)),
    "parts": (dlc.sum, (f32[500],)),
    "scatter": (lambda x, at: dlc.segment_sum(x, at, 4), (f32[9, 21], i32[9])),
    "gemm": (lambda a, b: dlc.tanh(a @ b), (f32[40, 12], f32[12, 40])),
    "packed apart": (lambda a, b: dlc.tanh(a @ b), (f32[90, 30], f32[30, 15])),
    "gemm in boxes": (lambda a, b: a @ b, (f32[2, 40, 35], f32[2, 35, 20])),
    "sums in parts": (lambda a, b: a @ b, (f32[3, 90], f32[90, 4])),
    "small matrices": (dlc.linalg.expm, (f32[7, 3, 3],)),
    "sorted rows": (lambda x: dlc.argsort(x, axis=1), (f32[9, 12],)),
    "running sums": (lambda x: dlc.cumsum(x, axis=1), (f32[2, 3, 70],)),
    "images": (dlc.conv, (f32[5, 2, 6, 6], f32[3, 2, 3, 3])),
}


def works(name: str) -> tuple[Program, list[Work]]:
    """All kernels that are emitted of a program at limits that cut it into many chunks."""
    function, types = PROGRAMS[name]
    graph = run_pipeline(dlc.trace(function, *types))[-1].graph
    program, drafts = assemble.assembled("f", {"main": graph}, "cpu", "avx2", limits=SMALL)
    return program, [w for d in drafts for w in of_draft(d) if w.whole is not None]


def of_draft(draft: Draft) -> Iterator[Work]:
    for parts in draft.lowered.values():
        for part in parts:
            for stage in part.stages:
                yield from stage


def run(function: Function, chunks: int | None, program: Program, work: Work,
        backwards: bool = False) -> list[Any]:
    """The buffers after all chunks of a kernel, or after its axes where `chunks` is None."""
    rng, arguments = np.random.default_rng(7), []
    for parameter, operand in zip(function.params, work.operands, strict=False):
        if isinstance(operand, (int, float)):
            arguments.append(operand)
            continue
        size = operand.size if isinstance(operand, Scratch) else int(operand.type.size)
        drawn = rng.integers(0, 9, size) if parameter.dtype[0] in "iu" else rng.normal(size=size)
        arguments.append(Pointer(drawn.astype(parameter.dtype.replace("f", "float")
                                              .replace("i", "int")), 0))
    kernel = kernel_of(folded(function))
    found = kernel_function(kernel, program.prelude, program.tiles)
    with np.errstate(all="ignore"):
        for chunk in range(chunks or 0)[::-1 if backwards else 1]:
            found(*arguments, chunk)
        if chunks is None:
            found(*arguments)
    return [a.array.tobytes() for a in arguments if isinstance(a, Pointer)]


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", PROGRAMS)
def test_any_cut_leaves_the_same(name: str) -> None:
    program, found = works(name)
    assert any(w.chunks > 1 for w in found)
    for work in found:
        assert work.whole is not None
        want = run(work.whole, None, program, work)
        assert run(work.kernel, work.chunks, program, work, True) == want
        axes = {a.var: a.high.const for a in axes_of(work.whole.body)}
        for order in list(permutations(axes))[:3]:
            cuts = dict(zip(order, (1, 3, 1), strict=False))
            kernel, chunks = chunked(work.whole, cuts)
            assert chunks == prod(-(-axes[var] // grain) for var, grain in cuts.items())
            assert run(kernel, chunks, program, work, True) == want


@pytest.mark.parametrize("name", PROGRAMS)
def test_kernels_over_their_axes_are_read_as_they_print(name: str) -> None:
    for work in works(name)[1]:
        assert work.whole is not None
        whole = folded(work.whole)
        text = function_text(whole)
        assert ("in parallel(" in text) is (work.chunks > 1 or bool(finest(whole)))
        assert "chunk" not in text.partition("):")[0]
        assert parse(text, whole.params) == whole


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", PROGRAMS)
def test_positions_and_vectors_run_in_any_order(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kernel says of its loops is so: in another order they leave the same bits."""
    program, found = works(name)
    texts = [function_text(w.whole) for w in found if w.whole is not None]
    assert any("in vector(" in t or "in parallel(" in t for t in texts)
    want = [run(w.whole, None, program, w) for w in found if w.whole is not None]

    def shuffled(*bounds: int) -> list[int]:
        return [int(i) for i in rng.permutation(range(*bounds))]

    rng = np.random.default_rng(5)
    for word in ("parallel", "vector"):
        monkeypatch.setitem(UNCUT, word, shuffled)
    assert [run(w.whole, None, program, w) for w in found if w.whole is not None] == want


@pytest.mark.parametrize("name, into", [("rows", "max"), ("parts", "total"), ("images", "")])
def test_reductions_name_what_they_fold_into(name: str, into: str) -> None:
    texts = "".join(function_text(folded(w.whole)) for w in works(name)[1] if w.whole)
    assert (f", into=[{into}" if into else "range(") in texts
    assert ("in reduce(" in texts) is bool(into)
