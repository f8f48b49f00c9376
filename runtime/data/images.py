"""Folders of pictures, a folder for each class: ROOT/cat/1.png, or ROOT/train/cat/1.png."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from dlc.errors import printable
from dlc.intake import Intake, regular_file
from dlc.runtime.data.dataset import SPLIT_SEED, Arrays, DataError, Dataset, hold_out, shuffle
from dlc.runtime.data.options import Options, read_size

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm")
# What is decoded, whatever a file is called; other decoders of Pillow are not asked.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
# Eight bits a channel; others (I, F, I;16) have ranges of their own.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
CROP, STRETCH = "crop", "stretch"
DECODED = 4  # bytes of a pixel as Pillow keeps it
GROWS = 2  # the part that is held out is copied


@dataclass(frozen=True)
class Shape:
    """What every picture becomes: height and width (None: that of the first), channels, and how it
    gets there."""

    size: tuple[int, int] | None
    channels: int
    fit: str


def is_picture_folder(path: Path) -> bool:
    """Whether pictures lie in `path`, in its folders, or in theirs."""
    return any(pictures_in(folder) for folder in (path, *folders_in(path),
                                                  *(f for g in folders_in(path)
                                                    for f in folders_in(g))))


def load_images(path: Path, options: Options, intake: Intake) -> Dataset:
    """Field image (f32[n, channels, height, width] from 0 to 1) and, by folder, label (i32[n]).

    Classes are the folders in the order of their names, pictures those of a class in theirs. With
    folders train and test (or val) the parts are those; else the fraction `test` of each class is
    held out, the same at every reading. Pictures that lie in `path` itself have no label. Raises
    DataError for what is no picture, one that claims more than its file can hold, pictures of
    several sizes without `size`, and a class that one part lacks.
    """
    shape = Shape(read_size(path, options.size), read_channels(path, options.channels),
                  read_fit(path, options.fit))
    parts = {"train": part_of(path, TRAIN), "test": part_of(path, TEST)}
    if parts["train"] is None:
        return undivided(path, shape, options.test, intake)
    train, classes, shape = read_part(parts["train"], shape, intake)
    if parts["test"] is None:
        train, held = hold_out_of_each(train, options.test, path)
        return Dataset(path.name, train, held, classes, source=str(path))
    test, found, _ = read_part(parts["test"], shape, intake)
    if found != classes:
        odd = sorted({*found} ^ {*classes})
        raise DataError(parts["test"], "", f"has other classes than {parts['train'].name}: "
                        f"{', '.join(odd[:5])}", "the same folders in both")
    return Dataset(path.name, train, test, classes, source=str(path))


def undivided(path: Path, shape: Shape, test: float, intake: Intake) -> Dataset:
    """A folder that is not divided into parts."""
    if pictures_in(path):
        image, _ = read_pictures(path, pictures_in(path), shape, intake)
        train, held = hold_out({"image": image}, test, path)
        return Dataset(path.name, train, held, source=str(path))
    arrays, classes, _ = read_part(path, shape, intake)
    train, held = hold_out_of_each(arrays, test, path)
    return Dataset(path.name, train, held, classes, source=str(path))


def part_of(path: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of one part, if it has folders of classes itself."""
    found = [f for f in folders_in(path) if f.name.lower() in names and folders_in(f)]
    if len(found) > 1:
        raise DataError(path, "", f"{found[0].name} and {found[1].name} are both there",
                        "one folder for each part")
    return found[0] if found else None


def read_part(path: Path, shape: Shape,
              intake: Intake) -> tuple[Arrays, tuple[str, ...], Shape]:
    """(image and label of all classes in `path`, the classes, the shape that pictures have)."""
    classes = folders_in(path)
    listed = [pictures_in(folder) for folder in classes]
    for folder, pictures in zip(classes, listed, strict=True):
        if not pictures:
            raise DataError(folder, "", "holds no picture",
                            f"files that end in {', '.join(SUFFIXES)}")
    image, shape = read_pictures(path, [p for one in listed for p in one], shape, intake)
    label = np.repeat(np.arange(len(listed), dtype=np.int32), [len(one) for one in listed])
    return {"image": image, "label": label}, tuple(printable(f.name) for f in classes), shape


def read_pictures(path: Path, pictures: list[Path], shape: Shape,
                  intake: Intake) -> tuple[np.ndarray[Any, Any], Shape]:
    """(f32[n, channels, height, width], the shape with the size that they have)."""
    height, width = shape.size or size_of(decoded(pictures[0], shape))
    whole = (len(pictures), shape.channels, height, width)
    intake.allot(math.prod(whole) * 4, f"{len(pictures)} pictures", GROWS)
    out = np.empty(whole, np.float32)
    for k, picture in enumerate(pictures):
        image = decoded(picture, shape)
        if size_of(image) != (height, width):
            raise DataError(picture, "", f"is {image.height} x {image.width}, and "
                            f"{pictures[0].name} {height} x {width}",
                            f"a size for all: {path}?size={height}x{width}")
        pixels = np.asarray(image, np.float32).reshape(height, width, shape.channels)
        out[k] = pixels.transpose(2, 0, 1) / np.float32(255)
    return out, Shape((height, width), shape.channels, shape.fit)


def size_of(image: Image) -> tuple[int, int]:
    return image.height, image.width


def decoded(path: Path, shape: Shape) -> Image:
    """One picture, upright, in its colors and size. What its header claims is weighed against the
    file before any pixel is decoded."""
    pillow, ops = pillow_or_reason(path)
    weight = Intake(path, DataError)
    with regular_file(path, DataError) as file:
        weight.hold(file)
        # read whole: decoders ask an open file for as many bytes as a damaged header claims
        size = os.fstat(file.fileno()).st_size
        weight.weigh(size)
        content = BytesIO(file.read(size))
        try:
            return as_shaped(opened(content, path, weight, pillow), shape, pillow, ops)
        except DataError:
            raise
        # decoders of damaged files raise whatever comes: struct.error, SyntaxError, IndexError ...
        except Exception as problem:
            # a decoder's own text may name an address in memory
            told = printable(problem, 120) if "object at 0x" not in str(problem) else "unknown"
            raise DataError(path, "", f"is no picture ({told})",
                            f"one of {', '.join(FORMATS)}") from None


def opened(file: IO[bytes], path: Path, weight: Intake, pillow: Any) -> Image:
    """The picture in an open file, its pixels not read yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pillow.DecompressionBombWarning)  # weighed below
        image: Image = pillow.open(file, formats=FORMATS)
    if image.mode not in MODES:
        raise DataError(path, "", f"has pixels of kind {image.mode}",
                        "eight bits a channel: grey, color or a palette")
    weight.take_array((image.height, image.width, DECODED), 1, "the header")
    return image


def as_shaped(image: Image, shape: Shape, pillow: Any, ops: Any) -> Image:
    """Upright (EXIF), grey or RGB, without transparency, scaled to the size that is asked for."""
    image = ops.exif_transpose(image).convert("L" if shape.channels == 1 else "RGB")
    if shape.size is None:
        return image
    size = shape.size[::-1]
    smooth = pillow.Resampling.BILINEAR
    return ops.fit(image, size, smooth) if shape.fit == CROP else image.resize(size, smooth)


def pillow_or_reason(path: Path) -> tuple[Any, Any]:
    """Pillow's Image and ImageOps. Raises DataError where it is not installed."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise DataError(path, "", "pictures are read by Pillow, which is not installed",
                        "pip install 'dlc[images]'") from None
    return Image, ImageOps


# --- files and options ----------------------------------------------------------------------------


def folders_in(path: Path) -> list[Path]:
    """The folders in `path` by name, without hidden ones."""
    return sorted((p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")),
                  key=lambda p: p.name)


def pictures_in(path: Path) -> list[Path]:
    """The files in `path` that are called like pictures, by name."""
    return sorted((p for p in path.iterdir() if p.suffix.lower() in SUFFIXES
                   and not p.name.startswith(".") and not p.is_dir()), key=lambda p: p.name)


def hold_out_of_each(arrays: Arrays, fraction: float,
                     source: object) -> tuple[Arrays, Arrays | None]:
    """As hold_out, of each class in its share: the last of its rows in a fixed shuffle."""
    if not 0 < fraction < 1:
        return hold_out(arrays, fraction, source)
    label, held = arrays["label"], np.zeros(len(arrays["label"]), bool)
    for rows in classes_of(label):
        count = math.ceil(len(rows) * fraction)
        if count >= len(rows):
            raise DataError(source, "test", f"holding out {fraction} of a class of {len(rows)} "
                            "leaves none to train on", "more pictures, or test=0")
        held[rows[shuffle(SPLIT_SEED, len(rows))[-count:]]] = True
    return {k: v[~held] for k, v in arrays.items()}, {k: v[held] for k, v in arrays.items()}


def classes_of(label: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """The rows of each class."""
    for k in range(int(label.max(initial=-1)) + 1):
        yield np.flatnonzero(label == k)


def read_channels(source: object, channels: int) -> int:
    if channels not in (1, 3):
        raise DataError(source, "option channels", f"{channels} is no number of channels",
                        "3 (red, green, blue) or 1 (grey)")
    return channels


def read_fit(source: object, fit: str) -> str:
    if fit not in (CROP, STRETCH):
        raise DataError(source, "option fit", f"{fit!r} is not known",
                        f"{CROP} (the middle, in its proportions) or {STRETCH}")
    return fit
