"""`dlc plan FILE`: what memory a step takes, by the user's lines, and what a limit costs."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlc.backend.costs import Rates, step_seconds
from dlc.cli.arguments import UsageError
from dlc.cli.paper import paint
from dlc.cli.show import asked, steps
from dlc.cli.show_memory import MARKS, buffers_of, line_of, live, union
from dlc.cli.source import at_task, user_code
from dlc.cli.targets import check_runs, check_target
from dlc.errors import DoesNotFit
from dlc.inspector.units import flops, plural, size

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.program import Buffer, Entry, Program

LINES = 24  # of the user's, in the table
MOST = 1 << 20  # samples in a batch that are looked at


def run(options: argparse.Namespace) -> int:
    """Print the plan, or the table of batch sizes."""
    (check_runs if options.run else check_target)(options.target)
    thing, sizes, chosen = asked(options)
    limit = options.memory_limit
    planner = Planner(thing, options.target, chosen, limit, options.run)
    if options.batch:
        if options.file.endswith(".onnx"):
            raise UsageError("--batch is for a task; an .onnx file has --dim")
        table(planner, options.batch)
        return 0
    compiled = planner.compiled(None)
    program = compiled.program
    print(paint(f"{program.name}: {sizes}, {program.target} ({program.isa})", "bold"))
    under = "" if limit is None else f", of {size(limit)} ({limit:,}) allowed"
    print(f"memory {size(program.peak_bytes)} ({program.peak_bytes:,} bytes){under}")
    for entry in steps(program):
        print()
        one_step(program, entry)
    if options.run:
        print(f"\nmeasured {milliseconds(planner.measured(compiled))} a step")
    return 0


@dataclass(frozen=True)
class Planner:
    """Compiles one thing for several batch sizes."""

    thing: Any
    target: str
    chosen: dict[str, Any]
    limit: int | None
    runs: bool

    def compiled(self, batch: int | None) -> Compiled:
        """The program for a batch. Raises DoesNotFit."""
        from dlc.compiler import compile as compile_task

        given = self.chosen if batch is None else {**self.chosen, "batch": batch}
        with user_code(), at_task(self.thing):
            return compile_task(self.thing, self.target, **given)

    def measured(self, compiled: Compiled) -> float:
        """Seconds of the shortest of some training steps."""
        from dlc.inspector.profile import profile

        return sum(profile(compiled, self.thing, repeat=3).plain.values())


# --- one plan -------------------------------------------------------------------------------------


def one_step(program: Program, entry: Entry) -> None:
    """What a step holds where it is fullest, by kind and by line, and what it computes again."""
    buffers = buffers_of(program, entry)
    count = len(entry.flat)
    at = max(range(max(count, 1)), key=lambda i: union(live(buffers, i)))
    held = live(buffers, at)
    name = entry.flat[at].name if count else "nothing"
    print(paint(f"{entry.name}: {plural(count, 'launch')}, fullest at launch {at + 1}, {name}",
                "bold"))
    for kind in MARKS:
        mine = [b for b in held if b.category == kind]
        if mine:
            print(f"  {kind:12} {size(union(mine)):>10}  in {plural(len(mine), 'value')}")
    print(f"  {again(entry)}")
    by_line(entry, held)


def again(entry: Entry) -> str:
    """What a step computes a second time."""
    runs = list(zip(entry.flat, entry.runs, strict=True))
    twice = [(x, n) for x, n in runs if x.again]
    if not twice:
        return "nothing is computed again"
    work, whole = (sum(x.flops * n for x, n in each) for each in (twice, runs))
    took, all_ = (step_seconds(each, Rates()) for each in (twice, runs))
    return (f"{plural(sum(n for _, n in twice), 'launch')} computed again: {flops(work)} of "
            f"{flops(whole)}, about {100 * took / (all_ - took):.1f} % more time")


def by_line(entry: Entry, held: list[Buffer]) -> None:
    """The user's lines with what they hold at the fullest launch, and compute again."""
    kept: Counter[str] = Counter()
    repeated: Counter[str] = Counter()
    for b in held:
        kept[line_of(b, entry) or b.category] += b.bytes
    for x, n in zip(entry.flat, entry.runs, strict=True):
        if x.again:
            repeated[x.lines[0] if x.lines else ""] += x.flops * n
    print(paint(f"  {'held':>10} {'computed again':>15}  line", "dim"))
    places = sorted({*kept, *repeated}, key=lambda p: (-kept[p], p))
    for place in places[:LINES]:
        work = flops(repeated[place]) if place in repeated else ""
        print(f"  {size(kept[place]):>10} {work:>15}  {paint(place, 'cyan')}")
    if len(places) > LINES:
        rest = sum(kept[p] for p in places[LINES:])
        print(f"  {size(rest):>10} {'':>15}  {len(places) - LINES} more")


# --- several batch sizes --------------------------------------------------------------------------


def table(planner: Planner, sizes: tuple[int, ...]) -> None:
    """A line for each batch size; under a limit, the largest that fits."""
    known: dict[int, int | None] = {}  # batch -> what it needs, None where it fits
    columns = f"{'batch':>8} {'memory':>11} {'computed again':>15} {'estimate':>10}"
    print(paint(columns + (f" {'measured':>10}" if planner.runs else ""), "dim"))
    for batch in sizes:
        try:
            compiled = planner.compiled(batch)
        except DoesNotFit as problem:
            known[batch] = problem.needed
            print(f"{batch:>8} {'':>11} needs {size(problem.needed)} at least")
            continue
        known[batch] = None
        print(row(planner, batch, compiled))
    if planner.limit is not None:
        best = largest(lambda b: needed(planner, b, known), planner.limit, max(sizes))
        print(f"the largest batch that fits into {size(planner.limit)} is {best}" if best else
              f"no batch fits into {size(planner.limit)}")


def row(planner: Planner, batch: int, compiled: Compiled) -> str:
    """A batch that fits: memory, recomputed arithmetic, time as estimated and as measured."""
    program = compiled.program
    runs = [(x, n) for e in steps(program) for x, n in zip(e.flat, e.runs, strict=True)]
    work = sum(x.flops * n for x, n in runs if x.again)
    text = (f"{batch:>8} {size(program.peak_bytes):>11} {flops(work) if work else '-':>15} "
            f"{milliseconds(step_seconds(runs, Rates())):>10}")
    return text + (f" {milliseconds(planner.measured(compiled)):>10}" if planner.runs else "")


def needed(planner: Planner, batch: int, known: dict[int, int | None]) -> int | None:
    """What a batch needs where it does not fit, else None; `known` remembers."""
    if batch not in known:
        try:
            planner.compiled(batch)
            known[batch] = None
        except DoesNotFit as problem:
            known[batch] = problem.needed
    return known[batch]


def largest(need: Callable[[int], int | None], limit: int, start: int) -> int:
    """The largest batch that fits, 0 for none. It is doubled until one does not; then it lies
    between two: halfway, and every other time where what the larger one needs, taken to grow with
    the batch, would be the limit."""
    low, high, halve = 0, 0, False
    tried = start
    while not high or high - low > 1:
        more = need(tried)
        low, high = (tried, high) if more is None else (low, tried)
        if not high:
            if low >= MOST:
                return low
            tried = 2 * low
            continue
        tried = (low + high) // 2
        if more is not None and not halve:
            tried = min(max(high * limit // more, low + 1), max(high - 1, low + 1))
        halve = not halve
    return low


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 10 else f"{seconds:.1f} s"
