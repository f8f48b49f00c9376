"""Starts processes that read damaged files, and tells what they found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read_damaged(seed: int, first: int, last: int, models: Path | None = None) -> dict[str, int]:
    """How many of the tries were "refused" and "taken". Fails at what is neither, by its number.
    """
    command = [sys.executable, "-m", "tests.damaged.tries", str(seed), str(first), str(last)]
    command += [] if models is None else [str(models)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"})
    lines = ran.stdout.splitlines() or ["none"]
    again = f"again: python -m tests.damaged.tries {seed} N N+1 {models or ''}"
    assert ran.returncode == 0, (f"try {lines[-1]} ended the process: {ran.returncode} (-27 is too "
                                 f"much time)\n{again}\n{ran.stderr[-2000:]}")
    found = json.loads(lines[-1])
    assert not found["wrong"], again + "\n" + "\n".join(
        f"{name}: {text}" for name, text in found["wrong"].items())
    counts: dict[str, int] = found["counts"]
    return counts
