"""Whole Programs cached on disk, keyed by the text of the graphs they were compiled from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dlc.program import Program
from dlc.runtime.compile.cache import Cache, CacheError, key_of

_NOT_COMPILER = ("runtime", "models", "cli")


class KeptProgram:
    """Where the Program of `texts` (graphs by entry) and `options` is kept.

    The key also covers the compiler's own sources, so that an edited compiler finds nothing old.
    Without a cache directory nothing is found and nothing is kept.
    """

    def __init__(self, name: str, texts: Mapping[str, str], options: Mapping[str, object]) -> None:
        described = sorted((k, repr(v)) for k, v in options.items())
        self.key = key_of("program", compiler_sources(), name, list(texts.items()), described)
        try:
            self.cache: Cache | None = Cache()
        except CacheError:
            self.cache = None

    def get(self) -> Program | None:
        """The Program, or None when it is not there or not intact."""
        return self.cache.get_program(self.key) if self.cache is not None else None

    def put(self, program: Program) -> None:
        """Keep `program`."""
        if self.cache is not None:
            self.cache.put_program(self.key, program)


@lru_cache(maxsize=1)
def compiler_sources() -> str:
    """SHA-256 over the compiler's Python files, in the order of their paths."""
    package = Path(__file__).resolve().parents[2] / "dlc"
    if not package.is_dir():  # an installed package: dlc/runtime is a folder, not a link
        package = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in _NOT_COMPILER:
            content = path.read_bytes()
            digest.update(f"{inside} {len(content)};".encode() + content)
    return digest.hexdigest()
