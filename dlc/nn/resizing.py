"""Resizing layers: x [N, C, S...] to other sizes, without parameters."""

from __future__ import annotations

from typing import Any

from dlc.errors import here
from dlc.ir.graph import Node
from dlc.lang.array import resize as resizing
from dlc.lang.layer import Layer
from dlc.nn import checks


def upsample(scale: Any, mode: str = "nearest", coordinates: str = "", name: str = "") -> Layer:
    """x [N, C, S...] -> [N, C, floor(S * scale)...] by `dlc.resize`: "nearest", "linear", "cubic".

    `scale` is a number or one a spatial axis. Without `coordinates` pixels are areas (half_pixel),
    and "nearest" repeats elements as PyTorch's Upsample does.
    """
    place = coordinates or ("asymmetric" if mode == "nearest" else "half_pixel")

    def apply(x: Node) -> Node:
        checks.rank(x, 3, "[batch, channels, sizes...]")
        checks.floating(x)
        return resizing.resize(x, scale=scale, mode=mode, coordinates=place, rounding="floor")

    return Layer("upsample", apply, f"upsample({scale})", name, here())


def resize(size: Any, mode: str = "linear", coordinates: str = "half_pixel",
           antialias: bool = False, name: str = "") -> Layer:
    """x [N, C, S...] -> [N, C, size...] by `dlc.resize`, whatever S is; `size` is a number or one
    a spatial axis."""
    def apply(x: Node) -> Node:
        checks.rank(x, 3, "[batch, channels, sizes...]")
        checks.floating(x)
        return resizing.resize(x, size, mode=mode, coordinates=coordinates, antialias=antialias)

    return Layer("resize", apply, f"resize({size})", name, here())
