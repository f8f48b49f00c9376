"""`dlc show FILE` (a task, or an ONNX model): launches, graphs, kernels, memory plan."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.paper import paint, python
from dlc.cli.source import at_task, changed_task, user_code
from dlc.cli.targets import check_target
from dlc.errors import nearest
from dlc.inspector.units import size

if TYPE_CHECKING:
    from dlc.cli.show_machine_code import MachineCode
    from dlc.compiler import Compiled
    from dlc.passes import Record
    from dlc.program import Entry, Program

ONNX = ".onnx"
PLANNED = "plan_memory"  # the graph with arena offsets: what is left when all passes are done


def run(options: argparse.Namespace) -> int:
    """Print the launches of a step and their bodies, or the parts that the options name."""
    from dlc.compiler import compile as compile_task

    check_target(options.target)
    if options.cost and options.target != "cuda":
        raise UsageError("--cost is for --target cuda: dlc profile measures a step on the CPU")
    if (options.ptx or options.sass) and not options.kernels:
        raise UsageError(f"{code_of(options)} shows more of the kernels: give --kernels too")
    thing, sizes, chosen = asked(options)
    check_pass(options.after)
    with user_code(), at_task(thing):
        compiled = compile_task(thing, options.target, **chosen)
    if options.form:
        from dlc.cli.show_form import show_form

        show_form(compiled, options.form, options.after)
        return 0
    program = compiled.program
    target = program.target if program.target == "cuda" else f"{program.target} ({program.isa})"
    print(paint(f"{program.name}: {sizes}, {target}", "bold"))
    parts = (options.after or options.kernels or options.memory or options.body or options.cost)
    if options.summary or not parts:
        launches(program)
    if options.after or not (options.summary or options.kernels or options.memory or options.cost):
        graphs_after(compiled, options.after or PLANNED, options.body)
    if options.kernels:
        from dlc.cli.show_kernels import kernels

        kernels(program, steps(program), options.body,
                machine_code_of(program, options))
    if options.cost:
        from dlc.cli.show_cost import cost

        cost(program, steps(program), options.gpu)
    if options.memory:
        from dlc.cli.show_memory import memory

        memory(program, steps(program))
    if options.summary or not parts:
        passes(compiled)
    return 0


def machine_code_of(program: Program, options: argparse.Namespace) -> MachineCode | None:
    """What prints PTX and SASS, if they are asked for. Raises UsageError where there are none."""
    if not (options.ptx or options.sass):
        return None
    if program.target != "cuda":
        raise UsageError(f"{code_of(options)} is for --target cuda; {program.name} is compiled for "
                         f"{program.target}: dlc inspect --assembly shows what that runs")
    from dlc.cli.show_machine_code import MachineCode

    return MachineCode(program, options.arch, options.ptx, options.sass)


def code_of(options: argparse.Namespace) -> str:
    """The option that asks for machine code."""
    return "--ptx" if options.ptx else "--sass"


def asked(options: argparse.Namespace) -> tuple[Any, str, dict[str, Any]]:
    """(what to compile, its sizes in words, the sizes and the memory limit that are chosen)."""
    limit = getattr(options, "memory_limit", None)
    under = {} if limit is None else {"memory_limit": limit}
    if options.file.endswith(ONNX):
        from dlc.onnx import load

        if options.settings:
            raise UsageError(f"--set is for options of a task; {options.file} is none")
        model = load(options.file)
        dims = {**dict.fromkeys(model.dimension_names, 1), **options.dims}
        words = ", ".join(f"{name} {size}" for name, size in dims.items())
        return model.graph(**dims), words or "no open dimensions", under
    if options.dims:
        raise UsageError(f"--dim is for dynamic dimensions of {ONNX} files; a task has its batch")
    task = changed_task(options.file, options.settings)
    return task, f"batch {task.batch}", under


def steps(program: Program) -> list[Entry]:
    """The training steps, one for each phase, and what ends those of several micro-batches; of what
    is not trained, all entries."""
    from dlc.program import UPDATE

    train = [e for name, e in program.entries.items()
             if name.partition(".")[0] in ("train", f"train_{UPDATE}")]
    return train or list(program.entries.values())


def check_pass(name: str | None) -> None:
    """Raise UsageError for a pass that does not exist."""
    from dlc.passes import PIPELINE

    known = ["input", *(p.__name__ for p in PIPELINE), PLANNED]
    if name is not None and name not in known:
        raise UsageError(f"unknown pass {name!r}{nearest(name, known)}\n"
                         f"  passes are {', '.join(known)}")


def launches(program: Program) -> None:
    """The launches of every training step as a table."""
    from dlc.cli.show_step import step_table

    for entry in steps(program):
        print()
        step_table(entry)


def graphs_after(compiled: Compiled, name: str, body: str | None = None) -> None:
    """The graph of every training step after the pass `name`, or its function called `body`.

    Raises UsageError where no step has a function of that name.
    """
    from dlc.cli.show_step import chosen

    texts = [graph_text(compiled, entry, name) for entry in steps(compiled.program)]
    parts = texts if body is None else [chosen(text, body) for text in texts]
    if body is not None and not any(parts):
        raise unknown_body(body, texts)
    for part in filter(None, parts):
        print()
        python(part.rstrip("\n"))


def graph_text(compiled: Compiled, entry: Entry, name: str) -> str:
    """The graph of `entry` after the pass `name`."""
    from dlc.reference.text import print_graph

    if name == PLANNED:
        return entry.graph
    if name == "input":
        if entry.name not in compiled.texts:
            return print_graph(compiled.records[entry.name][0].graph)
        return compiled.texts[entry.name]
    return print_graph(next(r.graph for r in compiled.records[entry.name] if r.name == name))


def unknown_body(body: str, texts: Sequence[str]) -> UsageError:
    """The error for a --body that no step has."""
    from dlc.cli.show_step import FUSED, functions

    known = [name.removeprefix(FUSED) for text in texts for name in functions(text)]
    return UsageError(f"no body is called {body!r}{nearest(body, known)}\n"
                      "  dlc show FILE --summary lists the launches")


def passes(compiled: Compiled) -> None:
    """What the passes did, and the size of the arena."""
    for entry in steps(compiled.program):
        print()
        print(paint(f"{entry.name:16} {'nodes':>6} {'ms':>8}", "dim"))
        for record in compiled.records[entry.name]:
            print(pass_line(record))
    print()
    print(f"arena {size(compiled.peak_bytes)} ({compiled.peak_bytes:,} bytes)")
    print("more: --body NAME, --kernels, --memory, --after PASS")


def pass_line(record: Record) -> str:
    time = f"{record.seconds * 1e3:8.1f}" if record.seconds else ""
    return f"{record.name:16} {record.nodes:6} {time}".rstrip()

