"""The backend tests on each instruction set but the machine's own, which `make test` takes.

    python tests/each_instruction_set.py [NAME ...]      prints one pytest run after the other

Sets that the machine has run natively; on the others programs are interpreted, which is some
thousand times slower, so they take the tests whose programs are small. DLC_CPU does not matter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dlc.backend.cpu.isa import ISAS
from dlc.checks.launches import device_of
from dlc.runtime.compile.isa import machine_isa

ROOT = Path(__file__).resolve().parent.parent
NATIVE = ("tests/backend/ir", "tests/backend/emit", "tests/backend/nest", "tests/backend/contract",
          "tests/backend/cpu/test_chunked.py", "tests/backend/cpu/test_limits.py",
          "tests/backend/cpu/test_mapping.py", "tests/backend/cpu/test_tiles.py",
          "tests/backend/cpu/test_prelude.py",
          "tests/regressions/test_backend.py", "tests/runtime/test_cpu_runs.py",
          "tests/runtime/test_control_runs.py", "tests/runtime/test_frontend.py",
          "tests/passes/test_supersteps.py", "tests/passes/test_sibling_products.py")
INTERPRETED = ("tests/backend/nest/test_loops.py", "tests/backend/emit/test_emit.py",
               "tests/backend/contract/test_in_place.py", "tests/backend/contract/test_residues.py",
               "tests/regressions/test_backend.py", "tests/regressions/test_shared_views.py",
               "tests/regressions/test_fusion_cycles.py", "tests/regressions/test_loops.py")


def run(isa: str) -> int:
    """One run of pytest; its exit status."""
    native = device_of(isa) == "cpu"
    print(f"\n-- {isa}, {'native' if native else 'interpreted'}", flush=True)
    own = {k: v for k, v in os.environ.items() if k != "DLC_CPU"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal",
               "--isa", isa, *(NATIVE if native else INTERPRETED)]
    return subprocess.run(command, cwd=ROOT, env=own, check=False).returncode


def main(names: list[str]) -> int:
    """Run the sets asked for, or all but the machine's own; 1 when one of them failed."""
    chosen = names or [isa for isa in ISAS if isa != machine_isa()]
    worst = [run(isa) for isa in chosen]
    return int(any(worst))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
