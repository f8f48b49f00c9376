"""Arguments given by name, and Python's values beside arrays, through every transformation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.errors import DlcError

X = np.array([1.0, 2.0, 3.0], np.float32)
W = np.array([0.5, -1.0, 2.0], np.float32)


def power(x: Any, n: int = 1, *, w: Any = 1.0, flip: bool = False) -> Any:
    """sum w x^(n + 1), of the other sign if `flip`; n and flip are Python's."""
    y = x
    for _ in range(n):
        y = y * x
    return (-(y * w) if flip else y * w).sum()


def at(function: Any, *arrays: Any) -> Any:
    """What `function` gives for the arrays."""
    types = [f32[tuple(a.shape)] for a in arrays]
    return dlc.evaluate(dlc.trace(function, *types), *arrays)


# of sum x^3
DERIVATIVES = {"grad": 3 * X * X, "jacobian": 3 * X * X, "hessian": np.diag(6 * X)}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_by_name_and_undifferentiated(name: str) -> None:
    """As in JAX, n, w and flip reach the function as they are; w is a value from outside."""
    found = at(lambda x, w: getattr(dlc, name)(power)(x, n=2, w=w, flip=True), X, W)
    np.testing.assert_allclose(found, -W * DERIVATIVES[name], rtol=1e-6)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_values_of_python_by_position(name: str) -> None:
    found = at(lambda x: getattr(dlc, name)(power)(x, 2), X)
    np.testing.assert_allclose(found, DERIVATIVES[name], rtol=1e-6)


def test_value_and_grad_and_vjp() -> None:
    value, slope = at(lambda x: dlc.value_and_grad(power)(x, n=2), X).values()
    assert value == 36.0
    np.testing.assert_array_equal(slope, [3, 12, 27])

    def pulled(x: Any) -> Any:
        _, pullback = dlc.vjp(power, x, n=2, w=W)
        return pullback(np.float32(2))

    np.testing.assert_array_equal(at(pulled, X), 6 * X * X * W)


def test_jvp_and_hvp() -> None:
    _, moved = at(lambda x: dlc.jvp(power, (x,), (W,), n=2), X).values()
    assert moved == (3 * X * X * W).sum()
    found = at(lambda x: dlc.hvp(power, x, W, n=2, flip=True), X)
    np.testing.assert_array_equal(found, -6 * X * W)


def test_a_gradient_by_what_a_caller_gave_by_name() -> None:
    """What a derivative takes by name is a value from outside: differentiable around it."""
    def outer(w: Any) -> Any:
        return (dlc.grad(power)(X, n=1, w=w) ** 2).sum()

    found = at(dlc.grad(outer), W)
    np.testing.assert_allclose(found, 8 * X * X * W, rtol=1e-6)


def test_checkpoint() -> None:
    def total(x: Any, w: Any) -> Any:
        return dlc.checkpoint(power)(x, 2, w=w, flip=True)

    dx, dw = at(dlc.grad(total, wrt=(0, 1)), X, W).values()
    np.testing.assert_array_equal(dx, -3 * X * X * W)
    np.testing.assert_array_equal(dw, -X ** 3)


def test_vmap_maps_what_is_given_by_name_along_axis_0() -> None:
    def one(x: Any, n: Any, *, w: Any, pair: Any) -> Any:
        y = power(x, n, w=w)
        return y * pair["a"] - pair["b"]

    x, w = np.stack([X, 2 * X]), np.stack([W, -W])
    b = np.array([1.0, 2.0], np.float32)

    def call(x: Any, w: Any, b: Any) -> Any:
        return dlc.vmap(one, in_axes=(0, None))(x, 2, w=w, pair={"a": b, "b": b})

    want = (w * x ** 3).sum(1) * b - b
    np.testing.assert_allclose(at(call, x, w, b), want, rtol=1e-6)
    twice = at(lambda x: dlc.vmap(lambda x, *, u, v: x * u - v)(x, u=x, v=x), X)
    np.testing.assert_array_equal(twice, X * X - X)


def test_vmap_of_grad_by_name() -> None:
    found = at(lambda x, w: dlc.vmap(dlc.grad(power), in_axes=(0, None))(x, 1, w=w), X, W)
    np.testing.assert_array_equal(found, 2 * X * W)


def test_custom_gradient_by_name() -> None:
    @dlc.custom_gradient
    def scaled(x: Any, k: Any = 2.0, change: Any = dlc.exp, mode: str = "product") -> Any:
        assert callable(change)
        assert mode == "product"
        return x * k, lambda g: (g * 10.0, None, None, None)

    found = at(dlc.value_and_grad(lambda x: scaled(k=3.0, x=x).sum()), X)
    assert next(iter(found.values())) == 18.0
    np.testing.assert_array_equal(list(found.values())[1], [10, 10, 10])
    np.testing.assert_array_equal(at(lambda x: scaled(x), X), 2 * X)


def scaled_only_by_name(x: Any, *, k: float) -> Any:
    return x * k, lambda g: (g,)


@pytest.mark.parametrize("wrong, message", [
    (lambda x: dlc.vmap(power)(x, n=3), "n=3 has no axis of examples"),
    (lambda x: dlc.grad(power)(x, m=3), "unexpected keyword argument 'm'"),
    (lambda x: dlc.checkpoint(power)(x, m=3), "unexpected keyword argument 'm'"),
    (lambda x: dlc.grad(power, wrt=1)(x, "three"), "'three' is not an array"),
    (lambda x: dlc.custom_gradient(scaled_only_by_name)(x, k=2.0), "can only be given by name"),
    (lambda x: dlc.custom_gradient(scaled_only_by_name)(x, z=2.0),
     r"missing a required (keyword-only )?argument: .k."),  # as Python 3.13 says it
])
def test_wrong_names(wrong: Any, message: str) -> None:
    with pytest.raises(DlcError, match=message) as raised:
        dlc.trace(wrong, f32[3])
    assert raised.value.loc is not None
    assert raised.value.loc.file == __file__
