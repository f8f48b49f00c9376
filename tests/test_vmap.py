"""dlc.vmap: axes, nesting, random numbers, effects, and any order with the derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn
from dlc.derive.autodiff import inline
from dlc.passes.differentiate import differentiate
from tests.everywhere import everywhere, traced

RNG = np.random.default_rng(5)
XS = RNG.uniform(-2, 2, (4, 3))
YS = RNG.uniform(-2, 2, (4, 3))


def wave(x: Any) -> Any:
    """A scalar with a full Hessian."""
    return (dlc.sin(x) * x).sum() * dlc.exp(x.mean())


def wave_slope(x: Any) -> Any:
    value = (np.sin(x) * x).sum()
    return np.exp(x.mean()) * (np.sin(x) + x * np.cos(x) + value / x.size)


# --- axes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_any_axis_of_the_argument(axis: int) -> None:
    found = everywhere(dlc.vmap(lambda x: x.sum() * x, in_axes=axis), XS)
    rows = np.moveaxis(XS, axis, 0)
    np.testing.assert_allclose(found, rows.sum(1, keepdims=True) * rows)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_any_axis_of_the_result(axis: int) -> None:
    def outer(x: Any) -> Any:
        return x[:, None] * (x * x)

    rows = np.stack([x[:, None] * (x * x) for x in XS])
    found = everywhere(dlc.vmap(outer, out_axes=axis), XS)
    np.testing.assert_allclose(found, np.moveaxis(rows, 0, axis))


def test_an_argument_that_is_the_same_for_all_examples() -> None:
    found = everywhere(dlc.vmap(lambda x, w: w @ x, in_axes=(0, None)), XS,
                       RNG.uniform(size=(2, 3)))
    assert found.shape == (4, 2)
    found = everywhere(dlc.vmap(lambda x, w: w @ x, in_axes=(None, 2)), XS[0],
                       RNG.uniform(size=(2, 3, 5)))
    assert found.shape == (5, 2)


def test_axes_of_nested_arguments_and_results() -> None:
    def model(p: Any, x: Any) -> Any:
        return {"y": x @ p["w"] + p["b"], "norm": (p["w"] * p["w"]).sum()}

    def run(w: Any, b: Any, x: Any) -> Any:
        axes = ({"w": None, "b": 1}, 0)
        found = dlc.vmap(model, axes, {"y": 1, "norm": None})({"w": w, "b": b}, x)
        return found["y"], found["norm"]

    w, b = RNG.uniform(size=(3, 2)), RNG.uniform(size=(2, 4))
    found = everywhere(run, w, b, XS)
    np.testing.assert_allclose(found["out0"], (XS @ w + b.T).T)
    np.testing.assert_allclose(found["out1"], (w * w).sum())


def test_a_result_that_no_example_changes_is_repeated() -> None:
    found = everywhere(lambda x, w: dlc.vmap(lambda x: (x.sum(), w * 2.0))(x), XS, XS[0])
    np.testing.assert_allclose(found["out1"], np.tile(XS[0] * 2, (4, 1)))


def test_nested() -> None:
    """All pairs of rows: the outer vmap over one argument, the inner over the other."""
    pairs = dlc.vmap(dlc.vmap(lambda a, b: (a * b).sum(), (None, 0)), (0, None))
    np.testing.assert_allclose(everywhere(pairs, XS, YS), XS @ YS.T)


def test_no_examples() -> None:
    found = everywhere(dlc.vmap(wave), np.zeros((0, 3)))
    assert found.shape == (0,)
    assert everywhere(dlc.vmap(dlc.grad(wave)), np.zeros((0, 3))).shape == (0, 3)


def test_what_no_example_changes_is_computed_once() -> None:
    """The square of the captured matrix stays a product of two matrices."""
    graph = traced(lambda x, w: dlc.vmap(lambda x, w: (w @ w) @ x, (0, None))(x, w), XS,
                   np.eye(3))
    shapes = sorted(tuple(n.shape) for n in differentiate(graph).nodes() if n.op.name == "matmul")
    assert shapes == [(3, 3), (4, 3)]


# --- with derivatives, in any order ---------------------------------------------------------------


def test_gradients_of_each_example() -> None:
    expected = np.stack([wave_slope(x) for x in XS])
    np.testing.assert_allclose(everywhere(dlc.vmap(dlc.grad(wave)), XS), expected)
    total = dlc.grad(lambda x: dlc.vmap(wave)(x).sum())
    np.testing.assert_allclose(everywhere(total, XS), expected)


def test_vmap_of_grad_of_vmap() -> None:
    """Batches of sets: within each the gradient of a sum over its members."""
    sets = RNG.uniform(-1, 1, (2, 4, 3))

    def energy(xs: Any) -> Any:
        return dlc.tanh(dlc.vmap(wave)(xs)).sum()

    slope = np.stack([[wave_slope(x) for x in xs] for xs in sets])
    value = np.array([[(np.sin(x) * x).sum() * np.exp(x.mean()) for x in xs] for xs in sets])
    found = everywhere(dlc.vmap(dlc.grad(energy)), sets)
    np.testing.assert_allclose(found, slope * (1 - np.tanh(value) ** 2)[..., None])


@pytest.mark.parametrize("order", ["vmap of hvp", "hvp of vmap", "jvp of vmap of grad",
                                   "grad of vmap of jvp"])
def test_second_order_in_any_nesting(order: str) -> None:
    def each_hvp(x: Any, v: Any) -> Any:
        return dlc.hvp(wave, x, v)

    ways: dict[str, Callable[..., Any]] = {
        "vmap of hvp": dlc.vmap(each_hvp),
        "hvp of vmap": lambda x, v: dlc.hvp(lambda x: dlc.vmap(wave)(x).sum(), x, v),
        "jvp of vmap of grad": lambda x, v: dlc.jvp(dlc.vmap(dlc.grad(wave)), (x,), (v,))[1],
        "grad of vmap of jvp": lambda x, v: dlc.grad(lambda x: dlc.vmap(
            lambda x, v: dlc.jvp(wave, (x,), (v,))[1])(x, v).sum())(x),
    }
    step = 1e-6
    expected = np.stack([(wave_slope(x + step * v) - wave_slope(x - step * v)) / (2 * step)
                         for x, v in zip(XS, YS, strict=True)])
    np.testing.assert_allclose(everywhere(ways[order], XS, YS), expected, rtol=1e-7)


def test_pullback_over_many_cotangents() -> None:
    def pulled(x: Any, gs: Any) -> Any:
        _, pullback = dlc.vjp(lambda x: dlc.tanh(x) * x.sum(), x)
        return dlc.vmap(pullback)(gs)

    x, t = XS[0], np.tanh(XS[0])
    jacobian = np.diag((1 - t ** 2) * x.sum()) + t[:, None]
    np.testing.assert_allclose(everywhere(pulled, x, YS), YS @ jacobian)


def test_gradients_per_example_of_a_network_equal_the_loop() -> None:
    """vmap(grad) of a multilayer perceptron's loss against one gradient after the other."""
    rng = np.random.default_rng(3)
    xs, labels = rng.normal(size=(5, 6)), np.array([0, 2, 1, 1, 2], np.int32)
    params = [rng.normal(size=s) * 0.5 for s in ((6, 8), (8,), (8, 3), (3,))]

    def loss(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, label: Any) -> Any:
        return nn.cross_entropy(dlc.tanh(x @ w1 + b1) @ w2 + b2, label)

    slopes = dlc.grad(loss, wrt=(0, 1, 2, 3))
    all_at_once = everywhere(dlc.vmap(slopes, (None, None, None, None, 0, 0)), *params, xs, labels)
    one = traced(slopes, *params, xs[0], labels[0])
    for i in range(5):
        alone = dlc.evaluate(one, *params, xs[i], labels[i])
        for name in ("out0", "out1", "out2", "out3"):
            np.testing.assert_allclose(all_at_once[name][i], alone[name], atol=1e-12)


def test_gradients_per_example_of_a_convolution() -> None:
    """The kernel's gradient for each image: groups of a convolution of groups."""
    xs, w = RNG.normal(size=(3, 2, 6, 5)), RNG.normal(size=(4, 1, 3, 3))

    def loss(w: Any, x: Any) -> Any:
        y = dlc.conv(x[None], w, stride=2, padding=1, groups=2)
        return (y * y * y).sum()

    found = everywhere(dlc.vmap(dlc.grad(loss), (None, 0)), w, xs)
    one = traced(dlc.grad(loss), w, xs[0])
    for i in range(3):
        np.testing.assert_allclose(found[i], dlc.evaluate(one, w, xs[i]), rtol=1e-9)


def test_embedding_gradients_per_example() -> None:
    table, at = RNG.normal(size=(5, 2)), np.array([[0, 1, 1], [4, 0, 4]], np.int32)
    slope = dlc.grad(lambda t, i: (dlc.take(t, i) ** 3.0).sum())
    found = everywhere(dlc.vmap(slope, (None, 0)), table, at)
    for i, row in enumerate(at):
        expected = np.zeros((5, 2))
        np.add.at(expected, row, 3 * table[row] ** 2)
        np.testing.assert_allclose(found["out"][i], expected, rtol=1e-9)
    assert found["fault"] == 0


def test_verified_before_and_after_every_pass() -> None:
    def penalty(x: Any) -> Any:
        slopes = dlc.vmap(dlc.grad(wave))(x)
        return ((slopes * slopes).sum(1) - 1.0).mean()

    dlc.compile(traced(dlc.grad(penalty), XS.astype(np.float32)), verify=True)


# --- random numbers, checks, parameters, state ----------------------------------------------------


def drawn(function: Callable[..., Any]) -> Any:
    graph = dlc.trace(function, f32[4, 3])
    found = dlc.evaluate(graph, np.zeros((4, 3), np.float32), seed=np.uint32(7), step=np.int32(1))
    with dlc.compile(graph).load(seed=7) as program:
        assert program(np.zeros((4, 3), np.float32)).shape == found.shape
    np.testing.assert_array_equal(found, dlc.evaluate(
        differentiate(graph), np.zeros((4, 3), np.float32), seed=np.uint32(7), step=np.int32(1)))
    return found


def test_each_example_draws_its_own_numbers() -> None:
    found = drawn(dlc.vmap(lambda x: x + dlc.random.uniform((3,))))
    assert len(np.unique(found)) == 12


def test_numbers_of_each_pair_of_nested_vmaps() -> None:
    found = drawn(dlc.vmap(dlc.vmap(lambda x: x + dlc.random.uniform())))
    assert len(np.unique(found)) == 12


def test_numbers_drawn_inside_a_gradient_inside() -> None:
    """dropout-like noise in a per-example gradient; the slope by x is the noise."""
    found = drawn(dlc.vmap(dlc.grad(lambda x: (x * dlc.random.uniform((3,))).sum())))
    assert len(np.unique(found)) == 12


def test_numbers_drawn_outside_are_shared() -> None:
    def shared(x: Any) -> Any:
        noise = dlc.random.uniform((3,))
        return dlc.vmap(lambda x: x + noise)(x)

    found = drawn(shared)
    np.testing.assert_array_equal(found, np.tile(found[0], (4, 1)))
    assert len(np.unique(found)) == 3


def test_a_check_fails_when_it_does_for_any_example() -> None:
    graph = dlc.trace(dlc.vmap(lambda x, i: dlc.take(x, i)), f32[2, 3], i32[2])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    good = dlc.evaluate(graph, x, np.array([2, 0], np.int32))
    np.testing.assert_array_equal(good["out"], [2, 3])
    assert good["fault"] == 0
    assert dlc.evaluate(graph, x, np.array([2, 3], np.int32))["fault"] == 1
    with dlc.compile(graph).load() as program, pytest.raises(DlcError, match="index out of"):
        program(x, np.array([-1, 0], np.int32))


def test_a_layer_over_examples() -> None:
    graph = dlc.trace(dlc.vmap(nn.dense(2)), f32[4, 3])
    assert graph.outputs[0].shape == (4, 2)


def test_a_fused_group_over_examples() -> None:
    """After fusion a body is still one: its groups take examples too."""
    fused = dlc.compile(traced(wave, XS[0])).graph

    def again(x: Any) -> Any:
        return inline(fused, [x])[0]

    np.testing.assert_allclose(everywhere(dlc.vmap(again), XS, compiled=False),
                               everywhere(dlc.vmap(wave), XS), rtol=1e-9)


def test_parameters_made_inside_are_shared_by_all() -> None:
    layer = nn.dense(2)
    graph = dlc.trace(dlc.vmap(lambda x: layer(x)), f32[4, 3])
    assert [v.name for v in graph.notes["variables"]] == ["layer.weight", "layer.bias"]
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    x = XS.astype(np.float32)
    found = dlc.evaluate(graph, x, w, np.ones(2, np.float32))
    np.testing.assert_allclose(found, x @ w + 1, rtol=1e-5)


# --- mistakes -------------------------------------------------------------------------------------


def counted(x: Any) -> Any:
    seen = dlc.state("seen", f32[()])
    dlc.update_state(seen, seen + x.sum())
    return x


@pytest.mark.parametrize(("call", "message"), [
    (lambda x, y: dlc.vmap(lambda a, b: a * b)(x, y[:2]), "different numbers of examples"),
    (lambda x, y: dlc.vmap(lambda a: a, in_axes=None)(x), "no argument has an axis of examples"),
    (lambda x, y: dlc.vmap(lambda a: a, in_axes=2)(x), r"axis 2 of .*f32\[4, 3\]"),
    (lambda x, y: dlc.vmap(lambda a: a)(x[0, 0]), "axis 0 of"),
    (lambda x, y: dlc.vmap(lambda a: a, in_axes=(0, 0))(x), "in_axes: .*for 1 values"),
    (lambda x, y: dlc.vmap(lambda a: a, in_axes="0")(x), "is not an axis"),
    (lambda x, y: dlc.vmap(lambda a: a, out_axes=None)(x), "differs from example to example"),
    (lambda x, y: dlc.vmap(lambda a: a, out_axes=3)(x), "out_axes 3"),
    (lambda x, y: dlc.vmap(counted)(x), "state 'seen' is updated inside"),
])
def test_mistakes_are_told_at_the_users_line(call: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message) as raised:
        dlc.trace(call, f32[4, 3], f32[4, 3])
    assert raised.value.loc is not None
    assert raised.value.loc.file == __file__
    assert raised.value.hint


def test_types_of_one_example_are_not_those_of_all() -> None:
    """f is written for one example; traced over its own annotation it would map over features."""
    def norm(x: f32[3]) -> Any:
        return (x * x).sum()

    with pytest.raises(DlcError, match="argument 'x' has no annotation"):
        dlc.trace(dlc.vmap(norm))
    assert dlc.trace(dlc.vmap(norm), f32[5, 3]).outputs[0].shape == (5,)
