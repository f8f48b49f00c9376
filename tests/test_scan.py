"""Loops and branches of the language: nestings, layers, state, random numbers, checks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import dlc
from dlc import f32, f64, i32, nn
from dlc.derive.control import SCAN
from dlc.errors import DlcError
from dlc.ir.graph import Graph, Node
from dlc.passes.differentiate import differentiate
from tests.ops.loop_programs import run

XS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


# --- nestings -------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """A carry with names."""

    mean: Any
    count: Any


def test_carries_sequences_and_results_nest() -> None:
    def f(xs: f32[4, 3], ys: f32[4]) -> Any:
        def step(carry: dict[str, Any], element: Any) -> Any:
            (x, [y]) = element
            pair = Pair(carry["pair"].mean + x * y, carry["pair"].count + 1)
            return {"n": [carry["n"][0] * 2], "pair": pair}, {"a": (x[0], None), "b": [y]}

        last, rows = dlc.scan(step, {"pair": Pair(dlc.zeros(3), 0), "n": [1]}, (xs, [ys]))
        assert isinstance(last["pair"], Pair)
        assert rows["a"][1] is None
        assert isinstance(rows["b"], list)
        return {"mean": last["pair"].mean, "count": last["pair"].count, "n": last["n"][0],
                "a": rows["a"][0], "b": rows["b"][0]}

    ys = np.array([1, 2, 3, 4], np.float32)
    out = run(dlc.trace(f), XS, ys)
    np.testing.assert_allclose(out["mean"], (XS * ys[:, None]).sum(0), rtol=1e-6)
    assert (out["count"], out["n"]) == (4, 16)
    np.testing.assert_array_equal(out["a"], XS[:, 0])
    np.testing.assert_array_equal(out["b"], ys)


def test_numbers_in_a_carry_take_the_dtype_they_grow_into() -> None:
    def f(xs: f64[4]) -> Any:
        def step(carry: Any, x: Node) -> Any:
            total, steps = carry
            return (total + x, steps + 0.5), None

        return dlc.scan(step, (0, 0), xs)[0]

    graph = dlc.trace(f)
    assert [str(o.type) for o in graph.outputs] == ["f64[()]", "f32[()]"]
    assert list(dlc.evaluate(graph, np.arange(4.0)).values()) == [6.0, 2.0]


def test_a_body_run_again_makes_its_layers_once() -> None:
    """The carry starts as a number, so the body is run twice; its unnamed layer is one."""
    def f(xs: f32[4, 3]) -> Any:
        def step(total: Any, x: Node) -> Any:
            return total + nn.dense(1)(x[None])[0, 0], dlc.random.uniform()

        return dlc.scan(step, 0, xs)

    graph = dlc.trace(f)
    assert [v.name for v in graph.notes["variables"]] == [
        "dense1.weight", "dense1.bias", "seed", "step"]


def test_reverse_and_map_and_fori() -> None:
    def f(xs: f32[4, 3]) -> Any:
        _, partial = dlc.scan(lambda c, x: (c + x, c + x), dlc.zeros(3), xs, reverse=True)
        doubled = dlc.map(lambda x: {"y": x * 2.0}, xs)["y"]
        power = dlc.fori(5, lambda i, v: v * (i + 1), 1)
        return partial, doubled, power

    out = run(dlc.trace(f), XS)
    np.testing.assert_allclose(out["out0"], XS[::-1].cumsum(0)[::-1], rtol=1e-6)
    np.testing.assert_allclose(out["out1"], XS * 2)
    assert out["out2"] == 120


def test_names_of_dimensions_go_through() -> None:
    def f(xs: f32["time", "batch", 3]) -> Any:
        return dlc.scan(lambda c, x: (c + x, x), xs[0], xs)

    graph = dlc.trace(f, dims={"time": 5, "batch": 2})
    assert [o.type.describe() for o in graph.outputs] == [
        "f32[batch=2, 3]", "f32[time=5, batch=2, 3]"]


# --- layers, state, random numbers, checks --------------------------------------------------------


def test_layers_in_a_body_make_their_parameters_once_and_outside() -> None:
    cell = nn.dense(3)

    def f(xs: f32[4, 2, 3]) -> Any:
        return dlc.scan(lambda h, x: (dlc.tanh(cell(h) + x), None), xs[0], xs)[0]

    graph = dlc.trace(f)
    assert [v.name for v in graph.notes["variables"]] == ["cell.weight", "cell.bias"]
    xs = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    w, b = np.eye(3, dtype=np.float32)[::-1].copy(), np.ones(3, np.float32)
    h = xs[0]
    for x in xs:
        h = np.tanh(h @ w + b + x)
    np.testing.assert_allclose(run(graph, xs, w, b), h, rtol=1e-5)


def test_state_is_carried_from_iteration_to_iteration() -> None:
    """What an iteration reads is what the one before wrote; the first continues the step's."""
    def f(xs: f32[4]) -> Any:
        total = dlc.state("total", f32[()])
        quiet = dlc.state("quiet", f32[()])
        dlc.update_state(total, total + 100.0)
        dlc.update_state(quiet, quiet + 1.0)

        def step(c: Node, x: Node) -> Any:
            seen = dlc.latest_state(total)
            dlc.update_state(total, seen + x)
            return c + dlc.latest_state(quiet), (seen, total)

        c, (before, handle) = dlc.scan(step, 0.0, xs)
        return {"c": c, "before": before, "handle": handle, "total_now": dlc.latest_state(total)}

    graph = dlc.trace(f)
    assert set(graph.updates) == {"total", "quiet"}
    xs = np.array([1, 2, 3, 4], np.float32)
    out = dlc.evaluate(graph, xs, np.float32(10), np.float32(5))
    assert (out["total"], out["quiet"], out["c"], out["total_now"]) == (120, 6, 24, 120)
    np.testing.assert_array_equal(out["before"], [110, 111, 113, 116])
    np.testing.assert_array_equal(out["handle"], out["before"])


def test_state_in_a_loop_in_a_loop() -> None:
    def f(xs: f32[4]) -> Any:
        s = dlc.state("s", f32[()])

        def outer(c: Node, x: Node) -> Any:
            def inner(d: Node, _: None) -> Any:
                dlc.update_state(s, s * 2.0 + x)
                return d + s, None

            return dlc.scan(inner, c, length=3)[0], dlc.latest_state(s)

        return dlc.scan(outer, 0.0, xs)

    state, total, seen = 3.0, 0.0, []
    for x in (1.0, 2.0, 3.0, 4.0):
        for _ in range(3):
            total, state = total + state, state * 2 + x
        seen.append(state)
    out = dlc.evaluate(dlc.trace(f), np.array([1, 2, 3, 4], np.float32), np.float32(3))
    assert (out["out0"], out["s"], out["out1"].tolist()) == (total, state, seen)


def test_state_updated_in_a_loop_in_a_derivative() -> None:
    def f(xs: f32[4]) -> Any:
        def loss(w: Node) -> Node:
            def step(c: Node, x: Node) -> Any:
                n = dlc.state("n", i32[()])
                dlc.update_state(n, n + 1)
                return c * w + x, None

            return dlc.scan(step, w, xs)[0]

        return dlc.grad(loss)(xs[0])

    graph = dlc.trace(f)
    for each in (graph, differentiate(graph)):
        out = dlc.evaluate(each, np.array([2, 1, 1, 1], np.float32), np.int32(3))
        # w^5 + 2 w^3 + w^2 + w + 1 at 2
        assert (out["out"], out["n"]) == (5 * 16 + 2 * 3 * 4 + 2 * 2 + 1, 7)


def test_state_first_met_in_a_body_is_a_state_of_the_step() -> None:
    def f(xs: f32[4]) -> Any:
        def step(c: Node, x: Node) -> Any:
            seen = dlc.state("seen", i32[()])
            dlc.update_state(seen, dlc.cond(x > 1.5, lambda: seen + 1, lambda: seen))
            return c, None

        return dlc.scan(step, 0.0, xs)[0]

    out = dlc.evaluate(dlc.trace(f), np.array([1, 2, 3, 1], np.float32), np.int32(7))
    assert out["seen"] == 9


def test_state_updated_in_a_branch() -> None:
    def f(x: f32[()]) -> Any:
        count = dlc.state("count", i32[()])
        other = dlc.state("other", i32[()])

        def yes() -> Node:
            dlc.update_state(count, count + 1)
            return x

        def no() -> Node:
            dlc.update_state(other, other + 5)
            return -x

        return dlc.cond(x > 0.0, yes, no)

    graph = dlc.trace(f)
    for x, want in ((1.0, (1.0, 3, 2)), (-1.0, (1.0, 2, 7))):
        out = dlc.evaluate(graph, np.float32(x), np.int32(2), np.int32(2))
        assert (out["out"], out["count"], out["other"]) == want


def test_batch_norm_in_a_loop_sees_every_iteration() -> None:
    norm = nn.batch_norm()

    def f(xs: f32[4, 8, 3]) -> Any:
        return dlc.scan(lambda c, x: (c + norm(x).sum(), None), 0.0, xs)[0]

    def g(xs: f32[4, 8, 3]) -> Any:
        total = 0.0
        for t in range(4):
            total = total + norm(xs[t]).sum()
        return total

    xs = np.random.default_rng(1).normal(size=(4, 8, 3)).astype(np.float32)
    looped, plain = (dlc.trace(h, training=True) for h in (f, g))
    rest = [np.ones(3, np.float32)] * (len(looped.inputs) - 1)
    assert looped.updates == plain.updates
    assert looped.updates
    a, b = dlc.evaluate(looped, xs, *rest), dlc.evaluate(plain, xs, *rest)
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-5)


def test_every_iteration_draws_its_own_random_numbers() -> None:
    """In nested loops too, in a branch, and where nothing else depends on the iteration."""
    def f() -> Any:
        def inner(c: Any, _: None) -> Any:
            return c, dlc.random.uniform((2,))

        def outer(c: Any, _: None) -> Any:
            _, rows = dlc.scan(inner, c, length=3)
            pick = dlc.cond(rows.sum() > -1.0, lambda: dlc.random.uniform(), lambda: rows[0, 0])
            return c, (rows, dlc.random.uniform((2,)), pick)

        _, drawn = dlc.scan(outer, None, length=4)
        return (*drawn, dlc.random.uniform((2,)))

    graph = dlc.trace(f)
    out = run(graph, np.uint32(5), np.int32(2))
    drawn = np.concatenate([v.ravel() for k, v in out.items() if k.startswith("out")])
    assert len(set(drawn.tolist())) == drawn.size == 4 * 3 * 2 + 4 * 2 + 4 + 2
    other = dlc.evaluate(graph, np.uint32(5), np.int32(3))["out0"]
    assert not set(other.ravel().tolist()) & set(drawn.tolist())


def test_random_numbers_are_the_same_in_a_derivative() -> None:
    """The backward loop multiplies by the mask that the forward one drew."""
    def f(x: Node) -> Any:
        def step(h: Node, _: None) -> Any:
            return h * dlc.random.bernoulli((6,), 0.5) * 2.0 + x, None

        h = dlc.scan(step, x, length=2)[0]
        return h.sum(), h

    def both(x: f32[6]) -> Any:
        (_, h), slope = dlc.value_and_grad(f)(x)
        return h, slope

    h, slope = dlc.evaluate(dlc.trace(both), np.ones(6, np.float32), np.uint32(1),
                            np.int32(0)).values()
    np.testing.assert_array_equal(h, slope)  # each element of h is linear in its own of x
    assert len(set(h.tolist())) > 1


def test_checks_in_a_body_are_reported_outside_with_its_line() -> None:
    def f(x: f32[3], at: i32[4]) -> Any:
        def step(c: Node, i: Node) -> Any:
            return c + dlc.take(x, i), None  # the line

        return dlc.grad(lambda x: dlc.scan(step, x.sum() * 0.0, at)[0])(x)

    graph = dlc.trace(f)
    (check,) = graph.notes["checks"]
    assert check.loc.file == __file__
    with open(__file__) as file:
        assert "# the line" in file.readlines()[check.loc.line - 1]
    x = np.zeros(3, np.float32)
    assert dlc.evaluate(graph, x, np.array([0, 2, 1, 0], np.int32))["fault"] == 0
    assert dlc.evaluate(graph, x, np.array([0, 3, 1, 0], np.int32))["fault"] == 1
    with dlc.compile(graph).load() as running, pytest.raises(DlcError, match="index out of 0"):
        running(x, np.array([0, 2, -1, 0], np.int32))


def test_checks_in_a_branch_that_does_not_run_do_not_fail() -> None:
    def f(x: f32[3], at: i32[()]) -> Any:
        return dlc.cond(at < 3, lambda: dlc.take(x, at), lambda: x[0])

    graph = dlc.trace(f)
    x = np.ones(3, np.float32)
    assert [int(dlc.evaluate(graph, x, np.int32(i))["fault"]) for i in (2, 5, -1)] == [0, 0, 1]


def test_a_loss_through_a_loop_trains() -> None:
    """The loss is computed in the loop: what reports show is not a value of the body."""
    cell, head = nn.dense(4), nn.dense(2)

    @dlc.task(optimizer=dlc.optim.sgd(0.1))
    def net(xs: f32["batch", 5, 3], label: i32["batch"]) -> Any:
        def step(carry: Any, x: Node) -> Any:
            h, loss = carry
            h = dlc.tanh(cell(dlc.concat([x, h], 1)))
            return (h, loss + nn.cross_entropy(head(h), label)), None

        h = dlc.zeros((int(xs.shape[0]), 4))
        (_, loss), _ = dlc.scan(step, (h, 0.0), xs.transpose((1, 0, 2)))
        return dlc.loss(loss)

    graph = dlc.compile(net, batch=2).graph
    assert [n for n in graph.nodes() if n.op is SCAN]


def test_vmap_of_a_scan() -> None:
    def f(hs: f32[2, 3], xs: f32[2, 4, 3], w: f32[3, 3]) -> Any:
        def one(h: Node, xs: Node) -> Any:
            return dlc.scan(lambda h, x: (dlc.tanh(h @ w + x), (h, w.sum())), h, xs)

        h, (rows, same) = dlc.vmap(one)(hs, xs)
        each = [one(hs[i], xs[i]) for i in range(2)]
        return (h - dlc.stack([e[0] for e in each]),
                rows - dlc.stack([e[1][0] for e in each]), same)

    rng = np.random.default_rng(0)
    out = run(dlc.trace(f), *(rng.normal(size=s).astype(np.float32)
                              for s in ((2, 3), (2, 4, 3), (3, 3))))
    assert out["out2"].shape == (2, 4)
    for name in ("out0", "out1"):
        np.testing.assert_allclose(out[name], 0, atol=1e-6)


def test_a_loop_without_a_trace_around_it() -> None:
    """Nodes made by hand, as the tests of passes make them."""
    x = dlc.asarray(np.arange(3.0))
    last, _ = dlc.scan(lambda c, e: (c + e, None), x[0], x)
    assert dlc.evaluate(Graph("g", (), (last,))) == 3.0


def test_the_derivative_of_a_loop_prints() -> None:
    def f(xs: f32[4, 2], w: f32[2]) -> Any:
        def loss(w: Node) -> Node:
            def cell(h: Node, x: Node) -> Any:
                return dlc.tanh(h * w + x), None

            return dlc.scan(cell, xs[0], xs)[0].sum()

        return dlc.grad(loss)(w)

    text = dlc.print_graph(differentiate(dlc.trace(f)))
    assert "def cell(" in text
    assert "def cell_backward(" in text
    assert "body=cell_backward" in text
