"""docs/networks.md, made of the catalogue, the models' docstrings and the figures on record."""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

from dlc.cli.models import description, figures, told_figure
from dlc.cli.source import bundled_file
from dlc.models import CHAPTERS, GOALS, command, file_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "networks.md"
PICTURES = ROOT / "docs" / "pictures" / "networks"
HEAD = """# The bundled networks

`dlc train NAME` trains each of them, on data that comes with dlc or is made by an exact rule;
nothing is downloaded. An entry says what the network is, the paper that it follows and where it
differs, its parameters, and the figure that it reached from three seeds, with AVX-512, beside
what is required: on held-out data, or on the training data where none are held out (`test=0`
without folds). `make networks` repeats all runs ({minutes:.0f} minutes on two cores) and prints
a line for each. The figures are those on record in `models/figures.json`, the texts those in
`models/`. The pictures are of seed 0 (`python -m tests.networks.pictures`).
"""


def page() -> str:
    """The whole page."""
    total = sum(sum(r["seconds"]) for r in figures().values())
    parts = [HEAD.format(minutes=total / 60)]
    for chapter, part in CHAPTERS.items():
        parts.append(f"\n## {chapter}\n")
        parts += [entry(list(names)) for _, names in groupby(part, file_of)]
    return "\n".join(parts)


def entry(names: list[str]) -> str:
    """The networks of a file: title, what the file says, a row for each, pictures."""
    title, _ = description(names[0])
    file = f"models/{file_of(names[0])}.py"
    lines = [f"### {', '.join(names)}\n", f"{title} [{file}](../{file})\n"]
    lines += [f"{text}\n" for text in paragraphs(names[0])]
    lines.append("| command | parameters | data | required | reached | seconds |\n"
                 "|---|---|---|---|---|---|")
    lines += map(row, names)
    lines.append("")
    if (PICTURES / f"{file_of(names[0])}.svg").exists():
        lines.append(f"![{title}](pictures/networks/{file_of(names[0])}.svg)\n")
    return "\n".join(lines)


def paragraphs(name: str) -> list[str]:
    """What a model's docstring says after its first line."""
    text = ast.get_docstring(ast.parse(bundled_file(name).read_text(encoding="utf-8"))) or ""
    return [" ".join(part.split()) for part in text.split("\n\n")[1:]]


def row(name: str) -> str:
    """Command, parameters, data, required and reached figures, and seconds of a network."""
    record = figures().get(name)
    if record is None:
        return f"| `{command(name)}` | | | {GOALS[name]} | | |"
    reached = ", ".join(map(told_figure, record["figures"]))
    seconds = ", ".join(f"{s:.0f}" for s in record["seconds"])
    return (f"| `{command(name)}` | {record['parameters']:,} | `{record['data']}` | "
            f"{GOALS[name]} | {reached} | {seconds} |")
