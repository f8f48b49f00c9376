"""load_dataset: from a name, path or arrays to a Dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from dlc.runtime.data.bundled import CANVAS, load_digits
from dlc.runtime.data.captions import load_captions
from dlc.runtime.data.dataset import DataError, Dataset, as_field, rename
from dlc.runtime.data.english import load_pydoc
from dlc.runtime.data.nettalk import load_spelling
from dlc.runtime.data.npy import arrays_dataset
from dlc.runtime.data.options import KINDS, Options, read_size
from dlc.runtime.data.patterns import PATTERNS
from dlc.runtime.data.pictures import PICTURES
from dlc.runtime.data.preparation import prepared
from dlc.runtime.data.sequences import MADE
from dlc.runtime.data.signals import SIGNALS
from dlc.runtime.data.tables import TABLES

# By name: what loads it, given all options.
BUNDLED: dict[str, Callable[[Options], Dataset]] = {
    "digits": lambda options: load_digits(side(options)),
    "digits8": lambda options: load_digits(8),
    "captions": lambda options: load_captions(),
    **TABLES,
    **SIGNALS,
    **PATTERNS,
    **MADE,
    "spelling": load_spelling,
    **PICTURES,
    "pydoc": load_pydoc,
}


def side(options: Options) -> int:
    """The side of a square picture. Raises DataError for another shape."""
    height, width = read_size("digits", options.size) or (CANVAS, CANVAS)
    if height != width:
        raise DataError("digits", "option size", f"{options.size!r} is no square", "e.g. size=32")
    return height


def load_dataset(spec: Any, **options: Any) -> Dataset:
    """The Dataset that `spec` means.

    `spec` is a Dataset; the name of a bundled one (BUNDLED; docs/data.md); a path to a file
    or folder (MNIST IDX, CIFAR-10 binary, CSV, .npy, .npz, text); a dict of arrays, or a pair
    of them (train, test); any iterable of batches, or a function epoch -> iterable, or a pair of
    these. Options stand behind a `?` in a string or are keywords: target (column of a CSV), test
    (fraction held out), scale (divides byte images of an .npz), length (characters in a window),
    lines (1: a row for each line of a text), lanes (batches of so many windows go on where the last
    ended), size (of the digits, or of pictures: 32, 48x32), channels and fit (of pictures), kind
    (one of idx cifar csv images nettalk npy npz text), fold ("3/10": the third of ten folds is held
    out), labels (10: so many training samples of each class keep their label, the others get -1),
    standardize (1: columns of mean 0 and deviation 1), classes ("5-9": these alone), unseen ("7-9":
    all of these held out), each (so many training samples of each class), and NAME=FIELD, which
    gives a field the name that the task asks for.

    Raises DataError, which names file, place, problem and what would fit.
    """
    if isinstance(spec, str):
        spec, _, query = spec.partition("?")
        options = {**dict(parse_qsl(query, keep_blank_values=True)), **options}
    known, names = read_options(spec, options)
    dataset = prepared(open_spec(spec, known), known)
    return rename(dataset, names) if names else dataset


def read_options(spec: Any, options: dict[str, Any]) -> tuple[Options, dict[str, str]]:
    """Divide options into dlc's own, converted, and names for fields."""
    known, names = Options(), {}
    for key, value in options.items():
        if key not in Options.__dataclass_fields__:
            names[key] = str(value)
            continue
        try:
            setattr(known, key, converted(value, getattr(known, key)))
        except (ValueError, TypeError, OverflowError, KeyError):
            raise DataError(spec, f"option {key}", f"{value!r} is invalid",
                            f"{key}={getattr(known, key)!r} is the default") from None
    if known.kind and known.kind not in KINDS:
        raise DataError(spec, "option kind", f"{known.kind!r} is not a kind of file",
                        ", ".join(KINDS))
    if not known.scale > 0 or known.scale == float("inf"):
        raise DataError(spec, "option scale", f"{known.scale} does not divide", "e.g. scale=255")
    return known, names


def converted(value: Any, default: Any) -> Any:
    """An option's value as the type of its default; 0 and 1, false and true for a bool."""
    if isinstance(default, bool):
        return {"0": False, "false": False, "1": True, "true": True}[str(value).lower()]
    return type(default)(value)


def open_spec(spec: Any, options: Options) -> Dataset:
    if isinstance(spec, Dataset):
        return spec
    if isinstance(spec, str) and spec in BUNDLED:
        return BUNDLED[spec](options)
    if isinstance(spec, (str, Path)):
        from dlc.runtime.data.paths import open_path  # loaders that bundled data do not need

        return open_path(spec, options, tuple(BUNDLED))
    if isinstance(spec, Mapping):
        return from_arrays({str(k): v for k, v in spec.items()}, options)
    if isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(s, Mapping) for s in spec):
        marked = {f"train_{k}": v for k, v in spec[0].items()}
        return from_arrays({**marked, **{f"test_{k}": v for k, v in spec[1].items()}}, options)
    if isinstance(spec, tuple) and len(spec) == 2 and all(is_stream(s) for s in spec):
        return Dataset("stream", {}, stream=spec[0], test_stream=spec[1])
    if is_stream(spec):
        return Dataset("stream", {}, stream=spec)
    raise DataError(repr(spec)[:80], "", f"an object of type {type(spec).__name__} is not data",
                    f"a bundled name ({', '.join(BUNDLED)}), a path, arrays by name, or an "
                    "iterable of batches")


def is_stream(spec: Any) -> bool:
    return not isinstance(spec, np.ndarray) and (callable(spec) or hasattr(spec, "__iter__"))


def from_arrays(arrays: dict[str, Any], options: Options) -> Dataset:
    fields = {name: as_field(value, "arrays", f"field {name!r}") for name, value in arrays.items()}
    return arrays_dataset("arrays", "arrays", fields, options.test, options.scale)
