"""`dlc diff A B`: what changed between two programs, and limits that fail a CI run."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.show import asked
from dlc.cli.source import split_name, user_code
from dlc.cli.targets import check_runs, check_target
from dlc.errors import DlcError

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.inspector.record import Inspection
    from dlc.ir.graph import Graph

FAILED = 1
LARGEST = 2_000_000_000  # flops of a step that NumPy evaluates to compare meanings


def run(options: argparse.Namespace) -> int:
    """Print the differences; 1 where a limit holds."""
    from dlc.inspector.diff import LimitError, as_text, broken, differences

    (first, a), (second, b) = (side(name, argparse.Namespace(**{**vars(options), "target": target}))
                               for name, target in zip((options.a, options.b), targets(options),
                                                       strict=True))
    found = differences(first, second, machine(options))
    if not found:
        raise UsageError(f"{options.a} and {options.b} have no step of one name: "
                         f"{', '.join(e.name for e in first.steps())}; "
                         f"{', '.join(e.name for e in second.steps())}")
    print(f"A is {options.a} ({first.target}), B is {options.b} ({second.target})")
    for each in found:
        print("\n" + "\n".join(as_text(each)))
    print(f"\n{meaning(a, b, max(e.flops for e in first.steps()))}")
    try:
        told = [line for limit in options.limits for line in broken(limit, found)]
    except LimitError as problem:
        raise UsageError(str(problem)) from None
    for line in told:
        print(f"over the limit: {line}")
    return FAILED if told else 0


def targets(options: argparse.Namespace) -> tuple[str, str]:
    """The targets of A and B. Raises UsageError for what is none, or does not run where it must."""
    asked_for = options.target.split(",")
    if len(asked_for) > 2:
        raise UsageError(f"--target {options.target}: one, or one for A and one for B: cpu,cuda")
    if options.estimate and set(asked_for) != {"cpu"}:
        raise UsageError("--estimate is for programs of this machine's processor")
    for target in asked_for:
        (check_runs if options.profile else check_target)(target)
    return asked_for[0], asked_for[-1]


def machine(options: argparse.Namespace) -> Mapping[str, float] | None:
    """What this machine does at best, where --estimate asks for it."""
    if not options.estimate:
        return None
    from dlc.inspector.profile import ceilings

    return ceilings()


def side(name: str, options: argparse.Namespace) -> tuple[Inspection, Compiled | None]:
    """The program that a name stands for: FILE, FILE@REVISION, a bundled model, or what `dlc show
    --json` wrote, which has no values to compare."""
    from dlc.compiler import compile as compile_task
    from dlc.inspector.gather import inspect
    from dlc.inspector.profile import profiled

    if name.endswith(".json"):
        return saved(Path(name)), None
    with at_revision(name) as file:
        given = argparse.Namespace(**{**vars(options), "file": file})
        thing, _, chosen = asked(given)
        with user_code():
            compiled = compile_task(thing, options.target, **chosen)
        found = profiled(compiled, thing) if options.profile else inspect(compiled)
    return found, compiled


def saved(path: Path) -> Inspection:
    """An Inspection that was written as JSON. Raises UsageError for any other file."""
    from dlc.inspector.saved import FormatError, read

    try:
        return read(path.read_text(encoding="utf-8"))
    except (FormatError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path}: {problem}\n  dlc show FILE --json writes such a file") from None


@contextmanager
def at_revision(name: str) -> Iterator[str]:
    """The name of a file as it is in a revision of its git repository: FILE@REVISION; any other
    name as it is. Raises UsageError where git has none."""
    file, at, revision = name.rpartition("@")
    if not at or Path(split_name(name)[0]).exists():
        yield name
        return
    path = Path(file)
    done = subprocess.run(["git", "show", "--end-of-options", f"{revision}:./{path.name}"],
                          cwd=path.parent, capture_output=True, check=False)
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{name}: git has no such revision of the file"
                         + (f": {told[-1]}" if told else ""))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(done.stdout)
        yield str(copy)


def meaning(a: Compiled | None, b: Compiled | None, flops: int) -> str:
    """Whether two programs compute the same, in words."""
    if a is None or b is None:
        return "not compared: a saved program has no values"
    if flops > LARGEST:
        return "not compared: a step is too large for the NumPy evaluator"
    names = [n for n in a.source.graphs if n in b.source.graphs]
    return "\n".join(same(n, a.records[n][-1].graph, b.records[n][-1].graph) for n in names)


def same(entry: str, a: Graph, b: Graph) -> str:
    """Of one entry: both evaluated on the same random inputs."""
    from dlc.passes.check import same_meaning

    if ports(a) != ports(b):
        return f"{entry}: not the same: inputs or outputs have other names or types"
    try:
        same_meaning("diff", a, b)
    except DlcError as problem:
        return f"{entry}: not the same: {problem.message.removeprefix('pass diff ')}"
    return f"{entry}: computes the same on random inputs"


def ports(graph: Graph) -> Sequence[Any]:
    """Names and types of inputs and outputs."""
    return [sorted((i.attrs["label"], str(i.type)) for i in graph.inputs),
            sorted(zip(graph.output_names, (str(o.type) for o in graph.outputs), strict=True))]
