"""Random contractions of every scheme through the whole compiler, held to what rounding explains.

    python -m tests.fuzzing.contractions --count 2000 --seed 1 --isa avx2

Many configurations become the entries of one Program, whose limits are drawn with them. A run
fails for a wrong result, and when a scheme, box, tail or split fired too rarely to mean anything:
20 times in 2,000 configurations, in proportion below. `--only 17` runs the one configuration that a
failure names, alone at the limits of its Program. `--usual` takes the compiler's own limits, and
sizes on both sides of these.

Kernels run in a child process: one that crashes is a wrong result like any other, and the run goes
on behind it.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dlc import runtime
from dlc.backend.cpu.limits import DEFAULT, Limits
from dlc.ir.graph import Graph
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse.limits import DEFAULT as USUAL
from dlc.passes.fuse.limits import FusionLimits
from dlc.program import Program
from dlc.reference.rounding import Interval, enclose, outside
from tests.fuzzing import fired
from tests.fuzzing.building import SMALL, SMALL_FUSION, build
from tests.fuzzing.draw_contractions import Configuration, configuration, pick
from tests.instruction_sets import NATIVE

EACH = 40  # configurations of one Program
PRODUCTS, MANY = 4000, 300_000  # of one configuration at small limits, at the usual ones
ENOUGH = 20 / 2000  # how often each fact has to fire, for each configuration


@dataclass(frozen=True)
class Setting:
    """What a run draws and for which instruction set; `usual`: at the compiler's own limits.
    What this machine cannot run is interpreted, and everything where `interpret` says so."""

    seed: int
    isa: str
    usual: bool = False
    interpret: bool = False

    @property
    def device(self) -> str:
        return "interpret" if self.interpret or self.isa not in NATIVE else "cpu"

    def drawn(self, number: int) -> Configuration:
        """Configuration `number`."""
        return configuration(self.seed, number, MANY if self.usual else PRODUCTS)

    def limits(self, block: int) -> tuple[Limits, FusionLimits]:
        """Those of Program `block`."""
        return (DEFAULT, USUAL) if self.usual else (limits_of(self.seed, block), SMALL_FUSION)

    def __str__(self) -> str:
        more = ", usual limits" if self.usual else ""
        return f"seed {self.seed}, {self.isa} ({self.device}){more}"


@dataclass
class Outcome:
    """What a run found: texts of wrong results, and the histogram."""

    wrong: list[str] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)
    count: int = 0
    elements: int = 0  # of results
    free: int = 0  # of these, about which rounding lets nothing be said

    def add(self, other: Outcome) -> None:
        self.wrong += other.wrong
        self.fired += other.fired
        self.count += other.count
        self.elements += other.elements
        self.free += other.free

    def lacking(self) -> list[str]:
        """The facts that fired less often than they should have in so many configurations."""
        names = (*fired.CONTRACTIONS, *fired.LOOPS, *fired.MEMORY)
        return fired.lacking(self.fired, names, max(1, int(ENOUGH * self.count)))


def limits_of(seed: int, block: int) -> Limits:
    """The limits of a Program: around SMALL, so that each threshold has sizes on both sides."""
    rng = np.random.default_rng([seed, block, 1])
    return replace(
        SMALL, plain_products=pick(rng, (0, 20, 48)), chunks=pick(rng, (2, 4, 8)),
        columns=pick(rng, (8, 16, 32, 64)), local_bytes=pick(rng, (512, 2048, 8192, 32768)),
        split_sum=pick(rng, (24, 40, 90)), turned=pick(rng, (4, 5, 8, 24)),
        turned_rows=pick(rng, (3, 4, 16)), images=pick(rng, (1, 2, 3, 8)),
        waste=pick(rng, (12, 40, 200)), column=pick(rng, (2, 3, 4)),
        chunk_elements=pick(rng, (16, 64, 500)), unrolled=pick(rng, (1, 4, 16)))


def run(setting: Setting, numbers: Sequence[int]) -> Outcome:
    """Configurations `numbers`, Program by Program, in processes of their own."""
    whole, left = Outcome(), list(numbers)
    while left:
        found, at = run_child(setting, left)
        whole.add(found)
        left = left[found.count:]
        if left and at is None:
            raise RuntimeError(f"{setting}: no configuration of {left[:EACH]} was begun")
        if left:
            whole.add(Outcome([f"#{at} ended the process"], count=1))
            left = [n for n in left if n != at]
    return whole


def run_child(setting: Setting, numbers: Sequence[int]) -> tuple[Outcome, int | None]:
    """What a process found in the Programs that it finished, and the configuration in which it was
    last: it ended there if it finished less than all of them."""
    command = [sys.executable, "-m", "tests.fuzzing.contractions", "--seed", str(setting.seed),
               "--isa", setting.isa, "--numbers", ",".join(map(str, numbers)),
               *(["--usual"] if setting.usual else []),
               *(["--interpret"] if setting.interpret else [])]
    found, at = Outcome(), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, _, rest = line.partition(" ")
            if word == "at":
                at = int(rest)
            elif word == "done":
                told = Outcome(**json.loads(rest))
                told.fired = Counter(told.fired)
                found.add(told)
                print(f"{setting}: {found.count} of {len(numbers)} configurations, "
                      f"{len(found.wrong)} wrong", file=sys.stderr, flush=True)
    return found, at


def be_child(setting: Setting, numbers: Sequence[int]) -> None:
    """Run Program after Program and say so on standard output."""
    faulthandler.enable()
    for block, members in itertools.groupby(numbers, lambda n: n // EACH):
        done = run_block(setting, block, list(members))
        print("done", json.dumps(vars(done)), flush=True)


def run_block(setting: Setting, block: int, numbers: Sequence[int]) -> Outcome:
    """The configurations of one Program; where it cannot be made, each alone, to name the one."""
    made, limits = [setting.drawn(n) for n in numbers], setting.limits(block)
    try:
        running, program = loaded(made, limits, setting)
    except Exception as problem:
        if len(made) == 1:
            return Outcome([f"{made[0]}\n  {limits[0]}\n  {problem!r}"], count=1)
        alone = Outcome()
        for number in numbers:
            alone.add(run_block(setting, block, [number]))
        return alone
    found = Outcome(fired=fired.fired(program))
    for one in made:
        print("at", one.number, flush=True)
        found.add(check(running, program, one, limits[0]))
    running.close()
    return found


def loaded(made: Sequence[Configuration], limits: tuple[Limits, FusionLimits],
           setting: Setting) -> tuple[Any, Program]:
    """A Program of these configurations, ready to run."""
    graphs = {f"c{c.number}": c.graph() for c in made}
    program = build(graphs, setting.isa, *limits).program
    running: Any = runtime.load(program, setting.device, threads=2)
    return running, program


def check(running: Any, program: Program, made: Configuration, limits: Limits) -> Outcome:
    """One configuration: its results held to the intervals in which rounding leaves them."""
    arrays = made.arrays(np.random.default_rng([made.number, 2]))
    graph, found = made.graph(), Outcome(count=1)
    poison(running, program)
    try:
        got = results(running, graph, arrays)
    except Exception as problem:  # the interpreter refuses an index outside of a buffer
        found.wrong.append(f"{made}\n  {limits}\n  {problem!r}")
        return found
    given = dict(zip((i.attrs["label"] for i in graph.inputs), arrays, strict=True))
    wanted = enclose(differentiate(graph), given)
    for name, want in zip(graph.output_names, wanted, strict=True):
        found.elements, found.free = found.elements + want.mid.size, found.free + int(
            want.free.sum())
        problem = difference(got[name], want)
        if problem:
            found.wrong.append(f"{made}\n  {limits}\n  {name}: {problem}")
    return found


def results(running: Any, graph: Graph, arrays: Sequence[Any]) -> dict[str, Any]:
    """Results and updated parameters of the entry called as `graph` is."""
    for node, array in zip(graph.inputs, arrays, strict=True):
        kept = node.attrs["role"] == "param"
        running.write(node.attrs["label"], array, None if kept else graph.name)
    running.run(graph.name)
    return {n: running.read(n, None if n in graph.updates else graph.name)
            for n in graph.output_names}


def poison(running: Any, program: Program) -> None:
    """NaN, of any float dtype, in all of the arena but its constants: what no kernel has written
    and no input holds is not to be read."""
    running._arena[:] = 0xFF
    for constant in program.constants:
        place = running._bytes(constant.offset, len(constant.data))
        place[:] = np.frombuffer(constant.data, np.uint8)


def difference(got: Any, want: Interval) -> str:
    """Why `got` is not what it should be; "" when rounding explains all of it."""
    if got.shape != want.mid.shape:
        return f"shape {got.shape} instead of {want.mid.shape}"
    wrong = np.atleast_1d(outside(want, got))
    if not wrong.any():
        return ""
    at = tuple(int(i) for i in np.argwhere(wrong)[0]) if got.ndim else ()
    return (f"{int(wrong.sum())} of {wrong.size} wrong, first at {at}: {got[at]} instead of "
            f"{want.mid[at]}, between {want.low[at]} and {want.high[at]}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when nothing was wrong and everything was reached."""
    options = options_of(arguments)
    setting = Setting(options.seed, options.isa, options.usual, options.interpret)
    if options.numbers:
        be_child(setting, [int(n) for n in options.numbers.split(",")])
        return 0
    began = time.perf_counter()
    numbers = range(options.count) if options.only is None else [options.only]
    whole = run(setting, numbers)
    lacking = [] if options.only is not None or options.usual else whole.lacking()
    print(*(f"WRONG {text}" for text in whole.wrong), fired.table(whole.fired), sep="\n")
    print(f"{setting}: {whole.count} configurations, {len(whole.wrong)} wrong, {whole.elements} "
          f"elements of which {whole.free} free, {time.perf_counter() - began:.0f} s"
          + (f"; too rare: {', '.join(lacking)}" if lacking else ""))
    return 1 if whole.wrong or lacking else 0


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--isa", choices=("avx512", "avx2", "neon", "scalar"), default="avx2")
    parser.add_argument("--only", type=int, help="the one configuration of this number")
    parser.add_argument("--usual", action="store_true", help="the compiler's own limits")
    parser.add_argument("--interpret", action="store_true", help="kernels in plain Python")
    parser.add_argument("--numbers", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
