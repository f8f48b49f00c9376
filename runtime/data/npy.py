"""NumPy's .npy and .npz files, never unpickled, never larger than the file's contents."""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from dlc.intake import Intake, regular_file
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, check_arrays, hold_out
from dlc.runtime.data.files import expect_end, open_data, read_exactly
from dlc.runtime.data.ragged import with_offsets

NPY_MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 16
# Version 3 has names of fields in UTF-8; arrays of numbers have no fields.
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
           (2, 0): np.lib.format.read_array_header_2_0}
PACKING = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what numpy.savez writes
GROWS = 4  # pieces of a read are joined, and copied where a part is held out
# What NumPy raises for a header that is none: a literal of Python's, read by ast and tokenize.
MALFORMED = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError,
             MemoryError)
# What zipfile raises for an archive that is none.
UNSOUND = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError,
           OverflowError)


def read_npy(file: IO[bytes], source: object, intake: Intake) -> np.ndarray[Any, Any]:
    """One array from a .npy stream; `source` names it in messages.

    The header is checked and weighed first, then exactly its bytes are read. Raises DataError for
    object arrays, records and everything malformed.
    """
    shape, fortran, dtype, begin = read_header(file, source)
    total = intake.take_array(shape, dtype.itemsize, "the header", source, GROWS)
    data = read_exactly(file, total, source, begin, f"the data of shape {shape}")
    expect_end(file, source, begin + total, f"{dtype} values of shape {shape} end there")
    flat = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    return np.array(flat.reshape(shape[::-1]).T, order="C") if fortran else flat.reshape(shape)


def read_header(file: IO[bytes],
                source: object) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """(shape, Fortran order, dtype, where the data begin) of a .npy stream; it then stands there.

    NumPy reads the header, a literal in which nothing is ever run, out of MAX_HEADER bytes.
    """
    head = io.BytesIO(file.read(MAX_HEADER))
    try:
        version = np.lib.format.read_magic(head)
        if version not in HEADERS:
            raise ValueError(f"version {version} of the format")
        shape, fortran, dtype = HEADERS[version](head)
        if not all(type(dim) is int for dim in shape):
            raise ValueError("a dimension is not an integer")
    except MALFORMED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(source, "the header", f"is not NumPy's ({reason[:120]})",
                        "an array written by numpy.save") from None
    if dtype.hasobject or dtype.kind not in "fiub" or dtype.shape:
        raise DataError(source, "the header", f"holds {dtype}, which is not a number",
                        "an array of numbers; objects are never unpickled")
    file.seek(head.tell())
    return shape, fortran, dtype, head.tell()


def load_npy(path: Path, intake: Intake) -> np.ndarray[Any, Any]:
    """The array in one .npy file, plain or gzipped."""
    with open_data(path, intake) as file:
        return read_npy(file, path, intake)


def read_npz(path: Path, intake: Intake) -> Arrays:
    """Every array of a .npz file by its name, all of them weighed before the first is read.

    Raises DataError for a damaged or encrypted archive, members that are not arrays, a member twice
    and contents that are not what their headers say.
    """
    arrays: Arrays = {}
    try:
        with regular_file(path, DataError) as raw, zipfile.ZipFile(raw) as archive:
            intake.hold(raw)
            members = archive.infolist()
            intake.weigh(sum(info.file_size for info in members), grows=GROWS)
            for info in members:
                name = member_name(info, path, arrays)
                with archive.open(info) as member:
                    arrays[name] = read_npy(member, f"{path}, member {name!r}", intake)
    except UNSOUND as error:
        raise DataError(path, "", f"is not a valid .npz archive ({error})",
                        "a file written by numpy.savez") from None
    return arrays


def member_name(info: zipfile.ZipInfo, path: Path, known: Arrays) -> str:
    """The name of the array in a member. Raises DataError for what numpy.savez does not write."""
    name = info.filename.removesuffix(".npy")
    if name == info.filename or name in known or "/" in name:
        raise DataError(path, f"member {info.filename!r}", "is not an array of its own",
                        "members are NAME.npy, each once")
    if info.compress_type not in PACKING:
        raise DataError(path, f"member {info.filename!r}", f"is packed by method "
                        f"{info.compress_type}", "stored or deflated, as numpy.savez writes it")
    return name


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
    try:
        arrays = with_offsets(arrays)
    except ValueError as problem:
        raise DataError(source, f"field {str(problem)!r}", "does not say where rows begin",
                        "integers that ascend from 0 to the number of steps in all") from None
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


def load_npz(path: Path, test: float, scale: float, intake: Intake) -> Dataset:
    """A .npz file: one field per array."""
    return arrays_dataset(path.name, path, read_npz(path, intake), test, scale)


def load_npy_folder(path: Path, test: float, scale: float, intake: Intake) -> Dataset:
    """A folder of .npy files (or one such file): one field per file, named as the file."""
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    arrays = {file.name.split(".")[0]: load_npy(file, intake) for file in files}
    return arrays_dataset(path.name, path, arrays, test, scale)
