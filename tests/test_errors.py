"""Mistakes of users: each file in tests/errors is a program and the message that it earns."""

from __future__ import annotations

import linecache
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlc.errors import DlcError, hide_own_frames

CASES = sorted((Path(__file__).parent / "errors").glob("*.txt"))
RULE = "---\n"


def message(program: str, folder: Path) -> str:
    """What the user reads after running `program` as model.py."""
    path = folder / "model.py"
    path.write_text(program)
    linecache.checkcache(str(path))
    code = compile(program, str(path), "exec")
    with pytest.raises(DlcError) as caught:
        exec(code, {"__name__": "model"})
    return str(caught.value) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_message(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                 request: pytest.FixtureRequest) -> None:
    """The message names what was wrong, where, and what would fit."""
    monkeypatch.chdir(tmp_path)
    program, _, expected = case.read_text().partition(RULE)
    told = message(program, tmp_path)
    if request.config.getoption("--update-golden"):
        case.write_text(program + RULE + told)
        return
    assert told == expected


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_message_points_at_the_users_line(case: Path) -> None:
    """A message about a program's line shows that line, and no line of dlc's own."""
    program, _, expected = case.read_text().partition(RULE)
    first = expected.split("\n", 1)[0]
    assert "/dlc/" not in expected
    if first.startswith("model.py:"):
        number = int(first.split(":")[1])
        shown = expected.split("\n")[1].strip()
        assert program.split("\n")[number - 1].strip() == shown


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 50


SCRIPT = """
import dlc
from dlc import f32

def wrong(x: f32[2, 3], w: f32[4, 5]):
    return x @ w

dlc.compile(wrong)
"""


@pytest.mark.parametrize(("debug", "frames"), [("0", False), ("1", True)])
def test_a_script_sees_its_own_line_only(tmp_path: Path, debug: str, frames: bool) -> None:
    """Uncaught, a mistake is one message; DLC_DEBUG shows the frames inside dlc too."""
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, text=True,
                          env={**os.environ, "DLC_DEBUG": debug}, capture_output=True)
    assert done.returncode == 1
    assert "mine.py:6: matmul(" in done.stderr and "    return x @ w\n" in done.stderr
    assert ("Traceback" in done.stderr) is frames
    assert ("compiler.py" in done.stderr) is frames


def test_another_excepthook_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(*_: object) -> None:
        """Somebody else's."""

    monkeypatch.setattr(sys, "excepthook", other)
    hide_own_frames()
    assert sys.excepthook is other


def test_a_notebook_sees_the_message_only(monkeypatch: pytest.MonkeyPatch) -> None:
    error = DlcError("no", hint="yes")
    monkeypatch.setenv("DLC_DEBUG", "0")
    assert error._render_traceback_() == ["DlcError: no\n  yes"]
    monkeypatch.setenv("DLC_DEBUG", "1")
    try:
        raise error
    except DlcError as raised:
        assert "Traceback" in "".join(raised._render_traceback_())
