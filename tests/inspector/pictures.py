"""The pictures of docs/inspect.md, by a Chromium that is installed.

    python -m tests.inspector.pictures [OUT]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

import dlc
from dlc.inspector.page import page
from dlc.inspector.profile import profile
from dlc.models.lenet import lenet
from tests.inspector.browser import Browser, installed
from tests.inspector.commands import NAN, WRONG, walk
from tests.inspector.programs import inspection

# The walks of the page on tests.inspector.programs.planted: the tab, and the row that is clicked.
WALKS = (("inspect-walk-memory", "memory", "tr[data-place]"),
         ("inspect-walk-fusion", "fusion", "tr[data-edge]"))
REPEAT = 500  # on a busy machine few steps have both threads to themselves
HERE = Path(__file__).resolve().parent
# name, width, height, dark, view, a line of lenet.py that is chosen
PICTURES = (
    ("inspect-graph-1280", 1280, 760, False, "graph", "nn.conv(16, 5)"),
    ("inspect-source-390", 390, 760, True, "source", "nn.conv(16, 5)"),
    ("inspect-fusion-1280", 1280, 620, True, "fusion", "nn.conv(6, 5"),
    ("inspect-memory-1280", 1280, 700, False, "memory", "nn.conv(16, 5)"),
    ("inspect-kernels-1280", 1280, 760, True, "kernels", "nn.conv(16, 5)"),
    ("inspect-timeline-1280", 1280, 480, False, "timeline", "nn.conv(16, 5)"),
)


def small(path: Path) -> None:
    """The picture in 220 colours: a third of the bytes."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(220).save(path, optimize=True)


def main(arguments: list[str]) -> int:
    """Profile LeNet and take the pictures; 1 without a browser."""
    out = Path(arguments[0]) if arguments else HERE.parents[1] / "docs" / "pictures"
    if installed() is None:
        print("no browser: Chromium takes the pictures", file=sys.stderr)
        return 1
    compiled = dlc.compile(lenet)
    found = profile(compiled, lenet, REPEAT).inspection(compiled)
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        file = Path(folder) / "lenet.html"
        file.write_text(page(found), encoding="utf-8")
        for name, width, height, dark, view, text in PICTURES:
            line = next(p for p in range(len(found.places)) if text in found.source(p))
            shown = browser.open(file, width, height, dark)
            shown.click(f"#tab-{view}")
            shown.evaluate(f"choose('place', {line})")
            shown.evaluate("document.querySelectorAll('#fusion h2')[1].scrollIntoView()")
            shown.picture(out / f"{name}.png")
            small(out / f"{name}.png")
            print(out / f"{name}.png")
        walks(browser, Path(folder), out)
        found_pages(browser, Path(folder), out)
    return 0


def walks(browser: Browser, folder: Path, out: Path) -> None:
    """Where each walk ends."""
    file = folder / "planted.html"
    file.write_text(page(inspection("planted")), encoding="utf-8")
    for name, view, row in WALKS:
        shown = browser.open(file, 1100, 420)
        shown.click(f"#tab-{view}")
        shown.click(f"#{view} {row}")
        shown.evaluate(f"document.querySelector('#{view} {row}').scrollIntoView({{block: 'end'}})")
        shown.picture(out / f"{name}.png")
        small(out / f"{name}.png")
        print(out / f"{name}.png")


def found_pages(browser: Browser, folder: Path, out: Path) -> None:
    """What the commands of the walks write, after one click."""
    walk(folder)
    for name, file in (("inspect-walk-nan", NAN), ("inspect-walk-check", WRONG)):
        shown = browser.open(folder / file, 1100, 470)
        shown.click(".finding")
        shown.picture(out / f"{name}.png")
        small(out / f"{name}.png")
        print(out / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
