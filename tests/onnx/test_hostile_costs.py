"""Models made to take long, and names made to be shown: both are bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

import dlc
from dlc.cli import main
from dlc.ir.graph import Build, building
from dlc.onnx import convert
from dlc.onnx.call import array
from dlc.onnx.known import Known
from tests.onnx.models import BOOL, I64, initializer, model, node, one, perceptron, value
from tests.onnx.test_hostile import ROWS, refused


def test_products_that_would_take_long() -> None:
    """Few elements, 2**33 products."""
    nodes = [node("ConstantOfShape", ["n"], ["a"]), node("MatMul", ["a", "a"], ["b"]),
             node("ReduceSum", ["b"], ["sum"], keepdims=0), node("Cast", ["sum"], ["s"], to=I64),
             node("Unsqueeze", ["s", "zero"], ["shape"]), node("Reshape", ["x", "shape"], ["y"])]
    refused(model(nodes, [value("x")], [value("y", shape=None)],
                  [initializer("n", [2**11, 2**11]), initializer("zero", [0])]),
            "would be computed that take more than")


class Counted(dict[Any, Any]):
    """A dict that counts how often it is asked whether it has a key."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)


def test_what_is_known_is_not_visited_again() -> None:
    """2,000 shapes, each computed from the one before, took half a minute."""
    knows = Known(found=Counted())
    with building(Build()):
        node = one_ = array(np.array([1, 0]))
        for i in range(300):
            node = node + one_
            assert knows.known(node, "a sum").tolist() == [i + 2, 0]
    assert knows.found.asked < 300 * 10


def test_names_that_would_pass_for_messages() -> None:
    for change in (lambda p: setattr(p.graph.node[0], "op_type", "Rel\nforged"),
                   lambda p: setattr(p.graph.node[0], "name", "a\nforged"),
                   lambda p: setattr(p.graph.input[0], "name", "a\nforged"),
                   lambda p: setattr(p.graph.initializer[0], "name", "a\nforged")):
        proto = perceptron()
        change(proto)
        refused(proto, r"\\nforged' has several lines")
    proto = perceptron()
    proto.doc_string = proto.graph.doc_string = "two\nlines"
    assert dlc.onnx.load(proto.SerializeToString()).parameters


def test_names_that_a_terminal_acts_on_and_long_ones() -> None:
    proto = one("\x1b[2J" + "N" * 10**6, [value("x")])
    with pytest.raises(dlc.DlcError, match=r"\\x1b\[2JNN.*characters") as caught:
        dlc.evaluate(dlc.onnx.load(proto.SerializeToString()), ROWS)
    assert len(str(caught.value)) < 4000 and "\x1b" not in str(caught.value)


def test_a_sequence_of_too_many_parts() -> None:
    refused(model([node("SplitToSequence", ["x"], ["s"]), node("SequenceLength", ["s"], ["y"])],
                  [value("x", shape=(2**30,))], [value("y", I64, ())]),
            "at most 32768", x=np.zeros(1, np.float32))


def test_a_loop_over_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its graph has no operators, and its condition is a constant of the graph around."""
    monkeypatch.setattr(convert, "OPERATORS", 300)
    body = helper.make_graph([], "body", [value("i", I64, ()), value("c", BOOL, ()), value("v")],
                             [value("yes", BOOL, ()), value("v")])
    refused(model([node("Loop", ["m", "", "x"], ["y"], body=body)], [value("x")], [value("y")],
                  [initializer("m", np.array(2**62)), initializer("yes", np.array(True))]),
            "more than 300 operators")


def costs() -> Iterator[tuple[str, Any, str]]:
    x, y = value("x", shape=(2**22, 1)), value("y", shape=None)

    def given(operator: str, names: list[str], arrays: dict[str, Any], **attributes: Any) -> Any:
        return model([node(operator, names, ["y"], **attributes)], [x], [y],
                     [initializer(k, np.asarray(v)) for k, v in arrays.items()])

    yield "mel", given("MelWeightMatrix", ["bins", "dft", "rate", "low", "high"], {
        "bins": 2**23, "dft": 2, "rate": 8000, "low": np.float32(1), "high": np.float32(9)}), "mel"
    yield "window", given("HannWindow", ["n"], {"n": 2**40}), "a window of"
    yield "rows", model([node("Resize", ["x", "", "", "s"], ["y"], mode="linear")],
                        [value("x", shape=(1, 2))], [y], [initializer("s", [2**20, 2])]), "steps"
    yield "crop", model(
        [node("Resize", ["x", "roi", "", "s"], ["y"],
              coordinate_transformation_mode="tf_crop_and_resize")], [value("x", shape=(2, 2))],
        [y], [initializer("s", [2**20, 2**20]), initializer("roi", np.float32([0, 0, 1, 1]))]), (
        "mask of a crop")
    yield "complex", model([node("DFT", ["x"], ["y"], axis=0)],
                           [value("x", shape=(4, 2**30))], [y]), "in its last axis"
    yield "einsum", model([node("Einsum", ["x"] * 33, ["y"], equation=",".join("a" * 33) + "->a")],
                          [value("x", shape=(3,))], [y]), "33 operands"
    yield "ngrams", model(
        [node("TfIdfVectorizer", ["x"], ["y"], mode="TF", min_gram_length=1, max_gram_length=2,
              max_skip_count=2**40, ngram_counts=[0, 0], ngram_indexes=[0], pool_int64s=[1, 2])],
        [value("x", I64, shape=(2**30,))], [y]), "ways to leave numbers out"


@pytest.mark.parametrize(("proto", "match"), [pytest.param(p, m, id=i) for i, p, m in costs()])
def test_operators_that_would_take_long(proto: Any, match: str) -> None:
    with pytest.raises(dlc.DlcError, match=match):
        dlc.onnx.load(proto.SerializeToString()).graph()


def test_shown_models_hold_nothing_that_a_terminal_acts_on(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of values, weights, dimensions and of the file, in every view of `dlc show`."""
    evil = "\x1b[2J\x07\u202e"
    proto = model([node("MatMul", [f"x{evil}", f"w{evil}"], [f"h{evil}"]),
                   node("Exp", [f"h{evil}"], [f"y{evil}"])],
                  [value(f"x{evil}", shape=[f"batch{evil}", 3])],
                  [value(f"y{evil}", shape=[f"batch{evil}", 4])],
                  [initializer(f"w{evil}", np.ones((3, 4), np.float32))])
    path = tmp_path / "m\x1b[2J\n.onnx"
    path.write_bytes(proto.SerializeToString())
    for view in ([], ["--after", "input"], ["--kernels"], ["--memory"]):
        assert main(["show", str(path), *view]) == 0
        shown = capsys.readouterr().out
        assert r"\x1b[2J\n.onnx" in shown or "--kernels" in view or "--memory" in view
        assert all(line.isprintable() for line in shown.splitlines()), view
    graph = dlc.onnx.load(path).graph(batch_2J=2)
    assert str(dlc.parse_graph(str(graph))) == str(graph)
