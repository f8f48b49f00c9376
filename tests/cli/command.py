"""Runs `dlc` in a process of its own, and writes the files that its tests train."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.cli import forked

ROOT = Path(__file__).resolve().parents[2]
NOISY = '''import dlc
from dlc import f32, i32, nn, optim

net = nn.chain(nn.dense(24), nn.relu, nn.dropout(0.2), nn.dense(3))


@dlc.task(data="points.npz", optimizer=optim.adam(optim.cosine(1e-3)), batch=16, epochs=6)
def noisy(x: f32["batch", 8], y: i32["batch"]):
    logits = net(x)
    return dlc.loss(nn.cross_entropy(logits, y), accuracy=nn.accuracy(logits, y))
'''
# Checkpoints many times a second, so that a test need not wait for one.
EAGER = ("import sys; from dlc.cli import main, train; train.SAVE_SECONDS = 0.05; "
         "sys.exit(main(sys.argv[1:]))")


def dlc(*arguments: str, at: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`dlc ARGUMENTS` in the folder `at`, its output captured: in a fork of a process that has
    imported dlc, or in an interpreter of its own where the environment says something to that."""
    if any(name.startswith(("PYTHON", "LC_")) for name in environment):
        return subprocess.run([sys.executable, "-m", "dlc", *arguments], cwd=at,
                              capture_output=True, text=True, check=False, timeout=120,
                              env=variables(environment))
    with TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        output.touch()
        errors.touch()
        status = forked.run(arguments, at, variables(environment), (str(output), str(errors)))
        return subprocess.CompletedProcess(arguments, status, output.read_text(),
                                           errors.read_text())


def eager(*arguments: str, at: Path) -> subprocess.Popen[str]:
    """A running `dlc` that writes checkpoints often."""
    return subprocess.Popen([sys.executable, "-c", EAGER, *arguments], cwd=at, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables({}))


def variables(changed: dict[str, str]) -> dict[str, str]:
    """This process's environment, in which `import dlc` finds this repository."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changed}


def write_noisy(folder: Path, samples: int) -> Path:
    """noisy.py and its points: a network with dropout, a tail batch, and labels from the points."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((samples, 8)).astype(np.float32)
    y = (x @ rng.standard_normal((8, 3))).argmax(1).astype(np.int32)
    np.savez(folder / "points.npz", x=x, y=y)
    (folder / "noisy.py").write_text(NOISY)
    return folder / "noisy.py"
