"""Pictures of the report: a minimal PNG encoder, samples and filters as images."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlc.program import Port

Image = np.ndarray[Any, np.dtype[np.uint8]]
MAX_FILTERS = 64


def png(pixels: Image) -> bytes:
    """The PNG file of u8[h, w] (grey) or u8[h, w, 3] (RGB), by the PNG specification (ISO 15948).

    Raises ValueError for another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(f"a picture is u8[h, w] or u8[h, w, 3], not {pixels.dtype}"
                         f"{list(pixels.shape)}")
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise ValueError(f"a picture has 1 or 3 channels, not {pixels.shape[2]}")
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    rows = pixels.reshape(height, -1)
    # Every row begins with its filter type: 0, as it is.
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9))
            + chunk(b"IEND", b""))


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def data_uri(pixels: Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def find_images(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str | None:
    """The field that holds pictures: [n, 1 or 3, h, w] with sides above 1."""
    for name, array in arrays.items():
        if array.ndim == 4 and array.shape[1] in (1, 3) and min(array.shape[2:]) > 1:
            return name
    return None


def to_pixels(image: np.ndarray[Any, Any], low: float, high: float) -> Image:
    """u8[h, w] or u8[h, w, 3] of one picture [c, h, w], `low` black and `high` white."""
    span = high - low if high > low else 1.0
    part = np.clip((image.astype(np.float32) - low) / span, 0.0, 1.0)
    pixels = (part * 255 + 0.5).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def pictures_of(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """`rows` as pictures [n, 1 or 3, h, w]: as they are, without a channel axis, or as many values
    as a square has; None for what is no picture."""
    shape = rows.shape[1:]
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side * side == shape[0]:
        shape = (1, side, side)
    shape = (1, *shape) if len(shape) == 2 else shape
    fits = len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) > 1
    return rows.reshape(len(rows), *shape) if fits else None


def in_rows(pictures: np.ndarray[Any, Any], zoom: int = 4) -> Image:
    """One picture of [n, c, h, w] in rows, a line of grey between them, each pixel `zoom` wide."""
    count, channels, high, wide = pictures.shape
    across = math.ceil(count ** 0.5)
    low, top = float(pictures.min()), float(pictures.max())
    sheet = np.full((-(-count // across) * (high + 1) + 1, across * (wide + 1) + 1,
                     *((3,) if channels == 3 else ())), 128, np.uint8)
    for k, picture in enumerate(pictures):
        y, x = k // across * (high + 1) + 1, k % across * (wide + 1) + 1
        sheet[y:y + high, x:x + wide] = to_pixels(picture, low, top)
    enlarged: Image = sheet.repeat(zoom, 0).repeat(zoom, 1)
    return enlarged


def diverging(values: np.ndarray[Any, Any]) -> Image:
    """u8[h, w, 3]: weights from -max (orange) over 0 (white) to max (blue)."""
    top = float(np.abs(values).max()) or 1.0
    part = (values.astype(np.float32) / top)[..., None]
    ends = np.array([[194, 92, 8], [29, 78, 216]], np.float32)
    end = np.where(part < 0, ends[0], ends[1])
    mixed: Image = (255 + (end - 255) * np.abs(part) + 0.5).astype(np.uint8)
    return mixed


def first_filters(ports: Sequence[Port], read: Any,
                  sample: np.ndarray[Any, Any] | None) -> tuple[str, list[Image]]:
    """(name, pictures) of the first layer's weights; ("", []) when they are not pictures.

    A convolution's [out, in, kh, kw] shows its filters; a dense layer over all pixels of `sample`
    ([c, h, w]) shows each unit's weights in the shape of the picture.
    """
    params = [p for p in ports if p.role == "param" and p.type.ndim >= 2]
    if not params:
        return "", []
    first = params[0]
    weights = read(first.name).astype(np.float32)
    if weights.ndim == 4 and min(weights.shape[2:]) > 1:
        return first.name, [filter_picture(w) for w in weights[:MAX_FILTERS]]
    if weights.ndim == 2 and sample is not None and sample.size in weights.shape:
        units = weights.T if weights.shape[0] == sample.size else weights
        shaped = units[:MAX_FILTERS].reshape(-1, *sample.shape)
        return first.name, [filter_picture(w) for w in shaped]
    return "", []


def filter_picture(weights: np.ndarray[Any, Any]) -> Image:
    """One filter [c, h, w]: in colour when it has three channels, else its first channel."""
    if len(weights) == 3:
        top = float(np.abs(weights).max()) or 1.0
        return to_pixels(weights, -top, top)
    return diverging(weights[0])
