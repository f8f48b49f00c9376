"""Random products of two operands: matrices, Einstein sums and convolutions, for each scheme.

Sizes are drawn so that the scheme is likely at the limits of tests/fuzzing/building.py; which one
ran is counted from the kernels afterwards (tests/fuzzing/fired.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import dlc

Rng = np.random.Generator
Shape = tuple[int, ...]

# extents of 1, primes, and both sides of tiles of 4 to 32 columns and panels of 6 and 14 rows
EXTENTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 17, 19, 23, 28, 29, 31, 32, 33, 37, 47,
           48, 49, 61, 64, 65, 79, 97)
FEW = (1, 1, 2, 2, 3, 4, 5, 6, 7, 8)
LONG = (39, 40, 41, 53, 80, 97, 128, 131, 200, 251)
LONGER = (1000, 2048, 4095, 4096, 4097, 5003, 8192, 9001)  # around Limits.split_sum and turned


@dataclass(frozen=True)
class Product:
    """A product of operands of shapes `a` and `b`. `role` "": any derivative of it is taken.
    `depths`: how many layers of work and views may lie below an operand."""

    text: str
    a: Shape
    b: Shape
    y: Shape
    run: Callable[[Any, Any], Any]
    role: str = ""
    depths: Sequence[int] = (0, 0, 1, 1, 2)


def pick(rng: Rng, values: Sequence[Any]) -> Any:
    """One of `values`."""
    return values[int(rng.integers(len(values)))]


def drawn_within(rng: Rng, lists: Sequence[Sequence[int]], most: int) -> list[int]:
    """An extent out of each list, drawn again until their product is at most `most`."""
    while True:
        found = [int(pick(rng, values)) for values in lists]
        if math.prod(found) <= most:
            return found


# ---- matrices ------------------------------------------------------------------------------------


def matrices(rng: Rng, most: int) -> Product:
    """m, k, n of any size: matmul, its transposes as Einstein sums, tensordot."""
    m, k, n = drawn_within(rng, (EXTENTS, EXTENTS, EXTENTS), most)
    if rng.random() < 0.2 and m * k * k <= most:
        n = k  # the result has the shape of an operand
    return pick(rng, (matmul, across, stacked, einsum, tensordot))(rng, m, k, n, most)


def long_sums(rng: Rng, most: int) -> Product:
    """Few outputs of long sums."""
    m, k, n = drawn_within(rng, (FEW, LONGER if most > 100_000 else LONG, FEW), most)
    made = pick(rng, (matmul, across, across, einsum, tensordot))(rng, m, k, n, most)
    # the gradients of a long sum are not long sums
    return replace(made, depths=(0, 0, 1, 1, 2), role=pick(rng, ("forward", "forward", "")))


def small(rng: Rng, most: int) -> Product:
    """Around the size at which plain loops stop."""
    m, k, n = drawn_within(rng, (FEW, FEW, FEW), min(most, 96))
    return pick(rng, (matmul, stacked, einsum, tensordot))(rng, m, k, n, min(most, 96))


def matmul(rng: Rng, m: int, k: int, n: int, most: int) -> Product:
    return Product("matmul", (m, k), (k, n), (m, n), dlc.matmul)


def across(rng: Rng, m: int, k: int, n: int, most: int) -> Product:
    """Operands that lie transposed in memory, one or both, as in the gradients of a matmul."""
    a, b = pick(rng, ((1, 0), (0, 1), (1, 1)))

    def run(x: Any, y: Any) -> Any:
        return dlc.matmul(dlc.transpose(x) if a else x, dlc.transpose(y) if b else y)
    return Product(f"matmul across {a}{b}", (k, m) if a else (m, k), (n, k) if b else (k, n),
                   (m, n), run)


def stacked(rng: Rng, m: int, k: int, n: int, most: int) -> Product:
    """One or two batch axes, which may be missing or 1 on one side."""
    room = max(1, most // (m * k * n))
    lead = tuple(int(rng.integers(1, min(5, room) + 1)) for _ in range(int(rng.integers(1, 3))))
    if math.prod(lead) > room:
        lead = lead[:1]
    a, b = (tuple(1 if rng.random() < 0.2 else d for d in lead) for _ in "ab")
    cut = int(rng.integers(0, len(lead) + 1)) if rng.random() < 0.3 else 0
    y = tuple(int(d) for d in np.broadcast_shapes(a, b[cut:]))
    return Product("matmul", (*a, m, k), (*b[cut:], k, n), (*y, m, n), dlc.matmul)


def einsum(rng: Rng, m: int, k: int, n: int, most: int) -> Product:
    """Labels of batch, rows, columns and sums, one or two each, in any order on every side."""
    sizes: dict[str, int] = {}
    groups = {"batch": 1 if rng.random() < 0.5 else pick(rng, FEW[:5]), "m": m, "n": n, "k": k}
    if math.prod(groups.values()) > most:
        groups["batch"] = 1
    words = {}
    for (role, size), letters in zip(groups.items(), ("bc", "ij", "pq", "uv"), strict=True):
        words[role] = letters if splits(size) and rng.random() < 0.4 else letters[0]
        outer = splits(size) if len(words[role]) == 2 else 1
        sizes.update(zip(words[role], (outer, size // outer) if outer > 1 else (size, 1),
                         strict=False))
    left = shuffled(rng, words["batch"] + words["m"] + words["k"])
    right = shuffled(rng, words["batch"] + words["k"] + words["n"])
    out = shuffled(rng, words["batch"] + words["m"] + words["n"])
    text = f"{left},{right}->{out}"
    return Product(f"einsum {text}", *(tuple(sizes[c] for c in w) for w in (left, right, out)),
                   lambda a, b: dlc.einsum(text, a, b))


def splits(size: int) -> int:
    """The smallest factor of `size`; 0 for a prime."""
    return next((f for f in range(2, size) if size % f == 0), 0)


def shuffled(rng: Rng, word: str) -> str:
    return "".join(word[i] for i in rng.permutation(len(word)))


def tensordot(rng: Rng, m: int, k: int, n: int, most: int) -> Product:
    """Sums over one axis or two, anywhere."""
    inner = (splits(k), k // splits(k)) if splits(k) else (k,)
    at_a, at_b = int(rng.integers(0, 2)), int(rng.integers(0, 2))
    a = (m, *inner) if at_a else (*inner, m)
    b = (n, *inner) if at_b else (*inner, n)
    axes = ([at_a + i for i in range(len(inner))], [at_b + i for i in range(len(inner))])
    return Product(f"tensordot {axes}", a, b, (m, n),
                   lambda x, y: dlc.tensordot(x, y, axes=axes))


# ---- convolutions --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    """What a convolution is drawn from."""

    images: Sequence[int]
    channels: Sequence[int]
    space: Sequence[int]
    taps: Sequence[int] = (1, 1, 2, 3, 3, 4, 5)
    strides: Sequence[int] = (1,)
    holes: Sequence[int] = (1, 1, 1, 2, 3)
    ranks: Sequence[int] = (1, 2, 2, 2, 3)
    role: str = ""


LITTLE = (1, 2, 3, 4, 5, 6, 7, 8)
MIDDLE = (1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 23)
ANY_STRIDE = (1, 2, 2, 3, 4)


def taps(rng: Rng, most: int) -> Product:
    """Stride 1."""
    return convolution(rng, most, Sizes((1, 2, 3, 5, 8), LITTLE, MIDDLE, (1, 1, 1, 2, 3, 3, 4),
                                        ranks=(1, 2, 2, 2, 2, 3)))


def dots(rng: Rng, most: int) -> Product:
    """Gradients of kernels, of stride 1, over many images."""
    return convolution(rng, most, Sizes((1, 2, 3, 4, 7, 9, 13), (1, 2, 3, 4), MIDDLE, (1, 2, 3),
                                        holes=(1, 1, 2), role="by b"))


def residues(rng: Rng, most: int) -> Product:
    """Transposed convolutions, and gradients by the input, of any stride."""
    sizes = Sizes((1, 2, 3), LITTLE, (1, 2, 3, 4, 5, 7, 8), (1, 2, 3, 4, 5), (2, 2, 3, 4))
    if rng.random() < 0.5:
        return transposed(rng, most, sizes)
    return convolution(rng, most, Sizes((1, 2, 3), LITTLE, MIDDLE, strides=(2, 2, 3, 4),
                                        role="by a"))


def mixed(rng: Rng, most: int) -> Product:
    """Convolutions of any kind."""
    sizes = Sizes((1, 2, 3, 5), (*LITTLE, 13, 16, 17), MIDDLE, strides=ANY_STRIDE)
    return (transposed if rng.random() < 0.2 else convolution)(rng, most, sizes)


def common(rng: Rng, sizes: Sizes) -> tuple[int, int, int, int, list[int], list[int]]:
    """images, groups, channels of a group on either side, stride and dilation of each axis."""
    rank, images = int(pick(rng, sizes.ranks)), int(pick(rng, sizes.images))
    groups = int(pick(rng, (1, 1, 1, 2, 3, 4)))
    inner, outer = int(pick(rng, sizes.channels)), int(pick(rng, sizes.channels))
    if rng.random() < 0.08:
        inner = 1  # depthwise, with any multiplier
    elif rng.random() < 0.3:
        outer = inner
    strides = [int(pick(rng, sizes.strides)) for _ in range(rank)]
    holes = [int(pick(rng, sizes.holes)) for _ in range(rank)]
    return images, groups, inner, outer, strides, holes


def convolution(rng: Rng, most: int, sizes: Sizes) -> Product:
    """x [N, C, S...] by w [O, C / groups, K...], borders of any width, and of none that is read."""
    while True:
        images, groups, inner, outer, strides, holes = common(rng, sizes)
        space = [int(pick(rng, sizes.space)) for _ in strides]
        kernel = [int(pick(rng, sizes.taps)) for _ in strides]
        reach = [(k - 1) * h + 1 for k, h in zip(kernel, holes, strict=True)]
        pads = [border(rng, r) for r in reach]
        result = [(s + lo + hi - r) // st + 1 for s, (lo, hi), r, st in zip(
            space, pads, reach, strides, strict=True)]
        products = images * groups * outer * inner * math.prod(result) * math.prod(kernel)
        if min(result) >= 1 and products <= most:
            break
    how = {"stride": tuple(strides), "padding": tuple(pads), "dilation": tuple(holes),
           "groups": groups}
    return Product(f"conv {how}", (images, groups * inner, *space),
                   (groups * outer, inner, *kernel), (images, groups * outer, *result),
                   lambda x, w: dlc.conv(x, w, **how), sizes.role)


def border(rng: Rng, reach: int) -> tuple[int, int]:
    """Rows of zeros on both sides: none, "same", on one side, or any, up to more than a kernel
    reaches."""
    kind = int(rng.integers(0, 5))
    if kind < 2:
        return ((reach - 1) // 2, reach // 2) if kind else (0, 0)
    low, high = int(rng.integers(0, reach + 1)), int(rng.integers(0, reach + 2))
    return (0 if kind == 2 else low), (0 if kind == 3 else high)


def transposed(rng: Rng, most: int, sizes: Sizes) -> Product:
    """x [N, C, S...] by w [C, O / groups, K...]."""
    while True:
        images, groups, inner, outer, strides, holes = common(rng, sizes)
        space = [int(pick(rng, sizes.space)) for _ in strides]
        kernel = [int(pick(rng, sizes.taps)) for _ in strides]
        reach = [(k - 1) * h + 1 for k, h in zip(kernel, holes, strict=True)]
        pads = [(int(rng.integers(0, r)), int(rng.integers(0, r))) for r in reach]
        extra = [int(rng.integers(0, max(s, h))) for s, h in zip(strides, holes, strict=True)]
        result = [(s - 1) * st - lo - hi + r + e for s, st, (lo, hi), r, e in zip(
            space, strides, pads, reach, extra, strict=True)]
        products = images * groups * outer * inner * math.prod(space) * math.prod(kernel)
        if min(result) >= 1 and products <= most:
            break
    how = {"stride": tuple(strides), "padding": tuple(pads), "dilation": tuple(holes),
           "groups": groups, "output_padding": tuple(extra)}
    return Product(f"conv_transpose {how}", (images, groups * inner, *space),
                   (groups * inner, outer, *kernel), (images, groups * outer, *result),
                   lambda x, w: dlc.conv_transpose(x, w, **how), "")


PRODUCTS: dict[str, Callable[[Rng, int], Product]] = {
    "gemm": matrices, "split": long_sums, "taps": taps, "dots": dots, "residues": residues,
    "plain": small, "any convolution": mixed, "split again": long_sums, "taps again": taps}
