"""docs/ir.md: its examples are a graph and a kernel, its tables are the compiler's own."""

from __future__ import annotations

import re
from dataclasses import is_dataclass, replace

import numpy as np
import pytest

import dlc
from dlc.backend import ir
from dlc.backend.assemble import assembled
from dlc.backend.emit.fold import folded
from dlc.backend.ir import For, Function
from dlc.backend.ir.index import Sum
from dlc.backend.ir.parser import parse
from dlc.backend.ir.printer import function_text, kernel_of
from dlc.ir.types import promotion_table
from dlc.program import Program
from dlc.reference.text import parse_text
from dlc.reference.verify import verify
from dlc.runtime.compile.plain import Pointer
from dlc.runtime.compile.primitives import PRIMITIVES
from dlc.runtime.reference.interpret import kernel_function
from tests.documents import ROOT, blocks, with_texts
from tests.test_golden import compile_model

PAGE = ROOT / "docs" / "ir.md"
BLOCKS = {b.note: b for b in blocks(PAGE.read_text()) if b.note}


def test_the_example_is_a_graph() -> None:
    """It parses, is sound, and printing and parsing it again changes nothing."""
    parsed = parse_text(BLOCKS["graph"].text)
    graph = parsed.graph
    verify(graph)
    assert sorted(parsed.offsets.values()) == [0x40, 0x80]
    assert graph.updates == {"count": "count"}
    assert [str(loc) for loc in graph.outputs[0].locs] == ["models/mine.py:10"]
    assert graph.outputs[0].args[0].type.layout == (1, 0)
    text = dlc.print_graph(graph, parsed.offsets)
    again = parse_text(text)
    assert dlc.print_graph(again.graph, again.offsets) == text
    arrays = np.ones((4, 3), np.float32), np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    assert dlc.evaluate(graph, *arrays, np.int32(6))["count"] == 7


def test_promotion_table(request: pytest.FixtureRequest) -> None:
    block = BLOCKS["promotion"]
    if request.config.getoption("--update-golden"):
        PAGE.write_text(with_texts(PAGE.read_text(), [(block, promotion_table() + "\n")]))
        return
    assert block.text == promotion_table() + "\n"


@pytest.fixture(scope="module")
def conv2() -> tuple[Function, Program]:
    """LeNet's second convolution, on its parallel axes, and the program it is part of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLC_CPU", "avx512")
        graph = compile_model("lenet").records["train"][-1].graph
        program, drafts = assembled("lenet", {"train": graph}, "cpu", "avx512")
    found = [w.whole for parts in drafts[0].lowered.values() for part in parts
             for stage in part.stages for w in stage if w.whole and "conv2_bias" in
             {p.name for p in w.whole.params} and "packed" in {p.name for p in w.whole.params}]
    return folded(found[0]), program


def test_conv2_is_printed_and_parsed(conv2: tuple[Function, Program],
                                     request: pytest.FixtureRequest) -> None:
    function, _ = conv2
    text, block = function_text(function), BLOCKS["conv2"]
    if request.config.getoption("--update-golden"):
        PAGE.write_text(with_texts(PAGE.read_text(), [(block, text)]))
        return
    assert block.text == text
    assert parse(block.text, function.params) == function


def test_conv2_is_run(conv2: tuple[Function, Program]) -> None:
    """The kernel that is read from the page, at the first position of its axis: four images."""
    function, program = conv2
    (axis,) = parse(BLOCKS["conv2"].text, function.params).body
    assert isinstance(axis, For)
    kernel = kernel_of(replace(function, body=(replace(axis, high=Sum(1)),)))
    rng = np.random.default_rng(1)
    x, w, b = (rng.normal(size=s).astype(np.float32)
               for s in ((64, 6, 14, 14), (16, 6, 5, 5), (16,)))
    packed = np.ascontiguousarray(w.reshape(2, 8, 150).transpose(0, 2, 1))
    found = np.zeros((64, 16, 10, 10), np.float32)
    given = {"avg_pool1": x, "conv2_bias": b, "tanh2": found, "packed": packed}
    kernel_function(kernel, program.prelude, program.tiles)(
        *(Pointer(given[p.name].reshape(-1)) for p in function.params))
    x, found = x[:4], found[:4]
    seen = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (5, 5), (2, 3))
    exact = np.einsum("ncyxij,ocij->noyx", seen, w.astype(np.float64)) + b[:, None, None]
    size = np.einsum("ncyxij,ocij->noyx", abs(seen), abs(w)) + abs(b)[:, None, None]
    # 150 products and their sum in f32, whose error tanh does not enlarge; then tanh's own 1.5 ulp
    bound = 152 * 2.0**-24 * size + 1.5 * 2.0**-24
    assert (abs(found - np.tanh(exact)) <= bound).all()


def test_every_primitive_is_named() -> None:
    table = PAGE.read_text().split("Primitives, each")[1].split("Beyond them")[0]
    words = {w for quoted in re.findall(r"`([^`]*)`", table) for w in re.findall(r"\w+", quoted)}
    prose = {"condition", "a", "b", "buffer", "offset", "runtime", "compile", "primitives", "py"}
    assert words - prose == set(PRIMITIVES)


def test_every_form_of_the_loop_language_is_named() -> None:
    text = PAGE.read_text()
    forms = [kind for kind in vars(ir).values() if is_dataclass(kind)
             and kind.__module__ == ir.__name__]
    assert len(forms) == 23
    for kind in forms:
        assert re.search(rf"^    {kind.__name__} +:=", text, re.M), kind
