"""Kernels with one number of their text changed: what goes wrong when they run, the checkers find.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.checks.kernels.program import check_segment, segments_of
from dlc.checks.kernels.segment import Verdict, case_of
from dlc.program import Kernel, Program, Segment
from dlc.runtime.compile.plain import Pointer
from dlc.runtime.reference.interpret import NUMPY, kernel_function


def program_of(function: Callable[..., Any], *types: Any) -> Program:
    return dlc.compile(dlc.trace(function, *types)).program


SMALL: dict[str, Callable[[], Program]] = {
    "matmul": lambda: program_of(lambda x, w: dlc.tanh(x @ w), f32[17, 5], f32[5, 9]),
    "conv": lambda: program_of(lambda x, w: dlc.conv(x, w, padding=1), f32[2, 3, 6, 5],
                               f32[4, 3, 3, 3]),
    "norm": lambda: program_of(lambda x: x - x.mean(0), f32[5, 7]),
    "pool": lambda: program_of(lambda x: dlc.max_pool(x, 2, stride=1), f32[2, 4, 5]),
    "gather": lambda: program_of(lambda x, i: dlc.take(x, i, 0), f32[6, 3], i32[4]),
    "pad": lambda: program_of(lambda x: dlc.pad(dlc.flip(x, 0), ((1, 2), (0, 3))), f32[4, 5]),
    "cumsum": lambda: program_of(lambda x: dlc.cumsum(x, 1), f32[3, 11]),
    "columns": lambda: program_of(lambda x: x.sum(0), f32[20, 300]),
}


@dataclass
class Log:
    """Elements that were read and written, and by which chunk."""

    chunk: int = 0
    wrote: dict[tuple[int, int], int] = field(default_factory=dict)
    read: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    met: bool = False


class Logged(np.ndarray[Any, Any]):
    """A parameter's array that tells a Log of its accesses."""

    log: Log
    number: int

    def __getitem__(self, key: Any) -> Any:
        for at in self.places(key):
            self.log.read.setdefault(at, set()).add(self.log.chunk)
            self.log.met |= self.log.wrote.get(at, self.log.chunk) != self.log.chunk
        return np.asarray(self)[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        for at in self.places(key):
            self.log.met |= self.log.wrote.setdefault(at, self.log.chunk) != self.log.chunk
            self.log.met |= bool(self.log.read.get(at, set()) - {self.log.chunk})
        super().__setitem__(key, value)

    def places(self, key: Any) -> list[tuple[int, int]]:
        places = range(*key.indices(len(self))) if isinstance(key, slice) else [int(key)]
        return [(self.number, at) for at in places]


def mutants(kernel: Kernel, rng: np.random.Generator, count: int) -> list[Kernel]:
    """The kernel with one whole number of its text made larger or smaller."""
    found = []
    for _ in range(count):
        tree = ast.parse(kernel.text)
        numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant)
                   and type(n.value) is int]
        if numbers:
            chosen = numbers[rng.integers(len(numbers))]
            value = int(str(chosen.value)) + int(rng.choice([-2, -1, 1, 2]))
            chosen.value = max(0, value)
            found.append(replace(kernel, text=ast.unparse(tree) + "\n"))
    return found


def goes_wrong(program: Program, kernel: Kernel, segment: Segment, extents: tuple[Any, ...],
               rng: np.random.Generator) -> bool:
    """Whether running the chunks on random values leaves a buffer, or chunks meet in one."""
    run = kernel_function(kernel, program.prelude, program.tiles)
    log, arguments = Log(), list[Any]()
    for parameter, extent, value in zip(kernel.params, extents, segment.args, strict=True):
        if parameter.kind == "pointer":
            array = rng.integers(-3, 9, extent).astype(NUMPY[parameter.dtype]).view(Logged)
            array.log, array.number = log, len(arguments)
            arguments.append(Pointer(array))
        else:
            arguments.append(value)
    try:
        for log.chunk in range(segment.chunks):
            run(*arguments, log.chunk)
    except (IndexError, ValueError, ZeroDivisionError):
        return True
    return log.met


@pytest.mark.swept(2)
@pytest.mark.parametrize("name", SMALL)
def test_what_goes_wrong_when_it_runs_is_found(name: str, rng: np.random.Generator) -> None:
    program, caught, quiet = SMALL[name](), 0, 0
    for _, _, segment, extents in segments_of(program):
        for kernel in mutants(program.kernels[segment.kernel], rng, 10):
            with np.errstate(all="ignore"):
                wrong = goes_wrong(program, kernel, segment, extents, rng)
            found = check_segment(case_of(kernel, program.tiles, extents, segment.args,
                                          segment.chunks))
            assert not wrong or found.wrong or found.undecided, kernel.text
            caught += wrong
            quiet += found == Verdict()
    assert caught
    assert quiet  # not everything is called wrong
