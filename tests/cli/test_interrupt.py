"""Ctrl-C at any moment of a command: status 130 and one line, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlc import interrupt
from tests.cli.command import variables


def stopped_after(delay: float, *arguments: str, at: Path) -> tuple[int, str]:
    """Status and standard error of a command that gets SIGINT, its children too, after `delay`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dlc", *arguments], cwd=at, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, start_new_session=True,
        env=variables({"DLC_CACHE": str(at / "cache")}))
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


def while_importing(module: str, at: Path) -> tuple[int, str]:
    """Status and standard error of `python -m dlc` that gets SIGINT when it imports `module`."""
    (at / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n")
    env = variables({})
    done = subprocess.run([sys.executable, "-m", "dlc", "ops"], cwd=at, text=True, check=False,
                          capture_output=True, timeout=60,
                          env={**env, "PYTHONPATH": f"{at}{os.pathsep}{env['PYTHONPATH']}"})
    return done.returncode, done.stderr


@pytest.mark.parametrize("module", ["numpy", "dlc.ops", "dlc.compiler", "dlc.cli.arguments"])
def test_while_the_command_line_is_imported(module: str, tmp_path: Path) -> None:
    assert while_importing(module, tmp_path) == (130, "dlc: interrupted\n")


@pytest.mark.parametrize("delay", [0.8, 1.5])
def test_while_it_compiles_or_trains(delay: float, tmp_path: Path) -> None:
    status, said = stopped_after(delay, "train", "lenet", "--epochs", "1000", at=tmp_path)
    assert status == 130
    assert said in ("", "dlc: interrupted\n")


@pytest.mark.parametrize("called,given,expected", [
    ("/usr/bin/dlc", ["python", "/usr/bin/dlc", "show"], True),
    ("dlc.exe", ["dlc.exe"], True),
    ("-m", ["python", "-m", "dlc", "show"], True),
    ("-m", ["python", "-X", "dev", "-m", "pytest", "dlc"], False),
    ("train.py", ["python", "train.py", "dlc"], False), ("", ["python"], False),
    ("-c", ["python", "-c", "import dlc"], False)])
def test_only_the_command_line_is_watched(called: str, given: list[str], expected: bool) -> None:
    assert interrupt.is_command_line(called, given) is expected


def test_a_program_that_imports_dlc_keeps_its_own_handler() -> None:
    check = ("import signal; before = signal.getsignal(signal.SIGINT); import dlc; "
             "assert signal.getsignal(signal.SIGINT) is before")
    subprocess.run([sys.executable, "-c", check], check=True, env=variables({}), timeout=60)
