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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from dlc.ir.graph import Graph, Kind
from dlc.ir.registry import REGISTRY
from dlc.passes import PIPELINE
from dlc.passes.differentiate import differentiate
from tests.fuzzing.fired import BOXES, LOOPS, MEMORY, REDUCTIONS, SCHEMES, lacking, table
from tests.fuzzing.run import Drawn, Setting, check, draw

EACH = 20  # programs compiled as the entries of one
ENOUGH, FULL = 20, 500  # how often each fact has to show in a run of so many programs
# values of a program at least: natively fewer, whose kernels take a tenth of a second each
STEPS = {"cpu": 4, "interpret": 5}
# largest values, by whether the limits are small and by device
SIZES = {(True, "cpu"): (300, 300, 600, 2000), (True, "interpret"): (200, 400, 800),
         (False, "cpu"): (300, 2000, 5000, 20000, 60000), (False, "interpret"): (200, 2000)}


# made by passes only, or by no function of the language
MADE = {"fused", "scatter_onto", "barrier", "item"}
DRAWN = sorted(n for n, op in REGISTRY.items() if op.kind is not Kind.LEAF and n not in MADE)


@dataclass
class Report:
    """What a share of the programs gave."""

    programs: int = 0
    sizes: list[int] = field(default_factory=list)  # operators of each program
    operators: Counter[str] = field(default_factory=Counter)  # programs that hold each
    fired: Counter[str] = field(default_factory=Counter)  # launches that show each fact
    wrong: dict[int, list[str]] = field(default_factory=dict)
    seconds: Counter[str] = field(default_factory=Counter)

    def add(self, other: Report) -> None:
        """Take in what another share gave."""
        self.programs += other.programs
        self.sizes += other.sizes
        self.operators += other.operators
        self.fired += other.fired
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
        report.operators.update({*names, *operators(differentiate(d.graph))})
    report.programs, began = len(drawn), time.perf_counter()
    report.wrong, report.fired = check(drawn, setting)
    report.seconds["check"] = time.perf_counter() - began  # type: ignore[assignment]
    return report


Share = Callable[[Sequence[int], Setting], Report]


def fuzz(seeds: Iterable[int], setting: Setting, jobs: int = 1, work: Share = share,
         first: bool = False) -> Report:
    """All programs of `seeds`, in `jobs` processes: one that dies takes no other program with it.

    With `first` it ends after the share in which a wrong program is found.
    """
    seeds = list(seeds)
    shares = [seeds[i:i + EACH] for i in range(0, len(seeds), EACH)]
    total = Report()
    while shares and not (first and total.wrong):
        now, shares = (shares[:jobs], shares[jobs:]) if first else (shares, [])
        failed = _pooled(now, setting, jobs, total, work)
        # some of these ran while another one died, so each is tried alone
        for seed in (s for each in failed[:jobs] for s in each):
            if _pooled([[seed]], setting, 1, total, work):
                total.programs += 1
                total.wrong[seed] = ["the process died"]
        shares = failed[jobs:] + shares
    return total


def _pooled(shares: list[list[int]], setting: Setting, jobs: int, total: Report,
            work: Share) -> list[list[int]]:
    """Run shares; gives those that are left when a process dies, the started ones first."""
    context = multiprocessing.get_context("spawn")
    left = list(shares)
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {pool.submit(work, seeds, setting): seeds for seeds in shares}
        for done in as_completed(running):
            try:
                report = done.result()
            except BrokenProcessPool:
                continue
            total.add(report)
            left.remove(running[done])
            for seed, problems in report.wrong.items():
                print(f"WRONG seed {seed}:", *problems, sep="\n    ", flush=True)
    return left


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a program is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--isa", default="", help="avx512, avx2, neon or scalar")
    parser.add_argument("--device", default="cpu", choices=("cpu", "interpret"))
    parser.add_argument("--limits", default="small", choices=("small", "real"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--steps", type=int, default=0, help="values of a program, at least")
    parser.add_argument("--first", action="store_true", help="end at the first wrong one")
    given = parser.parse_args(arguments)
    small = given.limits == "small"
    steps = given.steps or STEPS[given.device]
    setting = Setting(given.device, given.isa, small, steps, SIZES[small, given.device])
    began = time.perf_counter()
    report = fuzz(range(given.seed, given.seed + given.count), setting, given.jobs,
                  first=given.first)
    tell(report, time.perf_counter() - began, given)
    tell_smallest(report, setting)
    rare = too_rare(report)
    print("too rare:", ", ".join(rare) or "none")
    return 1 if report.wrong or (rare and report.programs >= FULL) else 0


def too_rare(report: Report) -> list[str]:
    """Schemes, boxes, tails, kinds of loops, uses of memory, passes and operators that showed too
    seldom for a run of so many programs. Packings have a generator of their own
    (tests/fuzzing/contractions.py)."""
    least = max(1, ENOUGH * report.programs // FULL)
    passes = [step.__name__ for step in PIPELINE]
    facts = (*SCHEMES, *BOXES, *LOOPS, *REDUCTIONS, *MEMORY, *passes)
    return lacking(report.fired, facts, least) + lacking(
        report.operators, DRAWN, least)


def tell(report: Report, seconds: float, given: argparse.Namespace) -> None:
    """Print counts, the histogram and what is wrong."""
    sizes = sorted(report.sizes) or [0]
    print(f"{report.programs} programs from seed {given.seed} on {given.device} {given.isa}: "
          f"{len(report.wrong)} wrong; {sizes[len(sizes) // 2]} operators in the median program, "
          f"{len(report.operators)} different; {seconds:.0f} s "
          + ", ".join(f"{k} {v:.0f}" for k, v in report.seconds.items()))
    print("programs with each operator: " + ", ".join(
        f"{name} {count}" for name, count in report.operators.most_common()))
    print("what the compiler did:", table(report.fired), sep="\n")
    print("wrong:", ", ".join(map(str, sorted(report.wrong))) or "none", flush=True)


def tell_smallest(report: Report, setting: Setting, most: int = 5) -> None:
    """Print the first wrong programs made smaller, those that leave the process alive."""
    from tests.fuzzing.reducing import Case, as_text, failing, reduced, signature

    setting.apply()
    alive = {s: p for s, p in sorted(report.wrong.items()) if p != ["the process died"]}
    for seed, problems in list(alive.items())[:most]:
        drawn = draw(seed, setting)
        case = Case(drawn.graph, drawn.arrays)
        print(as_text(reduced(case, failing(setting, signature(problems))), setting, seed))


if __name__ == "__main__":
    sys.exit(main())
