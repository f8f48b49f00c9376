"""A profiled step: what each launch takes, and the ceilings of the machine that it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.inspector.gather import inspect
from dlc.inspector.record import Inspection
from dlc.ir.graph import Graph, Node
from dlc.ir.types import Type, f32
from dlc.ops.leaf import input_
from dlc.passes.check import random_value
from dlc.task.task import Task

if TYPE_CHECKING:
    from dlc.compiler import Compiled

REPEAT = 20  # runs of which the median counts
ROUNDS = 3  # of both measurements in turn; of each the least counts
SQUARE, LONG = 384, 1 << 23  # the product and the copy that measure the ceilings ...
BEST = 40  # ... as the best of so many runs: short ones, which little interrupts


@dataclass(frozen=True)
class Profile:
    """Seconds of each launch of each entry; `plain` are those of whole steps without a clock in
    them, `machine` what this machine does at best: flops and bytes a second, and its threads."""

    seconds: Mapping[str, tuple[float, ...]]
    plain: Mapping[str, float]
    machine: Mapping[str, float]


def profile(compiled: Compiled, thing: Any = None, repeat: int = REPEAT) -> Profile:
    """Time the training steps (of what is not trained, all entries) on the data that the task names
    where they are at hand, else on random numbers. `thing` is what was compiled."""
    with compiled.load() as loaded:
        running = loaded.running
        kept = {port.name: running.read(port.name) for port in compiled.program.persistent}
        seconds, plain = {}, {}
        for entry in entries_of(compiled):
            given = inputs_of(compiled, entry, thing)
            rounds = [once(running, entry, given, repeat) for _ in range(ROUNDS)]
            plain[entry] = min(whole for whole, _ in rounds)
            seconds[entry] = min((apart for _, apart in rounds), key=sum)
            for name, value in kept.items():
                running.write(name, value)
        return Profile(seconds, plain, ceilings() | {"threads": float(running.threads)})


def profiled(compiled: Compiled, thing: Any = None, assembly: Sequence[str] = ()) -> Inspection:
    """The Inspection of a program with what a step takes."""
    found = profile(compiled, thing)
    return inspect(compiled, found.seconds, found.machine, assembly)


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
         ) -> tuple[float, tuple[float, ...]]:
    """(seconds of a step without a clock between its launches, those of each launch)."""
    found = []
    for apart in (False, True):
        for label, array in given.items():
            running.write(label, array, entry)
        found.append(tuple(running.profile(entry, repeat, apart)))
    return found[0][0], found[1]


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
            (took,) = running.profile("main", BEST, apart=False)
        launches = compiled.program.entries["main"].flat
        work = sum(x.flops if name == "flops" else x.bytes for x in launches)
        found[name] = work / max(took, 1e-9)
    return found
