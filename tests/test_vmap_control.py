"""vmap of loops and branches, and with the derivatives around and inside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.passes.differentiate import differentiate
from tests.everywhere import everywhere, traced

RNG = np.random.default_rng(8)
XS = RNG.uniform(-1, 1, (4, 5, 3))
H0 = RNG.uniform(-1, 1, (4, 3))
W = RNG.uniform(-1, 1, (3, 3))


def rollout(h: Any, xs: Any, w: Any) -> Any:
    """(last state, all states) of a recurrent network over xs [time, features]."""
    def step(h: Any, x: Any) -> Any:
        h = dlc.tanh(h @ w + x)
        return h, h * 2.0

    return dlc.scan(step, h, xs)


def rollout_numpy(h: Any, xs: Any, w: Any) -> Any:
    rows = []
    for x in xs:
        h = np.tanh(h @ w + x)
        rows.append(h * 2)
    return h, np.stack(rows)


@pytest.mark.parametrize("mapped", [(0, 0, None), (None, 0, None), (0, None, None), (None, None, 0),
                                    (0, 0, 0)])
def test_scan_over_examples(mapped: Any) -> None:
    """Carry, sequence and matrix, each the same for all examples or one for each."""
    operands = [x if a == 0 else x[0] for x, a in zip((H0, XS, np.stack([W] * 4) * np.arange(
        1.0, 5.0)[:, None, None]), mapped, strict=True)]
    out = everywhere(dlc.vmap(rollout, mapped), *operands)
    for i in range(4):
        one = [x[i] if a == 0 else x for x, a in zip(operands, mapped, strict=True)]
        last, rows = rollout_numpy(*one)
        np.testing.assert_allclose(out["out0"][i], last)
        np.testing.assert_allclose(out["out1"][i], rows)


def test_gradients_per_example_through_a_scan() -> None:
    def loss(w: Any, h: Any, xs: Any) -> Any:
        last, rows = rollout(h, xs, w)
        return (last * rows).sum()

    each = everywhere(dlc.vmap(dlc.grad(loss), (None, 0, 0)), W, H0, XS)
    one = traced(dlc.grad(loss), W, H0[0], XS[0])
    for i in range(4):
        np.testing.assert_allclose(each[i], dlc.evaluate(one, W, H0[i], XS[i]), rtol=1e-9)
    total = everywhere(dlc.grad(lambda w, h, xs: dlc.vmap(loss, (None, 0, 0))(w, h, xs).sum()),
                       W, H0, XS)
    np.testing.assert_allclose(total, each.sum(0), rtol=1e-9)


def test_hessian_through_a_scan() -> None:
    def loss(h: Any, xs: Any, w: Any) -> Any:
        last, rows = rollout(h, xs, w)
        return (last * last).sum() + (rows * rows).mean()

    found = everywhere(dlc.hessian(loss), H0[0], XS[0], W)
    slope = traced(dlc.grad(loss), H0[0], XS[0], W)
    step = 1e-6
    for i in range(3):
        e = np.eye(3)[i] * step
        high, low = (dlc.evaluate(slope, H0[0] + s * e, XS[0], W) for s in (1, -1))
        np.testing.assert_allclose(found[i], (high - low) / (2 * step), rtol=1e-6, atol=1e-8)


def test_vmap_inside_a_scan() -> None:
    """The other way round: each step maps its body over examples."""
    def step(h: Any, x: Any) -> Any:
        h = dlc.vmap(lambda h, x, w: dlc.tanh(h @ w + x), (0, 0, None))(h, x, W)
        return h, h

    out = everywhere(lambda h, xs: dlc.scan(step, h, xs), H0, XS.transpose(1, 0, 2))
    for i in range(4):
        np.testing.assert_allclose(out["out0"][i], rollout_numpy(H0[i], XS[i], W)[0])


def branchy(p: Any, x: Any) -> Any:
    return dlc.cond(p, lambda x: (dlc.sin(x), x.sum()), lambda x: (x * x, x.max()), x)


def test_cond_with_a_predicate_for_each_example() -> None:
    p = np.array([True, False, True, False])
    out = everywhere(dlc.vmap(branchy), p, H0)
    np.testing.assert_allclose(out["out0"], np.where(p[:, None], np.sin(H0), H0 * H0))
    np.testing.assert_allclose(out["out1"], np.where(p, H0.sum(1), H0.max(1)))


def test_cond_with_one_predicate_runs_one_branch() -> None:
    graph = traced(dlc.vmap(branchy, (None, 0)), np.True_, H0)
    assert any(n.op.name == "cond" for n in differentiate(graph).nodes())
    out = everywhere(dlc.vmap(branchy, (None, 0)), np.False_, H0)
    np.testing.assert_allclose(out["out0"], H0 * H0)


def test_gradient_per_example_through_a_cond() -> None:
    p = np.array([True, False, True, False])
    found = everywhere(dlc.vmap(dlc.grad(lambda x, p: branchy(p, x)[0].sum())), H0, p)
    np.testing.assert_allclose(found, np.where(p[:, None], np.cos(H0), 2 * H0))


def newton(x: Any) -> Any:
    """The square root by Newton's iteration, to a tolerance that examples reach at other times."""
    root, count = dlc.while_loop(lambda r: dlc.abs(r * r - x) > 1e-12,
                                 lambda r: 0.5 * (r + x / r), x, bound=60)
    return root, count


def test_while_stops_for_each_example_by_itself() -> None:
    x = np.array([2.0, 100.0, 1.0, 1e6])
    out = everywhere(dlc.vmap(newton), x)
    np.testing.assert_allclose(out["out0"], np.sqrt(x))
    assert out["fault"] == 0
    for i, value in enumerate(x):
        alone = dlc.evaluate(traced(newton, value), value)
        assert out["out1"][i] == alone["out1"]


def test_slope_of_a_while_for_each_example() -> None:
    x = np.array([2.0, 100.0, 3.0])
    found = everywhere(dlc.vmap(lambda x: dlc.jvp(lambda x: newton(x)[0], (x,), (x * 0.0 + 1.0,))
                                [1]), x)
    np.testing.assert_allclose(found["out"], 0.5 / np.sqrt(x), rtol=1e-6)


def test_each_example_and_iteration_draws_its_own_numbers() -> None:
    def walk(x: Any) -> Any:
        return dlc.scan(lambda c, _: (c, dlc.random.uniform((2,))), x, length=3)[1]

    graph = dlc.trace(dlc.vmap(walk), f32[4])
    inputs = {"x": np.zeros(4, np.float32), "seed": np.uint32(5), "step": np.int32(0)}
    found = dlc.evaluate(graph, **inputs)
    assert found.shape == (4, 3, 2)
    assert len(np.unique(found)) == 24
    with dlc.compile(graph).load(seed=5) as program:
        np.testing.assert_array_equal(program(inputs["x"]), found)


def test_custom_gradient_and_checkpoint_in_a_loop() -> None:
    @dlc.custom_gradient
    def thrice(x: Any) -> Any:
        """x, whose gradient is said to be 3."""
        return x * 1.0, lambda g: g * 3.0

    def loss(x: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return dlc.checkpoint(lambda c: thrice(dlc.sin(c)))(c), None

        return dlc.scan(step, x, length=4)[0].sum()

    x, slope, value = H0[0], np.ones(3), H0[0]
    for _ in range(4):
        slope, value = slope * 3 * np.cos(value), np.sin(value)
    np.testing.assert_allclose(everywhere(dlc.grad(loss), x), slope)
    np.testing.assert_allclose(everywhere(dlc.vmap(dlc.grad(loss)), np.stack([x, x])),
                               np.stack([slope, slope]))
