"""What docs/design/inspect.md says of the inspector's pages, measured: seconds, bytes, clicks.

    python -m tests.inspector.figures [NAME ...] [--pages FOLDER]     e.g. lstm gpt resnet152

All times are processor time, so that other work on the machine does not count: seconds of this
process to compile the training step without its kernels, to make the record, and the page; for a
click the milliseconds of the page's thread, scripts, style and layout, from the event on. Of each
line, node and launch that is clicked the shortest of some repetitions counts, and of those the
slowest is told.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from dlc.compiler import Compiled, task_source
from dlc.inspector.gather import inspect
from dlc.inspector.page import page
from dlc.inspector.record import Inspection
from dlc.models.peers import NETWORKS
from dlc.models.resnet import residual_network
from dlc.optim import momentum
from dlc.task.task import Task
from tests.inspector.browser import Browser, Page, installed
from tests.networks.full_size import classified

NAMES = ("lstm", "gpt", "resnet18", "resnet50")
VIEWS = ("graph", "fusion", "memory", "kernels")
REPEAT, SAMPLES = 3, 10
FORCED = "document.body.getBoundingClientRect().width"  # makes style and layout anew


def task_of(name: str) -> Task:
    """A network of dlc bench, or a ResNet of 50, 101 or 152 layers as published."""
    if name in NETWORKS:
        return NETWORKS[name]()
    net = residual_network(int(name.removeprefix("resnet")))
    return classified(net, 16).with_options(optimizer=momentum(0.1, 0.9))


def made(name: str) -> tuple[str, Inspection, list[float]]:
    """(the page, its Inspection, seconds of compiling, record and page)."""
    times = [time.process_time()]
    compiled = Compiled(task_source(task_of(name), None, {}, kinds=("train",)), "cpu")
    _ = compiled.program
    times.append(time.process_time())
    found = inspect(compiled)
    times.append(time.process_time())
    text = page(found)
    times.append(time.process_time())
    return text, found, [b - a for a, b in pairwise(times)]


def clicks(shown: Page, found: Inspection) -> Iterator[str]:
    """What is clicked: lines, nodes and launches from all over the program."""
    lines = "document.querySelectorAll('button.src:not(.free)')"
    count = int(shown.evaluate(f"{lines}.length"))
    yield from (f"{lines}[{k}].click()" for k in spread(count))
    entry = found.entries[0]
    stage = next(s for s in entry.stages if s.name == "separate")
    rows = [r for f in stage.functions for r in f.rows]
    yield from (f"choose('row', {rows[k]})" for k in spread(len(rows)))
    yield from (f"choose('launch', {k})" for k in spread(len(entry.launches)))


def spread(count: int) -> range:
    return range(0, count, max(1, count // SAMPLES))


def slowest(shown: Page, found: Inspection) -> dict[str, float]:
    """The milliseconds of the slowest click in each view."""
    told = {}
    for view in VIEWS:
        shown.click(f"#tab-{view}")
        told[view] = max(min(took(shown, action) for _ in range(REPEAT))
                         for action in clicks(shown, found))
    return told


def took(shown: Page, action: str) -> float:
    """Milliseconds of processor time that an action takes while nothing is chosen."""
    shown.evaluate(f"chosen && choose(chosen.kind, chosen.id), {FORCED}")
    before = busy(shown)
    shown.evaluate(f"{action}, {FORCED}")
    return 1e3 * (busy(shown) - before)


def busy(shown: Page) -> float:
    """Seconds that the page's thread has worked."""
    metrics = shown.call("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def main(arguments: list[str]) -> int:
    """Print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--pages", help="keep the pages in this folder")
    options = parser.parse_args(arguments)
    print("seconds of processor time, milliseconds of the slowest click")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names or NAMES:
            text, found, seconds = made(name)
            file = Path(options.pages or temporary) / f"{name}.html"
            file.write_text(text, encoding="utf-8")
            entry = found.entries[0]
            print(f"{name}: {len(found.rows):,} rows, {len(entry.launches)} launches, compiling "
                  f"{seconds[0]:.1f} s, record {seconds[1]:.1f} s, page {seconds[2]:.1f} s, "
                  f"{len(text.encode()):,} bytes", flush=True)
            if installed():
                with Browser() as browser:
                    shown = browser.open(file)
                    shown.call("Performance.enable", timeDomain="threadTicks")
                    told = slowest(shown, found)
                print("  clicks: " + ", ".join(f"{k} {v:.0f} ms" for k, v in told.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
