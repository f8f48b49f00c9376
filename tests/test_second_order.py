"""Second derivatives of whole networks: LeNet's Hessian, a gradient penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f64, i32, nn
from dlc.derive.autodiff import inline
from dlc.ir.graph import Graph
from dlc.lang.trace import graph_variables
from dlc.models.lenet import net
from tests.everywhere import everywhere, traced

IMAGES = np.random.default_rng(1).uniform(size=(2, 1, 28, 28))
LABELS = np.array([3, 7], np.int32)


def lenet_loss() -> Graph:
    """(image, label, parameters...) -> the loss of the bundled LeNet."""
    def loss(image: f64[2, 1, 28, 28], label: i32[2]) -> Any:
        return nn.cross_entropy(net(image), label)

    return dlc.trace(loss)


def lenet_parameters(graph: Graph) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.normal(size=v.type.shape) * (0.2 if v.type.ndim > 1 else 0.1)
            for v in graph_variables(graph)]


def directions(params: list[np.ndarray]) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    return [rng.normal(size=p.shape) for p in params]


def test_hessian_of_lenet_times_a_vector() -> None:
    """Forward over reverse and reverse over reverse against central differences of the gradient
    that the evaluator gives."""
    forward = lenet_loss()
    params = lenet_parameters(forward)
    vs = directions(params)
    count = len(params)

    def loss(ps: Any, image: Any, label: Any) -> Any:
        return inline(forward, [image, label, *ps])[0]

    def slope(*args: Any) -> Any:
        return dlc.grad(lambda ps: loss(ps, *args[:2]))(args[2:])

    def twice(*args: Any) -> Any:
        ps, v = args[2:2 + count], args[2 + count:]
        pushed = dlc.hvp(lambda ps: loss(ps, *args[:2]), ps, v)
        pulled = dlc.grad(lambda ps: sum(
            (g * w).sum() for g, w in zip(slope(*args[:2], *ps), v, strict=True)))(ps)
        return (*pushed, *pulled)

    gradient, eps = traced(slope, IMAGES, LABELS, *params), 1e-6
    high, low = (list(dlc.evaluate(gradient, IMAGES, LABELS, *(
        p + s * eps * v for p, v in zip(params, vs, strict=True))).values()) for s in (1, -1))
    with dlc.compile(traced(twice, IMAGES, LABELS, *params, *vs)).load() as program:
        found = list(program(IMAGES, LABELS, *params, *vs).values())
    largest = max(np.abs(f).max() for f in found)
    for i, (a, b) in enumerate(zip(high, low, strict=True)):
        expected = (a - b) / (2 * eps)
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6 * largest)
        np.testing.assert_allclose(found[count + i], found[i], rtol=1e-9, atol=1e-11 * largest)


# --- gradient penalty -----------------------------------------------------------------------------


def penalty(w1: Any, b1: Any, w2: Any, x: Any) -> Any:
    """Gulrajani et al. 2017: the critic's gradient by each of its inputs should have length 1."""
    def critic(x: Any) -> Any:
        return (dlc.tanh(x @ w1 + b1) @ w2).sum()

    slope = dlc.vmap(dlc.grad(critic))(x)
    length = dlc.sqrt((slope * slope).sum(1))
    return ((length - 1.0) ** 2.0).mean()


def penalty_numpy(w1: Any, b1: Any, w2: Any, x: Any) -> Any:
    slope = ((1 - np.tanh(x @ w1 + b1) ** 2) * w2.T) @ w1.T
    return ((np.sqrt((slope ** 2).sum(1)) - 1) ** 2).mean()


def penalty_operands() -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [rng.normal(size=s) for s in ((3, 5), (5,), (5, 1), (4, 3))]


def test_gradient_of_a_gradient_penalty() -> None:
    operands = penalty_operands()
    found = everywhere(dlc.grad(penalty, wrt=(0, 1, 2)), *operands)
    step = 1e-6
    for k in range(3):
        expected = np.zeros(operands[k].shape)
        for at in np.ndindex(*expected.shape):
            moved = [o.copy() for o in operands]
            moved[k][at] += step
            high = penalty_numpy(*moved)
            moved[k][at] -= 2 * step
            expected[at] = (high - penalty_numpy(*moved)) / (2 * step)
        np.testing.assert_allclose(found[f"out{k}"], expected, rtol=1e-6, atol=1e-8)


def test_gradient_penalty_verified_before_and_after_every_pass() -> None:
    operands = [o.astype(np.float32) for o in penalty_operands()]
    graph = traced(dlc.value_and_grad(penalty, wrt=(0, 1, 2)), *operands)
    with dlc.compile(graph, verify=True).load() as program:
        found = program(*operands)
    expected = dlc.evaluate(graph, *operands)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("through", ["vmap of grad", "grad of sum"])
def test_penalty_by_two_routes(through: str) -> None:
    """A gradient for each example, or that of the sum over the batch: the same slopes."""
    def slopes(w: Any, x: Any) -> Any:
        def critic(x: Any) -> Any:
            return dlc.tanh(x @ w).sum()

        if through == "vmap of grad":
            return dlc.vmap(dlc.grad(critic))(x)
        return dlc.grad(critic)(x)

    w1, _, _, x = penalty_operands()
    np.testing.assert_allclose(everywhere(slopes, w1, x), (1 - np.tanh(x @ w1) ** 2) @ w1.T)
