"""Markdown pages as the tests read them: code blocks, the output below them, excerpts of output.

A page is checked by three kinds of block:

    ```python ... ```                        code; a ```text block right below is what it prints,
                                             in which a line `...` stands for any lines
    <!-- shown: SUBJECT; from A; to B -->    the block below is a piece of what dlc prints: the
                                             lines from the first with A to the next with B
    <!-- file: PATH -->                      the block below is that file
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^(?:<!-- (?P<note>[^\n]*?) -->\n)?```(?P<language>\w+)\n"
                    r"(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: `line` is the number of its first line of text, `start` .. `end` its text's
    place in the page, `note` the comment above it, `gap` what lies between it and the last one."""

    language: str
    text: str
    line: int
    start: int
    end: int
    note: str
    gap: str

    @property
    def subject(self) -> tuple[str, str, str]:
        """(subject, from, to) of a block that shows output."""
        parts = self.note.removeprefix("shown: ").split("; ")
        words = dict(p.split(" ", 1) for p in parts[1:])
        return parts[0], words.get("from", ""), words.get("to", "")


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    last = 0
    for m in _BLOCK.finditer(page):
        line = page[:m.start("text")].count("\n") + 1
        yield Block(m["language"], m["text"], line, m.start("text"), m.end("text"), m["note"] or "",
                    page[last:m.start()])
        last = m.end()


def runs(page: str) -> Iterator[tuple[Block, Block | None]]:
    """Each block of Python with the block of output right below it, if there is one."""
    found = list(blocks(page))
    for block, below in zip(found, [*found[1:], None], strict=True):
        if block.language == "python" and not block.note:
            output = below is not None and below.language == "text" and not below.gap.strip()
            yield block, below if output else None


def excerpt(text: str, first: str, last: str) -> str:
    """The lines of `text` from the first that holds `first` to the next that holds `last`.

    Raises ValueError when there are none. An empty `last` ends at the first empty line.
    """
    lines = text.splitlines()
    begin = next((i for i, line in enumerate(lines) if first in line), -1)
    if begin < 0:
        raise ValueError(f"no line holds {first!r}")
    for end in range(begin, len(lines)):
        if (last in lines[end] and end > begin) if last else not lines[end].strip():
            return "\n".join(lines[begin:end + 1 if last else end]) + "\n"
    if last:
        raise ValueError(f"no line after {lines[begin]!r} holds {last!r}")
    return "\n".join(lines[begin:]) + "\n"


def agrees(printed: str, expected: str) -> bool:
    """Whether output is as the page says; `...` alone on a line stands for any lines."""
    pieces = [re.escape(p) for p in re.split(r"^\.\.\.\n", expected, flags=re.M)]
    return re.fullmatch("(?:.*\n)*?".join(pieces), printed) is not None


def with_texts(page: str, changes: list[tuple[Block, str]]) -> str:
    """`page` with other texts in some of its blocks."""
    for block, text in sorted(changes, key=lambda c: -c[0].start):
        page = page[:block.start] + text + page[block.end:]
    return page


def replaced(text: str, part: str, content: str) -> str:
    """`text` with `content` between the marks of `part`."""
    mark, end = f"<!-- {part} -->\n", "<!-- end -->"
    before, _, rest = text.partition(mark)
    assert rest, f"the page has no mark {mark}"
    return before + mark + content + "\n" + end + rest.partition(end)[2]
