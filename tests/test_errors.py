"""Mistakes of users: each file in tests/errors is a program and the message that it earns."""

from __future__ import annotations

import linecache
from pathlib import Path

import pytest

from dlc.errors import DlcError

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
