"""dlc's own side of the benchmark: a loaded Program as a Network, on one batch of random data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.ir.types import Type
from dlc.program import Entry, Port, Program
from dlc.runtime.bench.systems import BenchError
from dlc.runtime.bench.worker import Network
from dlc.runtime.steps import Phase
from dlc.runtime.train.alternation import batch_size, find_phases, fixed_inputs

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram

Array = np.ndarray[Any, Any]
TABLES = ("word", "place")  # rows of embeddings, which stand alike in all libraries


def network(
    loaded: ArenaProgram, initial: Mapping[str, Array], inputs: Sequence[Array] | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> Network:
    """`loaded`, its persistent values set to `initial`, as a network to measure.

    `inputs` are one batch for its data inputs, in their order; without them floats uniform in
    [0, 1), integers 0 and 1, which are legal labels and indices everywhere. `fixed` are the values
    of inputs that are neither data, step nor seed.
    """
    for name, value in initial.items():
        loaded.write(name, value)
    program = loaded.program
    phases = find_phases(program)
    entry = program.entries[phases[0].entry]
    return Network(
        steps=stepper(loaded, entry, batch_of(entry, inputs), fixed or {}),
        parameters=sum(type_.size for type_ in parameters_of(program)),
        batch=batch_size(entry),
        version=version(program),
        launches=costs(entry),
    )


def predicting(loaded: ArenaProgram, call: Callable[..., Array], initial: Mapping[str, Array],
               inputs: Sequence[Array] | None = None) -> Network:
    """`call`, which runs the first entry of `loaded`, as a network to measure: of the first of
    `inputs`, or of random numbers, each time from Python."""
    for name, value in initial.items():
        loaded.write(name, value)
    program = loaded.program
    entry = next(iter(program.entries.values()))
    fed = batch_of(entry, inputs and inputs[:1])

    def steps(count: int) -> float:
        for _ in range(count):
            found = call(**fed)
        return float(np.abs(found).mean())

    return Network(steps, sum(type_.size for type_ in parameters_of(program)), batch_size(entry),
                   version(program), costs(entry))


def parameters_of(program: Program) -> list[Type]:
    """The types of what is trained."""
    return [port.type for port in program.persistent if port.role == "param"]


def costs(entry: Entry) -> tuple[tuple[int, int], ...]:
    """(flops, bytes) of each launch, all its runs together."""
    return tuple((launch.flops * runs, launch.bytes * runs)
                 for launch, runs in zip(entry.flat, entry.runs, strict=True))


def started(types: Mapping[str, Type], parameters: Iterable[Array]) -> dict[str, Array]:
    """What `parameters`, a peer's in its order and layout, are by name in dlc, of these `types`.

    Raises BenchError where one has another shape, ValueError where there are more or fewer.
    """
    values = {}
    for (name, type_), value in zip(types.items(), parameters, strict=True):
        values[name] = turned(name, value)
        shape = tuple(map(int, type_.shape))
        if values[name].shape != shape:
            raise BenchError(f"{name} is {list(shape)} in dlc, and its peer "
                             f"{list(values[name].shape)}")
    return values


def turned(name: str, value: Array) -> Array:
    """A parameter as the other library has it: matrices are [in, out] here, [out, in] there."""
    return value if value.ndim != 2 or name in TABLES else np.ascontiguousarray(value.T)


def stepper(loaded: ArenaProgram, entry: Entry, feeds: Mapping[str, Array],
            fixed: Mapping[str, Any]) -> Callable[[int], float]:
    """`steps(n)`: n steps of `entry` in one native call; returns the loss of the last."""
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


def batch_of(entry: Entry, inputs: Sequence[Array] | None) -> dict[str, Array]:
    """One batch by the names of the data inputs: `inputs`, or random numbers."""
    ports = [port for port in entry.inputs if port.role == "data"]
    rng = np.random.default_rng(0)
    values = [random_batch(port, rng) for port in ports] if inputs is None else inputs
    return {port.name: value.astype(port.type.dtype.numpy, copy=False)
            for port, value in zip(ports, values, strict=True)}


def random_batch(port: Port, rng: np.random.Generator) -> Array:
    """One batch for a data input of a network that no peer has."""
    shape = tuple(int(d) for d in port.type.shape)
    return rng.random(shape) if port.type.dtype.is_float else rng.integers(0, 2, shape)


def version(program: Program) -> str:
    """What was measured: the program's format and instruction set."""
    return f"format {program.format}, {program.isa or program.target}"
