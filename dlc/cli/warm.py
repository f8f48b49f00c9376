"""Whether a command will have to compile, known before anything is built."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.models import GOALS, file_of

if TYPE_CHECKING:
    from dlc.program import Program

_MATTERS = ("command", "file", "target", "batch", "micro_batches", "epochs", "settings",
            "memory_limit")


class Warm:
    """The cache keys that the same command needed when it last ran.

    Only a guess of whether compile workers should start early: what is compiled is decided by the
    program's own keys.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        from dlc.runtime.compile.cache import Cache, CacheError, key_of
        from dlc.runtime.compile.kept import compiler_sources

        try:
            self.cache: Cache | None = Cache()
        except CacheError:
            self.cache = None  # loading the program tells what is wrong with it
        given = vars(options)
        asked = [repr(given.get(name)) for name in _MATTERS]
        self.key = key_of("command", compiler_sources(), asked, file_stamp(options.file))

    def start_workers(self) -> None:
        """Start the compile workers unless everything was there when this last ran and still is."""
        if self.cache is None:
            return
        known = self.cache.get(self.key)
        if known is None or not all(map(self.cache.has, json.loads(known))):
            from dlc.runtime.compile import workers

            workers.start()

    def remember(self, program: Program) -> None:
        """Note what `program` needed."""
        from dlc.runtime.compile import workers

        keys = json.dumps(sorted({job.key for job in workers.program_jobs(program)})).encode()
        if self.cache is not None and self.cache.get(self.key) != keys:
            self.cache.put(self.key, keys)


def file_stamp(file: str) -> list[str]:
    """Which file is meant and when it was last changed; a bundled model's is in dlc itself."""
    path = Path(file)
    if file in GOALS and not path.is_file():
        path = Path(__file__).parent.parent / "models" / f"{file_of(file)}.py"
    try:
        found = path.stat()
    except OSError:
        return [file]
    return [str(path.resolve()), str(found.st_mtime_ns), str(found.st_size)]
