"""What a line became, why a value is kept and why two are apart, in words; graphs as pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import networkx
import pytest

import dlc
from dlc import f32
from dlc.cli import main
from dlc.errors import DlcError, Loc
from dlc.inspector.draw import MOST, dot, svg, to_networkx
from dlc.inspector.explain import explain, place_at
from dlc.inspector.notebook import graph_picture, program_page
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type
from dlc.ops import leaf
from dlc.passes import run_pipeline
from tests.inspector.programs import HOSTILE, compiled, inspection


def line(text: str, name: str = "lenet") -> int:
    found = inspection(name)
    return next(p for p in range(len(found.places)) if text in found.source(p))


def test_a_line_in_words() -> None:
    """Its three parts, its launches, what it stores and why, what it holds."""
    told = explain(inspection("lenet"), line("nn.conv(16, 5)"))
    assert told.startswith("models/lenet.py:15: nn.conv(16, 5), tanh, nn.avg_pool(2),")
    for part in ("forward", "backward", "optimizer", "conv_tanh", "contraction",
                 "stores", "tanh2: f32[16, 16, 10, 10]", "% of the arithmetic"):
        assert part in told or part == "contraction", part
    assert "a block of the product has parts of many sums" in told


def test_a_line_of_which_nothing_is_left() -> None:
    with pytest.raises(DlcError, match=r"nothing of lenet came of models/lenet.py:1\b") as found:
        place_at(inspection("lenet"), "models/lenet.py", 1)
    assert "14" in found.value.hint
    with pytest.raises(DlcError, match=r"came of other\.py:14") as found:
        place_at(inspection("lenet"), "other.py", 14)
    assert "models/lenet.py" in found.value.hint


def test_why_a_value_is_kept() -> None:
    program = compiled("lenet")
    assert "reads it: a block of the product" in program.why_kept("tanh2")
    assert "kept from one step to the next" in program.why_kept("conv1.weight")
    assert "is not kept: it is computed inside launch" in program.why_kept("dense1")
    with pytest.raises(DlcError, match=r"no value of lenet is called 'tahn2' \(did you mean tanh2"):
        program.why_kept("tahn2")


def test_why_two_are_apart() -> None:
    program = compiled("lenet")
    assert "they are one launch" in program.why_not_fused("conv2", "tanh2")
    assert "a block of the product" in program.why_not_fused("tanh2", "avg_pool2")
    assert "neither launch reads" in program.why_not_fused("tanh1", "logits")


@pytest.mark.parametrize(("question", "told"), [
    (lambda p: p.why_kept("tanh_1"), r"no value of lenet is called 'tanh_1' \(did you mean tanh1"),
    (lambda p: p.why_kept(3), "a value's name is a text, not 3"),
    (lambda p: p.why_not_fused("tanh1", None), "a value's name is a text, not None"),
    (lambda p: p.why_not_fused("", "tanh1"), "no value of lenet is called ''"),
    (lambda p: p.largest(0), "a whole number from 1, not 0"),
    (lambda p: p.largest("3"), "a whole number from 1, not '3'"),
    (lambda p: p.largest(2.5), "a whole number from 1, not 2.5"),
    (lambda p: p.largest(True), "a whole number from 1, not True"),
])
def test_questions_that_make_no_sense(question: Callable[[Any], Any], told: str) -> None:
    """One error each, at the line that asks."""
    with pytest.raises(DlcError, match=told) as caught:
        question(compiled("lenet"))
    assert caught.value.loc is not None and caught.value.loc.file == __file__


def test_what_is_given_is_made_by_no_launch() -> None:
    told = compiled("lenet").why_not_fused("conv1.weight", "tanh1")
    assert told == "train: conv1.weight is given: no launch makes it"


def test_a_planted_large_value_is_the_first() -> None:
    """40 MB that one line makes: `largest` names it and its line."""
    def wasteful(x: f32[64, 64], w: f32[64, 163840]) -> Node:
        wide = x @ w
        return (wide.sum(1) + dlc.sort(wide, axis=1)[:, 0]).sum()

    program = dlc.compile(wasteful)
    values = [v for v in program.largest(4) if v.name == "wide"]
    assert values and values[0].bytes == 64 * 163840 * 4
    assert program.inspection.source(values[0].place) == "wide = x @ w"


def test_pictures_of_a_graph() -> None:
    """As many nodes and edges in every form as the graph has; names are escaped."""
    graph = run_pipeline(compiled("loop").source.graphs["main"])[-1].graph
    made = graph.to_networkx()  # type: ignore[attr-defined]
    names = set(made.nodes)
    assert networkx.is_directed_acyclic_graph(made)
    assert all(data["lines"] and data["part"] for _, data in made.nodes(data=True))
    assert sum(dot(graph).count(f'  "{n}" [') for n in names) == len(names)
    assert dot(graph).count(" -> ") == made.number_of_edges()
    picture = ET.fromstring(svg(graph))
    spaced = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{spaced}g")) == len(names)
    assert len(picture.findall(f"{spaced}path")) == made.number_of_edges()


def test_names_in_pictures_are_texts() -> None:
    x = leaf.input_("x", Type(dlc.f32, (2,)))
    x.locs = (Loc(HOSTILE, 1),)
    graph = Graph(HOSTILE, (x,), (dlc.exp(x),), ("out",))
    assert [e.tag.rpartition("}")[2] for e in ET.fromstring(svg(graph))] == [
        "title", "path", "g", "g"]
    assert dot(graph).count("\n") == 6
    assert to_networkx(graph).number_of_nodes() == 2


def test_a_graph_too_large_for_a_picture() -> None:
    x = leaf.input_("x", Type(dlc.f32, (2,)))
    y: Node = x
    for _ in range(MOST):
        y = dlc.sin(y)
    graph = Graph("long", (x,), (y,), ("out",))
    with pytest.raises(ValueError, match="601 nodes"):
        svg(graph)
    assert graph_picture(graph) is None


def test_a_notebook_shows_a_program() -> None:
    page = program_page(compiled("loop"))
    ET.fromstring(f"<div>{page}</div>")
    assert compiled("loop")._repr_html_() == page
    shown = SimpleNamespace(inspection=inspection("lenet"))
    assert "models/lenet.py:14" in program_page(shown)  # type: ignore[arg-type]


def test_explain_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "xor:18"]) in (0, 2)
    assert main(["explain", "xor"]) == 2
    told = capsys.readouterr()
    assert "is not FILE:LINE, e.g. lenet:15" in told.err


def test_show_for_other_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "xor", "--dot"]) == 0
    assert capsys.readouterr().out.startswith("digraph")
    assert main(["show", "xor", "--svg", "--after", "input"]) == 0
    ET.fromstring(capsys.readouterr().out)
    assert main(["show", "xor", "--svg", "--after", "plan_memory"]) == 2
