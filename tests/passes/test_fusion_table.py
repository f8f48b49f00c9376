"""docs/fusion.md, row by row: which operators share a launch, and which do not."""

from __future__ import annotations

import re
from typing import Any

import dlc
from dlc import f32, i32, nn, optim, tanh
from dlc.derive import higher
from dlc.ir.graph import Graph, Kind, Node, make
from dlc.ops.linalg_factor import CHOLESKY
from dlc.passes import run_pipeline
from tests.documents import ROOT
from tests.instruction_sets import generated_for

Rows = list[list[str]]


def launches(thing: Any) -> Rows:
    """The operators of each launch, but views and leaves; `thing` is a function or a graph."""
    graph = thing if isinstance(thing, Graph) else dlc.trace(thing)
    return fused_groups(run_pipeline(graph)[-1].graph)


def fused_groups(fused: Graph) -> Rows:
    """The same of a graph that is fused already."""
    return [[n.op.name for n in f.attrs["body"].nodes() if n.op.kind not in (Kind.LEAF, Kind.VIEW)]
            for f in fused.nodes() if f.op is higher.FUSED]


def training_step(clip: Any = None) -> Rows:
    """Two dense layers and Adam."""
    net = nn.chain(nn.dense(256), tanh, nn.dense(10))

    @dlc.task(data="digits8", optimizer=optim.adam(1e-3, clip=clip), batch=64)
    def two_layers(image: f32["batch", 64], label: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(image), label))

    return launches(two_layers.graphs()["train"])


def test_the_page_has_a_test_for_each_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "fusion.md").read_text(), re.M)
    tests = {name for name in globals() if name.startswith("test_")}
    assert {f"test_{row}" for row in rows} == tests - {"test_the_page_has_a_test_for_each_row"}


def test_elementwise() -> None:
    def f(x: f32[64, 256]) -> Node:
        return dlc.exp(x) * 2 + tanh(x)

    assert launches(f) == [["exp", "mul", "tanh", "add"]]


def test_into_reduction() -> None:
    def f(x: f32[64, 256]) -> Node:
        return (x * x).sum(1)

    assert launches(f) == [["mul", "sum"]]


def test_out_of_reduction() -> None:
    def rows(x: f32[64, 256]) -> Node:
        return nn.softmax(x, 1)

    def columns(x: f32[256, 64]) -> Node:
        return nn.softmax(x, 0)

    assert len(launches(rows)) == len(launches(columns)) == 1


def test_reduction_again() -> None:
    def f(x: f32[512, 256]) -> Node:
        return (x - x.mean(0)).max(1)

    found = launches(f)
    assert len(found) == 2
    assert "sum" in found[0] and "max" in found[1]


def test_into_fold() -> None:
    def f(x: f32[4, 8, 32, 32]) -> Node:
        return dlc.grad(lambda a: (dlc.max_pool(a, 3, 2) ** 2).sum())(x)

    found = launches(f)
    assert ["argmax"] in found and all("eq" not in row or "fold" in row for row in found)


def test_epilogue() -> None:
    def dense(x: f32[64, 128], w: f32[128, 256], b: f32[256]) -> Node:
        return nn.relu(x @ w + b)

    def convolution(x: f32[8, 4, 14, 14], w: f32[6, 4, 5, 5], b: f32[6, 1, 1]) -> Node:
        return tanh(dlc.conv(x, w) + b)

    assert launches(dense) == [["matmul", "add", "le", "where"]]
    assert launches(convolution) == [["conv", "add", "tanh"]]


def test_epilogue_rearranged() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> Node:
        return tanh((x @ w).reshape(64, 16, 16).transpose((1, 0, 2)))

    assert launches(f) == [["matmul", "tanh"]]

    def hebb(x: f32[32, 400]) -> Node:
        product = x.T @ x
        return product - dlc.diag_embed(dlc.diagonal(product))

    assert launches(hebb) == [["matmul"], ["sub"]]  # the diagonal is read at other places, too


def test_contraction_to_reduction() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> Node:
        return (x @ w).sum(1)

    assert launches(f) == [["matmul"], ["sum"]]


def test_prologue() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> Node:
        return (x * 2.0 + 1.0) @ w

    assert launches(f) == [["mul", "add", "matmul"]]


def test_costly_prologue() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> Node:
        return tanh(x) @ w

    assert launches(f) == [["tanh"], ["matmul"]]


def test_shared_prologue() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> tuple[Node, Node]:
        y = x * 2.0 + 1.0
        return y @ w, y

    assert launches(f) == [["mul", "add"], ["matmul"]]


def test_two_contractions() -> None:
    def f(x: f32[64, 128], w: f32[128, 256], v: f32[256, 64]) -> Node:
        return (x @ w) @ v

    assert launches(f) == [["matmul"], ["matmul"]]


def test_scatter() -> None:
    def f(table: f32[100, 32], at: i32[50]) -> Any:
        def loss(t: Node) -> Node:
            return (dlc.take(t, at) ** 2).sum()

        return table - 0.1 * dlc.grad(loss)(table)

    found = launches(f)
    assert [ops for ops in found if "scatter_add" in ops] == [["maximum", "minimum", "scatter_add"]]
    assert ["mul", "sub"] in found


def test_cheap_elsewhere() -> None:
    def f(x: f32[64, 256]) -> Node:
        return dlc.flip(x * 2.0, (1,)) + 1.0

    def costly(x: f32[64, 256]) -> Node:
        return dlc.window(tanh(x), (3,)).max(2)

    def windows(*size: int) -> Rows:
        def f(x: f32[64, 256], y: f32[64, 256]) -> Node:
            return dlc.window(x * y, size).max(tuple(range(2, 2 + len(size))))

        return launches(f)

    assert launches(f) == [["mul", "add"]]
    assert launches(costly) == [["tanh"], ["max"]]
    # each product is read 3 times, or 25: beyond 4 it is cheaper to store it
    assert windows(3) == [["mul", "max"]]
    assert windows(5, 5) == [["mul"], ["max"]]


def test_siblings() -> None:
    def f(x: f32[64, 128], w: f32[128, 256]) -> tuple[Node, Node]:
        logits = x @ w
        return dlc.argmax(logits, 1), dlc.logsumexp(logits, 1)

    assert launches(f) == [["matmul"], ["argmax", "logsumexp"]]


def test_recompute() -> None:
    """tanh's derivative is made of what tanh stored, by each of those that read it."""
    def f(x: f32[64, 64], w: f32[64, 128], v: f32[128, 32]) -> Any:
        y = tanh(x @ w)
        slope = 1.0 - y * y
        return y @ v, slope.sum(0), slope @ v

    def chain(x: f32[128, 64], w: f32[64, 32], v: f32[128, 32]) -> Any:
        for i in range(75):
            x = x * 1.01 + 0.5 if i % 2 else x * 0.99 - 0.25
        return x @ w, x.T @ v

    assert sorted(launches(f)) == [["matmul", "mul", "sub", "matmul"], ["matmul", "tanh"],
                                   ["mul", "sub", "sum"]]
    # 150 operators are more than are computed twice: they are computed once and kept
    assert sorted(map(len, launches(chain))) == [2, 150]


def test_routine() -> None:
    def f(a: f32[64, 64]) -> Node:
        root = make(CHOLESKY, (dlc.exp(a),))
        return dlc.exp(make(CHOLESKY, (root.T * 2.0,)))

    assert launches(f) == [["exp"], ["cholesky"], ["mul"], ["cholesky"], ["exp"]]


def test_control() -> None:
    """What goes into the loop and what comes out are launches of their own; so is its body."""
    def f(x: f32[5, 64]) -> Node:
        last, _ = dlc.scan(lambda c, row: (tanh(c + row), None), dlc.exp(x[0]), x)
        return dlc.sqrt(last)

    assert launches(f) == [["exp"], ["sqrt"]]
    (loop,) = [n for n in run_pipeline(dlc.trace(f))[-1].graph.nodes() if n.op.name == "scan"]
    assert fused_groups(loop.attrs["body"]) == [["add", "tanh"]]


def test_sibling_products() -> None:
    """Three products of x: x is packed once, in one superstep, and multiplied in the next."""
    def projections(x: f32[64, 64], a: f32[64, 60], b: f32[64, 60], c: f32[64, 60]) -> Any:
        return x @ a, x @ b, x @ c

    def in_turn(x: f32[64, 64], a: f32[64, 64], b: f32[64, 64]) -> Any:
        return x @ a, (x @ a) @ b, x @ b

    def large(x: f32[512, 64], a: f32[64, 512], b: f32[64, 512]) -> Any:
        return x @ a, x @ b

    def rearranged(x: f32[32, 64, 48], a: f32[64, 32, 60], b: f32[64, 32, 60]) -> Any:
        rows = dlc.reshape(x, (2048, 48)).T
        return [rows @ dlc.reshape(dlc.transpose(g, (1, 0, 2)), (2048, 60)) for g in (a, b)]

    assert launches(projections) == [["matmul"] * 3]
    assert sorted(launches(in_turn)) == [["matmul"], ["matmul"] * 2]
    assert launches(large) == [["matmul"], ["matmul"]]
    for isa, packed in (("avx512", [1]), ("avx2", []), ("scalar", [])):
        with generated_for(isa):
            # narrow tiles read x where it is, and the weights' blocks are launches of their own
            *_, launch = dlc.compile(projections).program.entries["main"].flat
            assert [len(stage) for stage in launch.stages] == [*packed, 3], isa
            # a view that both read is no work that they share: each product runs in tiles
            (launch,) = dlc.compile(rearranged).program.entries["main"].flat
            assert [len(stage) for stage in launch.stages] == [1, 2], isa


def test_twins() -> None:
    """The two biases' updates, with their gradients, are one launch."""
    found = [ops for ops in training_step() if ops.count("sqrt") == 2]
    assert len(found) == 1
    assert found[0].count("sum") == 2


def test_optimizer_epilogue() -> None:
    for ops in training_step():
        if "matmul" in ops and "where" in ops:
            assert "sqrt" in ops
    assert sum("matmul" in ops and "sqrt" in ops for ops in training_step()) == 2


def test_clipped_optimizer() -> None:
    found = training_step(optim.clip_by_norm(1.0))
    assert not any("matmul" in ops and "sqrt" in ops for ops in found)
    # of the last layer beside the gradient of its input, which reads the same cotangent
    assert sum(ops == ["matmul"] for ops in found) == 1
    assert sum(ops.count("matmul") == 2 for ops in found) == 1
