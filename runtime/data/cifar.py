"""CIFAR-10 in its binary form: records of one label byte and 3x32x32 pixel bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, check_arrays, hold_out
from dlc.runtime.data.files import read_all

RECORD = 1 + 3 * 32 * 32
GROWS = 16  # bytes become f32, are put together, and divided
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def read_cifar(path: Path, intake: Intake) -> Arrays:
    """Fields image (f32[n, 3, 32, 32], 0 to 1) and label (i32[n]) of one batch file.

    Raises DataError for a size that is not a whole number of records and for a label above 9, with
    the byte offset.
    """
    content = read_all(path, intake, GROWS)
    if not content or len(content) % RECORD:
        whole = len(content) // RECORD
        raise DataError(path, f"byte {whole * RECORD}", f"{len(content)} bytes are {whole} records "
                        f"and {len(content) % RECORD} bytes", f"whole records of {RECORD} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        row = int(np.argmax(labels >= len(CLASSES)))
        raise DataError(path, f"byte {row * RECORD}", f"label {labels[row]} in record {row}",
                        "0 to 9; CIFAR-10's binary version")
    image = records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) * np.float32(1 / 255)
    return {"image": image, "label": labels.astype(np.int32)}


def class_names(folder: Path, intake: Intake) -> tuple[str, ...]:
    """The names in batches.meta.txt, or CIFAR-10's own."""
    meta = folder / "batches.meta.txt"
    if not meta.is_file():
        return CLASSES
    names = tuple(read_all(meta, intake, GROWS).decode("utf-8", errors="replace").split())
    if len(names) != len(CLASSES):
        raise DataError(meta, "", f"holds {len(names)} names", f"{len(CLASSES)} class names")
    return names


def is_cifar_folder(folder: Path) -> bool:
    return any(folder.glob("data_batch_*.bin"))


def load_cifar(path: Path, test: float, intake: Intake) -> Dataset:
    """A folder with data_batch_*.bin and test_batch.bin, or a single batch file.

    Without test_batch.bin the fraction `test` of the samples is held out.
    """
    folder = path.is_dir()
    files = sorted(path.glob("data_batch_*.bin")) if folder else [path]
    parts = [read_cifar(file, intake) for file in files]
    train = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    check_arrays(path, train, "train")
    test_file = path / "test_batch.bin"
    if folder and test_file.is_file():
        held: Arrays | None = read_cifar(test_file, intake)
    else:
        train, held = hold_out(train, test, path)
    names = class_names(path if folder else path.parent, intake)
    return Dataset(path.name, train, held, names, source=str(path))
