"""NumPy's .npy and .npz files, never unpickled, never larger than what the file really holds."""

from __future__ import annotations

import ast
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from dlc.runtime.data.dataset import (
    Arrays,
    DataError,
    Dataset,
    check_arrays,
    check_size,
    hold_out,
)
from dlc.runtime.data.files import expect_end, open_data, read_exactly

MAX_HEADER = 1 << 16
NPY_MAGIC = b"\x93NUMPY"


def read_npy(file: IO[bytes], source: object) -> np.ndarray[Any, Any]:
    """One array from a .npy stream; `source` names it in messages.

    The header is checked first (magic, version, dtype, size against memory), then exactly its
    bytes are read. Raises DataError for object arrays, records and everything malformed.
    """
    start = read_exactly(file, 8, source, 0, "the magic number")
    if start[:6] != NPY_MAGIC:
        raise DataError(source, "byte 0", f"{start[:6]!r} is not the magic of a .npy file",
                        "an array written by numpy.save")
    if start[6] not in (1, 2, 3):
        raise DataError(source, "byte 6", f"version {start[6]} of the format", "1, 2 or 3")
    width = 2 if start[6] == 1 else 4
    size = read_exactly(file, width, source, 8, "the header's length")
    length = int.from_bytes(size, "little")
    if length > MAX_HEADER:
        raise DataError(source, "byte 8", f"claims a header of {length} bytes",
                        f"at most {MAX_HEADER}")
    header = read_exactly(file, length, source, 8 + width, "the header")
    shape, fortran, dtype = parse_header(header, source)
    begin = 8 + width + length
    total = check_size(source, "the header", shape, dtype.itemsize)
    data = read_exactly(file, total, source, begin, f"the data of shape {shape}")
    expect_end(file, source, begin + total, f"{dtype} values of shape {shape} end there")
    flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    return np.array(flat.reshape(shape[::-1]).T, order="C") if fortran else flat.reshape(shape)


def parse_header(header: bytes, source: object) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, Fortran order, dtype) that a .npy header says; DataError when it is not one.

    The header is the text of a dict; it is parsed as a literal, so nothing in it is ever run.
    """
    try:
        fields = ast.literal_eval(header.decode("utf-8").strip())
        shape, fortran = fields["shape"], fields["fortran_order"]
        dtype = np.dtype(fields["descr"])
        sound = len(fields) == 3 and isinstance(fortran, bool) and isinstance(shape, tuple)
        if not sound or not all(type(dim) is int for dim in shape):
            raise ValueError("not the three fields that NumPy writes")
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(source, "the header", f"is not NumPy's ({reason[:120]})",
                        "an array written by numpy.save") from None
    if dtype.hasobject or dtype.kind not in "fiub" or dtype.shape:
        raise DataError(source, "the header", f"holds {dtype}, which is not a number",
                        "an array of numbers; objects are never unpickled")
    return shape, fortran, dtype


def load_npy(path: Path) -> np.ndarray[Any, Any]:
    """The array in one .npy file, plain or gzipped."""
    with open_data(path) as file:
        return read_npy(file, path)


def read_npz(path: Path) -> Arrays:
    """Every array of a .npz file by its name.

    Raises DataError for a damaged or encrypted archive, members that are no arrays, a member twice
    and contents that are not what their headers say.
    """
    arrays: Arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name == info.filename or name in arrays or "/" in name:
                    raise DataError(path, f"member {info.filename!r}", "is not an array of its own",
                                    "members are NAME.npy, each once")
                with archive.open(info) as member:
                    arrays[name] = read_npy(member, f"{path}, member {name!r}")
    except OSError as error:
        raise DataError(path, "", error.strerror or str(error),
                        "a file that this user may read") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError,
            UnicodeDecodeError) as error:
        raise DataError(path, "", f"is no sound .npz archive ({error})",
                        "a file written by numpy.savez") from None
    return arrays


def split_names(arrays: Arrays) -> tuple[Arrays, Arrays]:
    """Divide x_train, train_x, x_test, test_x... by their names; others belong to train."""
    train: Arrays = {}
    test: Arrays = {}
    for name, array in arrays.items():
        part, field = train, name
        for mark, target in (("train", train), ("test", test)):
            if name.startswith(f"{mark}_"):
                part, field = target, name.removeprefix(f"{mark}_")
            elif name.endswith(f"_{mark}"):
                part, field = target, name.removesuffix(f"_{mark}")
        part[field] = array
    return train, test


def arrays_dataset(name: str, source: object, arrays: Arrays, test: float,
                   scale: float = 1.0) -> Dataset:
    """A Dataset from named arrays; `scale` divides byte images (u8, three or more axes) into f32.

    Fields named *_test or test_* are the held-out part; without them the fraction `test` is.
    """
    train, held = split_names({k: scaled(v, scale) for k, v in arrays.items()})
    check_arrays(source, train, "train")
    if not held:
        train, rest = hold_out(train, test, source)
        return Dataset(name, train, rest, source=str(source))
    check_arrays(source, held, "test")
    if set(held) != set(train):
        raise DataError(source, "test", f"has the fields {', '.join(held)}, but train has "
                        f"{', '.join(train)}", "the same fields in both")
    return Dataset(name, train, held, source=str(source))


def scaled(array: np.ndarray[Any, Any], scale: float) -> np.ndarray[Any, Any]:
    if scale == 1.0 or array.dtype != np.uint8 or array.ndim < 3:
        return array
    return array.astype(np.float32) / np.float32(scale)


def load_npz(path: Path, test: float, scale: float) -> Dataset:
    """A .npz file: one field per array."""
    return arrays_dataset(path.name, path, read_npz(path), test, scale)


def load_npy_folder(path: Path, test: float, scale: float) -> Dataset:
    """A folder of .npy files (or one such file): one field per file, named as the file."""
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    arrays = {file.name.split(".")[0]: load_npy(file) for file in files}
    return arrays_dataset(path.name, path, arrays, test, scale)
