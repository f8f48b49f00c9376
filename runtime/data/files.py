"""Reading a file that may be gzipped, never more of it than its own header calls for."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dlc.runtime.data.dataset import DataError, memory_limit

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_data(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of `path`, unpacked when it begins with gzip's magic.

    Raises DataError for a missing file, a directory, one that may not be read, and damaged gzip.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not packed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw, mode="rb") as unpacked:
                yield unpacked  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(path, "", f"its gzip data is damaged or cut off ({error})",
                        "the whole file as it was published") from None
    except OSError as error:
        raise DataError(path, "", error.strerror or str(error),
                        "a file that this user may read") from None


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


def read_all(path: Path) -> bytes:
    """The whole file, unpacked; DataError when it would not fit into memory."""
    limit = memory_limit() // 4
    with open_data(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise DataError(path, "", f"holds more than {limit} bytes",
                        "a smaller file, or an iterator of batches")
    return content
