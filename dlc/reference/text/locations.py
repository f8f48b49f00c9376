"""User lines as comments: `# models/mlp.py:14, 15; models/lenet.py:3`, printed and read back."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache

from dlc.errors import Loc, short_path

# A string, in which # begins no comment, or a comment.
_COMMENT = re.compile(r'''"""(?:[^\\]|\\.)*?"""|\'{3}(?:[^\\]|\\.)*?\'{3}'''
                      r'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|(?P<comment>#[^\n]*)''', re.S)
_PLACE = re.compile(r"(?P<file>.+):(?P<lines>\d+(, \d+)*)")


@lru_cache(maxsize=512)
def _short(path: str, directory: str) -> str:
    # a shown path is relative to the working directory, which may change
    return short_path(path)


def format_locations(locs: Sequence[Loc]) -> str:
    """The comment of a node that serves `locs`, or "". Neighbours of one file share its name."""
    groups: list[tuple[str, list[int]]] = []
    directory = os.getcwd()
    for loc in locs:
        file = _short(loc.file, directory)
        if not groups or groups[-1][0] != file:
            groups.append((file, []))
        if loc.line not in groups[-1][1]:
            groups[-1][1].append(loc.line)
    places = "; ".join(f"{file}:{', '.join(map(str, lines))}" for file, lines in groups)
    return f"# {places}" if places else ""


def read_locations(comment: str) -> tuple[Loc, ...]:
    """The lines that a comment names; none when it is a remark of another kind."""
    found: list[Loc] = []
    for place in comment.lstrip("#").strip().split("; "):
        match = _PLACE.fullmatch(place)
        if match is None:
            return ()
        found += [Loc(match["file"], int(n)) for n in match["lines"].split(", ")]
    return tuple(found)


def comments_by_line(text: str) -> tuple[dict[int, str], set[int]]:
    """Comments by line number, and the numbers of those that stand alone on their line."""
    comments: dict[int, str] = {}
    alone: set[int] = set()
    line, counted = 1, 0
    for found in _COMMENT.finditer(text):
        if found["comment"] is None:
            continue
        line += text.count("\n", counted, found.start())
        counted = found.start()
        comments[line] = found["comment"]
        if not text[text.rfind("\n", 0, counted) + 1:counted].strip():
            alone.add(line)
    return comments, alone
