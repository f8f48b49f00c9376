"""The systems that `dlc bench` compares, what each is asked to do, and why one may be missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
ONNX_FILE = "model.onnx"
# the networks of models/peers.py, which all peers have, and their batch
BATCH = {"mlp": 128, "lenet": 128, "vae": 128, "lstm": 32, "gru": 32, "gpt": 8, "vgg": 32,
         "resnet18": 32}
# What holds every system to an instruction set. MKL has no such word for AVX-512.
HELD = {
    "": {},
    "avx512": {"DLC_CPU": "avx512"},
    "avx2": {"DLC_CPU": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
             "MKL_ENABLE_INSTRUCTIONS": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
}
FEATURE = {"avx512": "avx512f", "avx2": "avx2"}  # LLVM's name of what each needs


class BenchError(RuntimeError):
    """A benchmark that can't be run as asked, or a worker that failed."""


@dataclass(frozen=True)
class Work:
    """What a step is: of training, on the batch of BATCH, or one prediction, on `batch` rows."""

    predict: bool = False
    batch: int = 0

    def size(self, model: str) -> int:
        """Rows of a step; 0 leaves them to a model that peers don't have."""
        return self.batch or BATCH.get(model, 0)

    def arguments(self, model: str, threads: int) -> list[str]:
        """What follows a system's command."""
        return [model, "--threads", str(threads), "--batch", str(self.size(model)),
                *(["--predict"] if self.predict else [])]

    def title(self, model: str) -> str:
        """What the report calls it."""
        return f"{model}, batch {self.size(model)}" if self.predict else model


TRAINING = Work()


@dataclass(frozen=True)
class System:
    """One row of the report. `family` is what --against calls it.

    `command` precedes `MODEL --threads N --batch B [--predict]`; `cache` gives the variables that
    put the system's compile cache into a folder; `missing` is why it can't run here, or "". One
    that only predicts reads `model_file`, which dlc exports into that folder.
    """

    name: str
    family: str
    command: tuple[str, ...]
    cache: Callable[[Path], dict[str, str]]
    missing: Callable[[], str]
    model_file: str = ""


def dlc_cache(folder: Path) -> dict[str, str]:
    """Compiled objects and programs of dlc."""
    return {"DLC_CACHE": str(folder)}


def torch_cache(folder: Path) -> dict[str, str]:
    """What torch.compile's inductor keeps."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(folder), "TRITON_CACHE_DIR": str(folder / "triton")}


def jax_cache(folder: Path) -> dict[str, str]:
    """JAX's persistent compilation cache, which is off unless a folder is named."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


def onnx_file(folder: Path) -> dict[str, str]:
    """ONNX Runtime keeps nothing that it compiled; this is the model that it reads."""
    return {"DLC_BENCH_ONNX": str(folder / ONNX_FILE)}


def never_missing() -> str:
    """dlc itself is here."""
    return ""


def package_missing(package: str) -> str:
    """Why `package` can't be imported by this interpreter, or ""."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed (pip install 'dlc[conformance]')"
    return ""


def torch_compile_missing() -> str:
    """torch.compile needs a C++ compiler on the CPU."""
    compilers = [os.environ.get("CXX", ""), "g++", "c++", "clang++"]
    if not any(name and shutil.which(name) for name in compilers):
        return "torch.compile needs a C++ compiler, and none is here (g++, clang++ or CXX)"
    return package_missing("torch")


def all_systems() -> tuple[System, ...]:
    """Ours first, then the peers."""
    peer = (sys.executable, "-P", str(WORKER))
    own = (sys.executable, "-m", "dlc", "bench-worker")
    return (
        System("dlc", "dlc", own, dlc_cache, never_missing),
        System("torch-eager", "torch", (*peer, "torch-eager"), torch_cache,
               lambda: package_missing("torch")),
        System("torch-compile", "torch", (*peer, "torch-compile"), torch_cache,
               torch_compile_missing),
        System("jax", "jax", (*peer, "jax"), jax_cache, lambda: package_missing("jax")),
        System("onnxruntime", "onnx", (*peer, "onnxruntime"), onnx_file,
               lambda: package_missing("onnxruntime"), ONNX_FILE),
    )


def select(
    against: Sequence[str], systems: Sequence[System], predict: bool = False
) -> tuple[list[System], dict[str, str]]:
    """The systems to run, dlc first, and why each other one that was asked for is missing.

    Raises BenchError for a name in `against` that is not a family of peers, or does not train.
    """
    families = sorted({system.family for system in systems} - {"dlc"})
    for name in against:
        if name not in families:
            raise BenchError(f"--against {name}: no such peer; there are {', '.join(families)}")
    wanted = [system for system in systems if system.family in ("dlc", *against)]
    if idle := [] if predict else [s.family for s in wanted if s.model_file]:
        raise BenchError(f"--against {idle[0]}: it does not train; add --predict")
    missing = {system.name: why for system in wanted if (why := system.missing())}
    return [system for system in wanted if system.name not in missing], missing
