"""Prelude functions for the tests: compiled into loops over arrays, and run in plain Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from dlc.backend.cpu.prelude import PRELUDE_FUNCTIONS, prelude_text
from dlc.ir.types import DTYPES
from dlc.program import Kernel, Parameter, TileText
from dlc.runtime.compile.cache import Cache, kernel_key
from dlc.runtime.compile.link import Linked
from dlc.runtime.compile.lower import Toolchain
from dlc.runtime.compile.primitives import PRIMITIVES
from dlc.runtime.compile.workers import Job, Setup, objects

Arrays = tuple[np.ndarray, ...]


@cache
def toolchain(isa: str = "") -> Toolchain:
    return Toolchain(prelude_text(), {}, isa)


def assembly(chain: Toolchain, kernel: Kernel) -> str:
    """The assembly of `kernel`, in which tests look for instructions."""
    return str(chain.machine.emit_assembly(chain.optimized(kernel, "entry")))


def results(name: str) -> tuple[str, ...]:
    """The dtypes that the prelude function `name` returns."""
    found = PRELUDE_FUNCTIONS[name][1]
    return found if isinstance(found, tuple) else (found,)


def loop_kernel(name: str, repeat: bool = False) -> Kernel:
    """A kernel that applies the prelude function `name` to n elements, `repeats` times over."""
    operands, outputs = PRELUDE_FUNCTIONS[name][0], results(name)
    inputs = [f"x{i}" for i in range(len(operands))]
    targets = [f"y{i}" for i in range(len(outputs))]
    values = [f"v{i}" for i in range(len(outputs))]
    call = f"{', '.join(values)} = {name}({', '.join(f'{x}[i]' for x in inputs)})"
    stores = [f"{y}[i] = {v}" for y, v in zip(targets, values, strict=True)]
    counts = ["n", "repeats"] if repeat else ["n"]
    lines = ["for _ in range(repeats):"] if repeat else []
    indent = "    " * len(lines)
    lines += [f"{indent}for i in range(n):", *(f"{indent}    {s}" for s in (call, *stores))]
    head = f"def loop({', '.join([*inputs, *targets, *counts, 'chunk'])}):\n"
    pointers = zip((*inputs, *targets), (*operands, *outputs), strict=True)
    parameters = (*(Parameter(p, d, "pointer") for p, d in pointers),
                  *(Parameter(c, "i64", "scalar") for c in counts))
    return Kernel("loop", parameters, head + "".join(f"    {line}\n" for line in lines))


def linked(kernel: Kernel, isa: str = "",
           tiles: Mapping[str, TileText] | None = None) -> tuple[Linked, int]:
    """The object of `kernel`, compiled once for all processes of a run, and where it begins."""
    tiles = tiles or {}
    job = Job(kernel, kernel_key(kernel, prelude_text(), tiles, isa),
              Setup(prelude_text(), tuple(tiles.values()), isa))
    found = Linked(objects([job], Cache()))
    return found, found.addresses[job.symbol]


class Native:
    """A compiled kernel: called with arrays for its pointers and ints for its scalars."""

    def __init__(self, kernel: Kernel, isa: str = "") -> None:
        self.parameters = kernel.params
        self.linked, address = linked(kernel, isa)
        self.entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(address)

    def __call__(self, *values: Any) -> None:
        assert len(values) == len(self.parameters)
        for value, parameter in zip(values, self.parameters, strict=True):
            if parameter.kind == "pointer":
                assert value.flags.c_contiguous
                assert value.dtype == DTYPES[parameter.dtype].numpy
        slots = np.array([v if isinstance(v, int) else v.ctypes.data for v in values], np.int64)
        self.entry(slots.ctypes.data, 0)


@cache
def compiled(name: str, isa: str = "") -> Callable[..., Arrays]:
    """The prelude function `name` over one-dimensional arrays; returns its results as a tuple."""
    native, outputs = Native(loop_kernel(name), isa), results(name)

    def apply(*operands: np.ndarray) -> Arrays:
        n = len(operands[0])
        assert all(len(x) == n for x in operands)
        targets = tuple(np.empty(n, DTYPES[d].numpy) for d in outputs)
        native(*(np.ascontiguousarray(x) for x in operands), *targets, n)
        return targets
    return apply


@cache
def plain_namespace() -> dict[str, Any]:
    """The prelude executed in plain Python, over the primitives' plain bodies."""
    namespace: dict[str, Any] = {name: p.plain for name, p in PRIMITIVES.items()}
    exec(compile(prelude_text(), "<prelude>", "exec"), namespace)
    return namespace


def plain(name: str, *operands: np.ndarray) -> Arrays:
    """The prelude function `name` on each element in plain Python."""
    function, outputs = plain_namespace()[name], results(name)
    with np.errstate(all="ignore"):
        rows = [function(*row) for row in zip(*operands, strict=True)]
    columns = zip(*rows, strict=True) if len(outputs) > 1 else [rows]
    return tuple(np.array(c, DTYPES[d].numpy) for c, d in zip(columns, outputs, strict=True))
