"""A program on every instruction set: natively on those of this machine, interpreted on the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import dlc
from dlc.runtime.compile.isa import machine_isa

WIDTHS = {"neon": ("scalar", "neon"), "avx512": ("scalar", "avx2", "avx512"),
          "avx2": ("scalar", "avx2"), "scalar": ("scalar",)}
NATIVE = WIDTHS[machine_isa()]
# (instruction set, device); the widest one of this machine is interpreted too
RUNS = [*((isa, "cpu") for isa in NATIVE), (NATIVE[-1], "interpret"),
        *((isa, "interpret") for isa in ("scalar", "avx2", "avx512", "neon") if isa not in NATIVE)]


@contextmanager
def generated_for(isa: str) -> Iterator[None]:
    """What is compiled inside is for `isa`."""
    with mock.patch.dict(os.environ, DLC_CPU=isa):
        yield


def loaded(thing: Any, isa: str, device: str, **options: Any) -> Any:
    """`thing`, compiled for `isa`, on `device`."""
    with generated_for(isa):
        return dlc.compile(thing, **options).load(device)


def on_every_instruction_set(thing: Any, *arrays: Any) -> Iterator[tuple[str, Any]]:
    """(which, results) of `thing` on each of RUNS."""
    for isa, device in RUNS:
        with loaded(thing, isa, device) as program:
            yield f"{isa} {device}", program(*arrays)
