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


def stopped_when(compiling: bool, at: Path) -> tuple[int, str]:
    """Status and standard error of a long training that gets SIGINT, its children too: while it
    compiles, or after an epoch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dlc", "train", "lenet", "--epochs", "1000"], cwd=at, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env=variables({"DLC_CACHE": str(at / "cache")} if compiling else {}))
    assert process.stdout is not None
    while compiling and not (at / "cache").exists() and process.poll() is None:
        time.sleep(0.01)
    assert compiling or any("epoch 1/" in line for line in process.stdout)
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


@pytest.mark.swept(2)
@pytest.mark.parametrize("compiling", [True, False])
def test_while_it_compiles_or_trains(compiling: bool, tmp_path: Path) -> None:
    status, said = stopped_when(compiling, tmp_path)
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


LONG_STEP = '''import dlc
from dlc import f32, nn, optim

net = nn.dense(64)


@dlc.task(data="xor", optimizer=optim.sgd(1e-3), batch=4, epochs=9)
def slow(x: f32["batch", 2], y: f32["batch", 1]):
    h = net(x)
    waited = dlc.fori(500_000_000, lambda i, v: dlc.tanh(v * 0.5 + 0.1), dlc.stop_gradient(h))
    return dlc.loss(dlc.mean((dlc.sum(h, axis=1, keepdims=True) - y) ** 2) + dlc.sum(waited))
'''


def wait_until_busy(pid: int, seconds: float) -> None:
    """Until the process has computed for `seconds` from now on, however busy the machine is."""
    def used() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    start = used()
    while used() < start + seconds:
        time.sleep(0.02)


def test_in_a_long_step_a_second_one_leaves_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(LONG_STEP)
    run = subprocess.Popen(
        [sys.executable, "-m", "dlc", "train", "slow.py"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables({}))
    assert run.stdout is not None
    assert any("compiled in" in line for line in run.stdout)
    wait_until_busy(run.pid, 0.5)
    run.send_signal(signal.SIGINT)
    assert run.stdout.readline() == (
        "stopping when the step is done; once more leaves it, without a checkpoint\n")
    run.send_signal(signal.SIGINT)
    assert run.communicate(timeout=60)[1] == "dlc: interrupted\n"
    assert run.returncode == 130


def test_the_reminder_names_the_checkpoint_and_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from dlc.runtime.train import interrupt as runtime_interrupt

    monkeypatch.setattr(runtime_interrupt, "REMIND_SECONDS", 0.05)
    said: list[str] = []
    with runtime_interrupt.StopRequest(lambda: said.append("now")) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
    assert said == ["now"] and stop.signal == signal.SIGTERM
    with runtime_interrupt.StopRequest(lambda: said.append("again")):
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    assert said == ["now"]  # a step that ends in time is not talked about


def test_what_is_ignored_stays_ignored() -> None:
    from dlc.runtime.train.interrupt import StopRequest

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal == 0 and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
