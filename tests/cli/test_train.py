"""`dlc train`: results, files, options, determinism, interruption."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dlc.runtime.train.checkpoint import CheckpointFolder, read_checkpoint
from tests.cli.command import dlc, eager, write_noisy

KEYS = ["model", "target", "epochs", "steps", "train_loss", "test_loss", "metrics", "step_ms",
        "compile_s", "peak_bytes", "parameters", "checkpoint"]


def test_json_is_the_last_line_and_has_every_figure(tmp_path: Path) -> None:
    done = dlc("train", "xor", "--epochs", "150", "--json", at=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [key for key in found if key in KEYS] == KEYS
    assert (found["model"], found["target"]) == ("xor", "cpu")
    assert (found["epochs"], found["steps"], found["parameters"]) == (150, 150, 33)
    assert found["metrics"]["accuracy"] == 1.0 and found["train_loss"] < 0.1
    assert (tmp_path / found["checkpoint"]).is_file()
    report = (tmp_path / "runs/xor/report.html").read_text()
    assert report.startswith("<!DOCTYPE html>") and 'href="inspect.html"' in report
    assert "<title>xor: dlc inspect</title>" in (tmp_path / "runs/xor/inspect.html").read_text()


def test_plain_output_is_one_line_an_epoch(tmp_path: Path) -> None:
    done = dlc("train", "linear_regression", "--epochs", "3", "--out", "here", at=tmp_path)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("epoch ") for line in lines) == 3
    assert "\x1b" not in done.stdout and done.stderr == ""
    assert lines[0].startswith("linear_regression on linear: 800 samples, 200 held out")
    assert lines[-1].split() == ["report", "here/report.html"]


def test_options_change_the_run(tmp_path: Path) -> None:
    """A batch that leaves a tail in both parts; another rate; another seed, the same split."""
    first, second = (json.loads(dlc(
        "train", "linear_regression", "--epochs", "2", "--batch", "96", "--set", "lr=0.05",
        "--seed", seed, "--json", at=tmp_path).stdout) for seed in ("0", "1"))
    assert first["steps"] == 2 * 9  # 800 = 8 * 96 + 32
    assert first["train_loss"] != second["train_loss"]
    assert first["test_loss"] == pytest.approx(second["test_loss"], rel=0.9)


@pytest.mark.slow
def test_threads_and_resume_give_the_same_bytes(tmp_path: Path) -> None:
    """LeNet after 3 epochs on 1, 2 and 4 threads, and stopped after each epoch."""
    for name, threads in (("one", "1"), ("two", "2"), ("four", "4")):
        done = dlc("train", "lenet", "--epochs", "3", "--threads", threads, "--out", name,
                   at=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two, four = (read_checkpoint(tmp_path / n / "last.safetensors").arrays
                      for n in ("one", "two", "four"))
    assert one.keys() == two.keys() == four.keys()
    for key, value in one.items():
        assert value.tobytes() == two[key].tobytes() == four[key].tobytes(), key


def wait_for_step(out: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the checkpoint in `out` is at `step` or later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        last = out / "last.safetensors"
        if last.exists() and read_checkpoint(last).position.step >= step:
            return
        time.sleep(0.005)
    pytest.fail(f"never came to step {step}: {process.communicate()}")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A folder with a task of 6 epochs of 3,001 steps, and the parameters it ends with."""
    folder = tmp_path_factory.mktemp("noisy")
    write_noisy(folder, 60_010)
    done = dlc("train", "noisy.py", "--out", "whole", at=folder)
    assert done.returncode == 0, done.stderr
    return folder, parameters(folder / "whole")


def parameters(folder: Path) -> bytes:
    arrays = read_checkpoint(folder / "last.safetensors").arrays
    return b"".join(arrays[name].tobytes() for name in sorted(arrays))


@pytest.mark.conformance
@pytest.mark.sliced
@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed(noisy: tuple[Path, bytes]) -> None:
    folder, expected = noisy
    resume: list[str] = []
    for step in (500, 4_000, 9_000):
        process = eager("train", "noisy.py", "--out", "killed", *resume, at=folder)
        wait_for_step(folder / "killed", step, process)
        process.kill()
        process.communicate()
        assert CheckpointFolder(folder / "killed").latest()[1] == []
        resume = ["--resume"]
    done = dlc("train", "noisy.py", "--out", "killed", "--resume", at=folder)
    assert done.returncode == 0 and "resumed at step" in done.stdout
    assert parameters(folder / "killed") == expected


@pytest.mark.slow
def test_interrupted_exits_130_and_says_how_to_go_on(noisy: tuple[Path, bytes]) -> None:
    folder, expected = noisy
    process = eager("train", "noisy.py", "--out", "stopped", at=folder)
    wait_for_step(folder / "stopped", 700, process)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    command = re.search(r"resume with: dlc (.*)", output)
    assert command is not None and command[1] == "train noisy.py --out stopped --resume"
    done = dlc(*command[1].split(), at=folder)
    assert done.returncode == 0, done.stderr
    assert parameters(folder / "stopped") == expected


def test_resume_of_another_definition_is_refused(tmp_path: Path) -> None:
    """A comment more is the same task; another layer is not."""
    file = write_noisy(tmp_path, 64)
    run = ("train", "noisy.py", "--epochs", "2", "--out", "out")
    assert dlc(*run, at=tmp_path).returncode == 0
    file.write_text("# one line down\n" + file.read_text())
    again = dlc(*run, "--resume", at=tmp_path)
    assert again.returncode == 0 and "resumed at step" in again.stdout, again.stderr
    file.write_text(file.read_text().replace("nn.relu", "dlc.tanh"))
    other = dlc(*run, "--resume", at=tmp_path)
    assert other.returncode == 2 and "is `tanh1: f32[16, 24] = tanh(dense1)" in other.stderr


def test_a_kept_program_is_found_and_an_edited_task_is_not(tmp_path: Path) -> None:
    file = write_noisy(tmp_path, 64)
    run = ("train", "noisy.py", "--epochs", "1")
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    first, second = (dlc(*run, at=tmp_path, DLC_CACHE=str(cache)).stdout for _ in range(2))
    assert "found in the cache" not in first and "found in the cache" in second
    file.write_text(file.read_text().replace("0.2", "0.25"))
    assert "found in the cache" not in dlc(*run, at=tmp_path, DLC_CACHE=str(cache)).stdout


LOADER = '''import dlc
import numpy as np
from dlc import f32, nn, optim


class Loader:
    """Batches of 8 and a last one of 5, with the length of its data, as torch's DataLoader."""

    def __init__(self, samples):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((samples, 3)).astype(np.float32)
        self.dataset = list(zip(x, x.sum(1, keepdims=True)))

    def __iter__(self):
        for start in range(0, len(self.dataset), 8):
            x, y = zip(*self.dataset[start:start + 8])
            yield {"x": np.stack(x), "y": np.stack(y)}


@dlc.task(data=(Loader(29), Loader(13)), optimizer=optim.sgd(0.1), batch=8, epochs=4)
def streamed(x: f32["batch", 3], y: f32["batch", 1]):
    return dlc.loss(nn.mse(nn.dense(1)(x), y))
'''


def test_a_loader_of_batches_with_a_smaller_last_one(tmp_path: Path) -> None:
    (tmp_path / "streamed.py").write_text(LOADER)
    done = dlc("train", "streamed.py", "--json", at=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] == 4 * 4 and found["test_loss"] < found["train_loss"]
