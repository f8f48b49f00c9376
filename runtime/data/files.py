"""Reading a file that may be gzipped, at most as much as its header declares."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

from dlc.intake import Intake, regular_file
from dlc.runtime.data.dataset import DataError

GZIP_MAGIC = b"\x1f\x8b"
PART = 1 << 20


@contextmanager
def open_data(path: Path, intake: Intake) -> Iterator[IO[bytes]]:
    """The bytes of `path`, unpacked when it begins with gzip's magic; `intake` knows its size.

    Raises DataError for a missing file, what is not a regular file, and damaged gzip.
    """
    with regular_file(path, DataError) as raw:
        intake.hold(raw)
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not packed:
            yield raw
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield unpacked  # type: ignore[misc]
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(path, "", f"its gzip data is damaged or cut off ({error})",
                            "the whole file as it was published") from None


def read_exactly(file: IO[bytes], count: int, path: object, offset: int, what: str) -> bytes:
    """`count` bytes from `file`, which stands at `offset`; DataError names where it ended."""
    parts, have = [], 0
    while have < count:
        part = file.read(min(count - have, 1 << 24))
        if not part:
            raise DataError(path, f"byte {offset + have}", f"the file ends inside {what}",
                            f"{what} takes {count} bytes from byte {offset}")
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def expect_end(file: IO[bytes], path: object, offset: int, fits: str) -> None:
    """Raise DataError when bytes follow the content."""
    if file.read(1):
        raise DataError(path, f"byte {offset}", "bytes follow the end of the data", fits)


def read_all(path: Path, intake: Intake, grows: int) -> bytes:
    """The whole file, unpacked; DataError when what is made of it, `grows` times as much, is too
    much. What unpacks to too much is never kept."""
    with open_data(path, intake) as file:
        size = intake.take(whole_size(file, intake), grows=grows)
        return file.read(size)


def whole_size(file: IO[bytes], intake: Intake) -> int:
    """Bytes of `file`, unpacked; counted no further than to where `intake` refuses them."""
    if isinstance(file, BufferedReader):
        return os.fstat(file.fileno()).st_size
    size = 0
    while size <= intake.left and (part := file.read(PART)):
        size += len(part)
    file.seek(0)
    return size
