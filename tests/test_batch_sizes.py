"""Which results have the same bits whatever stands beside them in a batch (docs/semantics.md).

Everything that works on rows by themselves: row i of a batch of 64 is what it is in a batch of 1.
Of contractions it holds while their scheme is the same: the number of products decides.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dlc
from dlc import f32, nn
from dlc.backend.cpu.limits import Limits
from tests.fuzzing.bounds import labelled, mistakes

BATCHES = (1, 3, 64)
Array = np.ndarray[Any, Any]


def weights(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def normalized(x: Any) -> Any:
    centred = x - x.mean(1, keepdims=True)
    return centred * dlc.rsqrt((centred * centred).mean(1, keepdims=True) + 1e-5)


def entropies(x: Any) -> Any:
    return nn.cross_entropy(x, np.zeros(int(x.shape[0]), np.int32), reduction="none")


# a function of a batch, and the shape of a sample
SAME: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "elementwise": (lambda x: dlc.tanh(x) * dlc.exp(x), (100,)),
    "sums of rows": (lambda x: x.sum(1), (1000,)), "softmax": (nn.softmax, (300,)),
    "sums of images": (lambda x: x.sum((2, 3)), (5, 7, 7)), "layer norm": (normalized, (300,)),
    "logsumexp": (lambda x: dlc.logsumexp(x, 1), (300,)), "cross entropy": (entropies, (50,)),
    "pooling": (lambda x: dlc.avg_pool(x, 2) + dlc.max_pool(x, 2), (3, 8, 8)),
    "dense": (lambda x: x @ weights(300, 50), (300,)),
    "two layers": (lambda x: dlc.tanh(x @ weights(200, 60)) @ weights(60, 150), (200,)),
    "convolution of few rows": (lambda x: dlc.conv(x, weights(6, 3, 5, 5), padding=2), (3, 16, 16)),
    "convolution": (lambda x: dlc.conv(x, weights(28, 16, 3, 3), padding=1), (16, 8, 8)),
    "strided": (lambda x: dlc.conv(x, weights(28, 16, 3, 3), stride=2), (16, 9, 9)),
    "depthwise": (lambda x: dlc.conv(x, weights(16, 1, 3, 3), padding=1, groups=16), (16, 10, 10)),
    "attention": (lambda x: nn.scaled_dot_product_attention(x, x, x), (2, 24, 16)),
}
# within rounding only: the scheme changes with the number of products, b * m * n * k
OTHERWISE: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "a small matrix": (lambda x: x @ weights(20, 30), (20,)),
    "a small convolution": (lambda x: dlc.conv(x, weights(4, 3, 3, 3), padding=1), (3, 6, 6)),
    "a long sum of few outputs": (lambda x: x @ weights(5000, 4), (5000,)),
}


def results(cases: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]], batch: int,
            inputs: dict[str, Array]) -> dict[str, Array]:
    """All cases at one batch size, as one compiled program."""
    names = list(cases)

    def together(*xs: Any) -> Any:
        return {f"r{i}": cases[name][0](x) for i, (name, x) in
                enumerate(zip(names, xs, strict=True))}

    arrays = [inputs[name][:batch] for name in names]
    graph = dlc.trace(together, *(f32[a.shape] for a in arrays))
    with dlc.compile(graph).load(threads=2) as program:
        found = program(*arrays)
    assert mistakes(graph, labelled(graph, arrays), found) == []
    return {name: found[f"r{i}"] for i, name in enumerate(names)}


def at_all_sizes(cases: Any) -> dict[int, dict[str, Array]]:
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=(max(BATCHES), *shape)).astype(np.float32)
              for name, (_, shape) in cases.items()}
    return {batch: results(cases, batch, inputs) for batch in BATCHES}


def test_rows_do_not_depend_on_the_batch() -> None:
    found = at_all_sizes(SAME)
    for batch in BATCHES[:-1]:
        for name, value in found[batch].items():
            assert np.array_equal(value, found[max(BATCHES)][name][:batch]), (name, batch)


def test_products_whose_scheme_changes_agree_within_rounding() -> None:
    """`results` holds each size to the evaluator; bits differ, as the docs say."""
    found = at_all_sizes(OTHERWISE)
    for name in OTHERWISE:
        assert not np.array_equal(found[1][name], found[max(BATCHES)][name][:1]), name


def test_the_numbers_in_the_docs() -> None:
    """docs/semantics.md names the sizes at which the scheme of a product changes."""
    limits = Limits()
    text = (Path(__file__).parent.parent / "docs" / "semantics.md").read_text()
    assert f"{limits.plain_products} products" in text
    assert f"sums of {limits.split_sum} or more" in text
