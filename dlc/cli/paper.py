"""Output of the command line: colours in a terminal only, columns."""

from __future__ import annotations

import os
import shutil
import sys

CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
         "magenta": "35", "cyan": "36"}


def coloured() -> bool:
    """Whether standard output is a terminal that shows colours (and NO_COLOR is not set)."""
    dumb = os.environ.get("TERM", "dumb") in ("dumb", "")
    return sys.stdout.isatty() and not dumb and not os.environ.get("NO_COLOR")


def paint(text: str, style: str) -> str:
    """`text` in a style of CODES, where colours are shown."""
    return f"\x1b[{CODES[style]}m{text}\x1b[0m" if text and coloured() else text


def width() -> int:
    """Columns of the terminal; 80 for a pipe."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def python(text: str) -> None:
    """Print Python text: in a terminal highlighted and no wider than it, elsewhere as it is."""
    if sys.stdout.isatty():
        from dlc.cli.wrap import fit_python

        text = fit_python(text, width())
    if not coloured():
        print(text)
        return
    from rich.console import Console
    from rich.syntax import Syntax

    code = Syntax(text.rstrip("\n"), "python", theme="ansi_dark", background_color="default")
    Console(highlight=False, soft_wrap=True).print(code)
