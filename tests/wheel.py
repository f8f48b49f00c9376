"""The wheel, as a user gets it: built, installed into an empty environment, and used there.

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

from tests.documents import agrees, runs

ROOT = Path(__file__).resolve().parent.parent
CHARS = """import dlc
from dlc import i32, nn, optim

net = nn.chain(nn.embedding(10, 8), nn.gru(32), nn.dense(10))


@dlc.task(data="text.txt?length=16", optimizer=optim.adam(0.02), batch=16, epochs=8)
def chars(x: i32["batch", 16], y: i32["batch", 16]):
    return dlc.loss(nn.cross_entropy(net(x), y))
"""
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
    install(folder / "bin", str(wheel))
    return folder / "bin"


def install(programs: Path, what: str) -> None:
    """`pip install` into the environment of `programs`."""
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--no-compile",
           "--disable-pip-version-check", what]
    subprocess.run(pip, check=True, env=environment())


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would let a child find the sources."""
    found = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return {**found, **more}


def said(programs: Path, folder: Path, *arguments: str) -> str:
    """What `dlc ARGUMENTS` prints, run in `folder`, whose cache is empty at first."""
    done = subprocess.run([programs / "dlc", *arguments], cwd=folder, check=False,
                          capture_output=True, text=True,
                          env=environment(DLC_CACHE=str(folder / "cache")))
    if done.returncode:
        raise SystemExit(f"dlc {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def used(programs: Path, folder: Path) -> dict[str, Any]:
    """The object of `dlc train xor --json`, once what it left is asked, trained further and written
    as docs/using.md does."""
    result: dict[str, Any] = json.loads(said(programs, folder, "train", "xor", "--json"))
    weights = ("xor", "--weights", "runs/xor")
    table = said(programs, folder, "predict", *weights, "--data", "xor").splitlines()
    signs = [float(row) > 0 for row in table[1:]]
    measured = json.loads(said(programs, folder, "evaluate", *weights, "--json"))
    more = json.loads(said(programs, folder, "train", "xor", "--json", "--resume", "--epochs",
                           str(result["epochs"] + 3)))
    told = said(programs, folder, "train", "xor", "--epochs", "1", "--init", "runs/xor", "--out",
                "tuned")
    if (signs != [False, True, True, False] or measured["metrics"]["accuracy"] != 1.0
            or more["epochs"] != result["epochs"] + 3 or "4 of 4 values taken" not in told):
        raise SystemExit(f"what xor learnt is not used: {table}, {measured}, {more}, {told}")
    return result


def followed(programs: Path, folder: Path) -> None:
    """docs/using.md from top to bottom, as one program in an empty folder, and what it shows on the
    command line for a file of the reader's. Raises SystemExit for other output than the page's."""
    pairs = list(runs((ROOT / "docs" / "using.md").read_text()))
    (folder / "page.py").write_text("\n".join(code.text for code, _ in pairs))
    done = subprocess.run([programs / "python", "page.py"], cwd=folder, check=False,
                          capture_output=True, text=True,
                          env=environment(DLC_CACHE=str(folder / "cache")))
    if done.returncode or not agrees(done.stdout, "".join(o.text for _, o in pairs if o)):
        raise SystemExit(f"docs/using.md prints {done.stdout}\n{done.stderr}")
    (folder / "chars.py").write_text(CHARS)
    (folder / "text.txt").write_text("hello, world. " * 300)
    said(programs, folder, "train", "chars.py")
    told = said(programs, folder, "sample", "chars.py", "--weights", "runs/chars", "--prompt",
                "hello", "--length", "23", "--temperature", "0")
    said(programs, folder, "export", "xor", "--weights", "runs/xor", "-o", "xor.onnx")
    said(programs, folder, "build", "xor", "-o", "library", "--predict")
    if not all((folder / "library" / name).is_file() for name in ("xor.h", "predict.c", "xor.py")):
        raise SystemExit("dlc build leaves no library of xor")
    if told != "hello, world. hello, world. \n" or not (folder / "xor.onnx").is_file():
        raise SystemExit(f"what is sampled after hello: {told!r}")


def main() -> int:
    """Build, install, train, ask, and follow docs/using.md; 1 unless the network has learnt its
    four cases."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = folder / "work"
        work.mkdir()
        times = [time.monotonic()]
        wheel = built("wheel", folder)
        times.append(time.monotonic())
        programs = installed(wheel, folder / "environment")
        times.append(time.monotonic())
        accuracy = used(programs, work)["metrics"]["accuracy"]
        times.append(time.monotonic())
        install(programs, f"{wheel}[onnx]")
        followed(programs, work)
        times.append(time.monotonic())
        took = [f"{b - a:.1f} s" for a, b in pairwise(times)]
        print(f"{wheel.name}: built in {took[0]}, installed in {took[1]}, xor trained and "
              f"asked in {took[2]}: accuracy {accuracy}; docs/using.md followed in {took[3]}")
        return 0 if accuracy == 1.0 and (work / "runs" / "xor" / "report.html").is_file() else 1


if __name__ == "__main__":
    sys.exit(main())
