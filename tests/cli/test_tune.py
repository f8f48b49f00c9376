"""`dlc tune` as a whole: a killed search goes on, its command can be pasted."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.command import dlc, variables

TASK = '''import dlc
from dlc import f32, nn, optim

head = nn.dense(1)


@dlc.task(data="points.npz", optimizer=optim.momentum(0.1), batch=10, epochs=40)
def yes(x: f32["batch", 3], y: f32["batch"], scale: float = 1.0):
    print("a task that prints")
    logit = head(x * scale)[:, 0]
    return dlc.loss(nn.binary_cross_entropy_with_logits(logit, y),
                    accuracy=nn.binary_accuracy(logit, y))
'''
SEARCH = ("tune", "yes.py", "--grid", "scale=0.5,2.0", "--random", "lr=0.01:1", "--folds", "2",
          "--trials", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task of 60 samples."""
    folder = tmp_path_factory.mktemp("tune")
    rng = np.random.default_rng(3)
    x = rng.standard_normal((75, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 0.3 * rng.standard_normal(75) > 0).astype(np.float32)
    np.savez(folder / "points.npz", x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    (folder / "yes.py").write_text(TASK)
    return folder


def records(out: Path) -> list[dict[str, Any]]:
    """What a search has found, in the order of trials and folds."""
    lines = [json.loads(x) for x in (out / "trials.jsonl").read_text().splitlines()][1:]
    return sorted(lines, key=lambda r: (r["trial"], r["fold"]))


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until a journal has so many lines."""
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_text().count("\n") >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"never came to line {count}: {process.communicate()}")


@pytest.mark.conformance
@pytest.mark.sliced
@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(folder: Path) -> None:
    """With one process and with two, killed after some folds, the scores are the same bits."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dlc", *SEARCH, "--jobs", "1", "--out", "killed"], cwd=folder,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables({}))
    journal = folder / "killed" / "trials.jsonl"
    wait_for_lines(journal, 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = journal.read_text()
    again = dlc(*SEARCH, "--jobs", "1", "--out", "killed", at=folder)
    assert again.returncode == 0, again.stderr
    assert journal.read_text().startswith(before[:before.rindex("\n")])
    whole = dlc(*SEARCH, "--jobs", "2", "--out", "whole", at=folder)
    assert whole.returncode == 0, whole.stderr
    assert records(folder / "killed") == records(folder / "whole")
    assert len(records(folder / "whole")) == 4 and all("score" in r for r in records(
        folder / "whole"))
    tables = [run.stdout[run.stdout.index("the best"):].splitlines()[:-2]
              for run in (again, whole)]
    assert tables[0] == tables[1]
    done = dlc(*SEARCH, "--out", "whole", at=folder)
    assert done.returncode == 0 and "2 trials, 2 of them done before" in done.stdout
    other = dlc(*SEARCH, "--seed", "1", "--out", "whole", at=folder)
    assert other.returncode == 2 and "its seed is 0, now 1" in other.stderr
    command = shlex.split(next(x for x in whole.stdout.splitlines() if "dlc train" in x))
    trained = dlc(*command[1:], "--epochs", "1", at=folder)
    assert trained.returncode == 0, trained.stderr


def test_a_trial_that_fails_does_not_end_the_search(folder: Path) -> None:
    """A scale that overflows the loss is listed with its reason; the other trial is the best."""
    run = dlc("tune", "yes.py", "--grid", "scale=1e38,1.0", "--epochs", "1", "--out", "failing",
              "--jobs", "1", at=folder)
    assert run.returncode == 0, run.stderr
    assert "1 failed, the first with scale=1e38: step" in run.stdout
    assert "--set scale=1.0" in run.stdout
    assert [("failed" in r) for r in records(folder / "failing")] == [True, False]
