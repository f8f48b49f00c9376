"""Special functions and what is composed of them: values, edges, derivatives at the edges."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f16, f32, f64, i32, i64, u8, u32
from dlc.ir.types import DType

DIGITS = json.loads(
    (Path(__file__).parents[1] / "backend" / "cpu" / "special_f64.json").read_text())
INF, NAN = math.inf, math.nan


def value(function: Callable[..., Any], *arrays: Any) -> Any:
    """What `function` gives of f64 arrays (others as they are) in the evaluator."""
    held = [np.asarray(a, np.float64) if isinstance(a, (float, int, list)) else a for a in arrays]
    types = [dlc.Type(dlc.ir.types.dtype(a.dtype), a.shape) for a in held]
    return dlc.evaluate(dlc.trace(function, *types), *held)


def slopes(function: Callable[..., Any], *points: float) -> list[float]:
    """The derivative by each f64 operand at a point."""
    wrt = tuple(range(len(points)))
    found = value(dlc.grad(function, wrt=wrt), *points)
    return [float(v) for v in (found.values() if isinstance(found, dict) else [found])]


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_polygamma_against_many_digits(n: int) -> None:
    """In the evaluator and compiled, f64 and f32, on both sides of 0."""
    x, want, _ = (np.array(c) for c in zip(*DIGITS[f"polygamma{n}"], strict=True))
    graph = dlc.trace(lambda x: dlc.polygamma(n, x), f64[len(x)])
    with dlc.compile(graph).load(threads=1) as program:
        got = program(x)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    np.testing.assert_allclose(dlc.evaluate(graph, x), want, rtol=1e-10)
    narrow = dlc.trace(lambda x: dlc.polygamma(n, x), f32[len(x)])
    exact = x.astype(np.float32) == x
    with dlc.compile(narrow).load(threads=1) as program:
        got = program(x.astype(np.float32))
    np.testing.assert_allclose(got[exact], want[exact].astype(np.float32), rtol=2e-7)


@pytest.mark.parametrize(("name", "operands", "want"), [
    ("xlogy", (0.0, 0.0), 0.0), ("xlogy", (0.0, INF), 0.0), ("xlogy", (0.0, -1.0), 0.0),
    ("xlogy", (0.0, NAN), NAN), ("xlogy", (2.0, math.e), 2.0), ("xlogy", (2.0, 0.0), -INF),
    ("xlog1py", (0.0, -1.0), 0.0), ("xlog1py", (3.0, math.e - 1), 3.0),
    ("logaddexp", (INF, INF), INF), ("logaddexp", (-INF, -INF), -INF),
    ("logaddexp", (INF, -INF), INF), ("logaddexp", (1000.0, 1000.0), 1000 + math.log(2)),
    ("logaddexp", (-INF, 3.0), 3.0), ("logaddexp2", (3.0, 3.0), 4.0),
    ("hypot", (INF, NAN), INF), ("hypot", (3e200, 4e200), 5e200),
    ("hypot", (3e-200, 4e-200), 5e-200),
    ("atan2", (0.0, -0.0), math.pi), ("atan2", (-0.0, -0.0), -math.pi), ("atan2", (INF, INF),
                                                                         math.pi / 4),
    ("atan2", (INF, -INF), 3 * math.pi / 4), ("atan2", (1e308, 1e308), math.pi / 4),
    ("heaviside", (0.0, 0.5), 0.5), ("heaviside", (-1.0, 0.5), 0.0), ("heaviside", (NAN, 0.5), NAN),
    ("fmod", (-7.0, 3.0), -1.0), ("remainder", (-7.0, 3.0), 2.0), ("fmod", (1.0, 0.0), NAN),
    ("copysign", (3.0, -0.0), -3.0), ("nextafter", (0.0, -1.0), -5e-324),
    ("nextafter", (1.0, 2.0), 1 + 2.0**-52), ("betaln", (2.0, 3.0), math.log(1 / 12)),
    ("floor_divide", (-7.0, 2.0), -4.0),
])
def test_values_of_two_operands(name: str, operands: tuple[float, float], want: float) -> None:
    got = value(getattr(dlc, name), *operands)
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=0)
    assert np.signbit(got) == np.signbit(np.float64(want)) or math.isnan(want)


@pytest.mark.parametrize(("name", "x", "want"), [
    ("softplus", 0.0, math.log(2)), ("softplus", 1000.0, 1000.0), ("softplus", -1000.0, 0.0),
    ("softplus", -INF, 0.0), ("softplus", INF, INF), ("log_sigmoid", -1000.0, -1000.0),
    ("log_sigmoid", 0.0, -math.log(2)), ("logit", 0.5, 0.0), ("logit", 1.0, INF),
    ("sinc", 0.0, 1.0), ("sinc", 1e-9, 1.0), ("sinc", 0.5, 2 / math.pi),
    ("sinc", 1.5, -2 / (3 * math.pi)), ("sinc", 0.1599, 0.958469786979412755),
    ("entr", 0.0, 0.0), ("entr", -1.0, -INF), ("entr", 0.5, 0.5 * math.log(2)),
    ("ndtr", 0.0, 0.5), ("ndtr", -10.0, 7.61985302416052606e-24), ("ndtr", 40.0, 1.0),
    ("log_ndtr", -10.0, -53.2312851505124705), ("log_ndtr", -1e4, -50000010.1292789152),
    ("log_ndtr", 2.0, -0.0230129093289635), ("ndtri", 0.975, 1.95996398454005423),
    ("i0", 1.0, 1.26606587775200834), ("i1", 1.0, 0.565159103992485027),
    ("i1", -1.0, -0.565159103992485027), ("frac", -1.25, -0.25), ("signbit", -0.0, True),
    ("isinf", -INF, True), ("isnan", NAN, True), ("isnan", INF, False),
    ("nan_to_num", NAN, 0.0), ("nan_to_num", -INF, -1.7976931348623157e308),
    ("reciprocal", 4.0, 0.25), ("deg2rad", 180.0, math.pi), ("rad2deg", math.pi, 180.0),
    ("trunc", -1.5, -1.0), ("cbrt", -27.0, -3.0), ("exp2", 10.0, 1024.0), ("log10", 1e-5, -5.0),
    ("lgamma", 0.0, INF), ("lgamma", -3.0, INF), ("lgamma", -INF, INF), ("digamma", -2.0, NAN),
    ("digamma", 0.0, -INF), ("digamma", 1.0, -0.57721566490153286), ("erfinv", 1.0, INF),
    ("erfinv", -1.0, -INF), ("erfinv", 1.5, NAN), ("erfc", 30.0, 0.0), ("erfcx", 1e300,
                                                                       5.641895835477563e-301),
])
def test_values(name: str, x: float, want: float) -> None:
    got = value(getattr(dlc, name), x)
    np.testing.assert_allclose(got, want, rtol=3e-14, atol=1e-16)


@pytest.mark.parametrize(("function", "point", "want"), [
    (dlc.logaddexp, (2.0, 2.0), [0.5, 0.5]), (dlc.logaddexp, (INF, INF), [0.5, 0.5]),
    (dlc.logaddexp, (-INF, -INF), [0.5, 0.5]), (dlc.logaddexp, (INF, 0.0), [1.0, 0.0]),
    (dlc.logaddexp, (-INF, 0.0), [0.0, 1.0]),
    (dlc.xlogy, (0.0, 2.0), [math.log(2), 0.0]), (dlc.xlogy, (0.0, 0.0), [0.0, 0.0]),
    (dlc.xlogy, (3.0, 2.0), [math.log(2), 1.5]), (dlc.xlog1py, (0.0, -1.0), [0.0, 0.0]),
    (dlc.hypot, (0.0, 0.0), [0.0, 0.0]), (dlc.hypot, (3e200, 4e200), [0.6, 0.8]),
    (dlc.atan2, (0.0, 0.0), [0.0, 0.0]), (dlc.atan2, (1e200, 1e200), [5e-201, -5e-201]),
    (dlc.power, (0.0, 2.0), [0.0, 0.0]), (dlc.power, (0.0, 1.0), [1.0, 0.0]),
    (dlc.power, (0.0, 0.0), [0.0, 0.0]), (dlc.copysign, (2.0, -3.0), [-1.0, 0.0]),
    (dlc.fmod, (7.0, 2.0), [1.0, -3.0]), (dlc.softplus, (0.0,), [0.5]), (dlc.sinc, (0.0,), [0.0]),
    (dlc.i1e, (0.0,), [0.5]), (dlc.lgamma, (1.0,), [-0.57721566490153286]),
    (dlc.digamma, (1.0,), [math.pi**2 / 6]), (dlc.sqrt, (0.0,), [INF]), (dlc.cbrt, (0.0,), [INF]),
    (dlc.log_sigmoid, (0.0,), [0.5]), (dlc.log_ndtr, (-30.0,), [30.033259667433677]),
    (lambda a, b, w: dlc.lerp(a, b, w), (1.0, 3.0, 0.25), [0.75, 0.25, 2.0]),
])
def test_slopes_at_the_edges(function: Any, point: tuple[float, ...], want: list[float]) -> None:
    np.testing.assert_allclose(slopes(function, *point), want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("function", "point", "want"), [
    (dlc.softplus, 0.0, 0.25), (dlc.sinc, 0.0, -math.pi**2 / 3), (lambda x: x**2.0, 0.0, 2.0),
    (dlc.lgamma, 2.0, math.pi**2 / 6 - 1), (dlc.digamma, 1.0, -2.4041138063191886),
    (lambda x: dlc.logaddexp(x, 1.5), 1.5, 0.25), (dlc.i0, 0.5, 0.5481807331),
    (dlc.erfinv, 0.0, 0.0), (dlc.sinc, 0.5, -0.25465), (lambda x: dlc.xlogy(x, x), 0.5, 2.0),
])
def test_second_derivatives(function: Any, point: float, want: float) -> None:
    if function is dlc.i0:  # I0'' = I0 - I1 / x
        want = float(value(dlc.i0, 0.5) - value(dlc.i1, 0.5) / 0.5)
    if function is dlc.sinc and point:
        x = math.pi * point
        want = math.pi**2 * ((2 / x**3 - 1 / x) * math.sin(x) - 2 * math.cos(x) / x**2)
    np.testing.assert_allclose(slopes(dlc.grad(function), point), want, rtol=1e-10, atol=1e-12)


# --- integers and Python's operators --------------------------------------------------------------


@pytest.mark.parametrize("kind", [i64, i32, u32, u8], ids=str)
def test_integer_powers_wrap(kind: DType) -> None:
    """Against Python's exact integers, modulo the word; also below the exponent 0."""
    info = np.iinfo(kind.numpy)
    bases = [b for b in (0, 1, 2, 3, -1, -2, 7, info.min, info.max) if b >= info.min]
    powers = [n for n in (0, 1, 2, 5, 31, 33, 64, 200, -1, -2, -3) if info.min <= n <= info.max]
    a, n = (np.array(v, kind.numpy) for v in zip(*[(b, p) for b in bases for p in powers],
                                                 strict=True))
    graph = dlc.trace(lambda a, n: a**n, kind[len(a)], kind[len(a)])
    with dlc.compile(graph).load(threads=1) as program:
        got = program(a, n)
    exact = [int(b) ** int(p) if p >= 0 else {1: 1, -1: 1 - 2 * (int(p) % 2)}.get(int(b), 0)
             for b, p in zip(a, n, strict=True)]
    want = [(v - int(info.min)) % 2 ** (8 * kind.bytes) + int(info.min) for v in exact]
    assert got.dtype == kind.numpy
    assert got.tolist() == want
    assert dlc.evaluate(graph, a, n).tolist() == want


def test_integer_powers_stay_integers() -> None:
    graph = dlc.trace(lambda x: (x**7, x**0, 2**x, x**0.5), i32[2])
    assert [o.dtype for o in graph.outputs] == [i32, i32, i32, f32]
    with pytest.raises(DlcError, match="negative power of integers"):
        dlc.trace(lambda x: x**-1, i32[2])


def test_python_operators() -> None:
    x = np.array([7.5, -7.5, 2.5], np.float32)
    found = value(lambda x: (*divmod(x, 2), *divmod(20, x), round(x), abs(x), +x, -x,
                             math.floor(x), math.ceil(x), math.trunc(x)), x)
    want = (*np.divmod(x, 2), *np.divmod(np.float32(20), x), np.rint(x), np.abs(x), x, -x,
            np.floor(x), np.ceil(x), np.trunc(x))
    for got, expected in zip(found.values(), want, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", [i64, i32, u32, u8], ids=str)
def test_inverted_bits(kind: DType) -> None:
    x = np.array([0, 1, 100, np.iinfo(kind.numpy).max], kind.numpy)
    np.testing.assert_array_equal(value(lambda x: ~x, x), ~x)


def test_bits() -> None:
    x = np.array([0, 1, 12, -1, 2**31 - 1, -(2**31)], np.int32)
    assert value(dlc.popcount, x).tolist() == [0, 1, 2, 32, 31, 1]
    assert value(dlc.clz, x).tolist() == [32, 31, 28, 0, 1, 0]
    assert value(lambda x: dlc.gcd(x, 18), x).tolist() == [18, 1, 6, 1, 1, 2]
    assert value(dlc.logical_not, x).tolist() == [True, *[False] * 5]
    word = np.array([1.0, -0.0], np.float32)
    assert value(lambda x: dlc.bitcast(x, i32), word).tolist() == [0x3F800000, -(2**31)]
    with pytest.raises(DlcError, match="no bits of f64"):
        dlc.trace(lambda x: dlc.bitcast(x, f64), f32[2])
    with pytest.raises(DlcError, match="needs f32 or f64"):
        dlc.trace(lambda x: dlc.nextafter(x, x), f16[2])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_mantissa_and_exponent(kind: Any) -> None:
    x = np.array([0.0, -0.0, 1.0, -3.5, 1e-40, 5e-324, 1e30, INF, NAN, np.finfo(kind).max], kind)
    found = value(lambda x: dlc.frexp(x), x)
    mantissa, exponent = np.frexp(x)
    exponent = np.where(np.isfinite(x), exponent, 0)
    np.testing.assert_array_equal(found["out0"], mantissa)
    np.testing.assert_array_equal(found["out1"], exponent)
    back = value(lambda m, n: dlc.ldexp(m, n), mantissa, exponent.astype(np.int32))
    np.testing.assert_array_equal(back, x)


def test_clip_by_arrays_and_one_end() -> None:
    x = np.array([-2.0, 0.5, 9.0])
    low = np.array([-1.0, 1.0, 0.0])
    np.testing.assert_array_equal(value(lambda x, a: dlc.clip(x, a, 3.0), x, low), [-1, 1, 3])
    np.testing.assert_array_equal(value(lambda x: dlc.clip(x, high=1.0), x), [-2, 0.5, 1])
