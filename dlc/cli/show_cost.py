"""`dlc show --target cuda --cost`: launches by what they take at least on a device."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.backend.cuda.cost import Cost, Peak, costs, floor, has_branch, peaks
from dlc.cli.paper import paint
from dlc.inspector.units import flops, lines_of, plural, size
from dlc.program import Entry, Program

HEAD = f"{'floor':>10}{'%':>6}{'times':>7}{'flops':>13}{'bytes':>11}  {'bound by':11}launch"


def cost(program: Program, entries: Sequence[Entry], gpu: str) -> None:
    """Print the floor of each entry on every device, and its launches on that called `gpu`."""
    peak = peaks()[gpu]
    for entry in entries:
        print()
        every = costs(entry)
        runs, moved = sum(c.times for c in every), sum(c.times * c.launch.bytes for c in every)
        print(paint(f"{entry.name}: {plural(runs, 'launch')}, {size(moved)}", "bold"))
        for one in peaks().values():
            print(f"  {one.name}: {time_of(floor(entry.launches, one))} a step at least, "
                  f"{rates(one)}")
        if has_branch(entry.launches):
            print("  of a branch the floor counts the side that takes less; the table has both")
        table(program, every, peak)


def table(program: Program, every: Sequence[Cost], peak: Peak) -> None:
    """The launches, those with the highest floor first."""
    total = sum(c.seconds(peak) for c in every) or 1.0
    print(paint(f"  on {peak.name} ({peak.source}):", "dim"))
    print(paint(HEAD, "dim"))
    for c in sorted(every, key=lambda c: (-c.seconds(peak), c.number)):
        took, launch = c.seconds(peak), c.launch
        print(f"{time_of(took):>10}{100 * took / total:6.1f}{c.times:7}"
              f"{flops(c.times * launch.flops):>13}{size(c.times * launch.bytes):>11}  "
              f"{c.bound(peak):11}{c.number} {launch.name} ({shapes(program, c)})  "
              + paint(lines_of(launch.lines), "cyan"))


def shapes(program: Program, c: Cost) -> str:
    """How the kernels of a launch are started, stage by stage: blocks x threads."""
    from dlc.runtime.cuda.ptx import shape_of

    stages = []
    for stage in c.launch.stages:
        found = (shape_of(program.kernels[s.kernel], s.chunks) for s in stage)
        stages.append(", ".join(f"{shape.blocks} x {shape.threads}" for shape in found))
    return "; ".join(stages)


def rates(peak: Peak) -> str:
    """The peaks of a device in words."""
    return (f"{peak.bytes_per_second / 1e12:.3g} TB/s, "
            f"{peak.flops_per_second / 1e12:.3g} Tflop/s in f32")


def time_of(seconds: float) -> str:
    """Seconds as 3.40 ms, 1.20 us or 0.93 ns."""
    unit, scale = next(((u, k) for u, k in (("ms", 1e3), ("us", 1e6)) if k * seconds >= 1),
                       ("ns", 1e9))
    return f"{scale * seconds:.2f} {unit}"
