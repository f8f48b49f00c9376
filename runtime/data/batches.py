"""From a Dataset to the inputs of an entry: fields by name, shapes, dtypes, batches."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import numpy as np

from dlc.program import Port
from dlc.runtime.data.dataset import Arrays, DataError, as_field, describe_field, shuffle
from dlc.runtime.data.ragged import Ragged


def data_ports(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """The ports that a batch fills."""
    return tuple(port for port in ports if port.role == "data")


def bind_arrays(source: str, arrays: Arrays, ports: tuple[Port, ...]) -> Arrays:
    """`arrays` as the data `ports` take them: one array a port, C-contiguous, of its dtype.

    A port's shape is [batch, ...]; a field's is [samples, ...]. A field fits when its values per
    sample have the port's shape or the same number of values (an image into a flat port).
    Fields that no port names are left out. Raises DataError when a field is missing, has another
    number of values a sample, or holds values that the port's dtype cannot.
    """
    bound = {}
    for port in data_ports(ports):
        if port.name not in arrays:
            have = ", ".join(describe_field(k, v) for k, v in arrays.items())
            raise DataError(source, "", f"has no field {port.name!r}, which the task takes as "
                            f"{port.type}", f"it has {have}; rename one with {port.name}=FIELD")
        bound[port.name] = fit_array(source, port, arrays[port.name])
    return bound


def fit_array(source: str, port: Port, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One field as `port` takes it: [samples, *port.type.shape[1:]]."""
    if isinstance(array, Ragged):
        raise DataError(source, f"field {port.name!r}", "is not an array: its rows are "
                        f"{array.lengths.min()} to {array.lengths.max()} long, but the task takes "
                        f"{port.type}", 'a dimension with a bound takes them: "time<=64"')
    want = tuple(int(d) for d in port.type.shape[1:])
    size = int(np.prod(want, dtype=np.int64))
    have = int(np.prod(array.shape[1:], dtype=np.int64))
    if array.shape[1:] != want and have != size:
        raise DataError(source, f"field {port.name!r}",
                        f"{describe_field(port.name, array)} has {have} values a sample, but the "
                        f"task takes {port.type}", f"{size} values a sample")
    shaped = array.reshape(array.shape[0], *want)
    return np.ascontiguousarray(convert(source, port, shaped))


def convert(source: str, port: Port, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """`array` in the port's dtype; DataError where a value would not survive it."""
    target = port.type.dtype
    if array.dtype == target.numpy:
        return array
    if array.dtype.kind in "OUScMm":
        raise DataError(source, f"field {port.name!r}", f"holds {array.dtype}, which is not a "
                        "number", "real numbers, integers or booleans")
    if target.is_float:
        with np.errstate(over="ignore"):
            result = array.astype(target.numpy)
        if not np.isfinite(array.astype(np.float64)).all():
            raise DataError(source, f"field {port.name!r}", "holds nan or an infinity",
                            "finite numbers")
        if not np.isfinite(result.astype(np.float32)).all():
            raise DataError(source, f"field {port.name!r}", f"holds a value beyond {target}",
                            f"values that {target} can hold, or a wider dtype in the task")
        return result
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        first = array[array != np.floor(array)].flat[0]
        raise DataError(source, f"field {port.name!r}", f"holds {first}, but the task takes "
                        f"{port.type}", "whole numbers, or a float dtype in the task")
    low, high = (0, 1) if target.name == "bool" else integer_range(target.numpy)
    if array.size and (array.min() < low or array.max() > high):
        raise DataError(source, f"field {port.name!r}", f"holds values from {array.min()} to "
                        f"{array.max()}, but the task takes {port.type}", f"{low} to {high}")
    return array.astype(target.numpy)


def integer_range(kind: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(kind)
    return int(info.min), int(info.max)


def as_batch(item: Any, ports: tuple[Port, ...], source: str,
             beside: Container[str] = ()) -> Arrays:
    """One item of a stream as named arrays: a mapping, a sequence in the ports' order, an array.

    Ports in `beside` are no fields: lengths follow from the others.

    Anything that NumPy converts will do, torch tensors among it.
    """
    names = [port.name for port in data_ports(ports) if port.name not in beside]
    if isinstance(item, Mapping):
        return {str(k): as_field(v, source, f"field {k!r}") for k, v in item.items()}
    parts = list(item) if isinstance(item, (tuple, list)) else [item]
    if len(parts) != len(names):
        raise DataError(source, "", f"a batch of {len(parts)} arrays",
                        f"{len(names)}: {', '.join(names)}")
    return {n: as_field(v, source, f"field {n!r}") for n, v in zip(names, parts, strict=True)}


def batch_length(batch: Arrays, source: str, where: str) -> int:
    """Samples in a batch; DataError when its arrays differ or hold none."""
    for name, array in batch.items():
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise DataError(source, f"{where}, field {name!r}", f"is a {array.dtype} scalar"
                            if array.ndim == 0 else f"holds {array.dtype}",
                            "an array of numbers, [samples, ...]")
    lengths = {array.shape[0] for array in batch.values()}
    if len(lengths) != 1:
        told = ", ".join(f"{k} has {v.shape[0]}" for k, v in batch.items())
        raise DataError(source, where, f"fields differ in their number of samples: {told}",
                        "the same first axis in every array of a batch")
    count = int(lengths.pop())
    if count == 0:
        raise DataError(source, where, "an empty batch", "at least one sample")
    return count


class Stream:
    """Batches of an epoch from an iterable, a function epoch -> iterable, or a one-time iterator.

    A list, a torch DataLoader or a function can be read once an epoch. A generator can be read
    once in all: asking for a second epoch raises DataError.
    """

    def __init__(self, batches: Any, name: str) -> None:
        if not callable(batches) and not hasattr(batches, "__iter__"):
            raise DataError(name, "", f"{type(batches).__name__} gives no batches",
                            "an iterable of arrays, or a function epoch -> iterable")
        self.batches, self.name = batches, name
        self.used = False

    def epoch(self, number: int, ports: tuple[Port, ...],
              bind: Callable[[str, Arrays, tuple[Port, ...]], Any] = bind_arrays,
              beside: Container[str] = ()) -> Iterator[tuple[int, Any]]:
        """(samples, what `bind` makes of the arrays) of every batch of epoch `number` (0 is the
        first)."""
        for index, item in enumerate(self.open(number)):
            batch = as_batch(item, ports, self.name, beside)
            where = f"epoch {number + 1}, batch {index + 1}"
            count = batch_length(batch, self.name, where)
            yield count, bind(f"{self.name}, {where}", batch, ports)

    def open(self, number: int) -> Iterator[Any]:
        if hasattr(self.batches, "__next__"):
            if self.used:
                raise DataError(self.name, f"epoch {number + 1}",
                                "the iterator was read in an earlier epoch and cannot be again",
                                "a list, a DataLoader, or a function epoch -> iterable; or "
                                "epochs=1")
            self.used = True
            return iter(self.batches)
        if hasattr(self.batches, "__iter__"):
            return iter(self.batches)
        make: Callable[[int], Any] = self.batches
        return iter(make(number))


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """i64[count]: the order of the samples in epoch `epoch` (0 is the first).

    A function of (seed, epoch, count) alone: Philox with that key, so a resumed run needs no
    stored generator state to see the same order.
    """
    key = (epoch << 64) | (seed & (2**64 - 1))
    return shuffle(key, count)
