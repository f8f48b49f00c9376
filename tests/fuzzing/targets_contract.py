"""Targets of the lowering of contractions: schemes, packings, boxes, tails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlc
from tests.fuzzing.targets import LARGER, PRIMES, Made, Rng, aims, between, one_of

Change = Callable[[Any], Any]


def worked(rng: Rng) -> Change:
    """What is made of a product: some work that a block of it goes through row by row."""
    return one_of(rng, (lambda y: dlc.tanh(y) * 0.5, lambda y: y * 1.5 + 0.25,
                        lambda y: dlc.maximum(y, 0.125)))


def scaled(rng: Rng) -> Change:
    """Work before a product, so that its operand is evaluated."""
    factor = float(one_of(rng, (0.5, -0.25, 1.5)))
    return one_of(rng, (lambda x: x * factor, lambda x: dlc.where(x > 0.0, x, factor)))


def product(rng: Rng, m: int, k: int, n: int, a: Change | None = None, b: Change | None = None,
            a_turned: bool = False, b_turned: bool = False, after: Change | None = None) -> Made:
    """y = after(a(x) @ b(w)), x [m, k] (k, m turned) and w [k, n] (n, k turned)."""
    def function(x: Any, w: Any) -> tuple[Any, ...]:
        left = dlc.transpose(x, (1, 0)) if a_turned else x
        right = dlc.transpose(w, (1, 0)) if b_turned else w
        y = (a(left) if a else left) @ (b(right) if b else right)
        return (after(y) if after else y,)
    return function, [(k, m) if a_turned else (m, k), (n, k) if b_turned else (k, n)]


def sizes(rng: Rng) -> tuple[int, int, int]:
    """Rows, sums and columns of a product that is packed whole."""
    return between(rng, 5, 33), between(rng, 8, 33), between(rng, 8, 40)


@aims("gemm", "rows finished")
def finished(rng: Rng) -> Made:
    return product(rng, *sizes(rng), after=worked(rng))


@aims("block copied out", "A by the shared transpose", "B copied", apart=1 << 20)
def plain(rng: Rng) -> Made:
    return product(rng, *sizes(rng))


@aims("block transposed out")
def transposed_result(rng: Rng) -> Made:
    return product(rng, *sizes(rng), after=lambda y: dlc.transpose(y, (1, 0)))


@aims("A by the shared copy")
def columns_of_a(rng: Rng) -> Made:
    return product(rng, *sizes(rng), a_turned=True, after=worked(rng))


@aims("A straight")
def evaluated_along_rows(rng: Rng) -> Made:
    return product(rng, *sizes(rng), a=scaled(rng), a_turned=True)


@aims("A turned")
def evaluated_along_sums(rng: Rng) -> Made:
    return product(rng, *sizes(rng), a=scaled(rng))


@aims("A turned in boxes", turned=8)
def evaluated_in_boxes(rng: Rng) -> Made:
    return product(rng, between(rng, 5, 33), between(rng, 17, 33), between(rng, 8, 40),
                   a=scaled(rng))


@aims("B transposed", apart=1 << 20)
def rows_of_b(rng: Rng) -> Made:
    return product(rng, *sizes(rng), b_turned=True)


@aims("B straight")
def b_evaluated(rng: Rng) -> Made:
    return product(rng, *sizes(rng), b=scaled(rng))


@aims("B turned")
def b_evaluated_along_sums(rng: Rng) -> Made:
    return product(rng, *sizes(rng), b=scaled(rng), b_turned=True)


@aims("B turned in boxes", turned=8)
def b_evaluated_in_boxes(rng: Rng) -> Made:
    return product(rng, between(rng, 5, 33), between(rng, 17, 33), between(rng, 8, 16),
                   b=scaled(rng), b_turned=True)


def bordered(rng: Rng, shape: tuple[int, int]) -> tuple[Change, tuple[int, int]]:
    """Zeros around a matrix, which end up at `shape`; the shape inside."""
    low, high = between(rng, 1, 2), between(rng, 0, 2)
    axis = between(rng, 0, 1)
    pads = [(low, high) if i == axis else (0, 0) for i in range(2)]
    return (lambda x: dlc.pad(x, [p[0] for p in pads], [p[1] for p in pads]),
            (shape[0] - sum(pads[0]), shape[1] - sum(pads[1])))


@aims("A with border")
def a_bordered(rng: Rng) -> Made:
    m, k, n = sizes(rng)
    around, inside = bordered(rng, (m, k))
    return (lambda x, w: (around(x) @ w,)), [inside, (k, n)]


@aims("B with border")
def b_bordered(rng: Rng) -> Made:
    m, k, n = sizes(rng)
    around, inside = bordered(rng, (k, n))
    return (lambda x, w: (x @ around(w),)), [(m, k), inside]


# ---- boxes and tails -----------------------------------------------------------------------------


@aims("boxes of columns", "tail of columns")
def many_columns(rng: Rng) -> Made:
    return product(rng, between(rng, 5, 20), between(rng, 4, 12), one_of(rng, LARGER))


@aims("boxes of sums", "tail of sums")
def many_sums(rng: Rng) -> Made:
    return product(rng, between(rng, 5, 20), one_of(rng, (41, 43, 47, 53, 59)),
                   one_of(rng, LARGER[4:]))


@aims("panels of rows", "tail of rows")
def many_rows(rng: Rng) -> Made:
    return product(rng, one_of(rng, PRIMES), between(rng, 4, 12), between(rng, 8, 40))


# ---- few outputs, long sums ----------------------------------------------------------------------


def long_sum(rng: Rng) -> tuple[int, int, int]:
    return between(rng, 1, 4), between(rng, 60, 200), between(rng, 2, 12)


@aims("split")
def split(rng: Rng) -> Made:
    return product(rng, *long_sum(rng), a=one_of(rng, (None, scaled(rng))), after=worked(rng))


@aims("A transposed")
def split_rows(rng: Rng) -> Made:
    return product(rng, *long_sum(rng))


@aims("A copied")
def split_columns(rng: Rng) -> Made:
    m, k, n = long_sum(rng)
    return product(rng, m + 1, k, n, a_turned=True)


# ---- convolutions --------------------------------------------------------------------------------


def convolution(rng: Rng, images: int, padding: int, before: Change | None = None,
                after: Change | None = None) -> Made:
    """Stride 1, few channels, small images, a kernel of 3: in place by a table of offsets."""
    inner, outer, s, t = (between(rng, 1, 2), between(rng, 2, 4), between(rng, 5, 7),
                          between(rng, 5, 7))

    def function(x: Any, w: Any) -> tuple[Any, ...]:
        y = dlc.conv(before(x) if before else x, w, padding=padding)
        return (after(y) if after else y,)
    return function, [(images, inner, s, t), (outer, inner, 3, 3)]


@aims("taps", "image copied", "image with border", "boxes of images", local_bytes=8192)
def taps(rng: Rng) -> Made:
    return convolution(rng, between(rng, 2, 4), 1, after=one_of(rng, (None, worked(rng))))


@aims("image evaluated", local_bytes=8192)
def taps_evaluated(rng: Rng) -> Made:
    return convolution(rng, between(rng, 2, 4), between(rng, 0, 1), before=scaled(rng))


@aims("tail of images", local_bytes=8192)
def taps_tail(rng: Rng) -> Made:
    return convolution(rng, one_of(rng, (9, 11, 13, 15)), between(rng, 0, 1))


def gradient(rng: Rng, x: tuple[int, ...], w: tuple[int, ...], wrt: int, **how: Any) -> Made:
    """The gradient of a convolution's squares by one operand."""
    def function(a: Any, b: Any) -> tuple[Any, ...]:
        return (dlc.grad(lambda p, q: (dlc.conv(p, q, **how) ** 2).sum(), wrt=wrt)(a, b),)
    return function, [x, w]


@aims("dots", local_bytes=8192)
def dots(rng: Rng) -> Made:
    inner, s, taps_ = between(rng, 1, 2), between(rng, 5, 6), between(rng, 2, 3)
    return gradient(rng, (between(rng, 3, 7), inner, s, s), (between(rng, 1, 3), inner, taps_,
                                                             taps_), 1, padding=between(rng, 0, 1))


@aims("residues")
def residues(rng: Rng) -> Made:
    stride, inner = between(rng, 2, 3), between(rng, 2, 3)
    taps_ = stride + between(rng, 0, 1)
    s = between(rng, 9, 13)
    return gradient(rng, (between(rng, 2, 3), inner, s, s), (between(rng, 3, 5), inner, taps_,
                                                             taps_), 0, stride=stride)


@aims("empty residue")
def empty_residue(rng: Rng) -> Made:
    stride, inner, s = between(rng, 2, 3), between(rng, 2, 3), between(rng, 9, 13)
    kernel = (1, one_of(rng, (1, 3)))
    return gradient(rng, (between(rng, 2, 3), inner, s, s), (between(rng, 3, 5), inner, *kernel),
                    0, stride=stride)


@aims("plain contraction")
def few_products(rng: Rng) -> Made:
    return product(rng, between(rng, 2, 4), between(rng, 2, 4), between(rng, 1, 3),
                   after=one_of(rng, (None, worked(rng))))
