"""What an instruction set needs of a CPU: LLVM's names of features as bits of what cpuid gives."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.runtime.compile.isa import target_cpu

EAX, EBX, ECX, EDX = range(4)

# Features by where cpuid tells of them, as LLVM reads it (llvm/lib/TargetParser/Host.cpp, LLVM 22;
# Intel's manual volume 2, CPUID; AMD's volume 3, appendix E).
_PLACES: dict[tuple[int, int, int], dict[str, int]] = {
    (1, 0, EDX): {"cx8": 8, "cmov": 15, "mmx": 23, "fxsr": 24, "sse": 25, "sse2": 26},
    (1, 0, ECX): {"sse3": 0, "pclmul": 1, "ssse3": 9, "fma": 12, "cx16": 13, "sse4.1": 19,
                  "sse4.2": 20, "crc32": 20, "movbe": 22, "popcnt": 23, "aes": 25, "xsave": 27,
                  "avx": 28, "f16c": 29, "rdrnd": 30},
    (0x80000001, 0, ECX): {"sahf": 0, "lzcnt": 5, "sse4a": 6, "prfchw": 8, "xop": 11, "lwp": 15,
                           "fma4": 16, "tbm": 21, "mwaitx": 29},
    (0x80000001, 0, EDX): {"64bit": 29},
    (0x80000008, 0, EBX): {"clzero": 0, "rdpru": 4, "wbnoinvd": 9},
    (7, 0, EBX): {"fsgsbase": 0, "sgx": 2, "bmi": 3, "avx2": 5, "bmi2": 8, "invpcid": 10,
                  "rtm": 11, "avx512f": 16, "avx512dq": 17, "rdseed": 18, "adx": 19,
                  "avx512ifma": 21, "clflushopt": 23, "clwb": 24, "avx512cd": 28, "sha": 29,
                  "avx512bw": 30, "avx512vl": 31},
    (7, 0, ECX): {"avx512vbmi": 1, "pku": 4, "waitpkg": 5, "avx512vbmi2": 6, "shstk": 7,
                  "gfni": 8, "vaes": 9, "vpclmulqdq": 10, "avx512vnni": 11, "avx512bitalg": 12,
                  "avx512vpopcntdq": 14, "rdpid": 22, "kl": 23, "cldemote": 25, "movdiri": 27,
                  "movdir64b": 28, "enqcmd": 29},
    (7, 0, EDX): {"uintr": 5, "avx512vp2intersect": 8, "serialize": 14, "tsxldtrk": 16,
                  "pconfig": 18, "amx-bf16": 22, "avx512fp16": 23, "amx-tile": 24,
                  "amx-int8": 25},
    (7, 1, EAX): {"sha512": 0, "sm3": 1, "sm4": 2, "raoint": 3, "avxvnni": 4, "avx512bf16": 5,
                  "cmpccxadd": 7, "amx-fp16": 21, "hreset": 22, "avxifma": 23, "movrs": 31},
    (7, 1, EDX): {"avxvnniint8": 4, "avxneconvert": 5, "amx-complex": 8, "avxvnniint16": 10,
                  "prefetchi": 14, "usermsr": 15, "avx10.1": 19},
    (0xd, 1, EAX): {"xsaveopt": 0, "xsavec": 1, "xsaves": 3},
}
# Those that no code of a kernel can use: LLVM emits them for intrinsics of their own alone, which
# texts of kernels have not. A machine without them runs the library all the same.
_OF_SYSTEMS = frozenset((
    "64bit", "clflushopt", "clwb", "clzero", "cldemote", "enqcmd", "fsgsbase", "fxsr", "hreset",
    "invpcid", "kl", "lwp", "mwaitx", "pconfig", "pku", "prefetchi", "ptwrite", "rdpid", "rdpru",
    "rdrnd", "rdseed", "rtm", "serialize", "sgx", "sha", "sha512", "shstk", "sm3", "sm4", "aes",
    "tsxldtrk", "uintr", "usermsr", "waitpkg", "wbnoinvd", "widekl", "xsavec", "xsaveopt",
    "xsaves"))
# The levels of the x86-64 ABI that target_cpu names.
_LEVELS = {
    "x86-64-v2": ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"),
    "x86-64-v3": ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3", "avx", "avx2",
                  "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
}


class FeatureError(ValueError):
    """A feature that the library could not ask a machine for."""


@dataclass(frozen=True)
class Feature:
    """A bit of a word (eax, ebx, ecx, edx) that cpuid gives for a leaf."""

    name: str
    leaf: int
    subleaf: int
    word: int
    bit: int


FEATURES = {name: Feature(name, *place, bit)
            for place, bits in _PLACES.items() for name, bit in bits.items()}


def needed(isa: str) -> tuple[Feature, ...]:
    """What kernels for `isa` may use of a CPU, in the order of the names.

    Raises IsaError for a set that this machine has not, FeatureError for a feature without a place.
    """
    cpu, features = target_cpu(isa)
    names = _LEVELS.get(cpu) or [f[1:] for f in features.split(",") if f.startswith("+")]
    unknown = [n for n in names if n not in FEATURES and n not in _OF_SYSTEMS]
    if unknown:
        raise FeatureError(f"kernels for {isa} may use {unknown[0]}, which a library cannot ask a "
                           "machine for")
    return tuple(FEATURES[n] for n in sorted(names) if n not in _OF_SYSTEMS)
