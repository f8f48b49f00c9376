"""A profiled step: what each launch takes, and the ceilings of the machine that it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.inspector.code import Code
from dlc.inspector.gather import inspect
from dlc.inspector.record import Inspection
from dlc.inspector.timeline import Timeline, timeline
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type, f32
from dlc.ops.leaf import input_
from dlc.passes.check import random_value
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.compiler import Compiled
    from dlc.runtime.cpu.tracing import TracedStep

REPEAT = 20  # runs of each round
ROUNDS = 3  # of both measurements in turn
SQUARE, LONG = 384, 1 << 23  # the product and the copy that measure the ceilings ...
BEST = 40  # ... as the best of so many runs: short ones, which little interrupts


@dataclass(frozen=True)
class Profile:
    """Seconds of each launch of each entry, which add up to a step; `plain` are those of whole
    steps without a clock in them, `cost` how much longer a step takes that is traced, `timelines`
    one step by thread; `machine` what this machine does at best: flops and bytes a second, and its
    threads."""

    seconds: Mapping[str, tuple[float, ...]]
    plain: Mapping[str, float]
    cost: Mapping[str, float]
    timelines: Mapping[str, Timeline]
    machine: Mapping[str, float]

    def inspection(self, compiled: Compiled, codes: Sequence[Code] = ()) -> Inspection:
        """What the program is made of, with what it takes."""
        return inspect(compiled, self.seconds, self.machine, codes, self.timelines)


def profile(compiled: Compiled, thing: Any = None, repeat: int = REPEAT) -> Profile:
    """Time the training steps (of what is not trained, all entries) on the data that the task names
    where they are at hand, else on random numbers. `thing` is what was compiled."""
    from dlc.runtime.cpu.tracing import seconds_of

    with compiled.load() as loaded:
        running = loaded.running
        kept = {port.name: running.read(port.name) for port in compiled.program.persistent}
        seconds, plain, cost, timelines = {}, {}, {}, {}
        for entry in entries_of(compiled):
            given = inputs_of(compiled, entry, thing)
            count = len(compiled.program.entries[entry].flat)
            rounds = [once(running, entry, given, repeat) for _ in range(ROUNDS)]
            plain[entry] = min(whole for whole, _ in rounds)
            cost[entry] = median(min(s.seconds for s in steps) / whole - 1
                                 for whole, steps in rounds)
            steps = [step for _, each in rounds for step in each]
            seconds[entry] = tuple(seconds_of(steps, count))
            timelines[entry] = timeline(min(steps, key=lambda s: s.seconds), running.threads)
            for name, value in kept.items():
                running.write(name, value)
        return Profile(seconds, plain, cost, timelines,
                       ceilings() | {"threads": float(running.threads)})


def profiled(compiled: Compiled, thing: Any = None, codes: Sequence[Code] = ()) -> Inspection:
    """The Inspection of a program with what a step takes."""
    return profile(compiled, thing).inspection(compiled, codes)


def entries_of(compiled: Compiled) -> list[str]:
    """The entries that are timed."""
    names = list(compiled.program.entries)
    return [n for n in names if n.partition(".")[0] == "train"] or names


def inputs_of(compiled: Compiled, entry: str, thing: Any) -> dict[str, Any]:
    """The entry's inputs: the first rows of the task's data, else random numbers."""
    rows = data_of(thing) if isinstance(thing, Task) else {}
    return {node.attrs["label"]: first_rows(rows.get(node.attrs["label"]), node, at)
            for at, node in enumerate(compiled.source.graphs[entry].inputs)
            if node.attrs["role"] not in ("param", "state")}


def first_rows(rows: Any, node: Node, salt: int) -> Any:
    """As many rows as the input has, again from the start where there are fewer."""
    if rows is None or not node.ndim or not len(rows):
        return random_value(node, salt)
    found = np.resize(rows, (int(node.shape[0]), *rows.shape[1:]))
    fits = found.shape == tuple(map(int, node.shape))
    return found.astype(node.dtype.numpy) if fits else random_value(node, salt)


def data_of(task: Task) -> Mapping[str, Any]:
    """The training data of a task that lie in memory."""
    from dlc.runtime.data import load_dataset

    if not task.data:
        return {}
    return load_dataset(task.data).train


def once(running: Any, entry: str, given: Mapping[str, Any], repeat: int,
         ) -> tuple[float, Sequence[TracedStep]]:
    """(seconds of the shortest step without a clock in it, steps by thread and launch)."""
    def ready() -> Any:
        for label, array in given.items():
            running.write(label, array, entry)
        return running

    return ready().shortest(entry, repeat), ready().trace(entry, repeat)


def product() -> Graph:
    """A matrix product that is all arithmetic."""
    a, b = (input_(name, Type(f32, (SQUARE, SQUARE)), "data") for name in "ab")
    return Graph("product", (a, b), (a @ b,), ("out",))


def doubled() -> Graph:
    """A sum that is all loads and stores."""
    x = input_("x", Type(f32, (LONG,)), "data")
    return Graph("doubled", (x,), (x + x,), ("out",))


def ceilings() -> dict[str, float]:
    """The most flops and bytes a second of dlc's own product and sum here, on all threads."""
    from dlc.compiler import compile

    found = {}
    for name, graph in (("flops", product()), ("bytes", doubled())):
        compiled = compile(graph)
        with compiled.load() as loaded:
            running = loaded.running
            for at, node in enumerate(compiled.source.graphs["main"].inputs):
                running.write(node.attrs["label"], random_value(node, at), "main")
            took = running.shortest("main", BEST)
        launches = compiled.program.entries["main"].flat
        work = sum(x.flops if name == "flops" else x.bytes for x in launches)
        found[name] = work / max(took, 1e-9)
    return found
