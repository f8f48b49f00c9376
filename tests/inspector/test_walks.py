"""The walks of docs/inspect.md in a real browser: from a question to its line in five clicks.

A planted NaN and a planted miscompile take one command, which test_check.py follows; here the pages
that they write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dlc.inspector.page import page as page_of
from dlc.inspector.profile import profiled
from tests.inspector.browser import Browser, Page
from tests.inspector.commands import NAN, WRONG, walk
from tests.inspector.programs import compiled, inspection

pytestmark = pytest.mark.browser
MOST = 5  # clicks


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


@pytest.fixture
def planted(browser: Browser, tmp_path: Path) -> Page:
    path = tmp_path / "planted.html"
    path.write_text(page_of(inspection("planted")), encoding="utf-8")
    return browser.open(path)


def chosen_lines(page: Page) -> list[str]:
    """The lines of source that are marked."""
    found = page.evaluate("[...document.querySelectorAll('#lines .src.on .code')].map("
                          "(c) => c.textContent.trim())")
    return list(found)


def walked(page: Page, *selectors: str) -> None:
    """Click one after the other."""
    assert len(selectors) <= MOST
    for selector in selectors:
        page.click(selector)


def test_forty_megabytes(planted: Page) -> None:
    """Memory, and the first row of who holds the peak."""
    walked(planted, "#tab-memory", "#memory tr[data-place]")
    assert chosen_lines(planted) == ["wide = dlc.tanh(x @ w)"]
    told = planted.evaluate("document.getElementById('chosen').textContent")
    assert "40.0 MiB at the peak" in told and planted.told() == []


def test_a_fusion_that_was_not_made(planted: Page) -> None:
    """Fusion, and the first row of what is stored: why, what one launch would save, which lines."""
    walked(planted, "#tab-fusion", "#fusion tr[data-edge]")
    row = planted.evaluate("document.querySelector('#fusion tr[data-edge]').textContent")
    assert "wide" in row and "a block of the product has parts of many sums" in row
    assert "80.0 MiB" in row
    assert "shares = wide / wide.sum(1, keepdims=True)" in chosen_lines(planted)
    assert planted.told() == []


def test_what_a_replay_and_a_check_have_found(browser: Browser, tmp_path: Path) -> None:
    """One click on the first finding: its line, and the pass that is wrong."""
    walk(tmp_path)
    page = browser.open(tmp_path / NAN)
    walked(page, ".finding")
    assert chosen_lines(page) == ["size = dlc.sqrt((side(x) ** 2).sum(1))"]
    assert page.evaluate("document.querySelectorAll('#sheet .on').length") > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.told() == []
    page = browser.open(tmp_path / WRONG, 390, dark=True)
    walked(page, ".finding")
    assert page.evaluate("E.stages[Number(byId('pass').value)].name") == "drop_the_sign"
    assert page.evaluate("document.querySelectorAll('#sheet .on').length") > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.told() == []


def test_the_slowest_launch(browser: Browser, tmp_path: Path) -> None:
    """Timeline, and the first row of the longest: its spans and its lines."""
    path = tmp_path / "loop.html"
    path.write_text(page_of(profiled(compiled("loop"))), encoding="utf-8")
    page = browser.open(path)
    walked(page, "#tab-timeline", "#timeline tr[data-launch]")
    assert page.evaluate("document.querySelectorAll('#lanes rect.lane').length") == page.evaluate(
        "E.timeline.threads")
    assert page.evaluate("document.querySelectorAll('#lanes rect.on').length") > 0
    assert chosen_lines(page)
    page.evaluate("(() => { const z = document.getElementById('zoom'); z.value = 3; "
                  "z.dispatchEvent(new Event('input')); })()")
    assert page.evaluate("byId('lanes').scrollWidth > 4 * byId('lanes').clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_what_is_written_in_place(browser: Browser, tmp_path: Path) -> None:
    """The memory view counts it: `h * scale` lies where h does, which its launch reads last."""
    path = tmp_path / "replacing.html"
    path.write_text(page_of(inspection("replacing")), encoding="utf-8")
    page = browser.open(path)
    page.click("#tab-memory")
    assert page.evaluate("[...takenOver()].map(([b, a]) => [b.bytes, a.name])") == [[51200, "h"]]
    told = page.evaluate("document.querySelector('#memory > p').textContent")
    assert "1 value is written in place" in told and page.told() == []
