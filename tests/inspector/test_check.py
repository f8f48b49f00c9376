"""dlc check: a program agrees with NumPy on its data. The walks of docs/inspect.md that are
commands, as the page shows them: a planted NaN, a planted miscompile."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from dlc.cli import main
from tests.inspector.commands import NAN, WRONG, Shown, drop_the_sign, walk

FAILS = {"train": 2, "replay": 1, "check": 2}


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[Shown, int, str]]]:
    folder = tmp_path_factory.mktemp("walk")
    return folder, walk(folder)


def findings(page: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the data of a page, what it says was found)."""
    match = re.search(r'id="data">([^<]*)<', page.read_text())
    assert match is not None
    data = json.loads(zlib.decompress(b64decode(match[1])))
    return data, data["findings"]


def test_a_program_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And then there is no page."""
    assert main(["check", "xor", "-o", str(tmp_path / "none.html")]) == 0
    told = capsys.readouterr().out
    assert "train: 7 passes agree with NumPy" in told and "everything agrees" in told
    assert "train: 9 launches" in told or "launches agree with NumPy" in told
    assert not (tmp_path / "none.html").exists()


def test_the_commands_say_what_the_page_shows(
        walked: tuple[Path, list[tuple[Shown, int, str]]]) -> None:
    """Line by line; a NaN and a miscompile take one command each."""
    _, done = walked
    assert [each.command.split()[1] for each, _, _ in done].count("check") == 1
    for each, status, text in done:
        assert status == FAILS[each.command.split()[1]], text
        lines = [" ".join(line.split()) for line in text.splitlines()]
        joined = " ".join(lines)
        for line in each.lines:
            assert " ".join(line.split()) in joined, (each.command, line, text)


def test_pages_lead_to_the_lines(walked: tuple[Path, list[tuple[Shown, int, str]]]) -> None:
    """The replay's to the operator's line, the check's to the pass too."""
    folder, _ = walked
    data, (first, *rest) = findings(folder / NAN)
    file, line = data["places"][first["place"]]
    assert data["files"][file]["lines"][line - 1].strip().startswith("size = dlc.sqrt(")
    assert "div gives inf" in first["text"] and any("d_side.weight" in f["text"] for f in rest)
    data, (wrong,) = findings(folder / WRONG)
    assert wrong["stage"] == drop_the_sign.__name__ and wrong["place"] >= 0
    assert wrong["stage"] in [s["name"] for s in data["entries"][0]["stages"]]
