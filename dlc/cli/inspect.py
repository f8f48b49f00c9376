"""`dlc inspect FILE`: one page with a program's lines, graphs, launches, kernels and memory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dlc.cli.arguments import UsageError
from dlc.cli.show import asked
from dlc.cli.source import at_task, user_code
from dlc.cli.targets import check_runs, check_target
from dlc.inspector.units import plural, size
from dlc.intake import user_path

if TYPE_CHECKING:
    from dlc.inspector.code import Code
    from dlc.inspector.record import Inspection


def run(options: argparse.Namespace) -> int:
    """Write the page and say where it is."""
    from dlc.inspector.page import page
    from dlc.runtime.train.checkpoint import replace_file

    if options.output:
        check_output(options.output)
    inspection = inspected(options, options.profile)
    path = user_path(options.output or f"{inspection.program}-inspect.html")
    data = page(inspection).encode("utf-8")
    replace_file(path, data)
    launches = sum(len(e.launches) for e in inspection.entries)
    print(f"{path}: {plural(launches, 'launch')}, {plural(len(inspection.rows), 'row')} of "
          f"graphs, {size(len(data))}; opens in a browser, and asks the network for nothing")
    return 0


def check_output(output: str, option: str = "-o") -> Path:
    """The path of a file that will be written. Raises UsageError for a folder, and for a file in
    none that exists."""
    path = user_path(output)
    if path.is_dir():
        raise UsageError(f"{option} {output}: that is a folder; it takes the name of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {output}: there is no folder {str(path.parent)!r}")
    return path


def inspected(options: argparse.Namespace, profile: bool) -> Inspection:
    """The Inspection of what a command's FILE names."""
    from dlc.compiler import compile as compile_task
    from dlc.inspector.gather import inspect

    (check_runs if profile else check_target)(options.target)
    if options.sass and options.target != "cuda":
        raise UsageError("--sass is for --target cuda: --assembly shows what the CPU runs")
    thing, _, chosen = asked(options)
    with user_code(), at_task(thing):
        compiled = compile_task(thing, options.target, **chosen)
    codes: tuple[Code, ...] = ()
    if options.assembly or options.sass:
        from dlc.inspector.code import machine_code

        codes = machine_code(compiled.program, options.arch, options.sass)
    if not profile:
        return inspect(compiled, codes=codes)
    from dlc.inspector.profile import profiled

    return profiled(compiled, thing, codes)
