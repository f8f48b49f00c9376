"""A compile worker: a process that reads kernels on stdin and writes objects to stdout.

Started by path (`python -P worker.py PACKAGE_FOLDER SYS_PATH_JSON`), so that it neither runs the
user's main module nor imports more of dlc than it needs. Messages are frames (frames.py).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import types
from typing import Any


def prepare_imports(directory: str, path: str) -> None:
    """Make `dlc.*` importable without running dlc/__init__.py, and take over the parent's path."""
    sys.path[:] = json.loads(path)
    package = types.ModuleType("dlc")
    package.__path__ = [directory]
    sys.modules["dlc"] = package


def private_stdout() -> int:
    """The answer pipe, out of reach of anything that prints: fd 1 becomes stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def serve(requests: int, answers: int) -> None:
    """Answer requests until the parent closes the pipe or is silent for too long."""
    from dlc.runtime.compile.frames import read_frame, wait_readable, write_frame
    from dlc.runtime.compile.lower import LowerError, Toolchain

    Toolchain("", {}, "").warm_up()
    toolchains: list[Any] = []
    while wait_readable(requests):
        frame = read_frame(requests)
        if frame is None:
            return
        request = frame[0]
        if request["op"] == "setup":
            toolchains.append(toolchain_or_error(request))
            continue
        try:
            toolchain = toolchains[request["setup"]]
            if isinstance(toolchain, LowerError):
                raise toolchain
            write_frame(answers, {"ok": True}, toolchain.compile_request(request))
        except LowerError as error:
            write_frame(answers, {"ok": False, "error": str(error)})


def toolchain_or_error(request: dict[str, Any]) -> Any:
    """The toolchain of a setup request; if it can't be made, the error that its jobs get."""
    from dlc.runtime.compile.lower import LowerError, Toolchain
    try:
        return Toolchain.from_request(request)
    except LowerError as error:
        return error


def main() -> None:
    gc.disable()  # a short life and no large garbage: collections only cost time
    prepare_imports(sys.argv[1], sys.argv[2])
    # the parent went away or was interrupted: nobody waits for an answer
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(0, private_stdout())
    os._exit(0)  # no interpreter shutdown: it costs time and has nothing to save


if __name__ == "__main__":
    main()
