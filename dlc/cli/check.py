"""`dlc check FILE`: the program against NumPy on its data, pass by pass and launch by launch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dlc.cli.inspect import check_output
from dlc.cli.show import asked
from dlc.cli.source import at_task, user_code
from dlc.cli.targets import check_target
from dlc.errors import DlcError
from dlc.inspector.units import plural

if TYPE_CHECKING:
    from dlc.compiler import Compiled


def run(options: argparse.Namespace) -> int:
    """Say that all agree. What does not ends as a DlcError: the first pass or launch, the node, the
    user's line."""
    from dlc.compiler import compile as compile_task
    from dlc.inspector.profile import inputs_of

    check_target(options.target)
    page = check_output(options.output) if options.output else None
    thing, sizes, chosen = asked(options)
    with user_code(), at_task(thing):
        compiled = compile_task(thing, options.target, **chosen)
    weights = compiled.initial_values(options.seed)
    given = {entry: {**weights, **inputs_of(compiled, entry, thing)}
             for entry in compiled.source.graphs}
    try:
        for entry, known in given.items():
            print(f"{entry}: {check_passes(compiled, entry, known)} agree with NumPy")
        for entry, count in check_program(compiled, given).items():
            print(f"{entry}: {plural(count, 'launch')} agree with NumPy")
    except DlcError as problem:
        if page:
            from dlc.inspector.findings import of_error, write_findings

            stage = getattr(problem, "stage", "")
            print(write_findings(page, compiled, [of_error(problem)], stage))
        raise
    print(f"{compiled.program.name}: {sizes}, seed {options.seed}: everything agrees")
    return 0


def check_passes(compiled: Compiled, entry: str, known: Mapping[str, Any]) -> str:
    """The passes of an entry, in words. Raises PassError for the first that changes a result."""
    from dlc import passes
    from dlc.passes.check import same_meaning

    records = passes.run_pipeline(compiled.source.graphs[entry], partial(same_meaning, given=known),
                                  passes.PIPELINE)
    return plural(len(records) - 1, "pass")


def check_program(compiled: Compiled, given: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The launches of each entry. Raises LaunchError for the first that differs beyond rounding."""
    from dlc.backend.assemble import assembled
    from dlc.checks.launches import check_launches, device_for
    from dlc.compiler import running_on

    program = compiled.program
    graphs = {entry: records[-1].graph for entry, records in compiled.records.items()}
    again, drafts = assembled(program.name, graphs, program.target, program.isa,
                              dict(program.meta))
    with running_on(again, device_for(again)) as running:
        check_launches(running, drafts, graphs, given)
    return {name: len(entry.flat) for name, entry in program.entries.items()}
