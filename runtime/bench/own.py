"""dlc's own side of the benchmark: a loaded Program as a Network, on one batch of random data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.program import Entry, Port, Program
from dlc.runtime.bench.worker import Network
from dlc.runtime.steps import Phase
from dlc.runtime.train.alternation import batch_size, find_phases, fixed_inputs

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram

Array = np.ndarray[Any, Any]


def network(
    loaded: ArenaProgram, initial: Mapping[str, Array], fixed: Mapping[str, Any] | None = None
) -> Network:
    """`loaded`, its persistent values set to `initial`, as a network to measure.

    Data inputs are one batch: floats uniform in [0, 1), integers 0 and 1, which are legal labels
    and indices everywhere. `fixed` are the values of inputs that are neither data, step nor seed.
    """
    for name, value in initial.items():
        loaded.write(name, value)
    program = loaded.program
    phases = find_phases(program)
    entry = program.entries[phases[0].entry]
    return Network(
        steps=stepper(loaded, entry, fixed or {}),
        parameters=sum(port.type.size for port in program.persistent if port.role == "param"),
        batch=batch_size(entry),
        version=version(program),
        launches=tuple((launch.flops * runs, launch.bytes * runs)
                       for launch, runs in zip(entry.flat, entry.runs, strict=True)),
    )


def stepper(loaded: ArenaProgram, entry: Entry, fixed: Mapping[str, Any]) -> Callable[[int], float]:
    """`steps(n)`: n steps of `entry` in one native call; returns the loss of the last."""
    rng = np.random.default_rng(0)
    feeds = {port.name: batch_of(port, rng) for port in entry.inputs if port.role == "data"}
    rows = np.arange(batch_size(entry), dtype=np.int64)
    values = fixed_inputs(entry, fixed, seed=0)
    done = 0

    def steps(count: int) -> float:
        nonlocal done
        index = np.tile(rows, (count, 1))
        phase = Phase(entry.name, feeds=feeds, index=index, fixed=values)
        report = loaded.run_steps([phase], count, first_step=done)
        if report.reason != "done":
            raise ArithmeticError(f"{entry.name} stopped at step {report.steps}: {report.reason}")
        done += count
        return float(report.log[entry.name, "loss"][-1])

    return steps


def batch_of(port: Port, rng: np.random.Generator) -> Array:
    """One batch for a data input."""
    numpy_type = port.type.dtype.numpy
    shape = tuple(int(d) for d in port.type.shape)
    if port.type.dtype.is_float:
        return rng.random(shape).astype(numpy_type)
    return rng.integers(0, 2, shape).astype(numpy_type)


def version(program: Program) -> str:
    """What was measured: the program's format and instruction set."""
    return f"format {program.format}, {program.isa or program.target}"
