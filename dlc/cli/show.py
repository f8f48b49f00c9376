"""`dlc show FILE` (a task, or an ONNX model): the graph after any pass, kernels, memory plan."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.paper import flops, paint, plural, python, size
from dlc.cli.source import load_task, user_code
from dlc.cli.targets import check_target
from dlc.errors import nearest

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.passes import Record
    from dlc.program import Entry, Program

ONNX = ".onnx"
PLANNED = "plan_memory"  # the graph with arena offsets: what is left when all passes are done


def run(options: argparse.Namespace) -> int:
    """Print what was asked for: the optimized graph, or the parts that the options name."""
    from dlc.compiler import compile as compile_task

    check_target(options.target)
    thing, sizes, chosen = asked(options)
    check_pass(options.after)
    with user_code():
        compiled = compile_task(thing, options.target, **chosen)
    program = compiled.program
    print(paint(f"{program.name}: {sizes}, {program.target} ({program.isa})", "bold"))
    if options.after:
        graphs_after(compiled, options.after)
    if options.kernels:
        from dlc.cli.show_kernels import kernels

        kernels(program, steps(program))
    if options.memory:
        from dlc.cli.show_memory import memory

        memory(program, steps(program))
    if not (options.after or options.kernels or options.memory):
        graphs_after(compiled, PLANNED)
        summary(compiled)
    return 0


def asked(options: argparse.Namespace) -> tuple[Any, str, dict[str, Any]]:
    """(what to compile, its sizes in words, the sizes that are chosen)."""
    if options.file.endswith(ONNX):
        from dlc.onnx import load

        model = load(options.file)
        dims = {**dict.fromkeys(model.dimension_names, 1), **options.dims}
        words = ", ".join(f"{name} {size}" for name, size in dims.items())
        return model.graph(**dims), words or "no open dimensions", {}
    if options.dims:
        raise UsageError(f"--dim is for open dimensions of {ONNX} files; a task has its batch")
    task = load_task(options.file)
    return task, f"batch {task.batch}", {}


def steps(program: Program) -> list[Entry]:
    """The training steps, one for each phase; of what is not trained, all entries."""
    train = [e for name, e in program.entries.items() if name.partition(".")[0] == "train"]
    return train or list(program.entries.values())


def check_pass(name: str | None) -> None:
    """Raise UsageError for a pass that does not exist."""
    from dlc.passes import PIPELINE

    known = ["input", *(p.__name__ for p in PIPELINE), PLANNED]
    if name is not None and name not in known:
        raise UsageError(f"unknown pass {name!r}{nearest(name, known)}\n"
                         f"  passes are {', '.join(known)}")


def graphs_after(compiled: Compiled, name: str) -> None:
    """The graph of every training step after the pass `name`."""
    from dlc.text import print_graph

    for entry in steps(compiled.program):
        if name == PLANNED:
            text = entry.graph
        elif name == "input":
            text = compiled.texts[entry.name]
        else:
            records = compiled.records[entry.name]
            text = print_graph(next(r.graph for r in records if r.name == name))
        print()
        python(text.rstrip("\n"))


def summary(compiled: Compiled) -> None:
    """What the passes did, and what a step comes to."""
    for entry in steps(compiled.program):
        print()
        print(paint(f"{entry.name:16} {'nodes':>6} {'ms':>8}", "dim"))
        for record in compiled.records[entry.name]:
            print(pass_line(record))
        print()
        print(totals(compiled.program, entry))
    print(f"arena {size(compiled.peak_bytes)} ({compiled.peak_bytes:,} bytes); "
          f"--kernels and --memory show more")


def pass_line(record: Record) -> str:
    time = f"{record.seconds * 1e3:8.1f}" if record.seconds else ""
    return f"{record.name:16} {record.nodes:6} {time}".rstrip()


def totals(program: Program, entry: Entry) -> str:
    """Launches, kernels, barriers, arithmetic and traffic of one step."""
    used = {s.kernel for launch in entry.flat for stage in launch.stages for s in stage}
    runs = list(zip(entry.flat, entry.runs, strict=True))
    barriers = sum((launch.barrier + len(launch.stages) - 1) * n for launch, n in runs)
    work = sum(launch.flops * n for launch, n in runs)
    moved = sum(launch.bytes * n for launch, n in runs)
    return (f"{plural(sum(entry.runs), 'launch')} a step, {plural(len(used), 'kernel')}, "
            f"{plural(barriers, 'barrier')}, {flops(work)}, {size(moved)} moved")
