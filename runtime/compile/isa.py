"""Instruction sets by name: what LLVM is told to generate code for."""

from __future__ import annotations

import platform

import llvmlite.binding as llvm

FIXED = {"avx2": ("x86-64-v3", ""), "scalar": ("x86-64-v2", "")}


class IsaError(ValueError):
    """An instruction set that does not exist or that this machine lacks."""


def host_features() -> str:
    """LLVM's feature string of this machine; full-width vectors where AVX-512 is."""
    features = llvm.get_host_cpu_features()
    flags = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    return f"{flags},-prefer-256-bit" if features.get("avx512f") else flags


def machine_isa() -> str:
    """The widest instruction set of this machine: avx512, avx2, neon or scalar."""
    if platform.machine() in ("aarch64", "arm64"):
        return "neon"
    features = llvm.get_host_cpu_features()
    if all(features.get(f) for f in ("avx512f", "avx512bw", "avx512dq", "avx512vl")):
        return "avx512"
    return "avx2" if features.get("avx2") and features.get("fma") else "scalar"


def target_cpu(isa: str) -> tuple[str, str]:
    """(cpu name, features) for LLVM. Raises IsaError when this machine can't run `isa`."""
    own = machine_isa()
    if isa in ("", own) and own != "scalar":
        return llvm.get_host_cpu_name(), host_features()
    order = ("scalar", "avx2", "avx512") if own != "neon" else ("scalar", "neon")
    if isa in ("", "scalar"):
        return FIXED["scalar"] if own != "neon" else ("generic", "")
    if isa not in order or order.index(isa) > order.index(own):
        raise IsaError(f"this machine runs {', '.join(order[:order.index(own) + 1])}, not {isa!r}")
    return FIXED[isa]


def has_f16(isa: str) -> bool:
    """Whether `isa` converts f16 in hardware: F16C came with AVX2 at the latest."""
    return (isa or machine_isa()) != "scalar"
