"""What ptxas made of each CUDA kernel: one line a kernel in figures.txt, found by a hash.

    HASH ARCHITECTURE REGISTERS STACK SPILLED SHARED NAME

A kernel whose hash stands there was compiled with these numbers and need not be compiled again.
`make cuda-check` writes the file anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dlc.runtime.cuda.machine_code import MachineCode

FILE = Path(__file__).parent / "figures.txt"


@dataclass(frozen=True)
class Figures:
    """Registers and bytes of a thread, bytes of shared memory of a block."""

    registers: int
    stack: int
    spilled: int
    shared: int


def figures_of(code: MachineCode) -> Figures:
    """The figures of a kernel's machine code."""
    return Figures(code.registers, code.stack, code.spilled, code.shared)


def read() -> dict[tuple[str, str], Figures]:
    """The kept figures by hash and architecture."""
    found = {}
    for line in FILE.read_text().splitlines() if FILE.exists() else ():
        key, architecture, *numbers = line.split()[:6]
        found[key, architecture] = Figures(*map(int, numbers))
    return found


def write(found: Mapping[tuple[str, str], Figures], names: Mapping[str, str]) -> None:
    """Keep figures; `names` are the kernels' by hash."""
    rows: Iterable[str] = (
        f"{key} {architecture} {f.registers} {f.stack} {f.spilled} {f.shared} {names[key]}"
        for (key, architecture), f in found.items())
    FILE.write_text("\n".join(sorted(rows)) + "\n")
