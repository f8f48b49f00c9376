"""report.html: one file that shows a finished run and opens offline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from dlc.program import Program
from dlc.runtime.data import Dataset
from dlc.runtime.report.answers import Answers
from dlc.runtime.report.classes import classes_section
from dlc.runtime.report.codes import codes_section
from dlc.runtime.report.curves import curves_section, step_times
from dlc.runtime.report.images import Image, data_uri
from dlc.runtime.report.inside import inside_section
from dlc.runtime.report.memory import LaunchTime, launch_section, memory_section
from dlc.runtime.report.numbers import header
from dlc.runtime.report.pictures import reconstruction_section, samples_section
from dlc.runtime.report.roc import roc_section
from dlc.runtime.report.text import text_section
from dlc.runtime.report.values import values_section
from dlc.runtime.train.checkpoint import replace_file
from dlc.runtime.train.training import TrainResult

TEMPLATE = Path(__file__).resolve().parent / "report.html"
# What the test data show; each is empty for a task of another kind.
ANSWERS = (text_section, reconstruction_section, samples_section, codes_section, roc_section,
           classes_section, values_section)


@dataclass(frozen=True)
class ReportInput:
    """All that a report shows. What is empty is left out.

    `about` says when and how the run was made: date, seed, optimizer, command. `answers` are what
    the network says of the test data. `settings` is the run's configuration by name. `graphs` are
    printed graphs by title. `launch_times` come from a profile of the training step. `filters` is
    (parameter name, pictures). `inside` has the records of gradients and layers (inside.py).
    `inspector` is the file beside the report that shows the program line by line.
    """

    result: TrainResult
    dataset: Dataset
    program: Program
    settings: Mapping[str, Any] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)
    graphs: Mapping[str, str] = field(default_factory=dict)
    launch_times: Sequence[LaunchTime] = ()
    filters: tuple[str, Sequence[Image]] = ("", ())
    entry: str = "train"
    about: Mapping[str, object] = field(default_factory=dict)
    inside: Sequence[Mapping[str, Any]] = ()
    inspector: str = ""


def write_report(path: Path, given: ReportInput) -> Path:
    """Write the report to `path`, atomically. Raises OSError when it cannot be written."""
    replace_file(path, render(given).encode("utf-8"))
    return path


def render(given: ReportInput) -> str:
    """The report as HTML: everything inline, every text escaped."""
    phases: Any = given.program.meta.get("phases", ())
    body = "\n".join([
        header(given), curves_section(given.result.history, phases),
        *(section(given.answers) for section in ANSWERS), rest(given.answers),
        inside_section(given.inside), filter_section(given), compiled_section(given),
        settings_section(given.settings), graph_section(given.graphs),
        "<footer>Written by dlc. This file needs no network.</footer>"])
    return framed(f"{given.result.model}: {given.result.epochs} epochs", body)


def framed(title: str, body: str) -> str:
    """A whole page around `body`, with the styles and the script of charts."""
    return whole_page(title, "", filled(TEMPLATE.read_text(encoding="utf-8"), body=body))


def whole_page(title: str, style: str, body: str) -> str:
    """The one frame of every page: its head, the look that all share, and `style` of its own."""
    frame, look = (TEMPLATE.with_name(name).read_text(encoding="utf-8")
                   for name in ("frame.html", "look.css"))
    return filled(frame, title=escape(title), style=f"{look}{style}", body=body)


def filled(template: str, **parts: str) -> str:
    """`template` with its parts where it names them; in a part nothing is replaced."""
    return re.sub(f"@({'|'.join(parts)})@", lambda found: parts[found[1]], template)


def rest(answers: Answers) -> str:
    """That the predictions are of a part of the rows alone."""
    count = 0 if answers.prediction is None else len(answers.prediction)
    if count in (0, answers.of) or answers.kind == "samples":
        return ""
    return f'<p class="soft">Of the first {count:,} of {answers.of:,} {answers.part} samples.</p>'


def filter_section(given: ReportInput) -> str:
    name, filters = given.filters
    if not filters:
        return ""
    images = "".join(f'<img alt="{escape(name)} {i}" src="{data_uri(p)}">'
                     for i, p in enumerate(filters))
    return (f"<h2>First layer</h2><p><code>{escape(name)}</code>, one picture a unit: blue is "
            f'positive, orange negative.</p><div class="filters">{images}</div>')


def compiled_section(given: ReportInput) -> str:
    """Memory and time of the compiled step, folded."""
    launches = given.program.entries[given.entry].flat if (
        given.entry in given.program.entries) else ()
    body = (memory_section(given.program, given.entry)
            + launch_section(given.launch_times, launches, step_times(given.result.history)))
    if not body:
        return ""
    link = (f'<p><a href="{escape(given.inspector)}">The program line by line</a>: graphs, fusion, '
            "memory, kernels.</p>") if given.inspector else ""
    return (f"<h2>The compiled step</h2>{link}<details><summary>Memory and time, launch by launch"
            f"</summary>{body}</details>")


def settings_section(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    rows = "".join(f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(str(v))}</td></tr>'
                   for k, v in settings.items())
    return (f"<h2>Configuration</h2><details><summary>Settings</summary>"
            f'<div class="scroll"><table>{rows}</table></div></details>')


def graph_section(graphs: Mapping[str, str]) -> str:
    return "".join(f"<details><summary>Graph of {escape(title)}</summary><pre>{escape(text)}</pre>"
                   "</details>" for title, text in graphs.items())
