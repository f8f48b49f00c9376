"""Damaged and hostile models: each is answered with one DlcError, none is taken or hangs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper

import dlc
from tests.onnx.models import (
    BOOL,
    F32,
    I64,
    initializer,
    model,
    node,
    one,
    perceptron,
    value,
)

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def refused(proto: Any, match: str, **arrays: Any) -> None:
    """`proto` is refused when it is read, or when it is built for `arrays`, in one DlcError."""
    data = proto if isinstance(proto, (bytes, Path)) else proto.SerializeToString()
    with pytest.raises(dlc.DlcError, match=match):
        loaded = dlc.onnx.load(data)
        dlc.evaluate(loaded, **(arrays or dict.fromkeys(loaded.arguments, ROWS)))


# --- bytes ----------------------------------------------------------------------------------------


def test_truncated_at_every_byte() -> None:
    data = perceptron().SerializeToString()
    for length in range(len(data)):
        with pytest.raises(dlc.DlcError):
            dlc.onnx.load(data[:length])
    assert dlc.onnx.load(data).parameters.keys() == {"fc/w", "b"}


def test_one_byte_changed_never_crashes() -> None:
    """A changed byte is refused, or is another sound model: never another exception."""
    data, rng = perceptron().SerializeToString(), np.random.default_rng(0)
    taken = 0
    for at in range(len(data)):
        spoiled = bytearray(data)
        spoiled[at] ^= int(rng.integers(1, 256))
        try:
            loaded = dlc.onnx.load(bytes(spoiled))
            dlc.evaluate(loaded, np.ones((1, 3), np.float32))
            taken += 1
        except dlc.DlcError:
            pass
    # names and the bytes of the weights may change, structure may not
    assert taken < len(data) // 2


@pytest.mark.parametrize("data", [b"", b"\x00", b"{}", b"PK\x03\x04" * 9, b"\xff" * 64])
def test_what_is_no_model(data: bytes) -> None:
    refused(data, "no ONNX model|damaged")


def test_no_such_file(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "No such file")
    refused(tmp_path, "not a regular file")
    refused(tmp_path / "a\0b.onnx", "null")


def test_fifo_as_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "not a regular file")


# --- header ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, -1, 999, 2**40])
def test_unknown_opset(version: int) -> None:
    proto = perceptron()
    proto.opset_import[0].version = version
    refused(proto, "opset")


@pytest.mark.parametrize("version", [0, 2, 99])
def test_unknown_ir_version(version: int) -> None:
    proto = perceptron()
    proto.ir_version = version
    refused(proto, "IR version")


def test_opsets_that_clash_or_lack() -> None:
    proto = perceptron()
    proto.opset_import.add(domain="ai.onnx", version=17)
    refused(proto, "two opsets")
    del proto.opset_import[:]
    refused(proto, "names no opset")


def test_domain_that_is_not_imported() -> None:
    proto = perceptron()
    proto.graph.node[0].domain = "com.example"
    refused(proto, "is not imported")


def test_operator_that_does_not_exist() -> None:
    refused(one("Relo", [value("x")]), r"does not exist in opset 17 \(did you mean.*Relu")
    refused(one("Gelu", [value("x")]), "does not exist in opset 17")


def test_no_graph_and_no_outputs() -> None:
    proto = perceptron()
    proto.ClearField("graph")
    refused(proto, "holds no graph")
    proto = perceptron()
    del proto.graph.output[:]
    refused(proto, "has no outputs")


# --- structure ------------------------------------------------------------------------------------


def structures() -> Iterator[tuple[str, Any, str]]:
    x, y = value("x"), value("y")
    yield "cycle", model([node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"])], [x],
                         [value("b")]), "cycle"
    yield "self", model([node("Add", ["x", "y"], ["y"])], [x], [y]), "cycle"
    yield "order", model([node("Neg", ["a"], ["y"]), node("Neg", ["x"], ["a"])], [x], [y]), "order"
    yield "undefined", model([node("Add", ["x", "z"], ["y"])], [x], [y]), "never produced"
    yield "output", model([node("Neg", ["x"], ["z"])], [x], [y]), "never produced"
    yield "twice", model([node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"])], [x], [y]), (
        "already defined")
    yield "input again", model([node("Neg", ["x"], ["x"])], [x], [x]), "already defined"
    yield "inputs", model([node("Neg", ["x"], ["y"])], [x, x], [y]), "two inputs"
    yield "outputs", model([node("Neg", ["x"], ["y"])], [x], [y, y]), "two outputs"
    yield "nameless", model([node("Neg", ["x"], ["y"])], [x, value("")], [y]), "without a name"
    w = initializer("w", ROWS)
    yield "initializers", model([node("Add", ["x", "w"], ["y"])], [x], [y], [w, w]), (
        "two initializers")
    yield "attribute", one("Neg", [x], axis=1), "no attribute 'axis'"
    yield "attribute kind", one("Softmax", [x], axis=1.5), "is not of type int"
    yield "missing attribute", one("Concat", [x]), "attribute 'axis' is missing"
    yield "operands", model([node("Add", ["x"], ["y"])], [x], [y]), "1 operands"
    yield "left out", model([node("Add", ["x", ""], ["y"])], [x], [y]), "missing"
    yield "results", one("Neg", [x], results=3), "3 results"
    yield "dtypes", model([node("Add", ["x", "w"], ["y"])], [x], [y],
                          [initializer("w", ROWS.astype(np.int64))]), "is int64"
    yield "shapes", model([node("Add", ["x", "w"], ["y"])], [x], [y],
                          [initializer("w", ROWS.T.copy())]), "do not broadcast"
    yield "declared", one("Neg", [x], shape=(3, 2)), "is declared as"
    yield "declared dtype", one("Neg", [x], kind=I64), "is declared as"


@pytest.mark.parametrize(("proto", "match"), [pytest.param(p, m, id=i)
                                              for i, p, m in structures()])
def test_structure(proto: Any, match: str) -> None:
    refused(proto, match)


def test_attribute_twice_and_of_no_kind() -> None:
    proto = one("Softmax", [value("x")], axis=1)
    proto.graph.node[0].attribute.append(helper.make_attribute("axis", 0))
    refused(proto, "is there twice")
    proto = one("Softmax", [value("x")], axis=1)
    proto.graph.node[0].attribute[0].type = AttributeProto.UNDEFINED
    refused(proto, "unknown kind")


def test_text_that_is_no_text() -> None:
    proto = one("Gelu", [value("x")], opset=20, approximate=b"\xff\xfe")
    refused(proto, "not UTF-8")


# --- recursion ------------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    """A condition in a condition in a condition ..."""
    inner = helper.make_graph([node("Identity", ["x"], ["o"])], "leaf", [], [value("o")])
    for _ in range(depth):
        inner = helper.make_graph(
            [node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)], "inner", [],
            [value("o")])
    return inner


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size % 128 + 128]), size // 128
    return bytes([number * 8 + 2]) + length + bytes([size]) + content


def deep(levels: int) -> bytes:
    """Conditions within conditions, put together byte by byte: makers of messages refuse them."""
    leaf = helper.make_graph([node("Identity", ["x"], ["o"])], "leaf", [], [value("o")])
    graph = leaf.SerializeToString()
    for _ in range(levels):
        branch = helper.make_attribute("then_branch", leaf)
        branch.ClearField("g")
        held = node("If", ["c"], ["o"], else_branch=leaf).SerializeToString() + field(
            5, branch.SerializeToString() + field(6, graph))
        around = helper.make_graph([], "inner", [], [value("o")])
        graph = field(1, held) + around.SerializeToString()
    outer = helper.make_graph([], "", [value("x")], [], [initializer("c", np.array(True))])
    return field(7, graph + outer.SerializeToString()) + helper.make_model(
        helper.make_graph([], "", [], []), opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8).SerializeToString()


@pytest.mark.parametrize("levels", [40, 300])
def test_graphs_within_graphs(levels: int) -> None:
    assert dlc.evaluate(dlc.onnx.load(deep(20)), ROWS).shape == (2, 3)
    refused(deep(levels), "deep|damaged")


def test_branches_that_double() -> None:
    """24 levels that each hold two graphs are 16 million graphs as text; here 4,096."""
    proto = model(nested(12).node, [value("x")], [value("o")], [initializer("c", np.array(True))])
    assert dlc.evaluate(dlc.onnx.load(proto.SerializeToString()), ROWS).shape == (2, 3)


def function(name: str, calls: str) -> Any:
    return helper.make_function("own", name, ["a"], ["r"],
                                [helper.make_node(calls, ["a"], ["r"], domain="own")],
                                [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])


@pytest.mark.parametrize("functions", [[("F", "F")], [("F", "G"), ("G", "F")]])
def test_functions_that_call_themselves(functions: list[tuple[str, str]]) -> None:
    call = helper.make_node("F", ["x"], ["y"], domain="own")
    refused(model([call], [value("x")], [value("y")],
                  functions=[function(*f) for f in functions], domains=[("own", 1)]),
            "calls itself")


def test_functions_that_double() -> None:
    """F0 calls F1 twice, which calls F2 twice, ...: 2**30 operators."""
    def doubling(i: int) -> Any:
        operator, domain = (f"F{i + 1}", "own") if i < 30 else ("Neg", "")
        nodes = [helper.make_node(operator, ["a"], ["m"], domain=domain),
                 helper.make_node(operator, ["m"], ["r"], domain=domain)]
        return helper.make_function("own", f"F{i}", ["a"], ["r"], nodes, [
            helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])

    call = helper.make_node("F0", ["x"], ["y"], domain="own")
    refused(model([call], [value("x")], [value("y")], functions=[doubling(i) for i in range(31)],
                  domains=[("own", 1)]), "more than 30000 operators")


def loop(rounds: int) -> Any:
    body = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Concat", ["v", "v"], ["w"], axis=0)], "body",
        [value("i", I64, ()), value("c", BOOL, ()), value("v", shape=None)],
        [value("d", BOOL, ()), value("w", shape=None)])
    return model([node("Loop", ["m", "", "x"], ["y"], body=body)], [value("x")],
                 [value("y", shape=None)], [initializer("m", np.array(rounds))])


def test_loop_that_doubles_its_value() -> None:
    assert dlc.evaluate(dlc.onnx.load(loop(3).SerializeToString()), ROWS).shape == (16, 3)
    # too long to be unrolled, it would be a scan, whose carry keeps its type
    refused(loop(40), "carry")
    refused(loop(2**62), "too large for memory")


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [[-1, 3], [2**62, 3], [2**62], [2**31, 2**31], [1] * 40])
def test_impossible_dimensions(dims: list[int]) -> None:
    refused(model([node("Neg", ["x"], ["y"])], [value("x", shape=dims)],
                  [value("y", shape=None)]), "dimensions|elements|axes")
    proto = perceptron()
    proto.graph.initializer[0].dims[:] = dims
    refused(proto, "dimensions|elements|axes|bytes")


def sizes() -> Iterator[tuple[str, Any]]:
    x, y = value("x"), value("y", shape=None)

    def with_constants(operator: str, **arrays: Any) -> Any:
        return model([node(operator, ["x", *arrays], ["y"])], [x], [y],
                     [initializer(k, np.asarray(v)) for k, v in arrays.items()])

    yield "tile", with_constants("Tile", r=[2**40, 2**40])
    yield "expand", with_constants("Expand", s=[2**61, 2, 3])
    yield "reshape", with_constants("Reshape", s=[2**62, -1])
    yield "pad", with_constants("Pad", p=[2**60, 0, 0, 0])
    yield "constant", model([node("ConstantOfShape", ["s"], ["y"])], [x], [y],
                            [initializer("s", [2**50, 2**50])])
    yield "range", model([node("Range", ["a", "b", "c"], ["y"])], [x], [value("y", I64, None)],
                         [initializer(k, np.array(v)) for k, v in
                          (("a", 0), ("b", 2**62), ("c", 1))])
    yield "doubling", model(
        [node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=0) for i in range(60)],
        [value("v0")], [value("v60", shape=None)])


@pytest.mark.parametrize("proto", [pytest.param(p, id=i) for i, p in sizes()])
def test_results_that_no_memory_holds(proto: Any) -> None:
    refused(proto, "elements|would be|memory|shape|cannot be reshaped")


def test_constants_that_would_take_long() -> None:
    """A shape that is computed from 2**30 numbers."""
    nodes = [node("ConstantOfShape", ["n"], ["big"]), node("ReduceSum", ["big"], ["sum"]),
             node("Cast", ["sum"], ["s"], to=TensorProto.INT64),
             node("Reshape", ["x", "s"], ["y"])]
    refused(model(nodes, [value("x")], [value("y", shape=None)],
                  [initializer("n", [2**15, 2**15])]), "would be computed")


# --- tensors --------------------------------------------------------------------------------------


def spoiled(change: Callable[[Any], None]) -> Any:
    proto = perceptron()
    change(proto.graph.initializer[0])
    return proto


def tensors() -> Iterator[tuple[str, Callable[[Any], None], str]]:
    yield "short", lambda t: setattr(t, "raw_data", t.raw_data[:-1]), "bytes of data"
    yield "long", lambda t: setattr(t, "raw_data", t.raw_data + b"0"), "bytes of data"
    yield "none", lambda t: t.ClearField("raw_data"), "0 elements"
    yield "dtype", lambda t: setattr(t, "data_type", 0), "elements of type UNDEFINED"
    yield "no dtype", lambda t: setattr(t, "data_type", 1234), "elements of type 1234"
    yield "complex", lambda t: setattr(t, "data_type", TensorProto.COMPLEX64), "COMPLEX64"
    yield "bool", lambda t: (setattr(t, "data_type", TensorProto.BOOL),
                             setattr(t, "raw_data", b"\2" * 12)), "a bool is 0 or 1"
    yield "segment", lambda t: setattr(t.segment, "begin", 1), "segments"


@pytest.mark.parametrize(("change", "match"), [pytest.param(c, m, id=i) for i, c, m in tensors()])
def test_tensor(change: Callable[[Any], None], match: str) -> None:
    refused(spoiled(change), match)


def test_elements_that_the_dtype_does_not_hold() -> None:
    tensor = helper.make_tensor("w", TensorProto.UINT8, [2], [1, 2])
    tensor.ClearField("raw_data")
    tensor.int32_data[:] = [1, 300]
    refused(model([node("Cast", ["w"], ["y"], to=F32)], [value("x")], [value("y", shape=None)],
                  [tensor]), "does not hold|elements")


def test_inputs_of_other_kinds() -> None:
    sequence = helper.make_tensor_sequence_value_info("x", F32, [2, 3])
    refused(model([node("SequenceLength", ["x"], ["y"])], [sequence],
                  [value("y", I64, ())]), "inputs and outputs are tensors")
    refused(one("Identity", [value("x", TensorProto.STRING)], kind=TensorProto.STRING), "STRING")


def resized(sizes: list[int]) -> Any:
    return model([node("Resize", ["x", "", "", "s"], ["y"], mode="linear")],
                 [value("x", shape=(1, 1, 2, 3))], [value("y", shape=None)],
                 [initializer("s", np.array(sizes))])


def test_a_resize_that_would_take_long() -> None:
    image = np.ones((1, 1, 2, 3), np.float32)
    assert dlc.evaluate(dlc.onnx.load(resized([1, 1, 4, 6]).SerializeToString()), image).size == 24
    refused(resized([1, 1, 2, 2**30]), "constants are worked out up to", x=image)
    refused(resized([1, 1, 2, -3]), "dimensions", x=image)
