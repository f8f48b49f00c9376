"""Resizing and sampling against definitions written out, one result at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.errors import DlcError
from dlc.ir.types import Type, dtype

Array = np.ndarray


def evaluated(function: Callable[..., Any], *arrays: Array) -> Any:
    graph = dlc.trace(lambda *a: function(*a), *(Type(dtype(a.dtype), a.shape) for a in arrays))
    return dlc.evaluate(graph, *arrays)


def image() -> Array:
    return np.random.default_rng(4).uniform(-2, 2, (2, 3, 5, 6))


def linear_at(line: Array, place: float) -> Any:
    """Between the two elements around `place`, the border repeated."""
    low = math.floor(place)
    a, b = (line[min(max(j, 0), len(line) - 1)] for j in (low, low + 1))
    return a + (b - a) * (place - low)


PLACES: dict[str, Callable[[int, int, int], float]] = {
    "half_pixel": lambda o, size, count: (o + 0.5) * size / count - 0.5,
    "align_corners": lambda o, size, count: o * (size - 1) / max(count - 1, 1),
    "asymmetric": lambda o, size, count: o * size / count,
    "pytorch_half_pixel": lambda o, size, count: (o + 0.5) * size / count - 0.5 if count > 1 else 0,
}


@pytest.mark.parametrize("coordinates", PLACES)
@pytest.mark.parametrize("size", [(5, 9), (3, 6), (1, 13), (10, 12)])
def test_linear(size: tuple[int, int], coordinates: str) -> None:
    x = image()
    found = evaluated(lambda a: dlc.resize(a, size, coordinates=coordinates), x)
    place = PLACES[coordinates]
    for i, j in np.ndindex(*size):
        rows = np.stack([linear_at(line, place(i, 5, size[0]))
                         for line in x.transpose(3, 2, 0, 1)])
        want = linear_at(rows, place(j, 6, size[1]))
        np.testing.assert_allclose(found[:, :, i, j], want, atol=1e-12)


@pytest.mark.parametrize(("rounding", "coordinates", "picks"), [
    ("floor", "asymmetric", [0, 0, 1, 2, 2, 3, 4]),
    ("round_prefer_ceil", "half_pixel", [0, 1, 1, 2, 3, 3, 4]),
    ("round_prefer_floor", "half_pixel", [0, 1, 1, 2, 3, 3, 4]),
    ("ceil", "asymmetric", [0, 1, 2, 3, 3, 4, 4]),
])
def test_nearest(rounding: str, coordinates: str, picks: list[int]) -> None:
    x = image()
    found = evaluated(lambda a: dlc.resize(
        a, (7, None), mode="nearest", coordinates=coordinates, rounding=rounding), x)
    np.testing.assert_array_equal(found, x[:, :, picks])


def test_nearest_ties() -> None:
    """A place halfway between two elements goes to the side that the rounding names."""
    x = np.arange(4.0).reshape(1, 1, 4)
    for rounding, want in (("round_prefer_floor", [0, 2]), ("round_prefer_ceil", [1, 3])):
        found = evaluated(lambda a, r=rounding: dlc.resize(a, 2, mode="nearest", rounding=r), x)
        np.testing.assert_array_equal(found[0, 0], want)


def test_whole_factors_of_nearest_are_views() -> None:
    up = dlc.trace(lambda x: dlc.nn.upsample(2)(x), Type(dtype(np.float32), (1, 2, 3, 4)))
    down = dlc.trace(lambda x: dlc.resize(x, (3, 2), mode="nearest", coordinates="asymmetric"),
                     Type(dtype(np.float32), (1, 2, 6, 4)))
    assert not {n.op.name for g in (up, down) for n in g.nodes()} & {"gather", "matmul"}
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(dlc.evaluate(up, x), x.repeat(2, 2).repeat(2, 3))


def test_integers_keep_their_kind_in_nearest() -> None:
    x = np.arange(12, dtype=np.int32).reshape(1, 1, 3, 4)
    assert evaluated(lambda a: dlc.resize(a, (5, 5), mode="nearest"), x).dtype == np.int32


def test_cubic_reproduces_a_parabola_inside() -> None:
    """Keys' kernel with coefficient -1/2 is exact for quadratics (Keys 1981, section III)."""
    x = np.arange(12.0)[None, None] ** 2
    found = evaluated(lambda a: dlc.resize(a, 24, mode="cubic", cubic=-0.5), x)[0, 0]
    places = (np.arange(24) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(found[4:-4], places[4:-4] ** 2, atol=1e-12)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("options", [{}, {"antialias": True}, {"exclude_outside": True}])
def test_a_constant_stays(mode: str, options: dict[str, bool]) -> None:
    x = np.full((1, 1, 7, 9), 1.25)
    found = evaluated(lambda a: dlc.resize(a, (3, 20), mode=mode, **options), x)
    np.testing.assert_allclose(found, np.full((1, 1, 3, 20), 1.25))


def test_antialias_of_a_whole_factor_is_the_triangle() -> None:
    x = np.zeros((1, 1, 12))
    x[0, 0, 5] = 1.0
    found = evaluated(lambda a: dlc.resize(a, 4, antialias=True), x)[0, 0]
    # a triangle of radius 3 around 1, 4, 7, 10
    distance = np.abs(5 - np.array([1, 4, 7, 10]))
    np.testing.assert_allclose(found, np.maximum(0, 1 - distance / 3) / 3)


def test_area_is_the_mean_of_bins() -> None:
    x = image()
    found = evaluated(lambda a: dlc.resize(a, (2, 3), mode="area"), x)
    np.testing.assert_allclose(found[:, :, 0, 1], x[:, :, :3, 2:4].mean((2, 3)))


def test_crop_and_extrapolate() -> None:
    x = np.arange(5.0)[None, None]
    found = evaluated(lambda a: dlc.resize(a, 5, coordinates="tf_crop_and_resize",
                                           roi=[(-0.25, 0.75)], extrapolation=9.0), x)[0, 0]
    np.testing.assert_allclose(found, [9.0, 0.0, 1.0, 2.0, 3.0])


def test_scale_counts_for_the_places_too() -> None:
    """2.5 times 3 elements are 7 results, each 1 / 2.5 apart."""
    x = np.arange(3.0)[None, None]
    found = evaluated(lambda a: dlc.resize(a, scale=2.5), x)[0, 0]
    np.testing.assert_allclose(found, np.clip((np.arange(7) + 0.5) / 2.5 - 0.5, 0, 2))


# --- sampling -------------------------------------------------------------------------------------


def grid_of(size: tuple[int, int], align: bool) -> Array:
    """The coordinates of the centres of an image's own elements."""
    axes = [np.linspace(-1, 1, d) if align else (2 * np.arange(d) + 1) / d - 1 for d in size]
    rows, cols = np.meshgrid(*axes, indexing="ij")
    return np.stack([cols, rows], -1)[None].repeat(2, 0)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [True, False])
def test_an_image_at_its_own_places(mode: str, padding: str, align: bool) -> None:
    x = image()
    found = evaluated(lambda a, g: dlc.grid_sample(a, g, mode, padding, align), x,
                      grid_of((5, 6), align))
    np.testing.assert_allclose(found, x, atol=1e-9)


@pytest.mark.parametrize(("padding", "want"), [("zeros", [0.0, 0.0]), ("border", [1.0, 4.0]),
                                               ("reflection", [2.0, 3.0])])
def test_outside(padding: str, want: list[float]) -> None:
    """Two elements beyond either end of 1 2 3 4, centre of the mirror on the outer edge."""
    x, places = np.arange(1.0, 5.0).reshape(1, 1, 4), np.array([-2.0, 5.0])
    grid = ((2 * places + 1) / 4 - 1).reshape(1, 2, 1)
    found = evaluated(lambda a, g: dlc.grid_sample(a, g, "nearest", padding), x, grid)
    np.testing.assert_array_equal(found[0, 0], want)


def test_affine_grid_of_the_identity_and_a_shift() -> None:
    theta = np.array([[[1.0, 0, 0], [0, 1, 0]], [[1.0, 0, 2 / 6], [0, 1, 0]]])
    x = image()
    found = evaluated(lambda a, t: dlc.grid_sample(a, dlc.affine_grid(t, a.shape)), x, theta)
    np.testing.assert_allclose(found[0], x[0], atol=1e-9)
    np.testing.assert_allclose(found[1][..., :-1], x[1][..., 1:], atol=1e-9)
    np.testing.assert_allclose(found[1][..., -1], 0, atol=1e-9)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_slopes_of_both_operands(mode: str) -> None:
    rng = np.random.default_rng(6)
    x, g, c = image(), rng.uniform(-0.9, 0.9, (2, 3, 2, 2)), rng.uniform(-1, 1, (2, 3, 3, 2))
    dx, dg = rng.uniform(-1, 1, x.shape), rng.uniform(-1, 1, g.shape)

    def total(a: Any, b: Any) -> Any:
        return dlc.sum(dlc.grid_sample(a, b, mode) * c)

    def slope(a: Any, b: Any) -> Any:
        first, second = dlc.grad(total, (0, 1))(a, b)
        return dlc.sum(first * dx) + dlc.sum(second * dg)

    h = 1e-6
    want = (evaluated(total, x + h * dx, g + h * dg) - evaluated(total, x - h * dx, g - h * dg))
    np.testing.assert_allclose(evaluated(slope, x, g), want / (2 * h), rtol=1e-6)


@pytest.mark.parametrize(("call", "says"), [
    (lambda x: dlc.resize(x), "give either size or scale"),
    (lambda x: dlc.resize(x, 3, 2.0), "give either size or scale"),
    (lambda x: dlc.resize(x, 0), "size=.* is too small"),
    (lambda x: dlc.resize(x, scale=-1.0), "scale=-1.0"),
    (lambda x: dlc.resize(x, scale=0.01), "is too small"),
    (lambda x: dlc.resize(x, (1, 2, 3, 4, 5)), "for 5 spatial axes"),
    (lambda x: dlc.resize(x, 3, mode="bilinear"), "mode='bilinear'"),
    (lambda x: dlc.resize(x, 3, coordinates="corner"), "coordinates='corner'"),
    (lambda x: dlc.resize(x, 3, mode="nearest", rounding="even"), "rounding='even'"),
    (lambda x: dlc.resize(x, 3, coordinates="tf_crop_and_resize", roi=[(0, 1)]), "roi="),
    (lambda x: dlc.grid_sample(x, x), "takes a grid"),
    (lambda x: dlc.grid_sample(x, x[:, :, :, :2], "bilinear"), "mode='bilinear'"),
    (lambda x: dlc.grid_sample(x, x[:, :, :, :2], padding="wrap"), "padding='wrap'"),
    (lambda x: dlc.affine_grid(x, (2, 3, 5, 6)), "maps"),
])
def test_refused(call: Callable[..., Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        evaluated(call, image())
