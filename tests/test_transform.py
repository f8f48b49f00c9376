"""grad, vjp, jvp, hvp against closed forms and central differences, in any nesting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64, i32, nn

X = np.array([0.3, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


def at(function: Callable[..., Any], *arrays: Any) -> Any:
    """`function` traced in f64 and evaluated."""
    types = [f64[np.shape(a)] for a in arrays]
    return dlc.evaluate(dlc.trace(function, *types), *map(np.asarray, arrays))


def wave(x: Any) -> Any:
    """A scalar with a full Hessian."""
    return (dlc.sin(x) * x).sum() * dlc.exp(x.mean())


def slopes(f: Callable[[Any], float], x: Any, eps: float = 1e-6) -> Any:
    """Central differences of a scalar NumPy function."""
    unit = np.eye(x.size) * eps
    return np.array([(f(x + e) - f(x - e)) / (2 * eps) for e in unit])


def wave_numpy(x: Any) -> Any:
    return (np.sin(x) * x).sum() * np.exp(x.mean())


def test_grad_against_differences() -> None:
    np.testing.assert_allclose(at(dlc.grad(wave), X), slopes(wave_numpy, X), rtol=1e-7)


def test_value_and_grad_gives_both() -> None:
    out = at(dlc.value_and_grad(wave), X)
    np.testing.assert_allclose(out["out0"], wave_numpy(X))
    np.testing.assert_allclose(out["out1"], slopes(wave_numpy, X), rtol=1e-7)


def test_further_results_pass_through() -> None:
    def with_parts(x: Any) -> Any:
        return x.sum(), x * 2

    (loss, doubled), g = _run_nested(dlc.value_and_grad(with_parts), X)
    np.testing.assert_allclose(loss, X.sum())
    np.testing.assert_allclose(doubled, X * 2)
    np.testing.assert_allclose(g, 1)


def _run_nested(function: Callable[..., Any], x: Any) -> Any:
    out = at(lambda x: _flat(function(x)), x)
    return (out["out0"], out["out1"]), out["out2"]


def _flat(nested: Any) -> Any:
    (a, b), g = nested
    return a, b, g


def test_grad_by_several_arguments() -> None:
    out = at(dlc.grad(lambda a, b: (a * a * b).sum(), wrt=(0, 1)), X, V)
    np.testing.assert_allclose(out["out0"], 2 * X * V)
    np.testing.assert_allclose(out["out1"], X * X)


def test_grad_by_a_dict_of_arrays() -> None:
    def model(x: Any) -> Any:
        def loss(p: Any) -> Any:
            return (p["w"] * x + p["b"]).sum()

        return dlc.grad(loss)({"w": x * 2, "b": x})

    out = at(model, X)
    np.testing.assert_allclose(out["w"], X)
    np.testing.assert_allclose(out["b"], np.ones(3))


def test_grad_by_a_captured_value() -> None:
    """A gradient penalty: the gradient by an input that the function takes from outside."""
    def penalty(x: Any) -> Any:
        y = dlc.sin(x)
        return dlc.grad(lambda: (y * y * x).sum(), wrt=y)()

    np.testing.assert_allclose(at(penalty, X), 2 * np.sin(X) * X)


def test_captured_values_are_operands_not_copied() -> None:
    """What the function takes from outside is computed once, outside its body."""
    def f(x: Any) -> Any:
        costly = dlc.exp(dlc.sin(x))
        return dlc.grad(lambda a: (a * costly).sum())(x)

    graph = dlc.trace(f, f64[3])
    node = next(n for n in graph.nodes() if n.op.name == "grad")
    assert not {n.op.name for n in node.attrs["body"].nodes()} & {"exp", "sin"}
    np.testing.assert_allclose(dlc.evaluate(graph, X), np.exp(np.sin(X)))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_grad_of_grad_to_any_order(order: int) -> None:
    """The n-th derivative of x**5 + exp(2 x)."""
    def f(x: Any) -> Any:
        return x ** 5.0 + dlc.exp(2.0 * x)

    derived: Callable[..., Any] = f
    for _ in range(order):
        derived = dlc.grad(derived)
    falling = np.prod(np.arange(5, 5 - order, -1))
    expected = falling * 1.3 ** (5 - order) + 2.0 ** order * np.exp(2.6)
    np.testing.assert_allclose(at(derived, 1.3), expected, rtol=1e-9)


def test_jvp_is_the_directional_derivative() -> None:
    out = at(lambda x, v: dlc.jvp(wave, (x,), (v,)), X, V)
    eps = 1e-6
    expected = (wave_numpy(X + eps * V) - wave_numpy(X - eps * V)) / (2 * eps)
    np.testing.assert_allclose(out["out1"], expected, rtol=1e-7)


def test_vjp_pulls_any_cotangent_back() -> None:
    def pulled(x: Any, g: Any) -> Any:
        y, pullback = dlc.vjp(dlc.tanh, x)
        return y, pullback(g), pullback(g * 2)

    out = at(pulled, X, V)
    np.testing.assert_allclose(out["out1"], V * (1 - np.tanh(X) ** 2))
    np.testing.assert_allclose(out["out2"], 2 * out["out1"])


def test_vjp_of_two_arguments() -> None:
    def pulled(a: Any, b: Any) -> Any:
        _, pullback = dlc.vjp(lambda a, b: a * b, a, b)
        return pullback(a)

    out = at(pulled, X, V)
    np.testing.assert_allclose(out["out0"], X * V)
    np.testing.assert_allclose(out["out1"], X * X)


def test_vjp_of_several_results() -> None:
    """The cotangents come in the nesting of the results; None is zero."""
    def pulled(x: Any, g: Any) -> Any:
        result, pullback = dlc.vjp(lambda x: {"sin": dlc.sin(x), "parts": (x.sum(), x * x)}, x)
        return result["sin"], pullback({"sin": g, "parts": (3.0, None)}), pullback(
            {"sin": None, "parts": (2.0, g)}), pullback(None)

    out = at(pulled, X, V)
    np.testing.assert_allclose(out["out0"], np.sin(X))
    np.testing.assert_allclose(out["out1"], V * np.cos(X) + 3)
    np.testing.assert_allclose(out["out2"], 2 * X * V + 2)
    np.testing.assert_array_equal(out["out3"], np.zeros(3))


@pytest.mark.parametrize(("given", "message"), [
    (lambda x: x, "another nesting"),
    (lambda x: (x, x), r"cotangent .*f32\[3\] for .*f32\[\]"),
    (lambda x: (x.astype(f64), None), r"cotangent .*f64\[3\] for .*f32\[3\]"),
])
def test_cotangents_that_do_not_fit(given: Any, message: str) -> None:
    def pulled(x: Any) -> Any:
        return dlc.vjp(lambda x: (dlc.sin(x), x.sum()), x)[1](given(x))

    with pytest.raises(DlcError, match=message) as raised:
        dlc.trace(pulled, f32[3])
    assert raised.value.loc is not None
    assert raised.value.loc.file == __file__


def test_jvp_and_hvp_of_nestings() -> None:
    def loss(p: Any) -> Any:
        return (p["w"] * p["w"] * p["b"]).sum()

    def pushed(w: Any, b: Any) -> Any:
        p, v = {"w": w, "b": b}, {"w": b, "b": w}
        _, slope = dlc.jvp(lambda p: {"y": p["w"] * p["b"]}, (p,), (v,))
        twice = dlc.hvp(loss, p, v)
        return slope["y"], twice["w"], twice["b"]

    out = at(pushed, X, V)
    np.testing.assert_allclose(out["out0"], V * V + X * X)
    np.testing.assert_allclose(out["out1"], 2 * V * V + 2 * X * X)
    np.testing.assert_allclose(out["out2"], 2 * X * V)


@pytest.mark.parametrize("nesting", ["forward over reverse", "reverse over forward",
                                     "reverse over reverse"])
def test_hessian_times_vector(nesting: str) -> None:
    eps = 1e-5
    expected = (slopes(wave_numpy, X + eps * V) - slopes(wave_numpy, X - eps * V)) / (2 * eps)
    ways = {
        "forward over reverse": lambda x, v: dlc.hvp(wave, x, v),
        "reverse over forward": lambda x, v: dlc.grad(lambda y: dlc.jvp(wave, (y,), (v,))[1])(x),
        "reverse over reverse": lambda x, v: dlc.grad(lambda y: (dlc.grad(wave)(y) * v).sum())(x),
    }
    np.testing.assert_allclose(at(ways[nesting], X, V), expected, rtol=1e-4)


def test_derivative_keeps_the_signature() -> None:
    """dlc.grad(f) can be traced as f can."""
    def energy(x: f32["n"], y: i32["n"]) -> Any:
        return (x * y).sum()

    graph = dlc.trace(dlc.grad(energy), dims={"n": 3})
    assert [n.attrs["label"] for n in graph.inputs] == ["x", "y"]
    found = dlc.evaluate(graph, np.ones(3, np.float32), np.array([1, 2, 3], np.int32))
    np.testing.assert_array_equal(found, [1, 2, 3])


def test_parameters_are_found_inside_a_derivative() -> None:
    """A layer first applied inside dlc.grad makes its parameters in the graph around it."""
    layer = nn.dense(2)

    def slope(x: f32[4, 3]) -> Any:
        return dlc.grad(lambda x: layer(x).sum())(x)

    graph = dlc.trace(slope)
    assert [v.name for v in graph.notes["variables"]] == ["layer.weight", "layer.bias"]
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = dlc.evaluate(graph, np.ones((4, 3), np.float32), weight, np.zeros(2, np.float32))
    np.testing.assert_array_equal(found, np.tile(weight.sum(1), (4, 1)))


def test_state_updates_inside_a_derivative_reach_the_step() -> None:
    def counted(x: f32[3]) -> Any:
        def f(x: Any) -> Any:
            seen = dlc.state("seen", f32[()])
            dlc.update_state(seen, seen + x.sum())
            return (x * x).sum()

        return dlc.grad(f)(x)

    graph = dlc.trace(counted)
    assert graph.updates == {"seen": "seen"}
    out = dlc.evaluate(graph, np.arange(3, dtype=np.float32), np.float32(10))
    np.testing.assert_array_equal(out["out"], [0, 2, 4])
    assert out["seen"] == 13


def test_checks_inside_a_derivative_reach_the_fault() -> None:
    def picked(x: f32[3], at: i32[2]) -> Any:
        return dlc.grad(lambda x: dlc.take(x, at).sum())(x)

    graph = dlc.trace(picked)
    x = np.zeros(3, np.float32)
    good = dlc.evaluate(graph, x, np.array([0, 0], np.int32))
    np.testing.assert_array_equal(good["out"], [2, 0, 0])
    assert good["fault"] == 0
    assert dlc.evaluate(graph, x, np.array([0, 3], np.int32))["fault"] == 1
    assert "take from" in graph.notes["checks"][0].text


def test_jvp_wants_a_tangent_for_each_argument() -> None:
    with pytest.raises(DlcError, match="1 tangents for 2 arguments"):
        dlc.trace(lambda a, b: dlc.jvp(lambda a, b: a * b, (a, b), (a,)), f32[3], f32[3])


def test_a_derivative_of_an_unused_argument_is_zero() -> None:
    np.testing.assert_array_equal(at(dlc.grad(lambda a, b: (b * b).sum()), X, V), np.zeros(3))


@pytest.mark.parametrize("transform", [dlc.grad, dlc.vmap, dlc.checkpoint, dlc.jacobian])
def test_a_function_that_returns_nothing(transform: Any) -> None:
    def nothing(x: Any) -> None:
        dlc.sin(x)

    with pytest.raises(DlcError, match="nothing returned None") as raised:
        dlc.trace(transform(nothing), f32[3])
    assert raised.value.loc is not None
    assert raised.value.loc.file == __file__


def test_forward_mode_through_conversions() -> None:
    """The tangent of a conversion is converted as the value is."""
    def wave32(x: Any) -> Any:
        return dlc.sin(x.cast(dlc.f32) * 2.0).cast(dlc.f64)

    out = at(lambda x, v: dlc.jvp(wave32, (x,), (v,)), X, V)
    np.testing.assert_allclose(out["out1"], 2 * V * np.cos(2 * X), rtol=1e-6)
