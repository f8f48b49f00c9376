"""Wrong results of elementwise functions, conversions and random numbers, each found once."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dlc
from dlc import bf16, f16, f32, f64, i32
from dlc.ir.types import DType


def test_uniform_between_ends_never_gives_the_upper_one() -> None:
    """1 + (1 - 2**-24) rounds to 2: one number in 2**24 was `high` itself."""
    graph = dlc.trace(lambda: dlc.random.uniform(300000, 1.0, 2.0), training=True)
    assert max(dlc.evaluate(graph, np.uint32(s), np.int32(0)).max() for s in range(60)) < 2.0


@pytest.mark.parametrize(("kind", "value"), [
    (bf16, 1 + 2.0**-8 + 2.0**-40), (f16, 1 + 2.0**-11 + 2.0**-40)])
def test_f64_to_a_half_rounds_once(kind: DType, value: float) -> None:
    """By way of f32, a value just above a tie became the tie and fell to the even side."""
    graph = dlc.trace(lambda x: x.cast(kind), f64[1])
    above = 1 + float(ml_dtypes.finfo(kind.numpy).eps)
    with dlc.compile(graph).load(threads=1) as program:
        assert float(program(np.array([value]))[0]) == above
    assert float(dlc.evaluate(graph, np.array([value]))[0]) == above


def test_sine_of_huge_f64() -> None:
    """From 2**62 on sine and cosine were NaN."""
    graph = dlc.trace(lambda x: dlc.sin(x), f64[2])
    with dlc.compile(graph).load(threads=1) as program:
        got = program(np.array([1e22, 1e300]))
    np.testing.assert_allclose(got, [-0.8522008497671888, math.sin(1e300)], rtol=1e-15)


def test_curvature_of_softplus_at_zero() -> None:
    """Made of max and |x| it had the slope 1/2 at 0, but the curvature 0 instead of 1/4."""
    curvature = dlc.grad(lambda x: dlc.grad(lambda z: dlc.nn.softplus(z).sum())(x).sum())
    found = dlc.evaluate(dlc.trace(curvature, f32[1]), np.zeros(1, np.float32))
    np.testing.assert_allclose(found, 0.25)


def test_a_fifth_power_of_integers_is_an_integer() -> None:
    """x ** 4 was i32 and x ** 5 f32, which has no 2**24 + 1."""
    graph = dlc.trace(lambda x: x**5, i32[1])
    found = dlc.evaluate(graph, np.array([57], np.int32))
    assert found.dtype == np.int32
    assert found[0] == 57**5


@pytest.mark.parametrize("make", [lambda: dlc.eye(-1), lambda: dlc.eye(3, -1),
                                  lambda: dlc.tri(-2), lambda: dlc.iota((2, -3), 0)])
def test_index_arrays_of_negative_size_are_refused(make: Any) -> None:
    """NumPy's ValueError came through from the evaluator, without a line."""
    with pytest.raises(dlc.DlcError, match=r"dimension -\d of shape"):
        dlc.trace(make)


@pytest.mark.parametrize("given", [{"rtol": -1.0}, {"atol": -1e-9}, {"rtol": math.nan}])
def test_isclose_refuses_negative_tolerances(given: dict[str, float]) -> None:
    """Nothing is closer than a negative distance: the answer was False for equal numbers' kin."""
    with pytest.raises(dlc.DlcError, match="tolerances are 0 or more"):
        dlc.trace(lambda x: dlc.isclose(x, x, **given), f32[2])


def test_losses_refuse_what_makes_no_sense() -> None:
    """A triplet margin below 0, and slopes between ends that are the wrong way round."""
    with pytest.raises(dlc.DlcError, match=r"margin=-1\.0 is out of range"):
        dlc.trace(lambda x: dlc.nn.triplet_margin(x, x, x, -1.0), f32[2, 3])
    with pytest.raises(dlc.DlcError, match=r"slopes 1\.0 \.\. 0\.5"):
        dlc.trace(lambda x: dlc.nn.rrelu(x, 1.0, 0.5), f32[2])


@pytest.mark.swept(4)
@pytest.mark.parametrize("function", [dlc.atan, dlc.asin, dlc.sinh, dlc.asinh, dlc.atanh])
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_odd_functions_of_few_halves_compile(function: Any, size: int) -> None:
    """Of 2 or 3 elements of f16, atan and asin needed __truncdfhf2, which nothing links (NNSmith,
    seed 2084316355 with f16): the rounding to f16 went into a copysign of f64."""
    x = np.array([-0.0, -0.75, 0.5, np.nan, 0.0, 1e-4, -1, 1, -0.3], np.float16)[:size]
    with dlc.compile(dlc.trace(function, f16[size])).load(threads=1) as program:
        got = program(x)
    want = dlc.evaluate(dlc.trace(function, f16[size]), x)
    np.testing.assert_allclose(got, want, rtol=1e-3)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[numbers], np.signbit(want)[numbers])
