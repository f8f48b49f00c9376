"""A system for the benchmark's tests: steps of a stated time, in a process like a peer's."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any

# by its path, as a peer's process takes it: an import of dlc would be most of this one's time
FILE = Path(__file__).resolve().parents[3] / "runtime" / "bench" / "worker.py"
SPEC: Any = importlib.util.spec_from_file_location("worker", FILE)
WORKER = sys.modules["worker"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(WORKER)


def build() -> Any:
    """A network of stated size whose step takes the milliseconds named first on the command line.

    The first step takes 0.3 s longer when the cache folder is empty, as a compiler's would.
    """
    milliseconds, parameters = float(sys.argv[1]), int(sys.argv[2])
    stamp = Path(os.environ["CLOCKWORK_CACHE"]) / "compiled"
    if not stamp.exists():
        time.sleep(0.3)
        with stamp.open("a") as file:
            file.write("once\n")
    print("noise on standard output that is not an answer")
    total = 0

    def steps(count: int) -> float:
        nonlocal total
        total += count
        time.sleep(milliseconds * count / 1e3)
        return 1.0 / total

    batch = int(sys.argv[sys.argv.index("--batch") + 1])
    launches = ((4_000_000, 1_000), (10, 2_000_000))
    return WORKER.Network(steps, parameters, batch, "1.0", launches)


if __name__ == "__main__":
    if sys.argv[1] == "fails":
        raise ValueError("clockwork is broken")
    WORKER.serve(build)
