"""`dlc build FILE -o DIR`: a task as a shared library without Python."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dlc.cli.source import load_task, user_code
from dlc.cli.streams import say
from dlc.cli.train import changed_task
from dlc.intake import user_path

if TYPE_CHECKING:
    from dlc.runtime.build.package import Built
    from dlc.task.task import Task


def run(options: argparse.Namespace) -> int:
    """Write the library and say what lies where."""
    from dlc.library import build_library

    task = changed_task(load_task(options.file), options)
    folder = user_path(options.output)
    train, predict = wanted(task, options)
    with user_code():
        built = build_library(task, folder, train=train, predict=predict, seed=options.seed,
                              isas=[name for name in options.isa.split(",") if name],
                              data=options.data)
    tell(built, task.name)
    return 0


def wanted(task: Task, options: argparse.Namespace) -> tuple[bool, bool]:
    """Whether the library trains, and whether it predicts: what is asked for, else both, where
    there is something to predict."""
    from dlc.definition import as_data

    if options.train or options.predict:
        return options.train, options.predict
    return True, bool(as_data(task))


def tell(built: Built, name: str) -> None:
    """What was written, and what is to be done where there was no compiler."""
    from dlc.runtime.build.link import INSTALL

    if built.library is None:
        say(f"{built.folder}: {built.kernels} kernels as object files; no C compiler is here: "
            f"{INSTALL} and build again, or {built.command} where there is one")
        return
    say(f"{built.library}: {built.library.stat().st_size:,} bytes, {built.kernels} kernels")
    say(f"  {name}.h, examples with CMakeLists.txt, {name}.py (NumPy), {name}_plain.py")
