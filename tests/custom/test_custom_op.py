"""dlc.custom_op: values, gradients, fusion, vmap, faults with their line, caches, check_op."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f16, f32, f64, i32
from dlc.derive import higher
from dlc.errors import DlcError
from dlc.ir.graph import Node
from dlc.ir.registry import REGISTRY
from dlc.passes import run_pipeline
from dlc.reference.evaluate import evaluate

LIMIT = 2.5
X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)


def smoothed(x: Any, *, decay: float) -> Any:
    """The meaning: along the last axis."""
    out = np.zeros_like(x)
    last = np.zeros(x.shape[:-1], x.dtype)
    for i in range(x.shape[-1]):
        last = out[..., i] = decay * last + x[..., i]
    return out


def smooth_gradient(g: Node, y: Node, x: Node, *, decay: float) -> Node:
    return dlc.flip(smooth(dlc.flip(g, -1), decay=decay), -1)


@dlc.custom_op(meaning=smoothed, gradient=smooth_gradient, parallel=1, samples=[
    ((X,), {"decay": 0.5}), ((np.ones((1, 1), np.float32),), {"decay": -1.0})])
def smooth(x, out, *, decay):  # type: ignore[no-untyped-def]
    """Exponential smoothing of each row."""
    last = 0.0
    for i in range(len(x)):
        last = decay * last + x[i]
        out[i] = last


def halved(v):  # type: ignore[no-untyped-def]
    return v * 0.5


@dlc.custom_op(
    elementwise=True, gradient=lambda g, y, x, *, top: dlc.where(x < top, g * (x + 0.5), 0.0),
    meaning=lambda x, *, top: np.where(x < top, 0.5 * (x * x + x), top),
    samples=[((X,), {"top": 2.0}), ((np.float32(0.3),), {"top": 1.0})])
def clipped_square(x, *, top=LIMIT):  # type: ignore[no-untyped-def]
    return halved(x * x + x) if x < top else top


def pair_gradient(gs: Any, ys: Any, a: Node, b: Node) -> tuple[Node, Node]:
    return gs[0] + gs[1] * b, gs[0] + gs[1] * a


@dlc.custom_op(meaning=lambda a, b: (a + b, a * b), gradient=pair_gradient,
               result=lambda a, b: (a, a), samples=[((X, X[::-1] + 1), {})])
def sum_and_product(a, b, total, product):  # type: ignore[no-untyped-def]
    rows, columns = a.shape
    for i in range(rows):
        for j in range(columns):
            total[i, j] = a[i, j] + b[i, j]
            product[i, j] = a[i, j] * b[i, j]


@dlc.custom_op(meaning=lambda x, at: x[np.clip(at, 0, len(x) - 1)], gradient="none",
               result=lambda x, at: x.with_(shape=at.shape),
               samples=[((X[0], np.array([2, 0], np.int32)), {})])
def pick(x, at, out):  # type: ignore[no-untyped-def]
    for i in range(len(at)):
        out[i] = x[at[i]]
        if x[at[i]] > 99.0:
            raise ValueError("too large")


ALL = [smooth, clipped_square, sum_and_product, pick]
MINE = {operator.op.name: REGISTRY.pop(operator.op.name) for operator in ALL}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Operators of this file are no others' business."""
    before = dict(REGISTRY)
    REGISTRY.update(MINE)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


@pytest.mark.swept(3)
@pytest.mark.parametrize("operator", ALL, ids=str)
@pytest.mark.parametrize("device", ["cpu", "interpret"])
def test_the_records_hold(operator: Any, device: str) -> None:
    dlc.check_op(operator, device)


def test_an_elementwise_one_fuses() -> None:
    def f(x: f32[3, 4]) -> Node:
        return clipped_square(x * 2.0, top=1.0) + 1.0

    graph = run_pipeline(dlc.trace(f))[-1].graph
    assert sum(n.op is higher.FUSED for n in graph.nodes()) == 1
    with dlc.compile(f).load() as program:
        want = np.where(2 * X < 1, 2 * X * X + X, 1) + 1
        np.testing.assert_allclose(program(X), want, rtol=1e-6)


def test_a_function_after_a_contraction() -> None:
    """An epilogue of tiles calls it too."""
    def f(x: f32[64, 64], w: f32[64, 64]) -> Node:
        return clipped_square(x @ w)

    x = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64)).astype(np.float32)
    with dlc.compile(f).load() as program:
        y = x[0] @ x[1]
        np.testing.assert_allclose(program(*x), np.where(y < LIMIT, (y * y + y) / 2, LIMIT),
                                   rtol=1e-4, atol=1e-4)


def test_half_precisions_compute_in_f32() -> None:
    def f(x: f16[3, 4]) -> Node:
        return smooth(clipped_square(x, top=1.0), decay=0.5)

    x = X.astype(np.float16)
    with dlc.compile(f).load() as program:
        np.testing.assert_allclose(program(x), evaluate(dlc.trace(f), x)["out"], rtol=2e-3)


def test_training_through_one() -> None:
    def loss(x: f64[3, 4]) -> Node:
        return (smooth(clipped_square(x, top=1.5), decay=0.9) ** 2).sum()

    graph = dlc.trace(lambda x: dlc.hvp(loss, x, x), f64[3, 4], name="second")
    slopes = dlc.trace(dlc.grad(loss), f64[3, 4], name="first")
    x, step = X.astype(np.float64) + 0.01, 1e-6
    names = graph.output_names
    found = evaluate(graph, x)[names[0]]
    first = [evaluate(slopes, x * (1 + s))[slopes.output_names[0]] for s in (step, -step)]
    np.testing.assert_allclose(found, (first[0] - first[1]) / (2 * step), rtol=1e-6, atol=1e-6)


def test_vmap_runs_the_function_for_each_example() -> None:
    def f(x: f64[2, 3, 4], at: i32[2, 5]) -> Any:
        rows = dlc.vmap(lambda row: smooth(row, decay=0.5))(x)
        return rows, dlc.vmap(lambda r, a: pick(r, a))(rows[:, 0], at)

    x = np.random.default_rng(2).uniform(-1, 1, (2, 3, 4))
    at = np.array([[0, 1, 2, 3, 0], [3, 3, 3, 1, 0]], np.int32)
    with dlc.compile(f).load(threads=2) as program:
        rows, picked = list(program(x, at).values())[:2]
    np.testing.assert_allclose(rows, smoothed(x, decay=0.5))
    np.testing.assert_array_equal(picked, np.take_along_axis(rows[:, 0], at, 1))


def test_the_gradient_rule_under_vmap() -> None:
    def batched(x: f64[2, 3, 4]) -> Node:
        return (dlc.vmap(lambda v: smooth(v, decay=0.5))(x) ** 3).sum()

    def whole(x: f64[6, 4]) -> Node:
        return (smooth(x, decay=0.5) ** 3).sum()

    x = np.random.default_rng(3).uniform(-1, 1, (2, 3, 4))
    graphs = [dlc.trace(dlc.grad(batched), f64[2, 3, 4]), dlc.trace(dlc.grad(whole), f64[6, 4])]
    a, b = (evaluate(g, v)[g.output_names[0]] for g, v in zip(graphs, (x, x.reshape(6, 4)),
                                                              strict=True))
    np.testing.assert_allclose(a.reshape(6, 4), b)


@pytest.mark.parametrize("device", ["cpu", "interpret"])
@pytest.mark.parametrize(("at", "line"), [([0, 4], 2), ([-5, 0], 2), ([1, 0], 4)])
def test_a_failing_function_stops_the_step_at_its_line(
        device: str, at: list[int], line: int) -> None:
    def f(x: f32[4], where: i32[2]) -> Node:
        return pick(x, where)

    first = pick.function.__code__.co_firstlineno + 3  # below the decorator's three lines
    x = np.array([1, 100, 3, 4], np.float32)
    with dlc.compile(f).load(device) as program:
        with pytest.raises(DlcError, match=f"pick.*test_custom_op.py:{first + line}\\n") as told:
            program(x, np.array(at, np.int32))
        assert told.value.loc is not None and told.value.loc.line > first
        np.testing.assert_array_equal(program(x, np.array([-1, 0], np.int32)), [4, 1])


def test_text_names_it_and_parsing_needs_it() -> None:
    def f(x: f32[3, 4]) -> Node:
        return smooth(clipped_square(x, top=1.0), decay=0.5)

    text = dlc.print_graph(dlc.trace(f))
    assert "smooth(" in text and "decay=0.5" in text and "top=1.0" in text and "lead" not in text
    assert dlc.print_graph(dlc.parse_graph(text)) == text
    with pytest.raises(DlcError, match=r"no operator roughen.*defined before"):
        dlc.parse_graph(text.replace("= smooth(", "= roughen("))


def scaled(factor: float) -> Any:
    @dlc.custom_op(name="scaled", elementwise=True, meaning=lambda x: x * factor,
                   gradient=lambda g, y, x: g * factor, samples=[((X,), {})])
    def by_factor(x):  # type: ignore[no-untyped-def]
        return x * factor
    return by_factor


def test_a_changed_closure_is_another_program(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Caches hold neither the old Program nor the old object."""
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    for factor in (2.0, 3.0):
        operator = scaled(factor)

        def f(x: f32[3, 4], op: Any = operator) -> Node:
            return op(x)

        compiled = dlc.compile(dlc.trace(lambda x, op=operator: op(x), f32[3, 4], name="f"))
        assert not compiled.was_kept
        with compiled.load() as program:
            np.testing.assert_array_equal(program(X), X * factor)


def rejected(function: Callable[..., Any], **changes: Any) -> str:
    options: dict[str, Any] = {"meaning": lambda x: x, "samples": [((X[0],), {})],
                               "gradient": "none", "name": "rejected_one", **changes}
    with pytest.raises(DlcError) as told:
        operator = dlc.custom_op(function, **options)
        graph = dlc.trace(lambda x: operator(x), f32[4], name="f")
        dlc.compile(graph).load()
    assert told.value.loc is not None
    return str(told.value)


def test_what_numba_refuses_is_told_at_the_line() -> None:
    def unknown(x, out):  # type: ignore[no-untyped-def]
        out[0] = x.size
        out[1] = x.colour

    def writes(x, out):  # type: ignore[no-untyped-def]
        x[0] = out[0]

    def allocates(x, out):  # type: ignore[no-untyped-def]
        total = x + x
        out[0] = total[0]

    first = unknown.__code__.co_firstlineno
    told = rejected(unknown)
    assert "Unknown attribute 'colour'" in told and f"test_custom_op.py:{first + 2}:" in told
    assert "Traceback" not in told
    assert "setitem(readonly array" in rejected(writes)
    assert "for which there is no memory" in rejected(allocates)


def test_what_has_no_text_is_refused() -> None:
    table = {"a": 1}

    def reads(x, out):  # type: ignore[no-untyped-def]
        out[0] = table

    def lists(x, out):  # type: ignore[no-untyped-def]
        out[0] = [1.0][0]

    def copies(x, out):  # type: ignore[no-untyped-def]
        out[0] = x[0]

    assert "table is dict" in rejected(reads)
    assert "uses a list" in rejected(lists)
    assert "a function of 2 arrays" in rejected(copies, result=lambda x: (x, x))
    assert "no samples" in rejected(copies, samples=[])
    assert "gradient='maybe'" in rejected(copies, gradient="maybe")
    assert "dlc has an operator" in rejected(copies, name="matmul")
    assert "may neither index nor raise" in rejected(lambda_free_index, elementwise=True)


def lambda_free_index(x):  # type: ignore[no-untyped-def]
    return (1.0, 2.0)[0] * x


@pytest.mark.parametrize("level", ["0", "2"])
def test_check_op_finds_what_is_wrong(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CHECK", level)

    def copy(x, out):  # type: ignore[no-untyped-def]
        for i in range(len(x)):
            out[i] = x[i]

    def wrong(**changes: Any) -> str:
        options: dict[str, Any] = {"meaning": lambda x: x, "gradient": lambda g, y, x: g,
                                   "samples": [((X[0],), {})], "name": "copied", **changes}
        operator = dlc.custom_op(copy, **options)
        with pytest.raises(DlcError) as told:
            dlc.check_op(operator)
        return str(told.value)

    dlc.check_op(dlc.custom_op(copy, meaning=lambda x: x, gradient=lambda g, y, x: g, name="copied",
                               samples=[((X[0],), {})]))
    assert "NumPy meaning gives" in wrong(meaning=lambda x: 2 * x)
    assert "differences" in wrong(gradient=lambda g, y, x: 2 * g)
    assert "cotangents for 1" in wrong(gradient=lambda g, y, x: (g, g))
    assert "fails at" in wrong(result=lambda x: x.with_(shape=(2,)), meaning=lambda x: x[:2],
                               gradient="none")


def test_a_gradient_that_does_not_exist() -> None:
    with pytest.raises(DlcError, match=r"pick.*has no gradient"):
        run_pipeline(dlc.trace(dlc.grad(lambda x, at: pick(x, at).sum()), f32[4], i32[2], name="f"))


def test_calls_that_do_not_fit() -> None:
    x = f32[3, 4]
    with pytest.raises(DlcError, match="attribute decay is missing"):
        dlc.trace(lambda v: smooth(v), x, name="f")
    with pytest.raises(DlcError, match="no attribute 'rate'"):
        dlc.trace(lambda v: smooth(v, decay=1.0, rate=1.0), x, name="f")
    with pytest.raises(DlcError, match="first 1 axes"):
        dlc.trace(lambda v: smooth(v.sum(), decay=1.0), x, name="f")


def test_math_agrees_with_python() -> None:
    @dlc.custom_op(name="mathematics", elementwise=True, gradient="zero",
                   meaning=np.vectorize(lambda x: math.sin(x) + abs(math.floor(x)) + max(x, 1.0),
                                        otypes=[np.float32]), samples=[((X,), {})])
    def mathematics(x):  # type: ignore[no-untyped-def]
        return math.sin(x) + abs(math.floor(x)) + max(x, 1.0)

    dlc.check_op(mathematics)
