"""Whatever is wrong around a command: one message and status 2, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dlc as language
from dlc.cli import main
from dlc.runtime.train.checkpoint import read_checkpoint
from tests.cli.command import dlc, variables

XOR = Path(language.__file__).parent / "models" / "xor.py"


def shell(command: str, at: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command line in bash, where `dlc` is `python -m dlc`."""
    text = f'dlc() {{ "{sys.executable}" -m dlc "$@"; }}; {command}'
    return subprocess.run(["bash", "-c", text], cwd=at, capture_output=True, text=True,
                          check=False, timeout=120, env=variables(environment))


def told(text: str) -> str:
    """The one message of a command that failed."""
    lines = [line for line in text.splitlines() if line.startswith("dlc: ")]
    assert len(lines) == 1 and "Traceback" not in text, text
    return lines[0]


@pytest.mark.swept(3)
@pytest.mark.parametrize("encoding,option", [
    ("ascii", "--kernels"), ("ascii", "--memory"), ("latin-1", "--kernels")])
def test_output_without_our_rules_is_drawn_with_others(encoding: str, option: str,
                                                       tmp_path: Path) -> None:
    done = dlc("show", "xor", option, at=tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" not in done.stdout.replace("? ", "")


def test_a_terminal_of_another_language_shows_training(tmp_path: Path) -> None:
    done = dlc("train", "xor", "--epochs", "2", at=tmp_path, LC_ALL="C", PYTHONUTF8="0",
               PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "epoch 2/2" in done.stdout


@pytest.mark.swept(2)
@pytest.mark.parametrize("command", ["dlc ops", "dlc show xor", "dlc models",
                                     "dlc train xor --epochs 2 --json"])
def test_a_full_disk_behind_the_output(command: str, tmp_path: Path) -> None:
    done = shell(f"{command} > /dev/full", tmp_path)
    assert done.returncode == 2
    assert told(done.stderr) == "dlc: cannot write: No space left on device"


def test_what_was_trained_is_kept_when_the_output_fails(tmp_path: Path) -> None:
    done = shell("dlc train xor --epochs 3 --json --out run > /dev/full", tmp_path)
    assert done.returncode == 2
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").position.epoch == 3


@pytest.mark.swept(2)
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(closed: str, tmp_path: Path) -> None:
    done = shell(f"dlc train xor --epochs 2 --out run {closed}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "last.safetensors").exists()


def test_a_reader_that_leaves_stops_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    command = "dlc train xor --epochs 1000000 --out run | head -4; echo ${PIPESTATUS[0]}"
    done = shell(command, tmp_path)
    assert done.stdout.splitlines()[-1] == "141" and done.stderr == ""
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").position.epoch >= 1


def heard() -> None:
    """What `nohup` ignores for these tests, and dlc with it, is not ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_closed_terminal_stops_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    run = subprocess.Popen([sys.executable, "-m", "dlc", "train", "xor", "--epochs", "1000000",
                            "--out", "run"], cwd=tmp_path, stdout=subprocess.PIPE,
                           env=variables({}), preexec_fn=heard)
    assert run.stdout is not None
    while b"epoch" not in run.stdout.readline():
        time.sleep(0.01)
    run.send_signal(signal.SIGHUP)
    run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGHUP
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").position.step > 0


@pytest.mark.conformance
@pytest.mark.sliced
def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-m", "dlc", "train", "xor", "--epochs", "1000000",
                              "--out", "run"], cwd=tmp_path, stdout=subprocess.PIPE,
                             env=variables({}))
    try:
        assert first.stdout is not None
        while b"epoch" not in first.stdout.readline():
            time.sleep(0.01)
        second = dlc("train", "xor", "--epochs", "1", "--out", "run", at=tmp_path)
        assert second.returncode == 2
        assert told(second.stderr) == ("dlc: --out run: another run is writing there; give this "
                                       "one a folder of its own")
    finally:
        first.kill()
        first.communicate()
    again = dlc("train", "xor", "--epochs", "1", "--out", "run", at=tmp_path)
    assert again.returncode == 0  # a lock ends with its process


def test_a_folder_that_cannot_hold_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    from dlc.runtime.train.checkpoint import CheckpointFolder

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CheckpointFolder, "save", full)
    assert main(["train", "xor", "--epochs", "2", "--out", "run"]) == 2
    said = capsys.readouterr()
    assert "was not written (No space left on device)" in said.out
    assert told(said.err) == "dlc: --out run: the result could not be written"


FILES = {
    "link.py": "link.py is a broken link", "pipe.py": "pipe.py is a pipe or a device",
    "": "FILE is empty", "folder": "folder is a folder"}


@pytest.mark.parametrize("file", FILES)
def test_files_that_are_none(file: str, tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to("link.py")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    done = dlc("show", file, at=tmp_path)
    assert done.returncode == 2 and FILES[file] in told(done.stderr)


@pytest.mark.parametrize("arguments,message", [
    (("--epochs", "3", "--set", "epochs=x"), "--epochs 3: --set says epochs=x"),
    (("--set", "lr=1", "--set", "lr=2"), "--set lr=2: lr is 1 already"),
    (("--batch", "99999999999"), "a smaller batch takes less")])
def test_settings_that_do_not_go_together(arguments: tuple[str, ...], message: str,
                                          tmp_path: Path) -> None:
    done = dlc("train", "xor", *arguments, at=tmp_path)
    assert done.returncode == 2 and message in told(done.stderr)


def test_a_full_cache_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLC_CACHE", str(tmp_path / "cache"))
    assert main(["train", "xor", "--epochs", "1"]) == 0
    for file in (tmp_path / "cache").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:40])  # what a full disk leaves
    assert main(["train", "xor", "--epochs", "1"]) == 0
    assert "done: 1 epoch" in capsys.readouterr().out
