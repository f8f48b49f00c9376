"""Images made by an exact rule: discs and squares with their masks, and digits that move."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.runtime.data.bundled import load_digits
from dlc.runtime.data.dataset import Arrays, Dataset
from dlc.runtime.data.options import Options
from dlc.runtime.data.signals import near_normal, uniform

Array = np.ndarray[Any, np.dtype[Any]]

SHAPES, SHAPES_TRAINED, SIDE, SHAPE_NOISE = 600, 480, 32, 0.1
FRAMES, FIELD = 6, 12
DIRECTIONS = ("up", "up right", "right", "down right", "down", "down left", "left", "up left")


def load_shapes(options: Options) -> Dataset:
    """A disc and a square of random place, size and grey on a ramp, under noise: image
    f32[n, 1, 32, 32], and what each pixel belongs to, mask i32[n, 32, 32]: 0 for the ground, 1 for
    the disc, 2 for the square, which lies above."""
    draws = uniform(61, SHAPES * 10).reshape(10, SHAPES, 1, 1)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    disc_y, disc_x, square_y, square_x = (5.0 + (SIDE - 10.0) * d for d in draws[:4])
    radius, half = 3.0 + 5.0 * draws[4], 3.0 + 4.0 * draws[5]
    disc = np.square(y - disc_y) + np.square(x - disc_x) <= np.square(radius)
    square = np.maximum(abs(y - square_y), abs(x - square_x)) <= half
    mask = np.where(square, 2, np.where(disc, 1, 0))
    ramp = 0.4 * (draws[6] + (draws[7] - draws[6]) * x / (SIDE - 1.0))
    grey = np.where(square, 0.5 + 0.5 * draws[8], np.where(disc, 0.5 + 0.5 * draws[9], ramp))
    noise = SHAPE_NOISE * near_normal(62, SHAPES * SIDE * SIDE).reshape(grey.shape)
    arrays = {"image": (grey + noise)[:, None].astype(np.float32), "mask": mask.astype(np.int32)}
    return Dataset("shapes", {k: v[:SHAPES_TRAINED] for k, v in arrays.items()},
                   {k: v[SHAPES_TRAINED:] for k, v in arrays.items()},
                   ("ground", "disc", "square"), source="bundled")


def load_moving(options: Options) -> Dataset:
    """The digits of 8x8 going one pixel a frame in one of eight directions, over the edge and in
    again on the other side: clip f32[n, 1, 6, 12, 12], label i32[n], the direction.

    Each digit starts anywhere, so that no single frame tells the direction.
    """
    digits = load_digits(8)
    parts: list[Arrays] = []
    for key, part in ((63, digits.train), (64, digits.test or {})):
        images = part["image"][:, 0]
        draws = (uniform(key, 3 * len(images)).reshape(3, -1) * [[8], [FIELD], [FIELD]]).astype(int)
        clips = np.zeros((len(images), 1, FRAMES, FIELD, FIELD), np.float32)
        for clip, image, (way, top, left) in zip(clips, images, draws.T, strict=True):
            down, right = np.round([-np.cos(way * np.pi / 4), np.sin(way * np.pi / 4)]).astype(int)
            for at in range(FRAMES):
                field = np.pad(image, (0, FIELD - 8))
                clip[0, at] = np.roll(field, (top + at * down, left + at * right), (0, 1))
        parts.append({"clip": clips, "label": draws[0].astype(np.int32)})
    return Dataset("moving", parts[0], parts[1], DIRECTIONS, source="bundled")


PICTURES = {"shapes": load_shapes, "moving": load_moving}
