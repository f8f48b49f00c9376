"""MNIST's IDX files, plain or gzipped: big-endian magic, dimensions, then the values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import DataError, Dataset, check_arrays, hold_out
from dlc.runtime.data.files import expect_end, open_data, read_exactly

# The third byte of the magic number is the element type (Yann LeCun's description of IDX).
ELEMENTS: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"), 0x09: np.dtype("i1"), 0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"), 0x0D: np.dtype(">f4"), 0x0E: np.dtype(">f8"),
}
MAX_AXES = 8
GROWS = 12  # bytes become f32, once more where a part is held out, and pieces of a read are joined


def read_idx(path: Path, intake: Intake) -> np.ndarray[Any, Any]:
    """The array in one IDX file, in native byte order.

    Raises DataError with the byte offset for a wrong magic, an unknown element type, a header
    that claims more than memory, a file cut off anywhere, and bytes behind the data.
    """
    with open_data(path, intake) as file:
        head = read_exactly(file, 4, path, 0, "the magic number")
        if head[:2] != b"\0\0":
            raise DataError(path, "byte 0", f"{head.hex()} is not the magic number of an IDX file",
                            "0000, an element type, the number of axes; 00000803 for images")
        if head[2] not in ELEMENTS:
            known = ", ".join(f"0x{code:02x}" for code in ELEMENTS)
            raise DataError(path, "byte 2", f"unknown element type 0x{head[2]:02x}", known)
        if not 1 <= head[3] <= MAX_AXES:
            raise DataError(path, "byte 3", f"{head[3]} axes", f"1 to {MAX_AXES}")
        element, axes = ELEMENTS[head[2]], head[3]
        sizes = read_exactly(file, 4 * axes, path, 4, "the dimensions")
        dims = [int(d) for d in np.frombuffer(sizes, ">u4")]
        start = 4 + 4 * axes
        total = intake.take_array(dims, element.itemsize, "byte 4", path, GROWS)
        what = f"the data of {'x'.join(map(str, dims))} values"
        data = read_exactly(file, total, path, start, what)
        expect_end(file, path, start + total, f"{what} ends there")
    array = np.frombuffer(data, element).reshape(dims)
    return array.astype(element.newbyteorder("="))


def is_idx(head: bytes) -> bool:
    """Whether a file beginning with `head` is meant to be IDX."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in ELEMENTS and head[3] > 0


def load_pair(images: Path, labels: Path, intake: Intake) -> dict[str, np.ndarray[Any, Any]]:
    """Fields image (f32[n, 1, h, w], 0 to 1) and label (i32[n]) of two IDX files."""
    pixels, marks = read_idx(images, intake), read_idx(labels, intake)
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        raise DataError(images, "byte 2", f"holds {pixels.dtype} values over {pixels.ndim} axes",
                        "images are bytes over 3 axes: magic 00000803")
    if marks.ndim != 1 or marks.dtype != np.uint8:
        raise DataError(labels, "byte 2", f"holds {marks.dtype} values over {marks.ndim} axes",
                        "labels are bytes over 1 axis: magic 00000801")
    if len(pixels) != len(marks):
        raise DataError(images, "byte 4", f"{len(pixels)} images, but {labels.name} holds "
                        f"{len(marks)} labels", "two files that belong together")
    image = pixels[:, None].astype(np.float32) * np.float32(1 / 255)
    return {"image": image, "label": marks.astype(np.int32)}


def label_file(images: Path) -> Path:
    """The label file that belongs to an image file by its name; DataError when there is none."""
    for old, new in (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1"),
                     ("images", "labels")):
        candidate = images.with_name(images.name.replace(old, new))
        for path in (candidate, candidate.with_suffix(""), Path(f"{candidate}.gz")):
            if path != images and path.is_file():
                return path
    raise DataError(images, "", "no label file lies beside it",
                    "train-labels-idx1-ubyte[.gz] beside train-images-idx3-ubyte[.gz]")


def find_images(folder: Path, prefix: str) -> Path | None:
    """The image file of the part whose name begins with `prefix` ("train" or "t10k")."""
    found = sorted(p for p in folder.iterdir()
                   if p.name.startswith(prefix) and "images" in p.name and "idx3" in p.name)
    return found[0] if found else None


def load_idx(path: Path, test: float, intake: Intake) -> Dataset:
    """A folder of MNIST's four files, or one image file with its label file beside it.

    Without t10k files the fraction `test` of the samples is held out.
    """
    folder = path.is_dir()
    images = find_images(path, "train") if folder else path
    if images is None:
        raise DataError(path, "", "holds no file train-images-idx3-ubyte[.gz]", "MNIST's files")
    train = load_pair(images, label_file(images), intake)
    check_arrays(path, train, "train")
    test_images = find_images(path, "t10k") if folder else None
    if test_images is None:
        train, held = hold_out(train, test, path)
    else:
        held = load_pair(test_images, label_file(test_images), intake)
        check_arrays(path, held, "test")
    count = max(int(a["label"].max()) for a in (train, held) if a is not None) + 1
    classes = tuple(str(i) for i in range(max(count, 10)))
    return Dataset(path.name, train, held, classes, source=str(path))
