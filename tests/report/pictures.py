"""Pictures of the reports of the example tasks, by a browser that is installed: docs/report.md.

    python -m tests.report.pictures [OUT]        trains the tasks and takes pictures into OUT

Each report is shown in a frame of 1280 and of 390 pixels, light and dark: a headless browser has a
least width of its own, a frame has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.report.corpus import write_corpus

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TASKS = ("classifier", "is_round", "autoencoder", "gan", "writer")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {1280: 2300, 390: 2900}  # width: height
LEAST = 520  # of a browser's window
CHROME = 90  # pixels of a window that a headless browser does not show
PAPER = {False: "#f7f7f5", True: "#14161a"}  # around the frame
FRAME = ('<body style="margin:0;background:{paper}"><iframe src="{source}" '
         'style="border:0;width:{width}px;height:{height}px"></iframe></body>')


def train(task: str, folder: Path) -> Path:
    """Train a task in `folder`; its report."""
    shutil.copy(HERE / f"{task}.py", folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "dlc", "train", f"{task}.py", "--inspect"], cwd=folder,
                   env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder / "runs" / task / "report.html"


def picture(browser: str, report: Path, width: int, dark: bool, out: Path) -> Path:
    """A picture of a report in a frame of `width` pixels."""
    frame = report.with_name("frame.html")
    height = SIZES[width]
    frame.write_text(FRAME.format(source=report.as_uri(), width=width, height=height,
                                  paper=PAPER[dark]))
    path = out / f"{report.parent.name}-{width}-{'dark' if dark else 'light'}.png"
    subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--allow-file-access-from-files", f"--screenshot={path}",
         f"--blink-settings=preferredColorScheme={0 if dark else 1}",
         f"--window-size={max(width, LEAST)},{height + CHROME}", frame.as_uri()],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def main(arguments: list[str]) -> int:
    """Train all and take all pictures; 1 without a browser."""
    out = Path(arguments[0] if arguments else "report-pictures").resolve()
    out.mkdir(parents=True, exist_ok=True)
    write_corpus(out / "pydoc.txt")
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    for task in TASKS:
        report = train(task, out)
        print(report)
        for width in SIZES if browser else ():
            for dark in (False, True):
                print(picture(browser or "", report, width, dark, out))
    if browser is None:
        print(f"no browser: one of {', '.join(BROWSERS)} takes the pictures", file=sys.stderr)
    return int(browser is None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
