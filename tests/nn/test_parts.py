"""Parts of textbooks beside formulas in NumPy, in gradients too, on every instruction set.

Gradients are central differences of the NumPy formula in f64: steps of 1e-6 leave 1e-12 of
truncation and eps / 1e-6 = 2e-10 of rounding, relative to values around 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64, i32, nn
from dlc.init import initial_values
from dlc.ir.types import Type
from tests.instruction_sets import on_every_instruction_set

Array = Any
RNG = np.random.default_rng(20261)
STEP, RELATIVE = 1e-6, 3e-9
TABLE = ((0, 2), (1,), (0, 1, 2))  # of a convolution from three maps to three


@dataclass(frozen=True)
class Case:
    """The same function twice; all arrays are differentiated."""

    ours: Callable[..., Any]
    theirs: Callable[..., Array]
    arrays: tuple[Array, ...]


def some(*shape: int) -> Array:
    return RNG.normal(size=shape)


def away(*shape: int) -> Array:
    """Values at least 0.3 from 0, where functions may have a corner."""
    x = some(*shape)
    return np.sign(x) * (0.3 + np.abs(x))


def layer_with(layer: Any, *shapes: tuple[int, ...]) -> Callable[..., Any]:
    """`layer` as a function of its input and parameters, in the order in which it makes them."""
    def function(x: Any, *values: Any) -> Any:
        given = list(values)

        def parameter(name: str, type: Any, init: Any = None) -> Any:
            assert tuple(type.shape) == tuple(given[0].shape), name
            return given.pop(0)

        with pytest.MonkeyPatch.context() as patch:
            for module in ("partial", "convolution", "layers"):
                patch.setattr(f"dlc.nn.{module}.parameter", parameter)
            return layer.apply(x)

    return function


def partial(x: Array, kernels: Array, bias: Array) -> Array:
    """Every connection's correlation, by loops."""
    n, size = x.shape[0], x.shape[2] - 1
    y = np.zeros((n, len(TABLE), size, size)) + bias[:, None, None]
    left = list(kernels)
    for out, row in enumerate(TABLE):
        for source in row:
            kernel = left.pop(0)
            for i in range(2):
                for j in range(2):
                    y[:, out] += kernel[i, j] * x[:, source, i:i + size, j:j + size]
    return y


def subsampled(x: Array, weight: Array, bias: Array) -> Array:
    n, c, h, w = x.shape
    total = x.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5))
    return total * weight[:, None, None] + bias[:, None, None]


def responded(x: Array) -> Array:
    """AlexNet's formula, channel by channel."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        around = x[:, max(0, c - 1):c + 2]
        y[:, c] = x[:, c] / (2.0 + 0.5 / 3 * (around ** 2).sum(1)) ** 0.75
    return y


A, T = away(4, 3), away(4, 3)
P, Q = RNG.uniform(0.1, 0.9, (3, 5)), RNG.uniform(0.1, 0.9, (3, 5))
CASES: dict[str, Case] = {
    "mape": Case(nn.mape, lambda x, t: 100 * np.mean(np.abs(x - t) / np.abs(t)), (A, T)),
    "msle": Case(nn.msle, lambda x, t: np.mean((np.log1p(np.maximum(x, 0))
                                                - np.log1p(np.maximum(t, 0))) ** 2), (A, T)),
    "log_cosh": Case(nn.log_cosh, lambda x, t: np.mean(np.log(np.cosh(x - t))), (A, T)),
    "quantile": Case(lambda x, t: nn.quantile(x, t, 0.8, reduction="sum"),
                     lambda x, t: np.maximum(0.8 * (t - x), -0.2 * (t - x)).sum(), (A, T)),
    "dice": Case(nn.dice, lambda p, t: np.mean(1 - (2 * (p * t).sum(1) + 1)
                                               / (p.sum(1) + t.sum(1) + 1)), (P, Q)),
    "normalize": Case(lambda x: nn.normalize(x, 3.0, 0),
                      lambda x: x / (np.abs(x) ** 3).sum(0, keepdims=True) ** (1 / 3), (A,)),
    "channel_shuffle": Case(lambda x: nn.channel_shuffle(x, 2), lambda x: x[:, [0, 3, 1, 4, 2, 5]],
                            (some(2, 6, 3),)),
    "maxout": Case(layer_with(nn.maxout(3)),
                   lambda x, w, b: np.maximum((x @ w + b)[:, ::2], (x @ w + b)[:, 1::2]),
                   (some(4, 5), some(5, 6), some(6))),
    "partial_conv": Case(layer_with(nn.partial_conv(TABLE, 2)), partial,
                         (some(2, 3, 4, 4), some(6, 2, 2), some(3))),
    "subsample": Case(layer_with(nn.subsample(2)), subsampled,
                      (some(2, 3, 4, 6), some(3), some(3))),
    "bias": Case(layer_with(nn.bias(2)), lambda x, b: x + b, (some(2, 3, 4), some(3, 4))),
    "local_response_norm": Case(nn.local_response_norm(3, 0.5, 0.75, 2.0).apply, responded,
                                (some(2, 5, 3),)),
}


def cotangent(y: Array) -> Array:
    return np.cos(np.arange(y.size) + 0.3).reshape(y.shape) + 1.5


def slopes(case: Case) -> list[Array]:
    """Central differences of sum(cotangent * theirs)."""
    found = []
    for k, array in enumerate(case.arrays):
        slope = np.empty_like(array)
        for at in np.ndindex(array.shape):
            ends = []
            for side in (STEP, -STEP):
                moved = [a.copy() for a in case.arrays]
                moved[k][at] += side
                y = np.asarray(case.theirs(*moved))
                ends.append(float((y * cotangent(y)).sum()))
            slope[at] = (ends[0] - ends[1]) / (2 * STEP)
        found.append(slope)
    return found


def everything(*arrays: Any) -> list[Any]:
    left, results = list(arrays), []
    for case in CASES.values():
        taken = [left.pop(0) for _ in case.arrays]
        y, pullback = dlc.vjp(case.ours, *taken)
        found = pullback(cotangent(np.zeros(tuple(map(int, y.shape)))))
        results += [y, *(found if isinstance(found, tuple) else (found,))]
    return results


def test_values_and_gradients() -> None:
    arrays = [a for case in CASES.values() for a in case.arrays]
    wanted = []
    for case in CASES.values():
        wanted += [np.asarray(case.theirs(*case.arrays)), *slopes(case)]
    graph = dlc.trace(everything, *(Type(f64, a.shape) for a in arrays))
    names = [f"{name} {part}" for name, case in CASES.items()
             for part in ("value", *(f"gradient {k}" for k in range(len(case.arrays))))]
    for where, found in on_every_instruction_set(graph, *arrays):
        for name, got, want in zip(names, found.values(), wanted, strict=True):
            # rounding is relative to the sum of which the difference is taken
            scale = max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(got, want, RELATIVE, RELATIVE * scale,
                                       err_msg=f"{name} on {where}")


def test_lenet_5_has_the_parameters_of_its_paper() -> None:
    """LeCun et al. 1998, section II-B: 156, 12, 1,516 and 32 trainable parameters."""
    c3 = [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5],
          [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
          [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5]]
    parts = nn.chain(nn.conv(6, 5), nn.subsample(2), nn.partial_conv(c3, 5), nn.subsample(2))
    counts: dict[str, int] = {}
    for v in dlc.trace(parts, f32[1, 1, 32, 32]).notes["variables"]:
        layer = v.name.partition(".")[0]
        counts[layer] = counts.get(layer, 0) + v.type.size
    assert list(counts.values()) == [156, 12, 1516, 32]


def test_h1_and_h2_of_1989() -> None:
    """LeCun et al. 1989: H1 has 1,068 and H2 2,592 parameters, with a bias a unit; each map of H2
    sees 8 of the 12 maps of H1."""
    table = [[(i + k) % 12 for k in range(8)] for i in range(12)]
    wide = ((2, 2), (2, 2))
    h1 = nn.chain(nn.conv(12, 5, stride=2, padding=wide, bias=False), nn.bias(3), nn.tanh)
    h2 = nn.chain(nn.partial_conv(table, 5, stride=2, padding=wide, bias=False), nn.bias(3),
                  nn.tanh)
    graph = dlc.trace(nn.chain(h1, h2), f32[1, 1, 16, 16])
    assert [v.type.size for v in graph.notes["variables"]] == [300, 768, 2400, 192]
    assert tuple(graph.outputs[0].shape) == (1, 12, 4, 4)


def test_kernels_of_a_partial_convolution_start_by_their_maps_inputs() -> None:
    graph = dlc.trace(nn.partial_conv([[0], list(range(9))], (50, 10)), f32[1, 9, 50, 10])
    weight = initial_values(graph.notes["variables"], 0)["partial_conv1.weight"]
    for kernels, inputs in ((weight[:1], 1), (weight[1:], 9)):
        bound = (inputs * 500) ** -0.5
        assert 0.99 * bound < np.abs(kernels).max() <= bound


@pytest.mark.parametrize(("make", "says"), [
    (lambda: nn.partial_conv([], 3), "is no table"),
    (lambda: nn.partial_conv([[0], []], 3), "connected to"),
    (lambda: nn.partial_conv([[0, 0]], 3), "connected to"),
    (lambda: nn.partial_conv([[0.5]], 3), "is no table"),
    (lambda: dlc.trace(nn.partial_conv([[0, 3]], 1), f32[1, 3, 4, 4]), "input map 3"),
    (lambda: nn.gaussian_noise(-1.0), "std=-1.0"), (lambda: nn.label_noise(0), "classes=0"),
    (lambda: dlc.trace(nn.label_noise(3), f32[4]), "cast them"),
    (lambda: nn.channel_shuffle(np.ones((2, 5), np.float32), 2), "does not divide 5"),
])
def test_what_does_not_fit_is_refused(make: Any, says: str) -> None:
    with pytest.raises(DlcError, match=says):
        make()


# --- noise ----------------------------------------------------------------------------------------

N = 40_000


def noisy(layer: Any, x: Any, training: bool = True) -> Any:
    kind = f32 if x.dtype == np.float32 else i32
    graph = dlc.trace(layer, kind[x.shape], training=training)
    with dlc.compile(graph).load(seed=7) as program:
        found = program(x)
    return found if isinstance(found, np.ndarray) else next(iter(found.values()))


def within(share: float, p: float) -> None:
    """A share of N draws of probability p: five standard deviations."""
    assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / N), (share, p)


def test_gaussian_noise() -> None:
    x = np.linspace(-1, 1, N, dtype=np.float32)
    change = noisy(nn.gaussian_noise(0.2), x) - x
    assert abs(change.mean()) < 5 * 0.2 / math.sqrt(N)
    assert abs(change.std() / 0.2 - 1) < 5 / math.sqrt(2 * N)
    assert abs(np.corrcoef(change, x)[0, 1]) < 5 / math.sqrt(N)


def test_noise_that_replaces() -> None:
    x = np.linspace(0.25, 0.75, N, dtype=np.float32)
    masked = noisy(nn.masking_noise(0.3), x)
    assert set(np.unique(masked[masked != x])) == {0}
    within(float((masked == 0).mean()), 0.3)
    spotted = noisy(nn.salt_and_pepper(0.4, -1.0, 2.0), x)
    assert set(np.unique(spotted[spotted != x])) == {-1, 2}
    within(float((spotted == -1).mean()), 0.2)
    within(float((spotted == 2).mean()), 0.2)


def test_label_noise_has_the_distribution_that_smoothing_has() -> None:
    label = np.full(N, 2, np.int32)
    counts = np.bincount(noisy(nn.label_noise(5, 0.2), label), minlength=5) / N
    for share, p in zip(counts, np.eye(5)[2] * 0.8 + 0.2 / 5, strict=True):
        within(float(share), float(p))


def test_gumbel_softmax() -> None:
    """Its largest is a draw from softmax(logits); it is one vector, hard or soft."""
    logits = np.tile(np.log(np.array([0.2, 0.5, 0.3], np.float32)), (N, 1))
    soft = noisy(lambda x: nn.gumbel_softmax(x, 0.5), logits)
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
    hard = noisy(lambda x: nn.gumbel_softmax(x, 0.5, hard=True), logits)
    assert np.abs(hard - np.round(hard)).max() < 1e-6
    for share, p in zip(np.round(hard).mean(0), (0.2, 0.5, 0.3), strict=True):
        within(float(share), p)


def test_gumbel_softmax_has_the_gradient_of_the_soft_one() -> None:
    def loss(hard: bool) -> Any:
        return dlc.grad(lambda x: (nn.gumbel_softmax(x, 0.7, hard, 0) * some_weights).sum())

    some_weights = np.arange(12, dtype=np.float32).reshape(3, 4)
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    both = dlc.trace(lambda x: loss(False)(x), f32[3, 4], training=True)
    with dlc.compile(both).load(seed=3) as program:
        soft = program(x)
    with dlc.compile(dlc.trace(lambda x: loss(True)(x), f32[3, 4], training=True)).load(
            seed=3) as program:
        hard = program(x)
    np.testing.assert_array_equal(soft, hard)
    assert np.abs(soft).max() > 0.1


def test_noise_is_of_training_alone() -> None:
    x = RNG.normal(size=(3, 4)).astype(np.float32)
    for layer in (nn.gaussian_noise(1.0), nn.masking_noise(0.9), nn.salt_and_pepper(0.9)):
        np.testing.assert_array_equal(noisy(layer, x, training=False), x)
    label = np.arange(4, dtype=np.int32)
    np.testing.assert_array_equal(noisy(nn.label_noise(4, 0.9), label, training=False), label)
