"""Where every system starts: the weights and the batch of each network, drawn from a seed.

NumPy alone, since a peer's process imports nothing of dlc. Parameters are in the order and the
layout of PyTorch's `parameters()`: matrices [out, in], kernels [out, in, height, width].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

SEED = 20261130
# Uniform numbers of +-sqrt(3) have the variance 1 of PyTorch's embeddings.
UNIT = 3**0.5
# exp(-20) of noise is lost beside a code of order 1: the loss does not depend on who draws it.
QUIET = -40.0
VGG = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
RESNET = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """One parameter: uniform in `centre` +- `spread`."""

    shape: tuple[int, ...]
    spread: float = 0.0
    centre: float = 0.0

    @property
    def terms(self) -> int:
        """How many products one of its outputs sums; 0 of a vector or a table."""
        return math.prod(self.shape[1:]) if len(self.shape) > 1 and self.spread < UNIT else 0


def layer(*shape: int, bias: bool = True, centre: float = 0.0) -> list[Part]:
    """A weight and its bias, both +-1/sqrt(fan in): PyTorch's own; the bias around `centre`."""
    spread = math.prod(shape[1:]) ** -0.5
    return [Part(shape, spread), *([Part(shape[:1], spread, centre)] if bias else [])]


def norm(width: int) -> list[Part]:
    """Scale 1, shift 0."""
    return [Part((width,), centre=1.0), Part((width,))]


def table(rows: int, width: int) -> list[Part]:
    """An embedding."""
    return [Part((rows, width), UNIT)]


def dense(*sizes: int) -> list[Part]:
    """Dense layers with biases, one after the other."""
    return [part for before, after in itertools.pairwise(sizes) for part in layer(after, before)]


def vae() -> list[Part]:
    encoder, mean = dense(784, 400), dense(400, 20)
    return [*encoder, *mean, *layer(20, 400, centre=QUIET), *dense(20, 400, 784)]


def speller(gates: int) -> list[Part]:
    """An embedding, a recurrent layer of 256 units with two biases, the logits."""
    weight, bias = Part((gates * 256, 256), 1 / 16), Part((gates * 256,), 1 / 16)
    return [*table(96, 256), weight, weight, bias, bias, *dense(256, 96)]


def gpt() -> list[Part]:
    block = [*norm(256), *dense(256, 768), *dense(256, 256), *norm(256), *dense(256, 1024, 256)]
    out = layer(256, 256, bias=False)
    return [*table(256, 256), *table(128, 256), *block * 4, *norm(256), *out]


def vgg() -> list[Part]:
    widths = [3, *(width for width in VGG if isinstance(width, int))]
    kernels = [layer(after, before, 3, 3) for before, after in itertools.pairwise(widths)]
    return [*itertools.chain(*kernels), *dense(512, 512, 10)]


def resnet18() -> list[Part]:
    parts, before = [*layer(64, 3, 3, 3, bias=False), *norm(64)], 64
    for width, stride in RESNET:
        for inner in (before, width):
            parts += [*layer(width, inner, 3, 3, bias=False), *norm(width)]
        if stride != 1 or before != width:
            parts += [*layer(width, before, 1, 1, bias=False), *norm(width)]
        before = width
    return [*parts, *dense(512, 10)]


PARTS: dict[str, Callable[[], list[Part]]] = {
    "mlp": lambda: dense(784, 512, 512, 10), "vae": vae, "vgg": vgg, "resnet18": resnet18,
    "lenet": lambda: [*layer(6, 1, 5, 5), *layer(16, 6, 5, 5), *dense(400, 120, 84, 10)],
    "lstm": lambda: speller(4), "gru": lambda: speller(3), "gpt": gpt}
IMAGE = {"mlp": (784,), "vae": (784,), "lenet": (1, 28, 28), "vgg": (3, 32, 32),
         "resnet18": (3, 32, 32)}
TEXT = {"lstm": (96, 64), "gru": (96, 64), "gpt": (256, 128)}  # how many characters, and times


def parameters(model: str) -> Iterator[Array]:
    """f32 arrays, one after the other, the same in every process."""
    data = np.random.default_rng(SEED)
    for part in PARTS[model]():
        value = np.full(part.shape, part.centre, np.float32)
        if part.spread:
            value += (2 * data.random(part.shape, np.float32) - 1) * np.float32(part.spread)
        yield value


def inputs(model: str, batch: int, data: np.random.Generator | None = None) -> list[Array]:
    """One batch: an image or a text, and labels where there are some; every class occurs.

    f32[batch, ...] in [0, 1) and i32[batch], or i32[batch, times] twice.
    """
    data = data or np.random.default_rng(SEED + 1)
    if model in TEXT:
        words, times = TEXT[model]
        return [classes(data, words, (batch, times)) for _ in range(2)]
    image = data.random((batch, *IMAGE[model]), np.float32)
    labels = [] if model == "vae" else [classes(data, 10, (batch,))]
    return [image, *labels]


def classes(data: np.random.Generator, count: int, shape: tuple[int, ...]) -> Array:
    """i32[shape] in random order: each of `count` numbers as often as any other, or once more."""
    numbers: Array = data.permutation(np.arange(math.prod(shape), dtype=np.int32) % count)
    return numbers.reshape(shape)


def rounding(model: str) -> float:
    """How far apart, relatively, two systems' first losses in f32 may be.

    A sum of n products is within n eps of exact, of the sum of its terms' sizes (Higham, Accuracy
    and Stability of Numerical Algorithms, 3.1), in whatever order it is added; the layers' errors
    add up, a recurrent layer's once each time.
    """
    terms = sum(part.terms for part in PARTS[model]())
    times = TEXT[model][1] if model in ("lstm", "gru") else 1
    return 2 * terms * times * float(np.finfo(np.float32).eps)
