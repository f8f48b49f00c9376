"""The policy of a precision, on random graphs and programs: only casts are added, types fit, every
operator computes where its record says, and compiled kernels give what the graph means."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, bf16, f16, f32, nn, tanh
from dlc.derive.precision import PRECISIONS
from dlc.ir.graph import Build, Graph, Kind, Node, building, intern, make, serving
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DType, Type
from dlc.ops import elementwise, leaf
from dlc.reference.verify import verify
from tests.instruction_sets import NATIVE, generated_for
from tests.random_graphs import random_graph

LOW = {"bf16": bf16, "f16": f16}


def without_casts(graph: Graph, kind: DType) -> Graph:
    """`graph` in f32 again: every value of `kind` in f32, the casts between the two gone, and
    constants as `kind` holds them."""
    done: dict[Node, Node] = {}

    def back(node: Node) -> Node:
        args = tuple(done[a] for a in node.args)
        if node.op is leaf.CONSTANT and node.dtype in (kind, f32):
            value = np.asarray(node.attrs["value"]).astype(kind.numpy)
            return leaf.constant(float(value), node.type.with_(dtype=f32))
        if node.op.kind is Kind.LEAF:
            return node
        if node.op is elementwise.CAST and {node.dtype, node.args[0].dtype} == {kind, f32}:
            return args[0]
        attrs = {k: without_casts(v, kind) if isinstance(v, Graph) else v
                 for k, v in node.attrs.items()}
        if isinstance(node.type, Type):
            return make(node.op, args, name=node.name, **attrs)
        return intern(node.op, args, attrs, node.type, node.name)

    with building(Build()):
        for node in graph.nodes():
            with serving(node.locs):
                done[node] = back(node)
        return graph.with_outputs([done[o] for o in graph.outputs])


def bare(graph: Graph) -> str:
    """The text without the lines that nodes serve: an inserted cast may serve several."""
    return re.sub(r" *#.*", "", str(graph))


def signature(graph: Graph) -> list[str]:
    return [str(n.type) for n in (*graph.inputs, *graph.outputs)]


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_get_casts_and_nothing_else(seed: int) -> None:
    """bf16: the random graphs hold none of their own."""
    graph = random_graph(seed, 40)
    low = dlc.in_precision(graph, "bf16")
    verify(low)
    assert signature(low) == signature(graph)
    assert bare(without_casts(low, bf16)) == bare(without_casts(graph, bf16))
    assert str(dlc.in_precision(low, "bf16")) == str(low)
    assert str(dlc.parse_graph(str(low))) == str(low)


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(40))
def test_operators_compute_where_their_record_says(seed: int) -> None:
    low = dlc.in_precision(random_graph(seed, 40), "bf16")
    for node in low.nodes():
        kinds = {a.dtype for a in node.args if isinstance(a.type, Type)}
        if node.op.precision == "low":
            assert f32 not in kinds, node
        elif node.op.precision == "full" and node.op.kind is not Kind.LEAF:
            assert bf16 not in kinds, node


def test_the_samples_of_every_kind_of_precision_are_there() -> None:
    """The draws above hold operators of each, and the records know no fourth word."""
    drawn = {n.op.precision for seed in range(40) for n in random_graph(seed, 40).nodes()}
    assert {op.precision for op in REGISTRY.values()} == {"low", "full", "follow"} == drawn
    assert {n for n, op in REGISTRY.items() if op.precision == "low"} == {"matmul", "conv"}
    assert all(REGISTRY[n].precision == "full" for n in (
        "exp", "log", "pow", "rsqrt", "sum", "prod", "logsumexp", "cumsum", "linear_recurrence",
        "cholesky", "svd", "scatter_add", "fold", "bitcast", "scan", "grad"))


# --- where casts stand ---------------------------------------------------------------------------


def operators_in(graph: Graph, kind: DType) -> set[str]:
    return {n.op.name for n in graph.nodes() if isinstance(n.type, Type) and n.dtype is kind
            and n.op is not elementwise.CAST}


def test_a_bias_follows_its_product_and_a_norm_is_in_f32() -> None:
    """What the norm alone reads, bias and all, is not rounded before it."""
    def low(*layers: Any) -> set[str]:
        graph = dlc.trace(nn.chain(*layers), Type(f32, (5, 3)))
        return operators_in(dlc.in_precision(graph, "bf16"), bf16)

    assert low(nn.dense(8), tanh, nn.dense(4)) == {"matmul", "broadcast", "add", "tanh"}
    assert low(nn.dense(8), nn.layer_norm(), tanh, nn.dense(4)) == {"matmul"}


def test_squares_that_are_summed_are_taken_in_f32() -> None:
    """A square of 300 is no f16; rounded before the sum it would cost half of the digits."""
    def power(x: f32[4, 4], w: f32[4, 4]):
        y = x @ w
        return (y * y).sum()

    x = np.full((4, 4), 9.0, np.float32)
    graph = dlc.in_precision(dlc.trace(power), "f16")
    assert dlc.evaluate(graph, x, x) == 16 * 324.0**2


def test_a_number_that_the_low_dtype_does_not_hold_keeps_its_operator_in_f32() -> None:
    def masked(x: f32[4, 4], w: f32[4, 4]):
        y = x @ w
        return dlc.where(y > 0, y, -1e9) + y

    x = -np.eye(4, dtype=np.float32)
    for name, kind in LOW.items():
        graph = dlc.in_precision(dlc.trace(masked), name)
        found = dlc.evaluate(graph, x, abs(x))
        assert found.min() == np.float32(-1e9) - 1 if kind is f16 else np.isfinite(found).all()


def test_f64_and_halves_of_the_users_own_are_left_alone() -> None:
    def mixed(x: dlc.f64[3, 3], y: f16[3, 3], z: f32[3, 3]):
        return x @ x, y @ y, z @ z

    graph = dlc.in_precision(dlc.trace(mixed), "bf16")
    products = [n.dtype.name for n in graph.nodes() if n.op.name == "matmul"]
    assert products == ["f64", "f16", "bf16"]


def test_f32_is_the_graph_itself_and_other_words_are_refused() -> None:
    graph = random_graph(1, 10)
    assert dlc.in_precision(graph, "f32") is graph and set(PRECISIONS) == {"f32", *LOW}
    with pytest.raises(DlcError, match="precision='fp16' is invalid"):
        dlc.in_precision(graph, "fp16")


# --- programs with graphs inside ------------------------------------------------------------------

cell = nn.lstm(6)
attention = nn.multi_head_attention(2)


def recurrent(x: f32[3, 5, 4]):
    return cell(x)


def attending(x: f32[2, 5, 8]):
    return attention(x)


def branching(x: f32[4, 4], w: f32[4, 4]):
    return dlc.cond(x.sum() > 0, lambda: x @ w, lambda: w @ x + 1.0)


def gradients(x: f32[4, 4], w: f32[4, 4]):
    def inner(w):
        return (dlc.checkpoint(lambda v: tanh(x @ v))(w) @ w).sum()

    return dlc.value_and_grad(inner)(w)


def per_example(x: f32[3, 4, 4], w: f32[4, 4]):
    return dlc.vmap(lambda row: dlc.jvp(lambda r: r @ w @ r, (row,), (row,)))(x)


@dlc.custom_gradient
def squared(v):
    return v @ v, lambda g: g @ v + v @ g


def ruled(x: f32[4, 4]):
    return dlc.value_and_grad(lambda v: (squared(v) @ v).sum())(x)


def penalty(w: f32[3, 4], x: f32[5, 3]):
    """Second order: the gradient of what gradients are long."""
    def length(w):
        slope = dlc.vmap(dlc.grad(lambda row: tanh(row @ w).sum()))(x)
        return ((dlc.sqrt((slope ** 2).sum(1)) - 1.0) ** 2).mean()

    return dlc.value_and_grad(length)(w)


PROGRAMS: tuple[Callable[..., Any], ...] = (recurrent, attending, branching, gradients,
                                            per_example, ruled, penalty)


def products(graph: Graph) -> list[str]:
    """The dtypes of all products, in bodies too."""
    found = []
    for node in graph.nodes():
        found += [node.dtype.name] if node.op.precision == "low" else []
        for inner in node.attrs.values():
            found += products(inner) if isinstance(inner, Graph) else []
    return found


@pytest.mark.parametrize("kind", LOW)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_bodies_keep_their_types_and_multiply_low(program: Any, kind: str) -> None:
    graph = dlc.trace(program)
    low = dlc.in_precision(graph, kind)
    verify(low)
    assert signature(low) == signature(graph)
    assert set(products(low)) == {kind} and len(products(low)) == len(products(graph))
    assert bare(without_casts(low, LOW[kind])) == bare(without_casts(graph, LOW[kind]))


# --- compiled -------------------------------------------------------------------------------------


@pytest.mark.swept(3)
@pytest.mark.parametrize("isa", NATIVE)
def test_compiled_kernels_give_what_the_graph_means(isa: str) -> None:
    """`verify` evaluates before and after every pass and holds every launch against the bounds of
    its own operators."""
    with generated_for(isa):
        for kind in LOW:
            for program in PROGRAMS:
                dlc.compile(program, precision=kind, verify=True)
        for seed in range(6):
            dlc.compile(dlc.in_precision(random_graph(seed, 24), "bf16"), verify=True)
