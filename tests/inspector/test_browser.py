"""The page in a real browser: every view, one selection in all of them, a silent console.

`make browser` runs it where a Chromium is installed, and else says that it did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dlc.inspector.page import page as page_of
from dlc.inspector.record import Finding
from tests.inspector.browser import Browser, Page
from tests.inspector.programs import HOSTILE, inspection

pytestmark = pytest.mark.browser
VIEWS = ["graph", "fusion", "memory", "kernels"]
TOUCHED = 1500  # nodes of the page that a click may change
FUSING = ("separate", "fuse", "plan_memory")
# An element that fits the first selector stands within the box that fits the second.
IN_SIGHT = """[...document.querySelectorAll('{0}')].some((row) => {{
    const a = row.getBoundingClientRect();
    const b = document.querySelector('{1}').getBoundingClientRect();
    return a.bottom > b.top && a.top < b.bottom; }})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


def opened(browser: Browser, folder: Path, name: str, width: int = 1280, dark: bool = False,
           ) -> Page:
    path = folder / f"{name}.html"
    path.write_text(page_of(inspection(name)), encoding="utf-8")
    return browser.open(path, width, dark=dark)


def line_of(name: str, text: str) -> int:
    found = inspection(name)
    return next(p for p in range(len(found.places)) if text in found.source(p))


@pytest.mark.parametrize("name", ["lenet", "loop", "branch", "normalized", "recurrent", "lstm",
                                  "gpt", "resnet18"])
def test_a_line_is_followed_through_every_view(browser: Browser, tmp_path: Path,
                                               name: str) -> None:
    page = opened(browser, tmp_path, name)
    held = page.evaluate("E.peak.find((s) => E.lines.some((l) => l.place === s.place)).place")
    page.click(f"button.src[data-place='{held}']")
    assert page.evaluate("document.querySelectorAll('#lines .on').length") == 1
    for view in VIEWS:
        page.click(f"#tab-{view}")
        assert page.evaluate(f"!document.getElementById('{view}').hidden")
        assert page.evaluate(f"document.querySelectorAll('#{view} .on').length") > 0, view
    page.key("Escape")
    for view in VIEWS:
        page.click(f"#tab-{view}")
        assert page.evaluate("document.querySelectorAll('.src.on').length") == 0
        assert page.evaluate(f"document.querySelectorAll('#{view} .on:not(li)').length") == 0
    assert page.told() == []


@pytest.mark.parametrize("name", ["lenet", "recurrent"])
def test_a_node_is_followed_to_its_launch_and_back(browser: Browser, tmp_path: Path,
                                                   name: str) -> None:
    """From the graph before fusion: the launches that compute the node, their kernels in sight, and
    from the launch its nodes in every stage that has such."""
    page = opened(browser, tmp_path, name)
    found = inspection(name)
    entry = found.entries[0]
    at = next(k for k in reversed(range(len(entry.launches))) if entry.launches[k].nodes)
    node = entry.launches[at].nodes[0]
    page.evaluate(f"choose('row', {node}), reveal({node})")
    assert page.evaluate(f"document.querySelectorAll('#sheet [data-row=\"{node}\"].on').length")
    page.click("#tab-fusion")
    lit = page.evaluate("[...document.querySelectorAll('#fusion tr.on[data-launch]')].map((r) => "
                        "Number(r.dataset.launch))")
    assert lit == [k for k, x in enumerate(entry.launches) if node in x.nodes]
    assert page.evaluate(IN_SIGHT.format("#fusion tr.on", "#fusion"))
    page.click("#tab-kernels")
    assert page.evaluate(IN_SIGHT.format("#kernels tr.on", "#kernels .short"))
    assert page.evaluate("document.querySelectorAll('#code pre').length") > 0
    page.evaluate(f"choose('launch', {at})")
    page.click("#tab-graph")
    for stage in [s for s, x in enumerate(entry.stages) if x.name in FUSING]:
        page.evaluate(f"(() => {{ const s = byId('pass'); s.value = {stage}; "
                      "s.dispatchEvent(new Event('input')); repaint(); })()")
        assert page.evaluate(IN_SIGHT.format("#sheet .on", "#rows")), entry.stages[stage].name
    assert page.told() == []


def test_the_edges_of_what_is_chosen_are_all_there(browser: Browser, tmp_path: Path) -> None:
    """A large program's list has the costliest; of a launch or line that is chosen, the rest."""
    page = opened(browser, tmp_path, "gpt")
    edge = inspection("gpt").entries[0].edges[-1]
    assert page.evaluate("E.edges.length > EDGES")
    page.click("#tab-fusion")
    assert page.evaluate("byId('more-edges').children.length") == 0
    page.evaluate(f"choose('launch', {max(edge.maker, edge.reader)})")
    assert edge.value in page.evaluate("byId('more-edges').textContent")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_nothing_is_wider_than_the_window(browser: Browser, tmp_path: Path, width: int,
                                          dark: bool) -> None:
    page = opened(browser, tmp_path, "lenet", width, dark)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 22, 26)" if dark else "rgb(247, 247, 245)")
    for view in ["source", *VIEWS]:
        page.click(f"#tab-{view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate("[...document.querySelectorAll('.view:not([hidden]) table')].every("
                             "(t) => t.offsetWidth <= t.parentNode.clientWidth)"), view
        box = "document.getElementById('source')" if view == "source" else (
            f"document.getElementById('{view}')")
        assert (width == 1280 and view == "source") or page.evaluate(f"{box}.offsetHeight") > 300
    assert page.told() == []


def test_passes_search_and_keys(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, tmp_path, "lenet")
    names = page.evaluate("E.stages.map((s) => s.name)")
    for at, _ in enumerate(names):
        page.evaluate(f"(() => {{ const s = document.getElementById('pass'); s.value = {at}; "
                      "s.dispatchEvent(new Event('input')); })()")
        assert page.evaluate("document.querySelectorAll('#sheet .row').length") > 3
    page.key("/")
    for letter in "d_conv2":
        page.key(letter)
    found = page.evaluate("[...document.querySelectorAll('#sheet .inner')].map((r) => "
                          "r.textContent)")
    assert found and all("d_conv2" in text for text in found)
    page.click("#sheet .inner")
    assert page.evaluate("!document.getElementById('detail').hidden")
    page.evaluate("document.activeElement.blur()")
    page.key("3")
    assert page.evaluate("!document.getElementById('memory').hidden")
    page.evaluate("byId('tab-memory').focus()")
    page.key("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-kernels"
    assert page.evaluate("!document.getElementById('kernels').hidden")
    assert page.told() == []


def test_layers_open_to_nodes(browser: Browser, tmp_path: Path) -> None:
    """From the outermost layers of an LSTM's step to nodes; heads are names of layers."""
    page = opened(browser, tmp_path, "recurrent")
    for by, name in (("outermost", "lstm1"), ("layer", "dense1")):
        page.evaluate(f"(() => {{ const s = byId('zoomed'); s.value = '{by}'; "
                      "s.dispatchEvent(new Event('change')); })()")
        heads = page.evaluate("[...document.querySelectorAll('#sheet .row.head')].map((r) => "
                              "r.textContent)")
        assert any(name in text for text in heads), heads
    page.click("#sheet .row.head")
    assert page.evaluate("document.querySelectorAll('#sheet .row.inner').length") > 0
    assert page.told() == []


def test_a_click_touches_little(browser: Browser, tmp_path: Path) -> None:
    """Counted, not timed: the nodes that are added, removed or changed."""
    page = opened(browser, tmp_path, "lenet")
    page.evaluate("""window.changed = 0; new MutationObserver((all) => { for (const m of all)
        changed += m.addedNodes.length + m.removedNodes.length + (m.type === 'attributes'); })
        .observe(document.body, {subtree: true, childList: true, attributes: true}); 0""")
    page.click("button.src:not(.free)", 1)
    page.evaluate("new Promise((done) => setTimeout(done, 0)) && 0")
    assert 0 < page.evaluate("changed") < TOUCHED


def test_names_are_texts_in_the_page(browser: Browser, tmp_path: Path) -> None:
    """Hostile names reach every view as text: no element comes of them, nothing runs."""
    plain = inspection("loop")
    rows = tuple(replace(r, name=HOSTILE, call=HOSTILE * 200, type=HOSTILE) for r in plain.rows)
    (entry,) = plain.entries
    evil = replace(entry, launches=tuple(replace(x, name=HOSTILE) for x in entry.launches),
                   buffers=tuple(replace(b, name=HOSTILE) for b in entry.buffers),
                   edges=tuple(replace(e, value=HOSTILE, words=HOSTILE) for e in entry.edges))
    told = (Finding(HOSTILE, 0),)
    path = tmp_path / "evil.html"
    files = tuple(replace(f, path=HOSTILE, lines=(HOSTILE,) * len(f.lines)) for f in plain.files)
    path.write_text(page_of(replace(plain, program=HOSTILE, rows=rows, entries=(evil,),
                                    findings=told, files=files)))
    page = browser.open(path)
    for view in VIEWS:
        page.click(f"#tab-{view}")
        assert page.evaluate("document.querySelectorAll('b[title], script').length") == 2
    page.click("button.src:not(.free)")
    assert page.evaluate("document.querySelectorAll('b[title], script').length") == 2
    assert page.evaluate("document.querySelector('h1').textContent").startswith("</script>")
    assert page.told() == []


def test_the_large_value_is_reached(browser: Browser, tmp_path: Path) -> None:
    """Who holds the peak: the memory view, its first row; the line lights up."""
    page = opened(browser, tmp_path, "lenet")
    page.click("#tab-memory")
    page.click("#memory tr[data-place]")
    line = int(page.evaluate("document.querySelector('#lines .on').dataset.place"))
    share = inspection("lenet").entries[0].peak[0]
    assert line == share.place == line_of("lenet", "nn.conv(6, 5")
