"""load_dataset: from what a task or a user names as data to a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from dlc.runtime.data.bundled import CANVAS, load_digits, load_linear, load_xor
from dlc.runtime.data.cifar import RECORD, is_cifar_folder, load_cifar
from dlc.runtime.data.dataset import HELD_OUT, DataError, Dataset, rename
from dlc.runtime.data.files import open_data
from dlc.runtime.data.idx import find_images, is_idx, load_idx
from dlc.runtime.data.npy import NPY_MAGIC, arrays_dataset, load_npy_folder, load_npz
from dlc.runtime.data.table import load_csv
from dlc.runtime.data.textfile import load_text

BUNDLED: dict[str, Callable[[], Dataset]] = {
    "digits": load_digits, "digits8": lambda: load_digits(8), "linear": load_linear,
    "xor": load_xor,
}
KINDS = ("idx", "cifar", "csv", "npy", "npz", "text")


@dataclass
class Options:
    """What may follow a path: PATH?target=NAME&test=0.2&scale=255&length=64&size=32&x=FIELD."""

    target: str = "-1"
    test: float = HELD_OUT
    scale: float = 1.0
    length: int = 64
    size: int = CANVAS
    kind: str = ""


def load_dataset(spec: Any, **options: Any) -> Dataset:
    """The Dataset that `spec` means.

    `spec` is a Dataset; the name of a bundled one (digits, digits8, linear, xor); a path to a file
    or folder (MNIST IDX, CIFAR-10 binary, CSV, .npy, .npz, text); a dict of arrays, or a pair
    of them (train, test); any iterable of batches, or a function epoch -> iterable, or a pair of
    these. Options stand behind a `?` in a string or are keywords: target (column of a CSV),
    test (fraction held out), scale (divides byte images of an .npz), length (characters in a
    window), size (of the digits), kind (one of idx cifar csv npy npz text), and NAME=FIELD, which
    gives a field the name that the task asks for.

    Raises DataError, which names file, place, problem and what would fit.
    """
    if isinstance(spec, str):
        spec, _, query = spec.partition("?")
        options = {**dict(parse_qsl(query, keep_blank_values=True)), **options}
    known, names = read_options(spec, options)
    dataset = open_spec(spec, known)
    return rename(dataset, names) if names else dataset


def read_options(spec: Any, options: dict[str, Any]) -> tuple[Options, dict[str, str]]:
    """Divide options into dlc's own, converted, and names for fields."""
    known, names = Options(), {}
    for key, value in options.items():
        if key not in Options.__dataclass_fields__:
            names[key] = str(value)
            continue
        convert = type(getattr(known, key))
        try:
            setattr(known, key, convert(value))
        except ValueError:
            raise DataError(spec, f"option {key}", f"{value!r} does not fit",
                            f"{key}={getattr(known, key)!r} is the default") from None
    if known.kind and known.kind not in KINDS:
        raise DataError(spec, "option kind", f"{known.kind!r} is not a kind of file",
                        ", ".join(KINDS))
    if not known.scale > 0 or known.scale == float("inf"):
        raise DataError(spec, "option scale", f"{known.scale} does not divide", "e.g. scale=255")
    return known, names


def open_spec(spec: Any, options: Options) -> Dataset:
    if isinstance(spec, Dataset):
        return spec
    if isinstance(spec, str) and spec in BUNDLED:
        return load_digits(options.size) if spec == "digits" else BUNDLED[spec]()
    if isinstance(spec, (str, Path)):
        return open_path(spec, options)
    if isinstance(spec, Mapping):
        return from_arrays({str(k): v for k, v in spec.items()}, options)
    if isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(s, Mapping) for s in spec):
        marked = {f"train_{k}": v for k, v in spec[0].items()}
        return from_arrays({**marked, **{f"test_{k}": v for k, v in spec[1].items()}}, options)
    if isinstance(spec, tuple) and len(spec) == 2 and all(is_stream(s) for s in spec):
        return Dataset("stream", {}, stream=spec[0], test_stream=spec[1])
    if is_stream(spec):
        return Dataset("stream", {}, stream=spec)
    raise DataError(repr(spec)[:80], "", f"a {type(spec).__name__} is not data",
                    f"a bundled name ({', '.join(BUNDLED)}), a path, arrays by name, or an "
                    "iterable of batches")


def is_stream(spec: Any) -> bool:
    return not isinstance(spec, np.ndarray) and (callable(spec) or hasattr(spec, "__iter__"))


def from_arrays(arrays: dict[str, Any], options: Options) -> Dataset:
    fields = {name: np.asarray(value) for name, value in arrays.items()}
    return arrays_dataset("arrays", "arrays", fields, options.test, options.scale)


def open_path(spec: str | Path, options: Options) -> Dataset:
    path = Path(spec).expanduser()
    if not path.exists():
        import difflib  # only on this path: a few milliseconds of every start

        near = difflib.get_close_matches(str(spec), BUNDLED, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(spec, "", "there is no such file or bundled data set",
                        f"{hint}bundled are {', '.join(BUNDLED)}")
    if not path.is_dir() and not path.is_file():
        raise DataError(path, "", "is neither a file nor a folder", "a regular file")
    kind = options.kind or (folder_kind(path) if path.is_dir() else file_kind(path))
    if kind == "idx":
        return load_idx(path, options.test)
    if kind == "cifar":
        return load_cifar(path, options.test)
    if kind == "csv":
        return load_csv(path, options.target, options.test)
    if kind == "npz":
        return load_npz(path, options.test, options.scale)
    if kind == "npy":
        return load_npy_folder(path, options.test, options.scale)
    return load_text(path, options.length, options.test)


def folder_kind(path: Path) -> str:
    """What a folder holds, by its files' names."""
    if find_images(path, "train") is not None:
        return "idx"
    if is_cifar_folder(path):
        return "cifar"
    if any(path.glob("*.npy")):
        return "npy"
    raise DataError(path, "", "is a folder without data that dlc knows",
                    "train-images-idx3-ubyte (MNIST), data_batch_1.bin (CIFAR-10) or .npy files")


def file_kind(path: Path) -> str:
    """What a file is: by its first bytes where they tell, else by the end of its name."""
    with open_data(path) as file:
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
    if suffix in (".csv", ".tsv"):
        return "csv"
    if suffix in (".txt", ".md", ".text"):
        return "text"
    raise DataError(path, "byte 0", f"begins with {head.hex()}, and {path.suffix or 'no suffix'} "
                    "tells nothing", f"kind= one of {', '.join(KINDS)}")
