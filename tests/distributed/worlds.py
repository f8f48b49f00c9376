"""Worlds of processes on this machine, started with the environment's own mpiexec."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dlc.runtime.train.checkpoint import Checkpoint, read_checkpoint

HERE = Path(__file__).parent
NARROW = str(HERE / "narrow.py")
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
DLC = [sys.executable, "-m", "dlc", "train"]
SECONDS = 120  # after which a run that hangs is a failure


def started(count: int, *command: str, **env: str) -> subprocess.Popen[str]:
    """`command` on `count` processes."""
    return subprocess.Popen([MPIEXEC, "-n", str(count), *command], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, "DLC_WORKERS": "1", **env})


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of a world."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def trained(count: int, folder: Path, *options: str, file: str = NARROW) -> Checkpoint:
    """The last checkpoint of a training on `count` processes."""
    command = [*DLC, file, "--out", str(folder), *options]
    status, out, err = finished(started(count, *command))
    assert status == 0, out + err
    assert out.count("done: ") == 1  # the others are silent
    return read_checkpoint(folder / "last.safetensors")


def same(a: Checkpoint, b: Checkpoint) -> None:
    """Every byte but times: parameters, state, position and metrics."""
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        assert array.tobytes() == b.arrays[name].tobytes(), name
    assert timeless(a) == timeless(b)


def timeless(checkpoint: Checkpoint) -> dict[str, Any]:
    position = vars(checkpoint.position)
    history = [{**record, "step_ms": None} for record in position["history"]]
    return {**position, "history": history}


def process_of(world: subprocess.Popen[str], rank: int) -> int:
    """The process that trains as `rank`: the child of the one that mpiexec started."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ranks = {p: of for p in map(int, filter(str.isdecimal, os.listdir("/proc")))
                 if (of := rank_in(p)) is not None and world.pid in ancestors(p)}
        found = [p for p, of in ranks.items() if of == rank and parent(p) in ranks]
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(f"rank {rank} did not start")


def rank_in(process: int) -> int | None:
    """The rank in a process's environment."""
    try:
        words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return next((int(w[9:]) for w in words if w.startswith(b"PMI_RANK=")), None)


def parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def ancestors(process: int) -> list[int]:
    found = []
    while process > 1:
        process = parent(process)
        found.append(process)
    return found
