"""docs/networks.md, made of the catalogue, the models' docstrings and the figures on record."""

from __future__ import annotations

import ast
from pathlib import Path

from dlc.cli.models import description, figures, told_figure
from dlc.cli.source import bundled_file
from dlc.models import CHAPTERS, Goal, file_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "networks.md"
PICTURES = ROOT / "docs" / "pictures"
HEAD = """# The bundled networks

`dlc train NAME` trains each of them, on data that comes with dlc or is made by an exact rule;
nothing is downloaded. An entry says what the network is, the paper that it follows and where it
differs, its parameters, and the figure that it reached on held-out data from three seeds beside
what is required. `make networks` repeats all runs ({minutes:.0f} minutes on two cores) and
prints a line for each. The figures are those on record in `models/figures.json`, the texts
those in `models/`.
"""


def page() -> str:
    """The whole page."""
    total = sum(sum(r["seconds"]) for r in figures().values())
    parts = [HEAD.format(minutes=total / 60)]
    for chapter, part in CHAPTERS.items():
        parts.append(f"\n## {chapter}\n")
        parts += [entry(name, goal) for name, goal in part.items()]
    return "\n".join(parts)


def entry(name: str, goal: Goal) -> str:
    """A network: title, figures, what its file says, picture."""
    title, _ = description(name)
    file = f"models/{file_of(name)}.py"
    lines = [f"### {name}\n", f"{title} [{file}](../{file})\n"]
    lines += [f"{text}\n" for text in paragraphs(name)]
    lines.append(facts(name, goal) + "\n")
    lines += [f"![{name}](pictures/{path.name})\n"
              for path in sorted(PICTURES.glob(f"{name}.*"))]
    return "\n".join(lines)


def paragraphs(name: str) -> list[str]:
    """What a model's docstring says after its first line."""
    text = ast.get_docstring(ast.parse(bundled_file(name).read_text(encoding="utf-8"))) or ""
    return [" ".join(part.split()) for part in text.split("\n\n")[1:]]


def facts(name: str, goal: Goal) -> str:
    """Parameters, data, figures and seconds of a network, as a table of one row."""
    record = figures().get(name)
    if record is None:
        return f"`dlc train {name}`: {goal} is required."
    reached = ", ".join(map(told_figure, record["figures"]))
    return ("| command | parameters | data | required | reached | seconds |\n"
            "|---|---|---|---|---|---|\n"
            f"| `dlc train {name}` | {record['parameters']:,} | `{record['data']}` | {goal} | "
            f"{reached} | {', '.join(f'{s:.0f}' for s in record['seconds'])} |")
