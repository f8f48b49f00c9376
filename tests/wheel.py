"""The wheel, as a user gets it: built, installed into an empty environment, and training there.

`make wheel` runs this. Packages come through pip, from its cache where it has them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("dlc", "runtime", "models", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def built(kind: str, folder: Path) -> Path:
    """The `kind` ("wheel" or "sdist") of a copy of the sources, in `folder`.

    A copy, because setuptools packs whatever an earlier build has left in the tree.
    """
    tree = folder / "tree"
    if not tree.exists():
        tree.mkdir()
        for name in SHIPPED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, symlinks=True,
                                ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree)
    build = f"import setuptools.build_meta as b; print(b.build_{kind}('../out'))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", build], cwd=tree, check=True,
                          capture_output=True, text=True)
    return folder / "out" / done.stdout.split()[-1]


def installed(wheel: Path, folder: Path) -> Path:
    """The programs of a new environment in `folder` that has `wheel` and what it depends on."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-compile",
           "--disable-pip-version-check", str(wheel)]
    subprocess.run(pip, check=True, env=environment())
    return folder / "bin"


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would let a child find the sources."""
    found = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**found, **more}


def trained(programs: Path, folder: Path) -> dict[str, Any]:
    """What `dlc train xor --json` prints, run in `folder` with nothing compiled before."""
    done = subprocess.run([programs / "dlc", "train", "xor", "--json"], cwd=folder, check=False,
                          capture_output=True, text=True,
                          env=environment(DLC_CACHE=str(folder / "cache")))
    if done.returncode:
        raise SystemExit(f"dlc train xor: exit status {done.returncode}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> int:
    """Build, install and train; 1 unless the network has learnt its four cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        times = [time.monotonic()]
        wheel = built("wheel", folder)
        times.append(time.monotonic())
        programs = installed(wheel, folder / "environment")
        times.append(time.monotonic())
        accuracy = trained(programs, work)["metrics"]["accuracy"]
        times.append(time.monotonic())
        took = [f"{b - a:.1f} s" for a, b in pairwise(times)]
        print(f"{wheel.name}: built in {took[0]}, installed in {took[1]}, xor trained in "
              f"{took[2]}: accuracy {accuracy}")
        return 0 if accuracy == 1.0 and (work / "runs" / "xor" / "report.html").is_file() else 1


if __name__ == "__main__":
    sys.exit(main())
