"""Fresh NNSmith models for a full conformance run: their environment, and the models.

    python -m tests.conformance.nnsmith_fresh FOLDER K

FOLDER/venv gets the pinned versions of nnsmith_requirements.txt, once; FOLDER/partK/models and
FOLDER/partK/dtypes get the BATCHES of shard K: from a new seed whenever the sources of the compiler
have changed, or from NNSMITH_SEED; a shard that goes on keeps them. What hinders it is said in one
line and noted in their account.json, from where it gets a row of docs/conformance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conformance.results import digest

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "nnsmith_requirements.txt"
# Folder -> how many models a shard, of which dtypes: of all shards 2,060 and 400.
BATCHES = {"models": (103, "f32,i64,bool"), "dtypes": (20, "f32,f64,f16,i32,i64,u8,bool")}
INSTALLING, MAKING = 1800, 3600  # seconds


class Missing(Exception):
    """Why there are no fresh models."""


def run(what: str, seconds: float, log: Path, *command: str | Path) -> None:
    """Run a command, its output in `log`. Raises Missing when it fails or takes too long."""
    with log.open("w") as out:
        try:
            subprocess.run([str(word) for word in command], check=True, timeout=seconds,
                           stdout=out, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            raise Missing(f"{what} took more than {seconds} s") from None
        except (OSError, subprocess.CalledProcessError):
            raise Missing(f"{what} failed") from None


def environment(folder: Path, requirements: Path = REQUIREMENTS) -> Path:
    """The Python of FOLDER/venv with the pinned packages, made or completed. Raises Missing."""
    python, stamp = folder / "venv" / "bin" / "python", folder / "installed.txt"
    wanted = requirements.read_text()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    shutil.rmtree(folder / "venv", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "install.log"
    run("making NNSmith's environment", INSTALLING, log, sys.executable, "-m", "venv",
        folder / "venv")
    run("installing NNSmith", INSTALLING, log, python, "-m", "pip", "install", "--quiet", "-r",
        requirements)
    stamp.write_text(wanted)
    return python


def kept(models: Path, sources: str) -> bool:
    """Whether the models were made for these sources: a shard that was ended goes on with them."""
    path = models / "account.json"
    return path.exists() and json.loads(path.read_text()).get("sources") == sources


def batch(folder: Path, part: int, name: str, seed: str, sources: str) -> None:
    """One of BATCHES, or a note why there is none: a full run goes on without it."""
    models, (count, dtypes) = folder / f"part{part}" / name, BATCHES[name]
    if kept(models, sources):
        return
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir(parents=True)
    try:
        run("generating NNSmith's models", MAKING, folder / f"{name}.log", environment(folder),
            HERE / "nnsmith_generate.py", models, "--count", str(count), "--seed", seed, "--dtypes",
            dtypes)
    except Missing as problem:
        for path in models.iterdir():
            path.unlink()
        account = {"asked": count, "missing": f"no fresh models: {problem}"}
        (models / "account.json").write_text(json.dumps(account) + "\n")
        print(f"no fresh NNSmith models: {problem}; see {folder}/*.log", flush=True)
    else:
        account = json.loads((models / "account.json").read_text()) | {"sources": sources}
        (models / "account.json").write_text(json.dumps(account) + "\n")
        print(f"{count:,} fresh NNSmith models of {dtypes}: seeds {account['first']} to "
              f"{account['last']} (NNSMITH_SEED={seed} makes them again)", flush=True)


def main() -> None:
    """Make all batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("part", type=int)
    options = parser.parse_args()
    seed = os.environ.get("NNSMITH_SEED") or str(secrets.randbelow(2**31))
    for name in BATCHES:
        batch(options.folder, options.part, name, seed, digest("any"))


if __name__ == "__main__":
    main()
