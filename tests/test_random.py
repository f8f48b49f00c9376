"""dlc.random: distributions against their exact distribution functions, bits, errors, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, bf16, f16, f32, f64, i64, nn, random
from dlc.ir.types import DType

COUNT = 20000
# the largest distance of Kolmogorov and Smirnov that one of 10^7 right samples exceeds
FAR = math.sqrt(math.log(2e7) / (2 * COUNT))
Made = Callable[[], Any]


def graph_of(function: Callable[..., Any], *types: Any) -> Any:
    return dlc.trace(function, *types, training=True)


def arguments(graph: Any, arrays: tuple[Any, ...], seed: int, step: int) -> list[Any]:
    own = {"seed": np.uint32(seed), "step": np.int32(step)}
    rest = iter(arrays)
    return [own[n.attrs["label"]] if n.attrs["label"] in own else next(rest) for n in graph.inputs]


def drawn(function: Callable[..., Any], *arrays: Any, types: Any = (), seed: int = 3,
          step: int = 0) -> Any:
    """What the evaluator draws."""
    graph = graph_of(function, *types)
    return dlc.evaluate(graph, *arguments(graph, arrays, seed, step))


def distance(sample: Any, cdf: Callable[[float], float]) -> float:
    """Kolmogorov and Smirnov's distance of a sample from a continuous distribution."""
    values = np.sort(np.asarray(sample, np.float64).ravel())
    want = np.array([cdf(v) for v in values])
    n = values.size
    return float(max((np.arange(1, n + 1) / n - want).max(), (want - np.arange(n) / n).max()))


def phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def lower_gamma(a: float) -> Callable[[float], float]:
    """The gamma distribution function: the power series (Abramowitz and Stegun 6.5.29)."""
    def cdf(x: float) -> float:
        term = total = 1.0 / a
        for n in range(1, 400):
            term *= x / (a + n)
            total += term
            if term < 1e-17 * total:  # terms only fall from here: no sum would change
                break
        return total * math.exp(a * math.log(max(x, 1e-300)) - x - math.lgamma(a))

    return cdf


def truncated(low: float, high: float) -> Callable[[float], float]:
    inside = math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))
    return lambda x: (math.erf(x / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / inside


def student_of_3(x: float) -> float:
    s = x / math.sqrt(3)
    return 0.5 + (s / (1 + s * s) + math.atan(s)) / math.pi


CONTINUOUS: dict[str, tuple[Made, Callable[[float], float]]] = {
    "uniform": (lambda: random.uniform(COUNT), lambda x: x),
    "uniform_between": (lambda: random.uniform(COUNT, -3.0, 5.0), lambda x: (x + 3) / 8),
    "uniform_f64": (lambda: random.uniform(COUNT, dtype=f64), lambda x: x),
    "normal": (lambda: random.normal(COUNT), phi),
    "normal_moved": (lambda: random.normal(COUNT, -1.0, 0.5), lambda x: phi(2 * (x + 1))),
    "normal_f64": (lambda: random.normal(COUNT, dtype=f64), phi),
    "truncated_normal": (lambda: random.truncated_normal(COUNT), truncated(-2, 2)),
    "truncated_one_side": (lambda: random.truncated_normal(COUNT, 0.5, math.inf),
                           truncated(0.5, math.inf)),
    "truncated_tail": (lambda: random.truncated_normal(COUNT, 3.0, 4.0), truncated(3, 4)),
    "lognormal": (lambda: random.lognormal(COUNT), lambda x: phi(math.log(x))),
    "exponential": (lambda: random.exponential(COUNT, 2.0), lambda x: -math.expm1(-x / 2)),
    "gumbel": (lambda: random.gumbel(COUNT), lambda x: math.exp(-math.exp(-x))),
    "logistic": (lambda: random.logistic(COUNT, 1.0), lambda x: 1 / (1 + math.exp(1 - x))),
    "laplace": (lambda: random.laplace(COUNT, 0.0, 2.0), lambda x: (
        0.5 * math.exp(x / 2) if x < 0 else 1 - 0.5 * math.exp(-x / 2))),
    "cauchy": (lambda: random.cauchy(COUNT), lambda x: 0.5 + math.atan(x) / math.pi),
    "gamma_of_0.3": (lambda: random.gamma(COUNT, 0.3), lower_gamma(0.3)),
    "gamma_of_1": (lambda: random.gamma(COUNT, 1.0), lower_gamma(1.0)),
    "gamma_of_4.5": (lambda: random.gamma(COUNT, 4.5, 2.0), lambda x: lower_gamma(4.5)(x / 2)),
    "gamma_of_60": (lambda: random.gamma(COUNT, 60.0), lower_gamma(60.0)),
    "chi_square": (lambda: random.chi_square(COUNT, 3.0), lambda x: lower_gamma(1.5)(x / 2)),
    "student_t": (lambda: random.student_t(COUNT, 3.0), student_of_3),
    "beta": (lambda: random.beta(COUNT, 2.0, 3.0),
             lambda x: x * x * (6 - 8 * x + 3 * x * x)),
    "beta_of_halves": (lambda: random.beta(COUNT, 0.5, 0.5),
                       lambda x: 2 / math.pi * math.asin(math.sqrt(x))),
    "dirichlet": (lambda: random.dirichlet(np.array([2.0, 1.0, 2.0], np.float32), COUNT)[:, 0],
                  lambda x: x * x * (6 - 8 * x + 3 * x * x)),
}


@pytest.mark.swept(3)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_distribution(name: str) -> None:
    make, cdf = CONTINUOUS[name]
    sample = drawn(make)
    assert np.isfinite(sample).all()
    assert distance(sample, cdf) < FAR


STANDARD: dict[str, Callable[[float], float]] = {
    "exponential": lambda x: -math.expm1(-x),
    "laplace": lambda x: 0.5 + math.copysign(-math.expm1(-abs(x)) / 2, x),
    "logistic": lambda x: 1 / (1 + math.exp(-x))}


@pytest.mark.parametrize("kind", [f16, bf16], ids=str)
@pytest.mark.parametrize("name", ["uniform", "normal", "truncated_normal", "exponential", "gumbel",
                                  "laplace", "logistic"])
def test_distribution_of_halves(name: str, kind: DType) -> None:
    """The same distributions on a coarser grid: within a step of it."""
    sample = drawn(lambda: getattr(random, name)(COUNT, dtype=kind))
    assert sample.dtype == kind.numpy
    assert distance(sample, {**{n: c for n, (_, c) in CONTINUOUS.items()}, **STANDARD}[name]) < (
        FAR + 0.02)
    if name == "uniform":
        assert sample.astype(float).min() >= 0
        assert sample.astype(float).max() < 1
    if name == "truncated_normal":
        assert np.abs(sample.astype(float)).max() <= 2


@pytest.mark.parametrize(("low", "high", "kind"), [
    (1.0, 2.0, f32), (-1.0, 0.0, f32), (1.0, 2.0, f16), (255.0, 256.0, bf16), (16777214.0,
                                                                                16777216.0, f32)])
def test_uniform_never_reaches_its_upper_end(low: float, high: float, kind: DType) -> None:
    """Sums near `high` round up; 200000 numbers would show it."""
    u = drawn(lambda: random.uniform(200000, low, high, dtype=kind)).astype(np.float64)
    assert u.min() >= low
    assert u.max() < high


def test_numbers_of_integers() -> None:
    for low, high in ((0, 7), (-5, 5), (0, 100000), (-(2**31), 0)):
        found = drawn(lambda a=low, b=high: random.randint(70000, a, b)).astype(np.int64)
        assert low <= found.min() and found.max() < high
        cells = np.bincount(((found - low) * min(10, high - low)) // (high - low))
        expected = 70000 / len(cells)
        chi = float(((cells - expected) ** 2).sum() / expected)
        assert chi < len(cells) + 8 * math.sqrt(2 * len(cells)), (low, high)
    assert drawn(lambda: random.randint((), 5, 6, dtype=i64)) == 5


def test_bernoulli_and_signs() -> None:
    p = np.array([0.0, 0.1, 0.5, 1.0], np.float32)
    hits = drawn(lambda p: random.bernoulli((COUNT, 4), p), p, types=(f32[4],))
    assert hits.dtype == np.bool_
    assert (np.abs(hits.mean(0) - p) <= 5.4 * np.sqrt(p * (1 - p) / COUNT)).all()
    signs = drawn(lambda: random.rademacher(COUNT))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5.4 / math.sqrt(COUNT)


def test_categorical_follows_the_softmax_of_its_logits() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]], np.float32) + 1e-30)
    found = drawn(lambda x: random.categorical(x, COUNT), logits, types=(f32[2, 3],))
    assert found.shape == (COUNT, 2) and found.dtype == np.int32
    for row, p in ((0, [0.1, 0.2, 0.7]), (1, [0.5, 0.5, 0.0])):
        share = np.bincount(found[:, row], minlength=3) / COUNT
        assert (np.abs(share - p) <= 5.4 * np.sqrt(np.multiply(p, np.subtract(1, p)) / COUNT)).all()
    other = drawn(lambda x: random.categorical(x, axis=0), logits, types=(f32[2, 3],))
    assert other.shape == (3,)
    counts = drawn(lambda x: random.multinomial(50, x), logits, types=(f32[2, 3],))
    assert counts.shape == (2, 3) and (counts.sum(1) == 50).all() and counts[1, 2] == 0


def test_permutations_are_fair() -> None:
    """Of 6 orders of 3 each is as likely; rows move whole; an array's elements stay."""
    orders = np.array([drawn(lambda: random.permutation(3), step=s) for s in range(1200)])
    _, counts = np.unique(orders @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6
    assert ((counts - 200) ** 2 / 200).sum() < 40
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows = drawn(lambda x: random.permutation(x), x, types=(f32[4, 3],))
    assert sorted(map(tuple, rows)) == sorted(map(tuple, x))
    columns = drawn(lambda x: random.permutation(x, 1), x, types=(f32[4, 3],))
    assert sorted(map(tuple, columns.T)) == sorted(map(tuple, x.T))


# --- the same numbers everywhere ------------------------------------------------------------------


def everything(alpha: Any) -> Any:
    """Each distribution once, on fused neighbours."""
    return (random.uniform((3, 500), 1.0, 2.0) + 1, random.normal(700) * 2,
            random.truncated_normal(700), random.exponential(33), random.gumbel(33),
            random.laplace(700, dtype=f16), random.gamma((600, 2), alpha),
            random.beta((50, 2), alpha, 2.0), random.dirichlet(alpha, 40),
            random.bernoulli(77, 0.3), random.randint(77, 0, 10**6),
            random.categorical(alpha, 99), random.permutation(101), random.uniform(50, dtype=f64),
            random.uniform(50, dtype=bf16), random.logistic(20), random.cauchy(20),
            random.student_t(20, 3.0), random.lognormal(20), random.rademacher(20))


def test_compiled_draws_are_those_of_the_evaluator_on_any_threads() -> None:
    graph = graph_of(everything, f32[2])
    alpha = np.array([0.7, 4.0], np.float32)
    want = dlc.evaluate(graph, *arguments(graph, (alpha,), 11, 0))
    compiled = dlc.compile(graph)
    with compiled.load(threads=1, seed=11) as one, compiled.load(threads=2, seed=11) as two:
        first, second = one(alpha), two(alpha)
    for name, value in want.items():
        assert first[name].tobytes() == second[name].tobytes(), name
        assert (first[name].dtype, first[name].shape) == (value.dtype, value.shape)
        wide = [np.asarray(a, np.float64) for a in (first[name], value)]
        np.testing.assert_allclose(*wide, rtol=2e-3 if value.dtype.itemsize == 2 else 2e-5,
                                   atol=2e-6, err_msg=name)


def test_a_draw_does_not_depend_on_what_it_is_fused_with() -> None:
    alone = drawn(lambda: random.gamma(100, 2.5, name="g"))
    beside = drawn(lambda: (random.gamma(100, 2.5, name="g") * 1, random.normal(100)))
    np.testing.assert_array_equal(alone, beside["out0"])


# --- derivatives ----------------------------------------------------------------------------------


def test_gamma_is_differentiable_in_its_parameter() -> None:
    """E x is alpha and E x^2 is alpha (alpha + 1): their slopes, and one curvature."""
    alpha = np.array([0.4, 1.0, 3.0, 40.0], np.float32)

    def moment(power: int) -> Callable[[Any], Any]:
        return lambda a: (random.gamma((COUNT, 4), a, name="g") ** power).sum() / COUNT

    slope = drawn(dlc.grad(moment(1)), alpha, types=(f32[4],))
    np.testing.assert_allclose(slope, 1, atol=0.06)
    slope = drawn(dlc.grad(moment(2)), alpha, types=(f32[4],))
    np.testing.assert_allclose(slope, 2 * alpha + 1, rtol=0.1)
    twice = drawn(lambda a: dlc.grad(lambda b: dlc.grad(moment(2))(b).sum())(a), alpha,
                  types=(f32[4],))
    np.testing.assert_allclose(twice, 2, rtol=0.12)


# alpha, x, slope
SLOPES = [
    (1.0, 0.00010000504181079727, 9.633580986942894),
    (1.0, 0.010050336578266303, 5.050786008358569),
    (1.0, 0.22314353994106514, 2.2173647011202013),
    (1.0, 0.693147177890573, 1.3965934786987497),
    (1.0, 1.6094379260789953, 0.9187885259314708),
    (1.0, 4.605170061650282, 0.49669601497879684),
    (1.0, 9.210341238801249, 0.3144611065318987),
    (1.2999999523162842, 0.0009435512364334843, 5.822448610525858),
    (1.2999999523162842, 0.033058067862660766, 3.1339208824040945),
    (1.2999999523162842, 0.38418042293609533, 1.4913090089844678),
    (1.2999999523162842, 0.9859990025417044, 0.9962541336784047),
    (1.2999999523162842, 2.0421023486996863, 0.6907277423218161),
    (1.2999999523162842, 5.261310420242739, 0.3993532570162217),
    (1.2999999523162842, 10.038129200896735, 0.26311177957631493),
    (5.0, 0.4444601909032826, 0.5459835402344986),
    (5.0, 1.2791060824588996, 0.37790057464726007),
    (5.0, 3.089539574216625, 0.2604254724941598),
    (5.0, 4.67090901459484, 0.21389691944128955),
    (5.0, 6.720978410964498, 0.1777068869123884),
    (5.0, 11.604626517085132, 0.13173800724909382),
    (5.0, 17.782008355167754, 0.10249012095524218),
    (100.0, 67.00774670490392, 0.012155162312548165),
    (100.0, 78.21599623980782, 0.011297511310579645),
    (100.0, 91.50138273405538, 0.010468082931040084),
    (100.0, 99.66687185894506, 0.010033404544873744),
    (100.0, 108.30437858566061, 0.009622449741152141),
    (100.0, 124.72256197565085, 0.008950916573152109),
    (100.0, 141.53014610759715, 0.008377524316076489),
    (10000.0, 9632.364287955013, 0.00010188620847294),
    (10000.0, 9768.835933850267, 0.00010117563346443106),
    (10000.0, 9915.738761595876, 0.0001004253616427269),
    (10000.0, 9999.66749853471, 0.00010000332925520449),
    (10000.0, 10084.066198849063, 9.958366967383402e-05),
    (10000.0, 10234.108663147097, 9.884905820745868e-05),
    (10000.0, 10376.186258773401, 9.816658469173212e-05)]


def test_slope_of_a_gamma_number() -> None:
    """d ln x / d alpha at fixed F: references by 30 digits of the incomplete gamma function."""
    from dlc.random.gamma import gamma_slope

    alpha = np.array(SLOPES, np.float64)[:, 0].astype(np.float32)
    x, want = np.array(SLOPES).T[1:]
    graph = dlc.trace(gamma_slope, f32[len(alpha)], f32[len(alpha)])
    got = dlc.evaluate(graph, alpha, np.log(x).astype(np.float32))
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_pathwise_gradients_of_location_and_scale() -> None:
    """normal and laplace are loc + scale z: their slopes are 1 and z."""
    def total(p: Any) -> Any:
        return random.laplace(10, p[0], p[1], name="l").sum()

    point = np.array([0.5, 2.0], np.float32)
    x = drawn(lambda p: random.laplace(10, p[0], p[1], name="l"), point, types=(f32[2],))
    slope = drawn(dlc.grad(total), point, types=(f32[2],))
    np.testing.assert_allclose(slope, [10, ((x - 0.5) / 2).sum()], rtol=1e-5)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "says"), [
    (lambda: random.uniform(3, 2.0, 1.0), "uniform: from 2.0 to 1.0"),
    (lambda: random.normal((3, -1)), "of shape"),
    (lambda: random.normal(2.5), "of shape"),
    (lambda: random.normal(3, dtype=dlc.i32), "dtype i32"),
    (lambda: random.normal((3,), np.zeros(4, np.float32)), "parameters broadcast"),
    (lambda: random.truncated_normal(3, 2.0, 1.0), "from 2.0 to 1.0"),
    (lambda: random.truncated_normal(3, 9.0, 10.0), "8 standard deviations"),
    (lambda: random.bernoulli(3, 1.5), "no probability"),
    (lambda: random.randint(3, 5, 5), "from 5 to 5"),
    (lambda: random.randint(3, 0, 2**33), "values"),
    (lambda: random.categorical(np.float32(1)), "axis"),
    (lambda: random.gamma(3, -1.0), "positive"),
    (lambda: random.dirichlet(np.float32(1)), "alpha is"),
    (lambda: random.permutation(np.zeros((2, 2), np.float32), 2), "axes are"),
    (lambda: random.multinomial(-1, np.zeros(3, np.float32)), "0 or more"),
])
def test_errors(function: Callable[[], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(function)


def test_a_plain_function_takes_a_seed_and_a_step() -> None:
    """Also one that creates parameters, and one whose own argument is called seed."""
    def noisy(x: Any) -> Any:
        return nn.dense(2)(x) + random.normal((2,))

    def own(seed: Any) -> Any:
        return seed * 2.0

    x = np.ones((1, 3), np.float32)
    found = [dlc.evaluate(noisy, x, **how) for how in ({}, {"seed": 0, "step": 0}, {"seed": 1},
                                                       {"step": 1})]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).all() and (found[0] != found[3]).all()
    assert dlc.evaluate(own, seed=np.float32(3)) == 6.0
    with pytest.raises(DlcError, match="step -1 is out of range"):
        dlc.evaluate(noisy, x, step=-1)
