"""The digits that come with dlc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import DataError, Dataset
from dlc.runtime.data.npy import read_npz

FloatImages = np.ndarray[Any, np.dtype[np.float32]]

# The digits' 8x8 cells become 3x3 pixels each, in a border of 2, as in MNIST (docs/data.md: the
# measured choice among five).
CANVAS, INNER = 28, 24

DIGITS_FILE = Path(__file__).resolve().parents[1] / "digits.npz"


def interpolation(size: int, source: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """f32[size, source]: bilinear resize along one axis, pixel centres at half integers."""
    matrix = np.zeros((size, source), np.float32)
    for i in range(size):
        at = min(max((i + 0.5) * source / size - 0.5, 0.0), source - 1.0)
        low = min(int(at), source - 2)
        matrix[i, low] = 1.0 - (at - low)
        matrix[i, low + 1] = at - low
    return matrix


def resize(images: FloatImages, inner: int, canvas: int) -> FloatImages:
    """f32[n, 1, canvas, canvas] from [n, s, s]: bilinear to `inner`, centred on zeros."""
    count, source = images.shape[0], images.shape[1]
    matrix = interpolation(inner, source)
    border = (canvas - inner) // 2
    result = np.zeros((count, 1, canvas, canvas), np.float32)
    tall = np.matmul(images.transpose(0, 2, 1).reshape(-1, source), matrix.T)
    wide = np.matmul(tall.reshape(count, source, inner).transpose(0, 2, 1), matrix.T)
    result[:, 0, border:border + inner, border:border + inner] = wide
    return result


def load_digits(size: int = CANVAS) -> Dataset:
    """UCI optical digits, scikit-learn's stratified fifth held out (1,437 and 360 images).

    Fields image f32[n, 1, size, size] from 0 to 1 and label i32[n]. Size 8 is the cells as they
    are, divided by 16; any other is a bilinear resize to 24/28 of `size`, centred (E. Alpaydin, C.
    Kaynak: Optical Recognition of Handwritten Digits, UCI 1998, CC BY 4.0).
    """
    if size != 8 and not 12 <= size <= 256:
        raise DataError("digits", "size", f"{size} is not a size for the images",
                        "8 for the cells as they are, or 12 to 256")
    stored = read_npz(DIGITS_FILE, Intake(DIGITS_FILE, DataError))
    images = stored["image"].astype(np.float32) * np.float32(1 / 16)
    inner = size * INNER // CANVAS
    inner -= (size - inner) % 2
    image = images[:, None] if size == 8 else resize(images, inner, size)
    label = stored["label"].astype(np.int32)
    parts = [{"image": image[stored[part]], "label": label[stored[part]]}
             for part in ("train", "test")]
    name = "digits" if size == CANVAS else f"digits{size}"
    return Dataset(name, parts[0], parts[1], tuple("0123456789"), source="bundled")
