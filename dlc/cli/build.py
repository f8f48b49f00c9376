"""`dlc build FILE -o DIR`: a task as a shared library without Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dlc.cli.source import at_task, load_task, user_code
from dlc.cli.streams import say
from dlc.cli.train import changed_task
from dlc.intake import user_path

if TYPE_CHECKING:
    from dlc.runtime.build.package import Built


def run(options: argparse.Namespace) -> int:
    """Write the library and say what lies where."""
    from dlc.library import build_library

    task = changed_task(load_task(options.file), options)
    folder = user_path(options.output)
    only = options.train != options.predict  # neither or both: all there is
    with user_code(), at_task(task):
        built = build_library(
            task, folder, train=not only or options.train, seed=options.seed, data=options.data,
            predict=options.predict if only else options.predict or None,
            memory_limit=options.memory_limit,
            isas=[name for name in options.isa.split(",") if name])
    tell(built, task.name)
    return 0


def tell(built: Built, name: str) -> None:
    """What was written, and what is to be done where there was no compiler."""
    from dlc.runtime.build.link import INSTALL

    if built.without:
        say(f"it trains alone: {built.without}")
    if built.library is None:
        say(f"{built.folder}: {built.kernels} kernels as object files; no C compiler is here: "
            f"{INSTALL} and build again, or {built.command} where there is one")
        return
    say(f"{built.library}: {built.library.stat().st_size:,} bytes, {built.kernels} kernels")
    say(f"  {name}.h, examples with CMakeLists.txt, {name}.py (NumPy), {name}_plain.py")
