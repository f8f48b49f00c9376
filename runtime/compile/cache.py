"""The disk cache: compiled objects and Programs, in a directory only its owner can write.

An entry is a file named by its key: a header (magic, SHA-256 of the payload, the key), then the
payload. Entries are written to a temporary file and renamed, so processes never see half of one;
what does not check is treated as absent, deleted and made anew. No pickle is read or written.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import llvmlite.binding as llvm

from dlc import env
from dlc.intake import FileError, open_at_once, user_path
from dlc.program import Kernel, Program, TileText
from dlc.runtime.compile.isa import target_cpu
from dlc.runtime.program_json import ProgramFormatError, program_from_json, program_to_json

MAGIC = b"dlc cache 1\n"
DEFAULT_LIMIT = 512 << 20  # bytes kept before the least recently used entries go
LARGEST = DEFAULT_LIMIT  # bytes of an entry that is read
_HEADER = len(MAGIC) + 32 + 32
_SOURCES = ("lower.py", "frontend.py", "walk.py", "expressions.py", "slots.py", "operators.py",
            "llvm_module.py", "primitives.py",
            "halves.py", "runner_primitives.py", "isa.py", "numba_route.py", "numba_contexts.py")


class CacheError(Exception):
    """The cache directory can't be used: not ours, writable by others, or not a directory."""


def default_directory() -> Path:
    """DLC_CACHE, else dlc under XDG_CACHE_HOME, else ~/.cache/dlc; CacheError without a home."""
    chosen = env.text("DLC_CACHE")
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        if chosen:
            return user_path(chosen)
        return (Path(base) if os.path.isabs(base) else user_path("~/.cache")) / "dlc"
    except FileError as error:
        raise CacheError(f"cache directory {error}; set DLC_CACHE to one of yours") from None


class Cache:
    """Entries by key under one directory, at most `limit` bytes of them.

    Raises CacheError when the directory belongs to someone else or others may write in it.
    """

    def __init__(self, directory: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.directory = directory or default_directory()
        self.limit = limit
        self.hits = self.misses = 0
        self._written = 0
        self._open_directory()

    def _open_directory(self) -> None:
        where = self.directory
        try:
            where.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = where.stat()
        except OSError as error:
            raise CacheError(f"cache directory {where}: {error.strerror}; set DLC_CACHE to a "
                             "directory of yours") from None
        if not stat.S_ISDIR(found.st_mode):
            raise CacheError(f"cache directory {where} is not a directory")
        if found.st_uid != os.getuid():
            raise CacheError(f"cache directory {where} belongs to user {found.st_uid}, not to you "
                             f"({os.getuid()}); set DLC_CACHE to a directory of yours")
        if found.st_mode & 0o022:
            raise CacheError(f"cache directory {where} can be written by others "
                             f"(mode {found.st_mode & 0o777:o}); set DLC_CACHE to a directory of "
                             "yours alone")

    def path(self, key: str) -> Path:
        """Where the entry of `key` (64 hex digits) lies."""
        return self.directory / f"{key}.bin"

    def get(self, key: str) -> bytes | None:
        """The payload of `key`, or None when absent, damaged, or not written by us."""
        path = self.path(key)
        try:
            payload = self._read(path, key)
        except FileNotFoundError:
            self.misses += 1
            return None
        except OSError:
            payload = None
        if payload is None:
            self.misses += 1
            self.drop(key)
            return None
        self.hits += 1
        return payload

    def has(self, key: str) -> bool:
        """Whether there is a file for `key`; only `get` says whether it is intact."""
        return self.path(key).is_file()

    def _read(self, path: Path, key: str) -> bytes | None:
        handle = open_at_once(str(path), os.O_RDONLY | os.O_NOFOLLOW)
        found = os.fstat(handle)
        ours = found.st_uid == os.getuid() and not found.st_mode & 0o022
        if not (ours and stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST):
            os.close(handle)
            return None
        with os.fdopen(handle, "rb") as file:
            data = file.read()
            with contextlib.suppress(OSError):
                os.utime(handle)  # the time of last use, for eviction
        return unpack(key, data)

    def put(self, key: str, payload: bytes) -> None:
        """Keep `payload` under `key`. A full disk or a lost directory only costs the entry."""
        temporary = self.directory / f".{secrets.token_hex(8)}.tmp"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:
                file.write(pack(key, payload))
            os.replace(temporary, self.path(key))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            return
        self._written += len(payload)
        if self._written > self.limit // 64:
            self.evict()

    def drop(self, key: str) -> None:
        """Forget `key`."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def evict(self) -> None:
        """Delete the least recently used entries until `limit` holds."""
        self._written = 0
        entries = []
        for path in self.directory.iterdir():
            with contextlib.suppress(OSError):
                found = path.lstat()
                if path.suffix in (".bin", ".tmp"):
                    entries.append((found.st_mtime_ns, found.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size

    def get_program(self, key: str) -> Program | None:
        """The Program kept under `key`, or None."""
        data = self.get(key)
        if data is None:
            return None
        try:
            return program_from_json(data.decode())
        except (ProgramFormatError, UnicodeDecodeError):
            self.drop(key)
            return None

    def put_program(self, key: str, program: Program) -> None:
        """Keep `program` under `key`."""
        self.put(key, program_to_json(program).encode())


def pack(key: str, payload: bytes) -> bytes:
    """The bytes of an entry file."""
    return MAGIC + _digest(key, payload) + bytes.fromhex(key) + payload


def unpack(key: str, data: bytes) -> bytes | None:
    """The payload of an entry file, or None when it is not the intact entry of `key`."""
    if len(data) < _HEADER or not data.startswith(MAGIC):
        return None
    start = len(MAGIC)
    payload = data[_HEADER:]
    if data[start + 32:_HEADER] != bytes.fromhex(key):
        return None
    return payload if data[start:start + 32] == _digest(key, payload) else None


def _digest(key: str, payload: bytes) -> bytes:
    return hashlib.sha256(bytes.fromhex(key) + payload).digest()


@lru_cache(maxsize=8)
def toolchain(isa: str) -> str:
    """Everything besides its text that a kernel's object depends on, as one string."""
    here = Path(__file__).parent
    sources = hashlib.sha256(b"".join((here / name).read_bytes() for name in _SOURCES)).hexdigest()
    versions = [_package_version(name) for name in ("numba", "llvmlite")]
    return json.dumps([sources, versions, llvm.llvm_version_info, llvm.get_process_triple(),
                       isa, target_cpu(isa)])


def _package_version(name: str) -> str:
    """The text of a package's _version.py: names its version without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise CacheError(f"package {name} is not installed")
    version = Path(spec.origin).parent / "_version.py"
    return hashlib.sha256(version.read_bytes()).hexdigest()


def kernel_key(kernel: Kernel, prelude: str, tiles: dict[str, TileText], isa: str) -> str:
    """The cache key of a kernel's object: SHA-256 over all that its bytes depend on."""
    parameters = [(p.name, p.dtype, p.kind) for p in kernel.params]
    used = [(tiles[t].ir, tiles[t].params, tiles[t].result) for t in kernel.tiles if t in tiles]
    return key_of("kernel", kernel.name, parameters, kernel.text, list(kernel.tiles), used,
                  kernel.raises, prelude, toolchain(isa))


def key_of(*parts: object) -> str:
    """SHA-256, in hex, over a JSON list of `parts`."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
