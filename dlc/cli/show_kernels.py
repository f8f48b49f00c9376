"""`dlc show --kernels`: every launch in order, with the text of its kernels once."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.cli.paper import flops, lines_of, paint, plural, python, shorten, size, width
from dlc.cli.show import totals
from dlc.program import Entry, Launch, Program, Segment


def kernels(program: Program, entries: Sequence[Entry]) -> None:
    """Print the launches of `entries`; a kernel that was printed is named by its launch."""
    shown: dict[int, str] = {}
    for entry in entries:
        for number, launch in enumerate(entry.flat):
            place = f"{number + 1}" if len(entries) == 1 else f"{entry.name} {number + 1}"
            print()
            print(headline(place, len(entry.flat), launch))
            for depth, stage in enumerate(launch.stages):
                print(stage_line(program, launch, depth, stage, shown))
            new = [s.kernel for stage in launch.stages for s in stage if s.kernel not in shown]
            for kernel in dict.fromkeys(new):
                shown[kernel] = place
                print()
                python(program.kernels[kernel].text.strip("\n"))
    print()
    for entry in entries:
        print(f"{entry.name}: {totals(program, entry)}")


def headline(place: str, count: int, launch: Launch) -> str:
    """`launch 4/26  conv_tanh  models/lenet.py:9  15.7 Mflop  1.3 MiB`, with a rule to the edge."""
    left = f"── {place}/{count} {launch.name} "
    right = f" {flops(launch.flops)}, {size(launch.bytes)}"
    places = shorten(lines_of(launch.lines), max(width() - len(left) - len(right) - 2, 20))
    rule = "─" * max(width() - len(left) - len(places) - len(right) - 1, 1)
    return paint(left, "bold") + paint(places, "cyan") + " " + paint(rule, "dim") + right


def stage_line(program: Program, launch: Launch, depth: int, stage: tuple[Segment, ...],
               shown: dict[int, str]) -> str:
    """What runs side by side, and whether all threads meet before it."""
    parts = []
    for segment in stage:
        name = program.kernels[segment.kernel].name
        seen = f" (see {shown[segment.kernel]})" if segment.kernel in shown else ""
        parts.append(f"{name} in {plural(segment.chunks, 'chunk')}{seen}")
    waits = depth > 0 or launch.barrier
    return f"   {'barrier, ' if waits else ''}{' beside '.join(parts)}"
