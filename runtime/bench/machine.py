"""What this machine can do: measured peak of f32 multiply-adds, and measured memory bandwidth."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from dlc.runtime.compile.link import Linked

TRIAD_FLOATS = 2**24  # 64 MiB an array: larger than the caches of one core's share
PACKAGES = ("numpy", "numba", "llvmlite", "torch", "jax")


def fma_loop(width: int, chains: int) -> str:
    """LLVM IR: `chains` independent multiply-adds of `width` floats, `rounds` times.

    peak(rounds) -> sum of all lanes of the first chain, so that nothing can be left out.
    """
    vector = f"<{width} x float>"
    fma = f"@llvm.fma.v{width}f32"
    zero = f"{vector} zeroinitializer"

    def splat(name: str, value: float) -> list[str]:
        return [f"  %{name}0 = insertelement {zero}, float {value:.1f}, i32 0",
                f"  %{name} = shufflevector {vector} %{name}0, {zero}, <{width} x i32> "
                "zeroinitializer"]

    # Each chain starts at another value, so that no two of them can be merged into one.
    starts = [line for c in range(chains) for line in splat(f"s{c}.", c + 1)]
    phis = [f"  %a{c} = phi {vector} [ %s{c}., %entry ], [ %b{c}, %loop ]" for c in range(chains)]
    adds = [f"  %b{c} = call {vector} {fma}({vector} %a{c}, {vector} %half, {vector} %half)"
            for c in range(chains)]
    total = [f"  %t0 = fadd {vector} %b0, zeroinitializer"]
    total += [f"  %t{c} = fadd {vector} %t{c - 1}, %b{c}" for c in range(1, chains)]
    return "\n".join([
        f"declare {vector} {fma}({vector}, {vector}, {vector})",
        f"declare float @llvm.vector.reduce.fadd.v{width}f32(float, {vector})",
        "define float @peak(i64 %rounds) {",
        "entry:",
        *splat("half", 0.5),
        *starts,
        "  br label %loop",
        "loop:",
        "  %n = phi i64 [ 0, %entry ], [ %m, %loop ]",
        *phis,
        *adds,
        "  %m = add i64 %n, 1",
        "  %more = icmp slt i64 %m, %rounds",
        "  br i1 %more, label %loop, label %end",
        "end:",
        *total,
        f"  %r = call float @llvm.vector.reduce.fadd.v{width}f32(float 0.0, "
        f"{vector} %t{chains - 1})",
        "  ret float %r",
        "}",
    ])


TRIAD = """
define void @triad(ptr noalias %a, ptr noalias %b, ptr noalias %c, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %j, %loop ]
  %pa = getelementptr float, ptr %a, i64 %i
  %pb = getelementptr float, ptr %b, i64 %i
  %pc = getelementptr float, ptr %c, i64 %i
  %x = load <16 x float>, ptr %pb, align 64
  %y = load <16 x float>, ptr %pc, align 64
  %z = fadd <16 x float> %x, %y
  store <16 x float> %z, ptr %pa, align 64
  %j = add i64 %i, 16
  %more = icmp slt i64 %j, %n
  br i1 %more, label %loop, label %end
end:
  ret void
}
"""


def native(text: str, name: str, result: Any, *arguments: Any) -> Any:
    """Function `name` of LLVM IR `text`, for this CPU, as a Python callable without the GIL."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3,
        reloc="pic", codemodel="small")
    module = llvm.parse_assembly(text)
    module.verify()
    linked = Linked({name: machine.emit_object(module)})
    function: Any = ctypes.CFUNCTYPE(result, *arguments)(linked.addresses[name])
    function.linked = linked  # the code lives as long as the callable
    return function


def best_seconds(work: list[Callable[[], object]], repeat: int) -> float:
    """Least wall time, over `repeat` rounds, of running all of `work` at once, a thread each."""
    best = float("inf")
    for _ in range(repeat):
        gate = threading.Barrier(len(work) + 1)

        def run(job: Callable[[], object], gate: threading.Barrier = gate) -> None:
            gate.wait()
            job()

        threads = [threading.Thread(target=run, args=(job,)) for job in work]
        for thread in threads:
            thread.start()
        gate.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - start)
    return best


def has(feature: str) -> bool:
    """Whether this processor has what LLVM calls `feature`."""
    return bool(llvm.get_host_cpu_features().get(feature))


def peak_gflops(threads: int, isa: str = "") -> float:
    """Most f32 GFLOP/s that `threads` threads reach in registers; a multiply-add counts as two.

    In registers of 512 bits where there are some and `isa` does not say otherwise.
    """
    width, chains = (16, 24) if has("avx512f") and isa != "avx2" else (8, 12)
    peak = native(fma_loop(width, chains), "peak", ctypes.c_float, ctypes.c_int64)
    rounds = 2_000_000
    seconds = best_seconds([lambda: peak(rounds)] * threads, repeat=7)
    return 2 * width * chains * rounds * threads / seconds / 1e9


def bandwidth_gbs(threads: int) -> float:
    """Most GB/s of a = b + c over 64 MiB arrays: two reads and a write of every element."""
    pointer = ctypes.c_void_p
    triad = native(TRIAD, "triad", None, pointer, pointer, pointer, ctypes.c_int64)
    arrays = [aligned_floats(TRIAD_FLOATS) for _ in range(3)]
    share = TRIAD_FLOATS // threads // 16 * 16

    def part(thread: int) -> Callable[[], object]:
        places = [array.ctypes.data + thread * share * 4 for array in arrays]
        return lambda: triad(*places, share)

    seconds = best_seconds([part(thread) for thread in range(threads)], repeat=9)
    return 3 * 4 * share * threads / seconds / 1e9


def aligned_floats(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """`count` floats that start on a cache line, every page touched."""
    raw = np.ones(count + 16, np.float32)
    skip = -raw.ctypes.data % 64 // 4
    return raw[skip : skip + count]


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def installed_versions() -> dict[str, str]:
    """Versions of the packages that the figures depend on, where they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe(threads: int, isa: str = "") -> dict[str, Any]:
    """The `machine` part of a report.

    `load` is the mean number of running threads in the minute before: near 0 is good.
    """
    return {
        "cpu": cpu_name(),
        "llvm_cpu": llvm.get_host_cpu_name(),
        "cores": cores(),
        "threads": threads,
        "isa": isa,
        "peak_gflops": round(peak_gflops(threads, isa), 1),
        "bandwidth_gbs": round(bandwidth_gbs(threads), 1),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **installed_versions(),
    }


def line(found: dict[str, Any]) -> str:
    """What `describe` found, in words."""
    held = f", held to {found['isa']}" if found["isa"] else ""
    return (f"{found['cpu']}, {found['threads']} of {found['cores']} cores{held}: "
            f"{found['peak_gflops']} GFLOP/s and {found['bandwidth_gbs']} GB/s measured")


def measure_again(found: dict[str, Any]) -> None:
    """Raise the peak and the bandwidth in `found` to what the machine reaches now, if that is more.

    A neighbour on a shared machine can take half of either for seconds; the most of several
    moments is nearest to what the machine can do.
    """
    threads = found["threads"]
    for name, now in (("peak_gflops", peak_gflops(threads, found["isa"])),
                      ("bandwidth_gbs", bandwidth_gbs(threads))):
        found[name] = max(found[name], round(now, 1))
