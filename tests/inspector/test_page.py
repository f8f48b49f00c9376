"""inspect.html: one file that asks for nothing, in which no text of the data is markup."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dlc.cli import main
from dlc.inspector.page import HERE, SCRIPTS, page
from tests.inspector.programs import HOSTILE, inspection

LARGEST = 160 * 1024  # bytes of lenet's page; its data, deflated, are two thirds


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs), tag


def tags(text: str) -> list[str]:
    parser = Tags()
    parser.feed(text)
    return parser.found


def data(text: str) -> object:
    found = re.search(r'id="data">([^<]*)<', text)
    assert found is not None
    return json.loads(zlib.decompress(base64.b64decode(found[1])))


def test_names_and_files_are_data() -> None:
    """Markup, quotes, line separators, right-to-left marks and 10,000 characters stay texts."""
    plain = inspection("normalized")
    row = replace(plain.rows[0], name=HOSTILE, call=HOSTILE * 300)
    frame = page(replace(plain, program="@style@ @data@ @script@"))
    assert "<title>@style@ @data@ @script@: dlc inspect</title>" in frame
    evil = replace(plain, program=HOSTILE, rows=(row, *plain.rows[1:]))
    text = page(evil)
    assert tags(text) == tags(page(plain))
    assert HOSTILE not in text and "\u2028" not in text and "\u202e" not in text
    assert data(text)["program"] == HOSTILE  # type: ignore[index]


def test_the_scripts_make_no_markup_and_ask_for_nothing() -> None:
    for name in SCRIPTS:
        script = (HERE / "js" / f"{name}.js").read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(",
                     "Function(", "fetch(", "XMLHttp", "import(", "http://", "https://"):
            allowed = script.replace('"http://www.w3.org/2000/svg"', "")
            assert word not in allowed, (name, word)
        assert len(script.splitlines()) < 400
    assert set(SCRIPTS) == {path.stem for path in (HERE / "js").iterdir()}


def test_the_page_is_small() -> None:
    assert len(page(inspection("lenet"))) < LARGEST


@pytest.mark.parametrize("command", ["inspect xor -o", "profile xor --trace"])
def test_a_place_that_takes_no_file(command: str, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anything is compiled."""
    for place, words in ((tmp_path, "that is a folder"), (tmp_path / "no/x", "there is no folder")):
        assert main([*command.split(), str(place)]) == 2
        told = capsys.readouterr()
        assert words in told.err and told.err.count("\n") == 1 and told.out == ""


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    assert main(["inspect", "xor", "--assembly", "-o", str(tmp_path / "x.html")]) == 0
    text = (tmp_path / "x.html").read_text()
    assert "<title>xor: dlc inspect</title>" in text and "@" + "data@" not in text
    kernels = data(text)["kernels"]  # type: ignore[index]
    assert kernels and all(f"{k['name']}:" in k["assembly"] for k in kernels)
    assert not any(".cfi" in k["assembly"] for k in kernels)
