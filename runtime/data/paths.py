"""Which loader a file or folder needs, by its first bytes or its name."""

from __future__ import annotations

import difflib
from pathlib import Path

from dlc.intake import Intake, unreadable, user_path
from dlc.runtime.data.cifar import RECORD, is_cifar_folder, load_cifar
from dlc.runtime.data.dataset import DataError, Dataset
from dlc.runtime.data.files import open_data
from dlc.runtime.data.idx import find_images, is_idx, load_idx
from dlc.runtime.data.images import is_picture_folder, load_images
from dlc.runtime.data.nettalk import load_nettalk
from dlc.runtime.data.npy import NPY_MAGIC, load_npy_folder, load_npz
from dlc.runtime.data.options import KINDS, Options
from dlc.runtime.data.table import load_csv
from dlc.runtime.data.textfile import load_lines, load_text


def open_path(spec: str | Path, options: Options, bundled: tuple[str, ...]) -> Dataset:
    """The Dataset in the file or folder `spec`; `bundled` names stand in the message for none."""
    path = user_path(spec, DataError)
    try:
        if not str(spec) or not path.exists():
            near = difflib.get_close_matches(str(spec), bundled, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise DataError(repr(str(spec)), "", "there is no such file or bundled data set",
                            f"{hint}bundled are {', '.join(bundled)}")
        if not path.is_dir() and not path.is_file():
            raise DataError(path, "", "is neither a file nor a folder", "a regular file")
        return load_path(path, options, Intake(path, DataError))
    except OSError as problem:
        raise unreadable(path, problem, DataError) from None


def load_path(path: Path, options: Options, intake: Intake) -> Dataset:
    """The Dataset in `path`, which is there; `intake` weighs all that is read for it."""
    kind = options.kind or (folder_kind(path) if path.is_dir() else file_kind(path, intake))
    if kind == "idx":
        return load_idx(path, options.test, intake)
    if kind == "cifar":
        return load_cifar(path, options.test, intake)
    if kind == "csv":
        return load_csv(path, options.target, options.test, intake)
    if kind == "images":
        return load_images(path, options, intake)
    if kind == "npz":
        return load_npz(path, options.test, options.scale, intake)
    if kind == "npy":
        return load_npy_folder(path, options.test, options.scale, intake)
    if kind == "nettalk":
        return load_nettalk(path, options.length, options.test, intake)
    if options.lines:
        return load_lines(path, options.test, intake)
    return load_text(path, options.length, options.test, options.lanes, intake)


def folder_kind(path: Path) -> str:
    """What a folder holds, by its files' names."""
    if find_images(path, "train") is not None:
        return "idx"
    if is_cifar_folder(path):
        return "cifar"
    if any(path.glob("*.npy")):
        return "npy"
    if is_picture_folder(path):
        return "images"
    raise DataError(path, "", "is a folder without data that dlc knows",
                    "train-images-idx3-ubyte (MNIST), data_batch_1.bin (CIFAR-10), .npy files, or "
                    "a folder of pictures for each class")


def file_kind(path: Path, intake: Intake) -> str:
    """What a file is: by its first bytes where they tell, else by the end of its name."""
    with open_data(path, intake) as file:
        head = file.read(8)
    if not head:
        raise DataError(path, "", "the file is empty", "data")
    if is_idx(head) or "idx" in path.name:
        return "idx"
    if head.startswith(NPY_MAGIC) or path.suffix == ".npy":
        return "npy"
    if head.startswith(b"PK") or path.suffix == ".npz":
        return "npz"
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    whole = path.stat().st_size % RECORD == 0
    if (suffix == ".bin" and whole) or "data_batch" in path.name:
        return "cifar"
    if "nettalk" in path.name:
        return "nettalk"
    if suffix in (".csv", ".tsv"):
        return "csv"
    if suffix in (".txt", ".md", ".text"):
        return "text"
    raise DataError(path, "byte 0", f"begins with {head.hex()}, and {path.suffix or 'no suffix'} "
                    "tells nothing", f"kind= one of {', '.join(KINDS)}")
