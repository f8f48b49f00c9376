"""`dlc diff A B`: what changed between two programs, and limits that fail a CI run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.cli.arguments import UsageError
from dlc.cli.revision import at_revision
from dlc.cli.show import asked
from dlc.cli.source import user_code
from dlc.cli.targets import check_runs, check_target
from dlc.errors import DlcError

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.inspector.diff import Difference
    from dlc.inspector.record import Inspection
    from dlc.ir.graph import Graph

FAILED = 1
LARGEST = 2_000_000_000  # flops of a step that NumPy evaluates to compare meanings


def run(options: argparse.Namespace) -> int:
    """Print the differences; 1 where a limit holds."""
    from dlc.inspector.diff import as_text, differences

    held(options.limits, ())  # what can't be read is said before anything is compiled
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
    told = held(options.limits, found)
    for line in told:
        print(f"over the limit: {line}")
    return FAILED if told else 0


def held(limits: Sequence[str], found: Sequence[Difference]) -> list[str]:
    """The limits that hold, in words. Raises UsageError for one that can't be read."""
    from dlc.inspector.diff import LimitError, broken

    try:
        return [line for limit in limits for line in broken(limit, found)]
    except LimitError as problem:
        raise UsageError(str(problem)) from None


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
