"""Augmentation inside the compiled step: random shifts, rotations and scalings of images."""

from __future__ import annotations

import math
from collections.abc import Callable

from dlc import random
from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe, make, serving
from dlc.ir.types import f32, i32
from dlc.lang.names import name_locals
from dlc.ops import elementwise, leaf, view
from dlc.ops.convert import cast
from dlc.ops.gather import GATHER
from dlc.words import speaking

__all__ = ["affine"]


def affine(shift: float = 0.0, rotate: float = 0.0, scale: float = 0.0) -> Callable[[Node], Node]:
    """A function that shifts, rotates and scales each image of [N, C, H, W] at random.

    `shift` is the largest shift along each axis in pixels, `rotate` the largest rotation in degrees
    either way, `scale` the largest relative change of size; all uniform. Pixels are interpolated
    bilinearly, zero outside the image. Raises DlcError for a negative or non-finite amount.
    """
    for name, value in (("shift", shift), ("rotate", rotate), ("scale", scale)):
        if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise DlcError(f"augment.affine: {name}={value!r}", here(),
                           f"{name} is a number, 0 or larger")
    if scale >= 1:
        raise DlcError(f"augment.affine: scale={scale}", here(), "0 <= scale < 1")

    loc = here()

    def moved(images: Node) -> Node:
        with serving(() if loc is None else (loc,)):
            return move(images)

    def move(images: Node) -> Node:
        if images.ndim != 4 or not images.dtype.is_float:
            raise DlcError(f"augment.affine: the input is {describe(images)}", loc,
                           "it takes images, floats of [batch, channels, height, width]")
        n = int(images.shape[0])
        turn = math.radians(rotate)
        angle = random.uniform(n, -turn, turn, name="rotate")
        zoom = random.uniform(n, 1 - scale, 1 + scale, name="scale")
        down, right = (random.uniform(n, -shift, shift, name=f"shift {a}") for a in "yx")
        rows, columns = source_points(images, angle, zoom, down, right)
        name_locals({"angle": angle, "zoom": zoom, "down": down, "right": right, "rows": rows,
                     "columns": columns})
        return bilinear(images, rows, columns)

    return moved


def source_points(images: Node, angle: Node, zoom: Node, down: Node, right: Node,
                  ) -> tuple[Node, Node]:
    """Where each pixel of the moved images comes from: row and column, f32 [N, H, W].

    The image is turned by `angle` and scaled by `zoom` about its centre, then shifted; this is the
    inverse map. All four are f32 [N].
    """
    n, _, height, width = (int(d) for d in images.shape)
    middle_y, middle_x = (height - 1) / 2, (width - 1) / 2

    def each(values: Node) -> Node:
        return view.reshape(values, (n, 1, 1))

    y = leaf.iota((1, height, 1), 1, f32) - middle_y - each(down)
    x = leaf.iota((1, 1, width), 2, f32) - middle_x - each(right)
    cos, sin = each(elementwise.cos(angle) / zoom), each(elementwise.sin(angle) / zoom)
    return cos * y - sin * x + middle_y, sin * y + cos * x + middle_x


def bilinear(images: Node, rows: Node, columns: Node) -> Node:
    """Images [N, C, H, W] read at fractional points rows, columns [N, h, w]: [N, C, h, w].

    A border of zeros, one before and two after, makes every neighbour of a point that is limited to
    -1 .. size a legal index, so that nothing needs a mask.
    """
    n, channels, height, width = (int(d) for d in images.shape)
    padded = view.pad(images, (0, 0, 1, 1), (0, 0, 2, 2))
    flat = view.reshape(padded, (n, channels, (height + 3) * (width + 3)))
    y = elementwise.clip(rows, -1.0, float(height)) + 1.0
    x = elementwise.clip(columns, -1.0, float(width)) + 1.0
    top, left = elementwise.floor(y), elementwise.floor(x)
    at = cast(top, i32) * (width + 3) + cast(left, i32)

    def corner(offset: int) -> Node:
        return make(GATHER, (flat, at + offset if offset else at), axis=2, batch=1)

    def channel(values: Node) -> Node:
        return cast(view.reshape(values, (n, 1, *rows.shape[1:])), images.dtype)

    across, along = channel(x - left), channel(y - top)
    upper = corner(0) + (corner(1) - corner(0)) * across
    lower = corner(width + 3) + (corner(width + 4) - corner(width + 3)) * across
    name_locals({"top": top, "left": left, "corner": at, "across": across, "along": along,
                 "upper": upper, "lower": lower})
    return upper + (lower - upper) * along


speaking("augment", globals(), __all__)
