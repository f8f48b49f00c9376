"""docs/ir.md: its example is a graph, its tables are the compiler's own."""

from __future__ import annotations

import re
from dataclasses import is_dataclass

import numpy as np
import pytest

import dlc
from dlc.backend import ir
from dlc.ir.types import promotion_table
from dlc.reference.text import parse_text
from dlc.reference.verify import verify
from dlc.runtime.compile.primitives import PRIMITIVES
from tests.documents import ROOT, blocks, with_texts

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
