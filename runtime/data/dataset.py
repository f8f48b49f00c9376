"""Dataset: named arrays for training and testing; DataError: the one error of every loader."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dlc.intake import FileError
from dlc.runtime.data.ragged import Ragged, from_rows

# of a field whose rows have several lengths a Ragged stands in the place of the array
Arrays = dict[str, Any]

# A held-out part is the same for every seed, so that runs of different seeds can be compared.
SPLIT_SEED = 0
HELD_OUT = 0.2


class DataError(FileError):
    """Data that cannot be used: names the file, the place, what is wrong and what would fit."""


@dataclass(frozen=True)
class Dataset:
    """Arrays whose first axis counts samples, or a stream of batches.

    `train` and `test` map a field name ("image", "label", "x", "y") to an array. `classes` are the
    names of the label's values, in order; empty for a regression. A streamed dataset has empty
    `train` and gives its batches through `stream` and `test_stream`: any iterable of batches, or
    a function epoch -> iterable. With `lanes` rows are in an order that is kept: each batch of so
    many goes on where the last one ended, row by row. `words` says what the numbers of a field of
    texts stand for, by field: words[0] fills shorter texts up where it is empty.
    """

    name: str
    train: Arrays
    test: Arrays | None = None
    classes: tuple[str, ...] = ()
    stream: Any = None
    test_stream: Any = None
    source: str = ""
    lanes: int = 0
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def in_memory(self) -> bool:
        return self.stream is None

    @property
    def samples(self) -> int:
        """Training samples; 0 for a stream, whose length is known only after an epoch."""
        return next(iter(self.train.values())).shape[0] if self.train else 0

    @property
    def test_samples(self) -> int:
        return next(iter(self.test.values())).shape[0] if self.test else 0

    def tails(self, batch: int) -> dict[str, int]:
        """What `dlc.compile(task, tails=...)` takes: the sizes of an epoch's smaller last batch by
        kind of entry (0: none; of a stream, where it says how long it is), and of the set that is
        evaluated."""
        counts = {"train": self.samples, "eval": self.test_samples}
        if not self.in_memory:
            counts = {"train": stream_samples(self.stream),
                      "eval": stream_samples(self.test_stream)}
        return {**{kind: count % batch for kind, count in counts.items()}, "set": counts["eval"]}

    def describe(self) -> str:
        """One line: name, counts, fields with shape and dtype."""
        if not self.in_memory:
            return f"{self.name}: a stream of batches"
        fields = ", ".join(describe_field(k, v) for k, v in self.train.items())
        held = f", {self.test_samples} held out" if self.test else ""
        return f"{self.name}: {self.samples} samples{held}; {fields}"


def stream_samples(stream: Any) -> int:
    """How many samples a stream gives where it says so, as torch's DataLoader does; else 0."""
    source: Any = getattr(stream, "dataset", ())
    return len(source) if hasattr(source, "__len__") else 0


def describe_field(name: str, array: np.ndarray[Any, Any]) -> str:
    """A field as it is printed: image f32[n, 1, 28, 28]."""
    dims = [str(d) for d in array.shape[1:]]
    if isinstance(array, Ragged):
        dims[array.axis] = f"{array.lengths.min()} to {array.lengths.max()}"
    shape = ", ".join(["n", *dims])
    return f"{name} {array.dtype.name}[{shape}]"


def as_array(value: Any, source: object, where: str) -> np.ndarray[Any, Any]:
    """`value` as NumPy converts it, torch tensors among it; DataError where it cannot, or would
    lose a mask."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(source, where, f"has {int(np.ma.getmaskarray(value).sum())} masked values",
                        "values for all, e.g. array.filled(0)")
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError) as problem:
        raise DataError(source, where, f"is not an array ({problem})",
                        "numbers in rows of one length") from None


def as_field(value: Any, source: object, where: str) -> Any:
    """`value` as an array; a list of rows that differ in the length of one axis as a Ragged."""
    if isinstance(value, Ragged):
        return value
    rows = from_rows(value)
    return as_array(value, source, where) if rows is None else rows


def check_arrays(source: object, arrays: Arrays, part: str) -> None:
    """Refuse arrays that no training could use; `part` is "train" or "test".

    Raises DataError for no field, an object array, a field without a sample axis, fields of
    different lengths, no sample, and values that are not finite.
    """
    if not arrays:
        raise DataError(source, part, "there is no array", "a dataset has at least one field")
    lengths = {}
    for name, array in arrays.items():
        check_array(source, f"{part} field {name!r}", array)
        lengths[name] = array.shape[0]
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{k} has {n}" for k, n in lengths.items())
        raise DataError(source, part, f"fields differ in their number of samples: {told}",
                        "the first axis of every field counts the same samples")
    if not next(iter(lengths.values())):
        raise DataError(source, part, "there is no sample", "at least one is needed")


def check_array(source: object, where: str, array: np.ndarray[Any, Any]) -> None:
    """Refuse an array of objects or strings, of no axis, of samples without values, or holding NaN
    or infinity."""
    if array.dtype.kind not in "fiub":
        raise DataError(source, where, f"holds {array.dtype}, which is not a number",
                        "real numbers, integers or booleans")
    if array.ndim == 0:
        raise DataError(source, where, "is a single number", "the first axis counts samples")
    if len(array) and not array.size:
        raise DataError(source, where, f"has {len(array)} samples of no values",
                        "a value for every sample")
    if isinstance(array, Ragged):
        array = array.values
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        first = ", ".join(str(int(i)) for i in bad[0])
        raise DataError(source, where, f"{array[tuple(bad[0])]} at index [{first}], "
                        f"{len(bad)} such values", "every value is a finite number")


def hold_out(arrays: Arrays, fraction: float, source: object) -> tuple[Arrays, Arrays | None]:
    """Split `arrays` into (train, test): a fixed shuffle, then the last `fraction` is held out.

    The same for every training seed. 0 holds nothing out. Raises DataError when a part would be
    empty or the fraction is not in [0, 1).
    """
    if not 0 <= fraction < 1:
        raise DataError(source, "test", f"{fraction} is not a fraction to hold out",
                        "0 <= test < 1, e.g. test=0.2")
    if fraction == 0:
        return arrays, None
    count = next(iter(arrays.values())).shape[0]
    held = math.ceil(count * fraction)
    if held >= count:
        raise DataError(source, "test", f"holding out {fraction} of {count} samples leaves none "
                        "to train on", "more samples, or test=0")
    order = shuffle(SPLIT_SEED, count)
    train, test = np.sort(order[:-held]), np.sort(order[-held:])
    return {k: v[train] for k, v in arrays.items()}, {k: v[test] for k, v in arrays.items()}


def shuffle(key: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """i64[count]: a permutation that depends on (key, count) alone, with every NumPy.

    It sorts the raw words of Philox, whose stream NumPy keeps stable (NEP 19), which it does not
    promise for Generator.permutation.
    """
    words = np.random.Philox(key=key).random_raw(count)
    return np.argsort(words, kind="stable").astype(np.int64)


def rename(dataset: Dataset, names: dict[str, str]) -> Dataset:
    """Give fields the names that a task asks for: {"image": "x"} makes field x be `image`.

    Raises DataError when the dataset has no such field, or two fields would share a name.
    """
    for old in names.values():
        if old not in dataset.train:
            raise DataError(dataset.name, "", f"there is no field {old!r}",
                            f"it has {', '.join(dataset.train)}")
    back = {old: new for new, old in names.items()}
    final = [back.get(k, k) for k in dataset.train]
    if len(set(final)) < len(final):
        raise DataError(dataset.name, "", f"renaming gives the fields {', '.join(final)}",
                        "every field has its own name")

    def renamed(arrays: Arrays) -> Arrays:
        return {back.get(k, k): v for k, v in arrays.items()}

    test = renamed(dataset.test) if dataset.test is not None else None
    return replace(dataset, train=renamed(dataset.train), test=test,
                   words=renamed(dict(dataset.words)))
