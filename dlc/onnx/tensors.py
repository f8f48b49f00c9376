"""TensorProto as a NumPy array, and external data read from files beside the model."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from dlc.errors import DlcError
from dlc.intake import FileError, regular_file
from dlc.ir.types import DType, bf16, f16
from dlc.onnx.proto import Source, dtype_of

EXTERNAL = 1  # TensorProto.DataLocation
# Where TensorProto keeps the elements that do not stand in raw_data, by NumPy kind and size.
FIELDS = {"f4": "float_data", "f8": "double_data", "i8": "int64_data", "u4": "uint64_data",
          "u8": "uint64_data"}
# The largest value that a model may hold or compute, in elements.
LARGEST = 2**40
# The most values of a sequence that one operator makes.
LONGEST_SEQUENCE = 2**15


def array_of(tensor: Any, where: Source) -> np.ndarray:
    """The elements of a TensorProto. Raises DlcError where they do not fill its shape."""
    what = f"{where.name}: tensor {tensor.name!r}"
    dtype = dtype_of(tensor.data_type, what)
    shape = checked_dims(tensor.dims, what)
    if tensor.HasField("segment"):
        raise DlcError(f"{what}: tensors in segments are not read")
    count = math.prod(shape)
    if tensor.data_location == EXTERNAL:
        data = external_bytes(tensor, count * dtype.bytes, where, what)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        return listed(tensor, dtype, count, what).reshape(shape)
    if len(data) != count * dtype.bytes:
        raise DlcError(f"{what}: {len(data)} bytes of data for {dtype.name}{list(shape)}, which "
                       f"takes {count * dtype.bytes}")
    if dtype.name == "bool" and any(data.strip(b"\0\1")):
        raise DlcError(f"{what}: a bool is 0 or 1")
    stored = dtype.numpy if dtype is bf16 else dtype.numpy.newbyteorder("<")
    return np.frombuffer(data, stored).astype(dtype.numpy).reshape(shape)


def checked_dims(dims: Any, what: str) -> tuple[int, ...]:
    """`dims` as a shape. Raises DlcError for a negative dimension and for one beyond all memory."""
    shape = tuple(int(d) for d in dims)
    if any(d < 0 for d in shape):
        raise DlcError(f"{what}: dimensions {list(shape)}", None, "sizes are 0, 1, 2, ...")
    if len(shape) > 32:
        raise DlcError(f"{what}: {len(shape)} axes", None, "an array has at most 32")
    if math.prod(max(d, 1) for d in shape) > LARGEST:
        raise DlcError(f"{what}: shape {list(shape)} has more than {LARGEST} elements")
    return shape


def listed(tensor: Any, dtype: DType, count: int, what: str) -> np.ndarray:
    """Elements that stand in a typed field of the message."""
    name = FIELDS.get(np.dtype(dtype.numpy).str[1:], "int32_data") if dtype is not bf16 else (
        "int32_data")
    values = getattr(tensor, name)
    if len(values) != count:
        raise DlcError(f"{what}: {len(values)} elements in {name} for a shape of {count}")
    data = np.array(values, np.dtype(np.int64 if name == "int32_data" else dtype.numpy))
    if dtype in (f16, bf16):
        if data.size and not (data.min() >= 0 and data.max() < 2**16):
            raise DlcError(f"{what}: bits beyond 16")
        return data.astype(np.uint16).view(dtype.numpy)
    found = data.astype(dtype.numpy)
    if not np.array_equal(found.astype(data.dtype), data, equal_nan=data.dtype.kind == "f"):
        raise DlcError(f"{what}: elements that {dtype.name} does not hold")
    return found


# --- external data --------------------------------------------------------------------------------


def external_bytes(tensor: Any, expected: int, where: Source, what: str) -> bytes:
    """The bytes that a tensor keeps in another file. Raises DlcError for anything not plain.

    The file must be a regular one with one name, inside the model's folder, reached through no
    link; its length must hold what the tensor asks for.
    """
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in entries:
            raise DlcError(f"{what}: external data names {entry.key!r} twice")
        entries[entry.key] = entry.value
    if where.folder is None:
        raise DlcError(f"{what}: external data of a model that was given as bytes", None,
                       "give dlc.onnx.load the path of its file")
    parts = relative_parts(entries.get("location", ""), what)
    offset = whole(entries.get("offset", "0"), "offset", what)
    length = whole(entries.get("length", str(expected)), "length", what)
    if length != expected:
        raise DlcError(f"{what}: external data of {length} bytes, its shape takes {expected}")
    return read_part(where, parts, offset, length, what)


def relative_parts(location: str, what: str) -> tuple[str, ...]:
    """The parts of a relative path without "..". Raises DlcError for any other."""
    path = PurePosixPath(location)
    outside = path.is_absolute() or ".." in path.parts or not path.parts
    foreign = "\\" in location or "\0" in location or PureWindowsPath(location).drive
    if outside or foreign:
        raise DlcError(f"{what}: external data at {location!r}", None,
                       "external data lies in files below the model's folder, named without ..")
    return path.parts


def whole(text: str, name: str, what: str) -> int:
    """A number that is written in digits. Raises DlcError for any other, a sign included."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise DlcError(f"{what}: external data with {name} {text[:40]!r}")
    return int(text)


def read_part(where: Source, parts: tuple[str, ...], offset: int, length: int, what: str) -> bytes:
    """`length` bytes of a regular file below the model's folder; every step refuses links.

    Each folder is opened relative to the one before, so nothing can be exchanged in between.
    """
    try:
        with folder_of(where, parts) as at, regular_file(Path(parts[-1]), flags=os.O_NOFOLLOW,
                                                         folder=at) as file:
            check_file(os.fstat(file.fileno()), offset, length, what)
            where.intake.hold(file)
            where.intake.take(length, "external data")
            file.seek(offset)
            data = file.read(length)
    except (OSError, FileError) as problem:
        raise DlcError(f"{what}: external data cannot be read: {problem}", None,
                       "it must be a file below the model's folder, not a link") from None
    if len(data) != length:
        raise DlcError(f"{what}: external data ends after {len(data)} of {length} bytes")
    return data


@contextmanager
def folder_of(where: Source, parts: tuple[str, ...]) -> Iterator[int]:
    """The folder, open, that holds the file named by `parts`."""
    assert where.folder is not None
    at = os.open(where.folder, os.O_RDONLY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def check_file(about: os.stat_result, offset: int, length: int, what: str) -> None:
    """Raise DlcError unless `about` is of a file of one name that holds the part."""
    if about.st_nlink != 1:
        raise DlcError(f"{what}: external data in a file with {about.st_nlink} names (hard links)")
    if offset + length > about.st_size:
        raise DlcError(f"{what}: external data at {offset} + {length} of a file with "
                       f"{about.st_size} bytes")
