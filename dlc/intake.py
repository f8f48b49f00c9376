"""Untrusted files: only regular ones are opened; claimed sizes are checked before reading."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

from dlc.errors import DlcError, printable

# What a file may be read as: SLACK bytes, and so many times the bytes that it holds on disk.
# deflate's best is 1,030 times, which only zeros reach.
SLACK, PACKED = 8 << 20, 100
# Without compression: arrays may share their bytes, as tied weights do.
PLAIN = 4
MOST_AXES = 64  # NumPy's own limit
MOST_BYTES = 2**62  # beyond any memory, below what an i64 counts
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class FileError(DlcError):
    """A file that cannot be used, in one line: its name, the place in it, what is wrong with it and
    what would fit."""

    def __init__(self, source: object, where: str, problem: str, fits: str = "") -> None:
        self.source, self.where, self.problem, self.fits = str(source), where, problem, fits
        place = f", {where}" if where else ""
        hint = f"; {fits}" if fits else ""
        super().__init__(printable(f"{self.source}{place}: {problem}{hint}"))


def user_path(text: object, error: type[FileError] = FileError) -> Path:
    """The path that a user wrote, `~` and `~name` expanded.

    Raises `error` for what is no string or path, a home that is not known, and a NUL character.
    """
    if not isinstance(text, (str, os.PathLike)):
        raise error(repr(text)[:80], "", f"a value of type {type(text).__name__}",
                    "the path of a file or folder")
    path = Path(text)
    if "\0" in str(path):
        raise error(path, "", "a path with a NUL character", "the path of a file or folder")
    try:
        return path.expanduser()
    except RuntimeError:
        raise error(path, "", "the home folder is not known", "a path without ~") from None


@contextmanager
def regular_file(path: Path, error: type[FileError] = FileError,
                 flags: int = 0, folder: int | None = None) -> Iterator[IO[bytes]]:
    """`path`, open for reading. Nothing is waited for: a FIFO or a device is not a regular file.

    `flags` are further ones of os.open, `folder` an open one that the path begins in. Raises
    `error` for what is not a regular file or cannot be read, now or in the body.
    """
    try:
        handle = open_at_once(str(path), os.O_RDONLY | flags, folder)
    except (OSError, ValueError) as problem:
        raise unreadable(path, problem, error) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(path, "", "is not a regular file", "a file on disk: no pipe, device or folder")
    with os.fdopen(handle, "rb") as file:
        try:
            yield file
        except OSError as problem:
            raise unreadable(path, problem, error) from None


def open_at_once(path: str, flags: int, folder: int | None = None) -> int:
    """As os.open, without waiting for the writer of a FIFO; relative to an open `folder`."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)


def unreadable(path: object, problem: OSError | ValueError, error: type[FileError]) -> FileError:
    """What the system said, as `error`; a ValueError is a name that no file can have."""
    reason = problem.strerror if isinstance(problem, OSError) else ""
    return error(path, "", reason or str(problem), "a file that this user may read")


def bytes_on_disk(file: IO[bytes]) -> int:
    """How much of an open file is there; the holes of a sparse file are not. It is rewound."""
    handle = file.fileno()
    about = os.fstat(handle)
    if about.st_blocks * 512 >= about.st_size:
        return about.st_size
    at = found = 0
    with suppress(OSError):  # ENXIO: a hole up to the end
        while at < about.st_size:
            begin = os.lseek(handle, at, os.SEEK_DATA)
            at = os.lseek(handle, begin, os.SEEK_HOLE)
            found += at - begin
    file.seek(0)
    return found


class Intake:
    """What one call reads, all files and arrays of it together, weighed before it is read.

    Two limits: what is read is SLACK bytes and at most `times` what the files hold on disk (PACKED,
    PLAIN), so that time and memory follow the size of the files; and what is made of it, `grows`
    times as much, is less than the memory. Beyond either, `error` is raised.
    """

    def __init__(self, source: object, error: type[FileError] = FileError,
                 times: int = PACKED) -> None:
        self.source, self.error, self.times = source, error, times
        self.held = self.taken = self.made = 0
        self._files: set[tuple[int, int]] = set()

    def hold(self, file: IO[bytes]) -> None:
        """Count what an opened file holds on disk; every file once."""
        about = os.fstat(file.fileno())
        if (about.st_dev, about.st_ino) not in self._files:
            self._files.add((about.st_dev, about.st_ino))
            self.held += bytes_on_disk(file)

    @property
    def left(self) -> int:
        """Bytes that may still be read."""
        return SLACK + self.times * self.held - self.taken

    def weigh(self, count: int, where: str = "", source: object = None, grows: int = 2) -> None:
        """Raise `error` when `count` more bytes cannot be taken."""
        of = self.source if source is None else source
        if count > self.left:
            raise self.error(of, where, f"claims {self.taken + count} bytes, and the file holds "
                             f"{self.held}", f"at most {self.times} times what is on disk: store "
                             "it uncompressed, and without holes")
        if self.made + count * grows > memory_limit():
            raise self.error(of, where, f"claims {self.taken + count} bytes, which take more than "
                             f"this machine's memory of {memory_limit()}",
                             "a smaller file, or an iterator of batches")

    def take(self, count: int, where: str = "", source: object = None, grows: int = 2) -> int:
        """`count`, bytes that are about to be read."""
        self.weigh(count, where, source, grows)
        self.taken += count
        self.made += count * grows
        return count

    def allot(self, count: int, where: str = "", grows: int = 2) -> None:
        """Note `count` bytes that are made at a size the user asked for, whatever the files hold.
        Raises `error` when they are more than the memory."""
        if self.made + count * grows > memory_limit():
            raise self.error(self.source, where, f"take {count} bytes, more than fit into this "
                             f"machine's memory of {memory_limit()}",
                             "a smaller size, or an iterator of batches")
        self.made += count * grows

    def take_array(self, dims: Sequence[int], itemsize: int, where: str = "",
                   source: object = None, grows: int = 2) -> int:
        """The bytes of an array with `dims`, about to be read; `dims` that are not a shape of NumPy
        are refused, too."""
        of = self.source if source is None else source
        if len(dims) > MOST_AXES:
            raise self.error(of, where, f"{len(dims)} axes", f"an array has at most {MOST_AXES}")
        most = itemsize
        for dim in dims:
            if dim < 0:
                raise self.error(of, where, f"dimension {dim} is negative", "0 or more")
            most *= max(dim, 1)  # NumPy's limit holds for arrays without elements, too
            if most > MOST_BYTES:
                raise self.error(of, where, "claims an array beyond all memory",
                                 "dimensions of an array that exists")
        return self.take(math.prod(dims) * itemsize, where, source, grows)


@lru_cache(maxsize=1)
def memory_limit() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUPS:
        with suppress(OSError, ValueError):  # "max", or no such control group
            found.append(int(Path(path).read_text()))
    return min(found)
