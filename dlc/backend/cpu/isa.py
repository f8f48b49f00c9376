"""Instruction sets as kernels see them: register width and count, tile block sizes."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.backend.cpu.limits import DEFAULT, Limits
from dlc.ir.types import DType


@dataclass(frozen=True)
class Isa:
    """An instruction set: bytes of a vector register, and how many registers there are.

    `features` are LLVM's names of the CPU features that it needs; the baseline needs none.
    `limits` are the sizes at which its kernels change their scheme: a run of a sum is eight
    to sixteen additions for each of its lanes, four vectors of them, or without AVX two.
    """

    name: str
    bytes: int
    registers: int
    features: tuple[str, ...] = ()
    limits: Limits = DEFAULT

    def lanes(self, kind: DType) -> int:
        """Elements of `kind` in one vector register."""
        return self.bytes // kind.bytes


# from the widest to the baseline of every 64-bit machine: the order in which `isa_of` looks
ISAS = {i.name: i for i in (
    Isa("avx512", 64, 32, ("avx512f", "avx512bw", "avx512dq", "avx512vl")),
    Isa("avx2", 32, 16, ("avx2", "fma")), Isa("neon", 16, 32, ("neon",), Limits(run=128)),
    # what every 64-bit machine has: tiles still use vectors of 16 bytes, loops what LLVM finds
    Isa("scalar", 16, 16, limits=Limits(run=128)))}


def isa_of(features: dict[str, bool]) -> Isa:
    """The widest instruction set among LLVM's host CPU `features`."""
    return next(i for i in ISAS.values() if all(features.get(f) for f in i.features))


def gemm_block(isa: Isa, kind: DType) -> tuple[int, int]:
    """(rows, columns) of the gemm tile: two vectors of columns, and rows to fill the registers.

    Two registers hold the row of B and two the broadcasts of A in flight.
    """
    return (isa.registers - 4) // 2, 2 * isa.lanes(kind)
