"""The fuzzer: `python -m tests.fuzzing.programs --count N --seed S --isa avx2 --device cpu`.

Draws random programs, compiles many at a time, and holds every result against its bound. A worker
process does a share of the programs; one that dies (an overrun may end in a segmentation fault)
names the program it died of. A wrong program is run again alone, made smaller and printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from dlc.graph import Graph, Kind
from tests.fuzzing.run import Drawn, Setting, check, draw

EACH = 20  # programs compiled as the entries of one
SIZES = {"cpu": (300, 300, 2000, 2000, 20000), "interpret": (200,)}


@dataclass
class Report:
    """What a share of the programs gave."""

    programs: int = 0
    sizes: list[int] = field(default_factory=list)  # operators of each program
    operators: Counter[str] = field(default_factory=Counter)  # programs that hold each
    wrong: dict[int, list[str]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Take in what another share gave."""
        self.programs += other.programs
        self.sizes += other.sizes
        self.operators += other.operators
        self.wrong.update(other.wrong)
        self.seconds += other.seconds


def operators(graph: Graph) -> Iterator[str]:
    """The names of all operators of a graph and of the bodies in it, leaves left out."""
    for node in graph.nodes():
        if node.op.kind is not Kind.LEAF and node.op.name != "item":
            yield node.op.name
        for value in node.attrs.values():
            if isinstance(value, Graph):
                yield from operators(value)


def share(seeds: Sequence[int], setting: Setting) -> Report:
    """Draw and check the programs of some seeds."""
    setting.apply()
    report, began = Report(), time.perf_counter()
    drawn: list[Drawn] = [draw(seed, setting) for seed in seeds]
    report.seconds["draw"] = time.perf_counter() - began  # type: ignore[assignment]
    for d in drawn:
        names = list(operators(d.graph))
        report.sizes.append(len(names))
        report.operators.update(set(names))
    report.programs, began = len(drawn), time.perf_counter()
    report.wrong = check(drawn, setting)
    report.seconds["check"] = time.perf_counter() - began  # type: ignore[assignment]
    return report


def fuzz(seeds: Iterable[int], setting: Setting, jobs: int = 1) -> Report:
    """All programs of `seeds`, in processes of their own."""
    seeds = list(seeds)
    shares = [seeds[i:i + EACH] for i in range(0, len(seeds), EACH)]
    total = Report()
    while shares:
        shares = _round(shares, setting, jobs, total)
    return total


def _round(shares: list[list[int]], setting: Setting, jobs: int, total: Report) -> list[list[int]]:
    """Run shares; those that are left when a process dies, cut in two if they may be to blame."""
    context = multiprocessing.get_context("spawn")
    left = list(shares)
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {pool.submit(share, seeds, setting): seeds for seeds in shares}
        for done in as_completed(running):
            seeds = running[done]
            try:
                total.add(done.result())
                left.remove(seeds)
            except BrokenProcessPool:
                break
    return _blamed(left, setting, total)


def _blamed(left: list[list[int]], setting: Setting, total: Report) -> list[list[int]]:
    """Find the program that ends its process, among the first shares, one process each."""
    if not left:
        return []
    context = multiprocessing.get_context("spawn")
    for seeds in left[:4]:
        for seed in seeds:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                try:
                    total.add(pool.submit(share, [seed], setting).result())
                except BrokenProcessPool:
                    total.programs += 1
                    total.wrong[seed] = ["the process died"]
    return left[4:]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a program is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--isa", default="", help="avx512, avx2, neon or scalar")
    parser.add_argument("--device", default="cpu", choices=("cpu", "interpret"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args(arguments)
    setting = Setting(given.device, given.isa, given.steps, SIZES[given.device])
    began = time.perf_counter()
    report = fuzz(range(given.seed, given.seed + given.count), setting, given.jobs)
    tell(report, time.perf_counter() - began, given)
    return 1 if report.wrong else 0


def tell(report: Report, seconds: float, given: argparse.Namespace) -> None:
    """Print counts, the histogram and what is wrong."""
    sizes = sorted(report.sizes) or [0]
    print(f"{report.programs} programs from seed {given.seed} on {given.device} {given.isa}: "
          f"{len(report.wrong)} wrong; {sizes[len(sizes) // 2]} operators in the median program, "
          f"{len(report.operators)} different; {seconds:.0f} s "
          + ", ".join(f"{k} {v:.0f}" for k, v in report.seconds.items()))
    print("programs with each operator: " + ", ".join(
        f"{name} {count}" for name, count in report.operators.most_common()))
    for seed, problems in sorted(report.wrong.items()):
        print(f"WRONG seed {seed}:", *problems, sep="\n    ")


if __name__ == "__main__":
    sys.exit(main())
