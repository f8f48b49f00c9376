"""Kinds of miscompile that once were silent, planted again: compiling is refused, nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import dlc
from dlc import DlcError, f16, f32, i32
from dlc.backend import assemble
from dlc.backend.contract import pack as contract_pack
from dlc.backend.contract import window as contract_window
from dlc.backend.contract.plan import Box
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir.index import Sum, sum_of
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text
from dlc.checks.static import check_assembled
from dlc.passes import PIPELINE, run_pipeline
from dlc.passes.schedule import in_place

ISAS = ("avx512", "avx2", "neon", "scalar")
CONVOLUTIONS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "2-D": (lambda x, w: dlc.conv(x, w, padding=((0, 2), (1, 1))), [f32[2, 8, 16, 16],
                                                                    f32[8, 8, 1, 3]]),
    "transposed": (lambda x, w: dlc.conv_transpose(x, w, stride=3, dilation=(2, 3)),
                   [f32[1, 4, 5, 6], f32[4, 3, 3, 5]]),
    "3-D": (lambda x, w: dlc.conv(x, w, padding=((0, 1), (1, 1), (1, 1))),
            [f32[1, 4, 5, 6, 7], f32[3, 4, 1, 3, 3]]),
}


def refused(function: Callable[..., Any], types: list[Any], message: str) -> None:
    with pytest.raises(DlcError, match=message) as found:
        dlc.compile(dlc.trace(function, *types), verify=True)  # no program that was kept
    assert "please report the program" in str(found.value)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_window_that_reads_beyond_its_operand(name: str, isa: str,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """Only sliding axes are asked where they end; one tap more, and padding is read from memory."""
    def plain(entry: Sum, extent: int) -> bool:
        return is_lead(entry, max(extent, entry.high + 1))

    is_lead = contract_window.is_lead
    monkeypatch.setattr(contract_window, "is_lead", plain)
    monkeypatch.setattr(contract_window, "is_known", lambda condition, padded: True)
    monkeypatch.setenv("DLC_CPU", isa)
    refused(*CONVOLUTIONS[name], r"copy_f32\(.* loads x\w*\[\d+ \.\. \d+\] of \d+ elements")


def from_the_start(e: Emitter, run: Any, most: int) -> Any:
    """Parts of a run as if it were the whole sum: cut from 0, each by its place in the whole."""
    extents = run.box.extents
    whole = replace(run, box=Box(extents, run.box.axis, extents[run.box.axis]), start=Sum(),
                    size=sum_of(extents[run.box.axis]))
    return part_of(e, whole, most)


part_of = contract_pack.part_of


@pytest.mark.parametrize("kind", [f32, f16])
def test_packing_that_overruns_its_buffer(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_pack, "part_of", from_the_start)
    monkeypatch.setenv("DLC_CPU", "scalar")
    refused(lambda x, y: (x * 0.5) @ y, [kind[3, 5000], kind[5000, 2]],
            r"transpose_f32\(.* stores ap\[\d+ \.\. \d+\] of \d+ elements")


@pytest.mark.parametrize("isa", ISAS)
def test_a_result_over_an_operand_that_is_still_read(isa: str,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def folds(m: Any, div: Any, sub: Any, sign: Any) -> Any:
        m, div, sub, sign = (dlc.cumsum(v, 0) for v in (m, div, sub, sign))
        weighted = dlc.grad(lambda z: (dlc.avg_pool(z, 2, stride=1) * 4.0 * m).sum())
        fold = weighted(dlc.zeros((1, 6, 2, 3)))
        a = fold * div
        return a, sign.sum() * sub + a, fold.sum((0, 1))

    monkeypatch.setattr(in_place, "one_visit", lambda body, outputs: True)
    monkeypatch.setenv("DLC_CPU", isa)
    refused(folds, [f32[1, 6, 1, 2], f32[1, 6, 2, 3], f32[1, 6, 2, 3], f32[1, 1, 1, 2]],
            r"loads \w+\[\d+\], which line \d+ has overwritten")


def test_chunks_that_overlap_by_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def wider(*args: Any) -> Any:
        parts = lower(*args)
        return [replace(part, stages=tuple(tuple(
            replace(w, kernel=parse(function_text(w.kernel).replace(
                ", min(chunk * ", ", min(1 + chunk * "), w.kernel.params)) for w in stage)
            for stage in part.stages)) for part in parts]

    lower = assemble.lower
    monkeypatch.setattr(assemble, "lower", wider)
    refused(lambda x: dlc.exp(x) * 2.0, [f32[300, 1000]],
            r"chunks 0 and 1 meet at \w+\[\d+\]")


def test_a_barrier_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    original = assemble.steps_of
    monkeypatch.setattr(assemble, "steps_of", lambda *given: tuple(
        replace(step, barrier=False) for step in original(*given)))
    refused(lambda x: dlc.cumsum(dlc.cumsum(x, 1), 0), [f32[64, 40]], "no barrier stands between")


def test_what_stays_undecided_is_the_sorts_alone() -> None:
    """Places that a sort computes from what it counted and compared are not followed."""
    def sorts(x: f32[3, 200]) -> Any:
        return dlc.argsort(x, 1), dlc.sort(x * 2.0, 1)

    graph = run_pipeline(dlc.trace(sorts), None, PIPELINE)[-1].graph
    left = check_assembled(*assemble.assembled("sorts", {"main": graph}, "cpu", "avx512"))
    assert left
    assert all("argsort" in line for line in left)


def sum_of_nothing(x: f32[3, 0]) -> Any:
    return x.sum(1) + 1.0


def product_over_nothing(x: f32[5, 6], w: f32[0, 300]) -> Any:
    return x[:, 6:] @ w


def row_of_nothing(x: f32[4, 7]) -> Any:
    return dlc.exp(x[:, 7:]).prod(1), x * 2.0


def sum_of_no_columns(x: f32[2, 2], index: i32[2, 0]) -> Any:
    return dlc.take_along_axis(x, index, 1).sum()


@pytest.mark.parametrize("function", [sum_of_nothing, product_over_nothing, row_of_nothing,
                                      sum_of_no_columns])
def test_nothing_is_loaded_in_loops_of_no_round(function: Callable[..., Any]) -> None:
    """What is known outside of a loop is loaded outside of it: from operands without elements too,
    unless such loops are left out."""
    assert dlc.compile(function, verify=True).kernels


def test_an_index_that_nothing_is_read_at_is_a_number() -> None:
    """Rows of random bits taken at computed places: only the generator's position depends on them,
    so where the text is read they are scalars, in the kernel over its axes too."""
    def rows(order: i32[6], again: i32[6]) -> Any:
        noise = dlc.random.bits((6, 17), name="noise")
        return noise + dlc.take(noise, dlc.take(order, again, 0), 0)

    compiled = dlc.compile(dlc.trace(rows), verify=True)
    assert len(compiled.program.kernels) >= 1
