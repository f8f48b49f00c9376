"""Augmentation: exact moves of known images, zeros outside, one random move an image and step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, augment, f32
from dlc.augment import bilinear, source_points


def moved(image: Any, degrees: float = 0.0, zoom: float = 1.0, down: float = 0.0,
          right: float = 0.0) -> Any:
    """`image` [C, H, W] turned, scaled and shifted by given amounts."""
    def move(images: Any) -> Any:
        one = f32[1]
        amounts = (dlc.asarray(np.full(one.shape, v, np.float32))
                   for v in (math.radians(degrees), zoom, down, right))
        return bilinear(images, *source_points(images, *amounts))

    return dlc.evaluate(dlc.trace(move, f32[1, *image.shape]), image[None])[0]


@pytest.fixture
def image(rng: np.random.Generator) -> Any:
    return rng.uniform(0.1, 1, (2, 7, 7)).astype(np.float32)


def test_no_move_is_the_image(image: Any) -> None:
    np.testing.assert_array_equal(moved(image), image)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 2), (-3, 1), (-2, -2)])
def test_whole_shifts_are_exact(image: Any, down: int, right: int) -> None:
    padded = np.pad(image, ((0, 0), (7, 7), (7, 7)))
    expected = padded[:, 7 - down:14 - down, 7 - right:14 - right]
    np.testing.assert_allclose(moved(image, down=down, right=right), expected, atol=1e-6)


def test_half_a_pixel_is_the_mean_of_two(image: Any) -> None:
    padded = np.pad(image, ((0, 0), (1, 0), (0, 0)))
    expected = (padded[:, 1:] + padded[:, :-1]) / 2
    np.testing.assert_allclose(moved(image, down=0.5), expected, atol=1e-6)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(image: Any, quarters: int) -> None:
    expected = np.rot90(image, -quarters, (1, 2))
    np.testing.assert_allclose(moved(image, degrees=90 * quarters), expected, atol=1e-5)


def test_scale_is_about_the_centre(image: Any) -> None:
    doubled = moved(image, zoom=2.0)
    np.testing.assert_allclose(doubled[:, 3, 3], image[:, 3, 3], atol=1e-6)
    np.testing.assert_allclose(doubled[:, 1, 3], image[:, 2, 3], atol=1e-6)
    halved = moved(image, zoom=0.5)
    np.testing.assert_allclose(halved[:, 2, 3], image[:, 1, 3], atol=1e-6)
    assert (halved[:, 0] == 0).all()


def test_far_away_lie_zeros(image: Any) -> None:
    for amount in (8.0, -8.0, 1e9, -1e9):
        assert (moved(image, down=amount) == 0).all()
        assert (moved(image, right=amount) == 0).all()


def run(function: Any, images: Any, seed: int = 0, step: int = 0) -> Any:
    graph = dlc.trace(function, f32[images.shape], training=True)
    return dlc.evaluate(graph, images, np.uint32(seed), np.int32(step))


def test_each_image_and_step_has_its_own_move(image: Any) -> None:
    images = np.stack([image] * 6)
    first = run(augment.affine(shift=2, rotate=15, scale=0.1), images)
    for i in range(5):
        assert not np.array_equal(first[i], first[i + 1])
    again = run(augment.affine(shift=2, rotate=15, scale=0.1), images)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, run(augment.affine(shift=2, rotate=15, scale=0.1), images,
                                         step=1))


def test_channels_move_together(image: Any) -> None:
    same = np.stack([image[:1].repeat(3, 0)] * 4)
    out = run(augment.affine(shift=2, rotate=30, scale=0.2), same)
    np.testing.assert_array_equal(out[:, 0], out[:, 2])


def test_a_shift_stays_within_its_range() -> None:
    spot = np.zeros((200, 1, 15, 15), np.float32)
    spot[:, :, 7, 7] = 1
    out = run(augment.affine(shift=2), spot)
    rows = (out.sum((1, 3)) * np.arange(15)).sum(1) - 7
    np.testing.assert_allclose(out.sum((1, 2, 3)), 1, atol=1e-5)
    assert np.abs(rows).max() <= 2
    assert np.abs(rows).max() > 1.9
    assert abs(rows.mean()) < 0.2


def test_gradients_flow_through_the_images(image: Any) -> None:
    def total(images: Any) -> Any:
        return augment.affine(shift=1, rotate=20)(images).sum()

    graph = dlc.trace(dlc.grad(total), f32[1, *image.shape], training=True)
    slope = dlc.evaluate(graph, image[None], np.uint32(0), np.int32(0))
    assert slope.shape == (1, *image.shape)
    np.testing.assert_allclose(slope[0, :, 2:5, 2:5], 1, atol=0.2)


@pytest.mark.parametrize("options", [{"shift": -1}, {"rotate": float("nan")}, {"scale": 1.0}])
def test_bad_amounts_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(DlcError, match=next(iter(options))):
        augment.affine(**options)
