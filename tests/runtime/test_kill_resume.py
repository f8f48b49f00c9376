"""Processes that are killed or interrupted in mid-epoch, and resumed: the same bytes in the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlc.runtime.train.checkpoint import CheckpointFolder, read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 160_005  # 10,000 full batches of 16 and one of 5


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tests.runtime.handmade", str(out), "--samples", str(SAMPLES),
            "--epochs", "4", "--save-steps", "700", *more]


def finish(out: Path, *more: str) -> tuple[str, str]:
    """(final parameters, all output) of a run that is left alone."""
    done = subprocess.run(command(out, *more), cwd=ROOT, capture_output=True, text=True,
                          check=True, timeout=60)
    return done.stdout.splitlines()[-1], done.stdout


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(out, *more), cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the checkpoint in `out` is at `step` or later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "last.safetensors").exists() and (
                read_checkpoint(out / "last.safetensors").position.step >= step):
            return
        time.sleep(0.002)
    pytest.fail(f"never came to step {step}: {process.communicate()}")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return finish(tmp_path_factory.mktemp("whole"))[0]


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed(tmp_path: Path, expected: str) -> None:
    draw = random.Random(11)
    out, resume, middles = tmp_path / "run", [], 0
    for step in (700, 9_100, 17_500, 25_900):
        process = start(out, *resume)
        wait_for_step(out, step, process)
        time.sleep(draw.random() * 0.01)
        process.kill()
        process.communicate()
        found, notes = CheckpointFolder(out).latest()
        assert found is not None and notes == [], "a kill never leaves a damaged checkpoint"
        middles += found.position.batches > 0
        resume = ["--resume"]
    assert middles >= 2, "some kills came in the middle of an epoch"
    final, output = finish(out, "--resume")
    assert "resumed at step" in output and final == expected


@pytest.mark.swept(2)
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_process_saves_and_says_how_to_go_on(tmp_path: Path, expected: str,
                                                         number: signal.Signals) -> None:
    process = start(tmp_path)
    wait_for_step(tmp_path, 1400, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors == ""
    assert "stopped at step" in output and "resume with: --resume" in output
    assert finish(tmp_path, "--resume")[0] == expected


@pytest.mark.slow
def test_second_interrupt_ends_the_process_at_once(tmp_path: Path) -> None:
    code = ("import os, signal, time; from dlc.runtime.train.interrupt import StopRequest\n"
            "with StopRequest() as stop:\n"
            "    os.kill(os.getpid(), signal.SIGINT); assert stop.signal == signal.SIGINT\n"
            "    os.kill(os.getpid(), signal.SIGINT); time.sleep(5); print('alive')\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          check=False, env={**os.environ})
    assert done.returncode == -signal.SIGINT and "alive" not in done.stdout
