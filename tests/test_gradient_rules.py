"""custom_gradient and checkpoint: other rules for a derivative, on every path to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn
from dlc.ir.graph import Graph
from dlc.passes.differentiate import differentiate
from tests.everywhere import everywhere, traced

X = np.array([0.3, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


# --- custom_gradient ------------------------------------------------------------------------------


@dlc.custom_gradient
def doubled(x: Any) -> Any:
    """2 x, whose gradient is said to be 2 x^2: nobody could take it for the true one."""
    y = x * 2.0

    def pullback(g: Any) -> Any:
        return g * x * y

    return y, pullback


@dlc.custom_gradient
def log1pexp(x: Any) -> Any:
    """log(1 + e^x), whose plain gradient is inf / inf for large x."""
    e = dlc.exp(x)
    return dlc.log(1.0 + e), lambda g: g * (1.0 - 1.0 / (1.0 + e))


def test_the_value_is_the_functions() -> None:
    np.testing.assert_array_equal(everywhere(doubled, X), 2 * X)


def test_the_gradient_is_the_rules() -> None:
    found = everywhere(dlc.grad(lambda x: dlc.sin(doubled(x)).sum()), X)
    np.testing.assert_allclose(found, np.cos(2 * X) * 2 * X ** 2)


def test_a_gradient_that_the_plain_rule_gets_wrong() -> None:
    x = np.array([0.5, 800.0])
    found = everywhere(dlc.grad(lambda x: log1pexp(x).sum()), x)
    np.testing.assert_allclose(found, [1 / (1 + np.exp(-0.5)), 1.0])


def test_second_order_differentiates_the_pullback() -> None:
    """d/dx of 2 x * (2 x): through what the pullback took from the forward computation too."""
    slope = dlc.grad(lambda x: doubled(x).sum())
    found = everywhere(dlc.grad(lambda x: (slope(x) * V).sum()), X)
    np.testing.assert_allclose(found, 4 * X * V)


def test_forward_mode_transposes_the_pullback() -> None:
    out = everywhere(lambda x, v: dlc.jvp(doubled, (x,), (v,)), X, V)
    np.testing.assert_array_equal(out["out0"], 2 * X)
    np.testing.assert_allclose(out["out1"], V * 2 * X ** 2)
    found = everywhere(lambda x, v: dlc.hvp(lambda x: doubled(x).sum(), x, v), X, V)
    np.testing.assert_allclose(found, 4 * X * V)


def test_over_examples() -> None:
    xs = np.stack([X, V])
    for way in (dlc.vmap(dlc.grad(lambda x: doubled(x).sum())),
                dlc.grad(lambda xs: dlc.vmap(doubled)(xs).sum())):
        np.testing.assert_allclose(everywhere(way, xs), 2 * xs ** 2)


@dlc.custom_gradient
def scaled(p: Any, x: Any) -> Any:
    """x p["a"] and its sum; the rule gives p["b"] a cotangent, though the function ignores it."""
    y = x * p["a"]

    def pullback(g: Any) -> Any:
        by_y, by_total = g["y"], g["total"]
        return {"a": (by_y * x).sum() * 3.0, "b": by_total}, None

    return {"y": y, "total": y.sum()}, pullback


def test_nested_arguments_and_results() -> None:
    def loss(a: Any, b: Any, x: Any) -> Any:
        found = scaled({"a": a, "b": b}, x)
        return (found["y"] * V).sum() + 7.0 * found["total"]

    out = everywhere(dlc.grad(loss, wrt=(0, 1, 2)), np.float64(0.5), np.float64(4.0), X)
    np.testing.assert_allclose(out["out0"], 3 * (V * X).sum())
    np.testing.assert_array_equal(out["out1"], 7)
    np.testing.assert_array_equal(out["out2"], np.zeros(3))


def test_an_argument_shared_by_all_examples_gets_the_sum() -> None:
    def loss(a: Any, xs: Any) -> Any:
        each = dlc.vmap(lambda x: scaled({"a": a, "b": a}, x)["y"].sum())
        return each(xs).sum()

    xs = np.stack([X, V])
    np.testing.assert_allclose(everywhere(dlc.grad(loss), np.float64(2.0), xs), 3 * xs.sum())


def test_straight_through_a_rounding() -> None:
    @dlc.custom_gradient
    def rounded(x: Any) -> Any:
        return dlc.round(x), lambda g: g

    found = everywhere(dlc.grad(lambda x: (rounded(x) * V).sum()), X)
    np.testing.assert_array_equal(found, V)


def test_integer_arguments_get_none() -> None:
    @dlc.custom_gradient
    def picked(x: Any, at: Any) -> Any:
        return dlc.take(x, at), lambda g: (dlc.one_hot(at, 3, x.dtype) * g * 5.0, None)

    out = everywhere(dlc.grad(lambda x, at: picked(x, at)), X, np.int32(1))
    np.testing.assert_array_equal(out["out"], [0, 5, 0])


def test_checks_inside_reach_the_fault() -> None:
    @dlc.custom_gradient
    def picked(x: Any, at: Any) -> Any:
        return dlc.take(x, at), lambda g: (dlc.one_hot(at, 3) * g, None)

    graph = dlc.trace(dlc.grad(lambda x, at: picked(x, at)), f32[3], i32[()])
    assert dlc.evaluate(graph, X.astype(np.float32), np.int32(3))["fault"] == 1


def test_what_the_function_captures_has_no_gradient_but_may_be_constant() -> None:
    def loss(x: Any, w: Any) -> Any:
        @dlc.custom_gradient
        def weighted(x: Any) -> Any:
            return x * w, lambda g: g * w

        return weighted(x).sum()

    np.testing.assert_array_equal(everywhere(dlc.grad(loss), X, V), V)
    with pytest.raises(DlcError, match=r"gives none for w: f64\[3\], which it takes from outside"):
        differentiate(traced(dlc.grad(loss, wrt=1), X, V))


def wrong(rule: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of two arguments with a pullback that gives what `rule` says."""
    @dlc.custom_gradient
    def function(x: Any, y: Any) -> Any:
        return x * y, rule

    return function


@pytest.mark.parametrize(("rule", "message"), [
    (lambda g: g, "gave 1 cotangents for 2 arguments"),
    (lambda g: (g, g, g), "gave 3 cotangents for 2 arguments"),
    (lambda g: (g.sum(), g), r"cotangent f32\[\] for x: f32\[3\]"),
    (lambda g: (g > 0.0, g), r"cotangent .*bool\[3\] for x: f32\[3\]"),
    (lambda g: ((g, g), g), "a cotangent has another nesting than its argument"),
])
def test_wrong_cotangents_are_told_at_the_pullback(rule: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message) as raised:
        dlc.trace(lambda x, y: wrong(rule)(x, y), f32[3], f32[3])
    assert raised.value.loc is not None
    assert raised.value.loc.line == rule.__code__.co_firstlineno
    assert raised.value.hint


def test_a_function_without_pullback_is_told() -> None:
    with pytest.raises(DlcError, match="it returned Node") as raised:
        dlc.trace(dlc.custom_gradient(lambda x: x * 2.0), f32[3])
    assert "pullback" in raised.value.hint


def equilibrium(bound: int) -> Callable[..., Any]:
    """z = a z + b by iteration, whose cotangent solves a fixed point of its own."""
    def solved(f: Callable[[Any], Any], start: Any) -> Any:
        return dlc.while_loop(lambda u: dlc.abs(f(u) - u).max() > 1e-13, f, start, bound=bound)[0]

    @dlc.custom_gradient
    def z(a: Any, b: Any) -> Any:
        z = solved(lambda z: a @ z + b, b)

        def pullback(g: Any) -> Any:
            u = solved(lambda u: g + a.T @ u, g * 1e3)
            return dlc.expand_dims(u, 1) * z, u

        return z, pullback

    return z


def test_a_pullback_may_loop_until_its_cotangent_is_found() -> None:
    a = np.array([[0.1, -0.3], [0.2, 0.25]])
    b, w = np.array([1.0, 2.0]), np.array([0.5, -1.5])
    found = everywhere(dlc.grad(lambda a, b: (equilibrium(60)(a, b) * w).sum(), wrt=(0, 1)), a, b)
    u = np.linalg.solve(np.eye(2) - a.T, w)
    np.testing.assert_allclose(found["out0"], np.outer(u, np.linalg.solve(np.eye(2) - a, b)),
                               rtol=1e-11)
    np.testing.assert_allclose(found["out1"], u, rtol=1e-11)


def test_a_check_that_fails_in_the_backward_pass_gives_nan() -> None:
    """From b the forward iterations end within 26; from 1000 g the backward ones do not."""
    a, b = np.array([[0.3, 0.0], [0.0, 0.25]]), np.array([1.0, 2.0])
    z = everywhere(lambda a, b: equilibrium(26)(a, b), a, b)["out"]
    np.testing.assert_allclose(z, np.linalg.solve(np.eye(2) - a, b), rtol=1e-11)
    found = everywhere(dlc.grad(lambda b: equilibrium(26)(dlc.asarray(a), b).sum()), b)["out"]
    assert np.isnan(found).all()


# --- checkpoint -----------------------------------------------------------------------------------


def layer(w: Any) -> Callable[[Any], Any]:
    """A layer with two inner values that reverse mode wants beside its input."""
    return lambda x: dlc.sin(dlc.tanh(x @ w))


def deep(wrap: Callable[..., Any]) -> Callable[..., Any]:
    """The loss of a chain of layers with a matrix each, and its gradient by all of them."""
    def loss(x: Any, *ws: Any) -> Any:
        for w in ws:
            x = wrap(layer(w))(x)
        return (x * x).sum()

    def derived(x: Any, *ws: Any) -> Any:
        return dlc.value_and_grad(loss, wrt=tuple(range(len(ws) + 1)))(x, *ws)

    return derived


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def test_checkpoint_changes_no_bit_of_the_gradient() -> None:
    rng = np.random.default_rng(3)
    x, *ws = rng.normal(size=(4, 6)), *(rng.normal(size=(6, 6)) * 0.5 for _ in range(4))
    plain = dlc.evaluate(traced(deep(kept), x, *ws), x, *ws)
    found = everywhere(deep(dlc.checkpoint), x, *ws)
    for name, value in plain.items():
        np.testing.assert_array_equal(found[name], value)


def test_the_recomputation_waits_for_the_cotangent() -> None:
    """In the gradient's graph each layer's tanh is there twice: again over two barriers."""
    graph = differentiate(traced(deep(dlc.checkpoint), np.ones((4, 6)), *np.ones((3, 6, 6))))
    names = [n.op.name for n in graph.nodes()]
    assert names.count("tanh") == 6
    assert names.count("barrier") == 6


def test_a_deep_chain_of_checkpoints_needs_less_memory_and_gives_the_same_bits() -> None:
    """Sixteen layers of 128 x 256 values: what lies between two checkpoints is not kept."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 256)).astype(np.float32)
    ws = [(rng.normal(size=(256, 256)) / 16).astype(np.float32) for _ in range(16)]
    plain, thrifty = (dlc.compile(traced(deep(wrap), x, *ws)) for wrap in (kept, dlc.checkpoint))
    # of tanh(x w) and sin of it only the latter is kept, as the next layer's input
    assert plain.peak_bytes - thrifty.peak_bytes > 14 * x.nbytes
    results = []
    for program in (plain, thrifty):
        with program.load() as loaded:
            results.append(loaded(x, *ws))
    for name, value in results[0].items():
        np.testing.assert_array_equal(results[1][name], value)


def test_nested_checkpoints() -> None:
    def inner(x: Any) -> Any:
        return dlc.checkpoint(lambda x: dlc.sin(dlc.exp(dlc.tanh(x))))(x) * x

    found = everywhere(dlc.grad(lambda x: dlc.checkpoint(inner)(x).sum()), X)
    np.testing.assert_array_equal(found, everywhere(dlc.grad(
        lambda x: (dlc.sin(dlc.exp(dlc.tanh(x))) * x).sum()), X))


@pytest.mark.swept(2)
@pytest.mark.parametrize("way", ["hvp", "grad of grad", "jvp", "vmap of grad", "hessian"])
def test_checkpoint_in_every_derivative(way: str) -> None:
    def plain(x: Any) -> Any:
        return (dlc.exp(dlc.sin(x)) * x).sum() * x.mean()

    def derived(f: Callable[..., Any]) -> Callable[..., Any]:
        return {
            "hvp": lambda x: dlc.hvp(f, x, V),
            "grad of grad": dlc.grad(lambda x: (dlc.grad(f)(x) * V).sum()),
            "jvp": lambda x: dlc.jvp(f, (x,), (V,))[1],
            "vmap of grad": lambda x: dlc.vmap(dlc.grad(f))(dlc.concat([x[None], x[None] * 2.0])),
            "hessian": dlc.hessian(f),
        }[way]

    np.testing.assert_allclose(everywhere(derived(dlc.checkpoint(plain)), X),
                               everywhere(derived(plain), X), rtol=1e-12)


def test_parameters_state_and_random_numbers_in_a_checkpoint() -> None:
    """The recomputed noise is the first one's: its gradient is the noise itself."""
    def noisy(x: f32[3]) -> Any:
        def f(x: Any) -> Any:
            seen = dlc.state("seen", f32[()])
            dlc.update_state(seen, seen + 1.0)
            return (dlc.sin(x) * dlc.random.uniform((3,))).sum()

        return dlc.value_and_grad(dlc.checkpoint(f))(x)

    graph = dlc.trace(noisy)
    inputs = {"x": np.zeros(3, np.float32), "seed": np.uint32(3), "step": np.int32(0),
              "seen": np.float32(4)}
    out = dlc.evaluate(graph, **inputs)
    assert out["seen"] == 5
    again = dlc.evaluate(Graph(graph.name, graph.inputs, differentiate(graph).outputs,
                               graph.output_names, graph.updates), **inputs)
    np.testing.assert_array_equal(again["out1"], out["out1"])
    assert len(np.unique(out["out1"])) == 3


def trained_once(wrap: Callable[..., Any]) -> dict[str, Any]:
    """What one training step of a deep network gives, its blocks wrapped by `wrap`."""
    blocks = [nn.chain(nn.dense(16), dlc.tanh, nn.dense(16), dlc.tanh, name=f"b{i}")
              for i in range(3)]
    head = nn.dense(10)

    @dlc.task(data="digits8", optimizer=dlc.optim.adam(1e-3), batch=8)
    def network(image: f32["batch", 64], label: i32["batch"]) -> Any:
        x = image
        for block in blocks:
            x = wrap(block)(x)
        return dlc.loss(nn.cross_entropy(head(x), label))

    graph = network.graphs()["train"]
    values = network.initial_values(network.graphs(), seed=0)
    batch = {"image": np.random.default_rng(0).uniform(size=(8, 64)).astype(np.float32),
             "label": np.arange(8, dtype=np.int32)}
    known = {n.attrs["label"] for n in graph.inputs}
    return dict(dlc.evaluate(graph, **batch, **{k: v for k, v in values.items() if k in known}))


def test_checkpointed_layers_train_alike() -> None:
    """Gradients by parameters that the blocks capture pass through the checkpoints, bit by bit."""
    plain, thrifty = trained_once(kept), trained_once(dlc.checkpoint)
    assert set(plain) == set(thrifty)
    assert any(name.startswith("adam.m/b2") and np.any(plain[name]) for name in plain)
    for name, value in plain.items():
        np.testing.assert_array_equal(thrifty[name], value, err_msg=name)
