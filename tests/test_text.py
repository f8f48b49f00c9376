"""Graphs as text: exact inverses, values to the bit, lines, names, and the parser's errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.errors import DlcError, Loc
from dlc.ir.attributes import Literal
from dlc.ir.graph import Build, Graph, Node, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DTYPES, Dim, Type, bf16, bool_, f16, f32, f64, i32, i64, u8, u32
from dlc.ops import elementwise, leaf
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, parse_text, print_graph
from dlc.reference.verify import verify
from tests.random_graphs import random_arrays, random_graph


def plain(value: Any) -> Any:
    """An attribute as something that compares: bodies by their text, floats by their digits."""
    if isinstance(value, Graph):
        return print_graph(value)
    return repr(value) if isinstance(value, float) else value


def same(a: Graph, b: Graph) -> None:
    """Structure, types, attributes, names, roles and lines are equal, node by node."""
    assert (a.name, a.output_names, dict(a.updates)) == (b.name, b.output_names, dict(b.updates))
    rows = []
    for graph in (a, b):
        place = {n: i for i, n in enumerate(graph.inputs)}
        found: list[Any] = [(n.type, dict(n.attrs)) for n in graph.inputs]
        for node in graph.nodes():
            if node not in place:
                place[node] = len(place)
                lines = [(loc.file, loc.line) for loc in node.locs]
                attrs = {k: plain(v) for k, v in node.attrs.items()}
                found.append((node.op, [place[x] for x in node.args], attrs, node.type, node.name,
                              () if node.op is leaf.CONSTANT else list(dict.fromkeys(lines))))
        rows.append((found, [place[o] for o in graph.outputs]))
    assert rows[0] == rows[1]


@given(st.integers(0, 10**6), st.integers(1, 25))
def test_random_graphs_round_trip(seed: int, size: int) -> None:
    graph = random_graph(seed, size)
    verify(graph)
    text = print_graph(graph)
    again = parse_graph(text)
    verify(again)
    assert print_graph(again) == text
    same(again, parse_graph(print_graph(again)))
    arrays = random_arrays(graph, seed)
    before, after = evaluate(graph, *arrays), evaluate(again, *arrays)
    for key in before:
        np.testing.assert_array_equal(before[key], after[key])


STEP = '''\
def fused_dense(x: f32[4, 8], w: f32[8, 2], b: f32[2]):  # models/mlp.py:14
    broadcast_1: f32[4, 2] = broadcast(b)    # models/mlp.py:14
    matmul_1: f32[4, 2] = matmul(x, w)       # models/mlp.py:14
    h: f32[4, 2] = add(matmul_1, broadcast_1)  # models/mlp.py:14, 15; models/lenet.py:3
    tanh_1: f32[4, 2] = tanh(h)
    return (tanh_1, h)


def step(
    x: f32[4, 8]        = data,
    net_w: f32[8, 2]    = param("net.w"),  # models/mlp.py:9
    b: f32[2] @ 0x40    = param,
    mask: bool[4, 2]    = arg,
    step_1: i32[()]     = step("step-1"),
):
    both = fused_dense(x, net_w, b)  # models/mlp.py:14
    y: f32[4, 2] @ 0x80 = both[0]
    where_1: f32[4, 2] = where(mask, y, -0.0)
    k: f32[4, 2] = constant(0.1)
    mul_1: f32[4, 2] = mul(where_1, k)
    sum_1: f32[2] = sum(mul_1, axes=(0,))
    array_1: f32[2] = array([nan, 1e-45])
    new: f32[2] = add(sum_1, array_1)
    return {"loss": y, "b": update(b, new)}
'''


def test_a_text_with_everything_parses_to_what_it_says() -> None:
    parsed = parse_text(STEP)
    graph = parsed.graph
    verify(graph)
    assert [i.attrs["label"] for i in graph.inputs] == ["x", "net.w", "b", "mask", "step-1"]
    assert [i.attrs["role"] for i in graph.inputs] == ["data", "param", "param", "arg", "step"]
    assert graph.updates == {"b": "b"} and graph.output_names == ("loss", "b")
    assert {n.attrs.get("label") or n.name: at for n, at in parsed.offsets.items()} == {
        "b": 0x40, "y": 0x80}
    body = next(n for n in graph.nodes() if n.op.name == "fused").attrs["body"]
    assert body.name == "fused_dense" and [o.name for o in body.outputs] == ["", "h"]
    assert body.outputs[1].locs == (Loc("models/mlp.py", 14), Loc("models/mlp.py", 15),
                                    Loc("models/lenet.py", 3))
    again = parse_text(print_graph(graph, parsed.offsets))
    same(again.graph, graph)
    assert sorted(again.offsets.values()) == [0x40, 0x80]
    zero = next(n for n in graph.nodes() if n.op.name == "where").args[2]
    assert repr(zero.attrs["value"]) == "-0.0"


def test_printed_text_is_python_of_at_most_100_columns() -> None:
    for seed in range(20):
        text = print_graph(random_graph(seed, 40))
        compile(text, "graph", "exec")
        assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("kind", "value"), [
    (f32, 0.1), (f32, 1 / 3), (f32, 1e-45), (f32, 3.4028235e38), (f32, float("inf")),
    (f32, float("-inf")), (f32, float("nan")), (f32, -0.0), (f32, 16777216.0), (f64, 0.1 + 0.2),
    (f64, 5e-324), (f16, 65504.0), (f16, 0.1), (f16, 6e-8), (bf16, 0.1), (bf16, 3.39e38),
    (i32, -2**31), (i64, 2**63 - 1), (u32, 2**32 - 1), (u8, 255), (bool_, True), (bool_, False)])
def test_constants_keep_every_bit(kind: Any, value: Any) -> None:
    """As their own binder and as a number in a call, and in an array."""
    with building(Build()):
        x = leaf.input_("x", Type(kind, (2,)))
        c = leaf.constant(value, Type(kind, (2,)))
        uses = [elementwise.eq(x, c), c, make(leaf.ARRAY, type=Type(kind, (2,)), value=Literal.of(
            np.array([value, 1]).astype(kind.numpy)))]
        # once where it needs a name, once where it does not
        for outputs in (uses, [uses[0], uses[2]]):
            graph = Graph("f", (x,), tuple(outputs))
            again = parse_graph(print_graph(graph))
            for old, new in zip(graph.nodes(), again.nodes(), strict=True):
                old_value, new_value = old.attrs.get("value"), new.attrs.get("value")
                assert repr(old_value) == repr(new_value)
                if isinstance(old_value, Literal):
                    assert old_value.key == new_value.key


@pytest.mark.parametrize("kind", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (5,), (2, 3), (9, 30)])
def test_arrays_keep_every_bit(kind: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """Small ones as lists, large ones as base64; bit patterns of every kind."""
    data = np.frombuffer(rng.bytes(int(np.prod(shape)) * kind.bytes), np.uint8)
    if kind is bool_:
        data = data & 1
    literal = Literal.of(data.view(kind.numpy).reshape(shape))
    with building(Build()):
        node = make(leaf.ARRAY, type=Type(kind, shape), value=literal)
    again = parse_graph(print_graph(Graph("f", (), (node,)))).outputs[0]
    assert again.attrs["value"].key == literal.key
    assert again.attrs["value"].array.tobytes() == data.tobytes()


def test_names_are_the_users_and_never_clash() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3])
        a = elementwise.exp(x)
        a.name = "x"  # shadows the input
        b = elementwise.tanh(a)
        b.name = "lambda"
        c = elementwise.exp(b)
        c.name = "exp_7"  # looks like a made-up name
        d = elementwise.sin(c)
        d.name = "nan"
        out = elementwise.exp(d)
    text = print_graph(Graph("sin", (x,), (out,)))
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:-1]] == [
        "x_1", "lambda_1", "exp_1", "nan_1", "exp_2"]
    assert text.startswith("def sin2(") and print_graph(parse_graph(text)) == text


def test_labels_and_roles_survive_that_are_no_identifiers() -> None:
    x = leaf.input_('net.0."w"', f32[3], "param")
    y = leaf.input_("net_0_w", f32[3], "data")
    graph = Graph("f", (x, y), (y, x), ("a b", 'q"'), {})
    again = parse_graph(print_graph(graph))
    assert [i.attrs["label"] for i in again.inputs] == ['net.0."w"', "net_0_w"]
    assert again.output_names == graph.output_names


def test_dimension_names_do_not_stand_in_a_text() -> None:
    x = leaf.input_("x", Type(f32, (Dim(64, "batch"), 10)))
    assert "x: f32[64, 10]" in print_graph(Graph("f", (x,), (x,)))


def test_a_layout_stands_behind_the_type() -> None:
    x = leaf.input_("x", f32[2, 3])
    with building(Build()):
        y = Node(REGISTRY["neg"], (x,), {}, f32[2, 3].with_(layout=(1, 0)))
    text = print_graph(Graph("f", (x,), (y,)))
    assert "f32[2, 3].layout(1, 0) = neg(x)" in text
    assert parse_graph(text).outputs[0].type == y.type


def test_bodies_stand_before_their_use_and_keep_their_names_apart() -> None:
    def body(name: str, op: str) -> Graph:
        x = leaf.input_("x", f32[3])
        return Graph(name, (x,), (make(REGISTRY[op], (x,)),))

    with building(Build()):
        x = leaf.input_("x", f32[3])
        first = make(REGISTRY["fused"], (x,), body=body("group", "exp"))
        second = make(REGISTRY["fused"], (first,), body=body("group", "tanh"))
        third = make(REGISTRY["fused"], (second,), body=first.attrs["body"])
    graph = Graph("group", (x,), (third,))
    text = print_graph(graph)
    assert text.count("def ") == 3 and print_graph(parse_graph(text)) == text
    again = parse_graph(text).outputs[0]
    assert again.attrs["body"] is again.args[0].args[0].attrs["body"]
    array = np.array([0.1, -0.2, 0.3], np.float32)
    np.testing.assert_array_equal(evaluate(graph, array), evaluate(parse_graph(text), array))


def test_str_of_a_graph_is_its_text() -> None:
    graph = random_graph(3, 5)
    assert str(graph) == print_graph(graph)


@pytest.mark.parametrize(("line", "message"), [
    ("y: f32[3] = mull(x, x)", r"there is no operator mull \(did you mean mul"),
    ("y: f32[3] = mul(x, z)", "z is not bound above"),
    ("y: f32[4] = mul(x, x)", r"y is declared as f32\[4\]\n.*\n.*\n  mul gives f32\[3\] here"),
    ("y: f32[3] = mul(x)", "mul takes 2 operands, not 1"),
    ("y: f32[3] = sum(x, axes=(1,))", "axis 1 of f32"),
    ("y: f32[3] = sum(x, axis=(1,))", "sum has no attribute axis\n(.*\n)*.*it has axes"),
    ("y: f33[3] = neg(x)", "f33 is not a dtype\n(.*\n)*.*there are f64, f32"),
    ("y: f32[-3] = neg(x)", "negative dimension"),
    ("y: f32 = neg(x)", "f32 is not a type"),
    ("y = neg(x)", None),
    ("x: f32[3] = neg(x)", "x is bound twice"),
    ("y: f32[3] = x", "x is not a call of an operator"),
    ("y: f32[3] = neg(x) + 1", "not a call of an operator"),
    ("y: f32[()] = sum(0.5, axes=())", "a bare number can't be an operand of sum"),
    ("y: i32[3] = constant(0.5)", "0.5 is not of dtype i32"),
    ("y: u8[1] = array([300])", "300"),
    ("y: u8[2] = array([1])", "1 elements for u8.2."),
    ('y: u8[2] = array("AAAA")', "3 bytes for u8.2."),
    ('y: u8[2] = array("?")', "no base64"),
    ("y: f32[3] = input(x)", "there is no operator input"),
    ("y: f32[3] = x[0]", "item"),
    ("print(x)", "a line binds one name"),
    ("y: f32[3] = neg(x))", "unmatched"),
])
def test_parser_errors_name_file_line_and_what_fits(line: str, message: str | None) -> None:
    text = f"def f(x: f32[3]):\n    {line}\n    return y\n"
    if message is None:
        assert parse_graph(text).outputs[0].type == f32[3]
        return
    with pytest.raises(DlcError, match=message) as caught:
        parse_graph(text, "step.txt")
    assert caught.value.loc is not None and caught.value.loc.line == 2
    assert str(caught.value).startswith("step.txt:2: ") and line in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [
    ("", "no function"),
    ("x = 1", "only functions"),
    ("def f(x):\n    return x", "a type is missing here"),
    ("def f(x: f32[3]):\n    y: f32[3] = neg(x)", "does not end in a return"),
    ("def f(x: f32[3]):\n    return z", "z is not bound"),
    ("def f(x: f32[3] = 3):\n    return x", "default is its role"),
    ("def f(*x: f32[3]):\n    return x", "plain parameters"),
    ("def f(x: f32[3]):\n    return x\ndef f(x: f32[3]):\n    return x", "defined twice"),
    ("def f(x: f32[3]):\n    return {1: x}", "output's name is a string"),
    ('def f(x: f32[3]):\n    return {"x": update(x)}', "update takes"),
])
def test_errors_around_the_binders(text: str, message: str) -> None:
    with pytest.raises(DlcError, match=message):
        parse_graph(text)
