"""`dlc profile FILE`: what a step takes, by launch and by line of yours."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from dlc.cli.inspect import check_output
from dlc.cli.paper import paint
from dlc.cli.show import asked
from dlc.cli.source import at_task, user_code
from dlc.cli.targets import check_runs
from dlc.inspector.diff import least
from dlc.inspector.units import flops, size

if TYPE_CHECKING:
    from dlc.inspector.profile import Profile
    from dlc.inspector.record import EntryInfo, Inspection

ROWS = 20


def run(options: argparse.Namespace) -> int:
    """Run the step, print the tables, write a trace where one is asked for."""
    from dlc.compiler import compile as compile_task
    from dlc.inspector.profile import profile
    from dlc.inspector.timeline import events

    check_runs(options.target)
    trace = check_output(options.trace, "--trace") if options.trace else None
    thing, sizes, chosen = asked(options)
    with user_code(), at_task(thing):
        compiled = compile_task(thing, options.target, **chosen)
    found = profile(compiled, thing, options.repeat)
    inspection = found.inspection(compiled)
    machine = found.machine
    print(paint(f"{inspection.program}: {sizes}, {inspection.target} ({inspection.isa}), "
                f"{machine['threads']:.0f} threads", "bold"))
    print(f"ceilings measured here: {flops(machine['flops'])}/s, {size(machine['bytes'])}/s")
    for entry in inspection.steps():
        print()
        tables(inspection, entry, found, options.all)
    if trace:
        trace.write_text(json.dumps(events(inspection)), encoding="utf-8")
        print(f"\n{trace}: opens in ui.perfetto.dev and chrome://tracing")
    return 0


def tables(found: Inspection, entry: EntryInfo, measured: Profile, whole: bool) -> None:
    """The tables of a step, and what measuring costs."""
    total = entry.seconds or 0.0
    print(paint(f"{entry.name}: {total * 1e3:.3f} ms a step; the shortest that was not traced "
                f"{measured.plain[entry.name] * 1e3:.3f} ms, tracing costs "
                f"{measured.cost[entry.name]:.1%}", "bold"))
    threads(entry)
    print(paint(f"{'launch':30} {'us':>9} {'share':>6} {'calls':>6} {'Gflop/s':>9} {'GB/s':>7} "
                f"{'of ceiling':>10}", "dim"))
    ranked = sorted(enumerate(entry.launches), key=lambda item: -(item[1].seconds or 0.0))
    for number, x in ranked if whole else ranked[:ROWS]:
        took = x.seconds or 1e-12
        name = f"{number + 1} {x.name}"
        print(f"{name:30.30} {took * 1e6:9.1f} {took / (total or 1):6.1%} {x.runs:6} "
              f"{x.flops * x.runs / took / 1e9:9.1f} {x.bytes * x.runs / took / 1e9:7.1f} "
              f"{least(x.flops, x.bytes, found.machine) * x.runs / took:10.0%}")
    if len(ranked) > ROWS and not whole:
        print(f"and {len(ranked) - ROWS} more: --all")
    print()
    lines(found, entry, total)


def threads(entry: EntryInfo) -> None:
    """What each thread did in the step of the timeline."""
    told = entry.timeline
    for number, (busy, waits) in enumerate(zip(told["busy"], told["waiting"], strict=True)):
        print(f"  thread {number}: busy {busy / told['seconds']:6.1%}, waiting "
              f"{waits / told['seconds']:6.1%}, looking for work "
              f"{max(0.0, 1 - (busy + waits) / told['seconds']):6.1%}")


def lines(found: Inspection, entry: EntryInfo, total: float) -> None:
    """The table by line: forward, backward and optimizer beside one another."""
    rows: dict[int, list[float]] = {}
    for x in entry.lines:
        rows.setdefault(x.place, [0.0, 0.0, 0.0])[x.part] += x.seconds or 0.0
    print(paint(f"{'line':24} {'us':>9} {'share':>6} {'forward':>9} {'backward':>9} "
                f"{'optimizer':>9}", "dim"))
    for place, parts in sorted(rows.items(), key=lambda item: -sum(item[1])):
        name = found.place(place)
        print(f"{name[-24:]:24} {sum(parts) * 1e6:9.1f} {sum(parts) / (total or 1):6.1%} "
              + " ".join(f"{p * 1e6:9.1f}" for p in parts))
        print(paint(f"  {found.source(place)[:76]}", "dim"))
