"""Text for a terminal narrower than it was made for: padding goes first, then lines are broken
with a hanging indentation; nothing is cut off."""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HANG = "    "
LAST_RESORT = 1000  # brackets that behind an opening one seem to be open
_PADDING = re.compile(r"(?<=\S) {2,}(?=\S)")


def hang(text: str, columns: int, indent: str = "", more: str = "") -> str:
    """Prose in lines of at most `columns`; the second line on begins with `indent` and `more`.

    Words longer than a line, such as paths, stand out over the edge rather than being broken.
    """
    lines = textwrap.wrap(text, max(columns, 20), initial_indent=indent,
                          subsequent_indent=indent + more, break_long_words=False,
                          break_on_hyphens=False)
    return "\n".join(lines)


def hang_lines(text: str, columns: int) -> str:
    """A text of several lines, each of them wrapped below its own indentation."""
    return "\n".join(line if len(line) <= columns else hang(
        line.strip(), columns, line[:len(line) - len(line.lstrip())]) for line in text.split("\n"))


@dataclass
class Row:
    """A line of Python: its code, its trailing comment, and where the code may be broken.

    `breaks` are (column, depth of brackets there); `words` says that it lies within a string of
    several lines, which is prose.
    """

    code: str
    comment: str = ""
    breaks: list[tuple[int, int]] = field(default_factory=list)
    words: bool = False


def fit_python(text: str, columns: int) -> str:
    """Python text in lines of at most `columns`, as far as its words allow.

    What fits stays as it is. Else columns of `=` are closed up, comments move to one column or
    above their line, and code is broken after a comma or before an operator, with a backslash
    where it stands in no bracket: it is the same program.
    """
    if all(len(line) <= columns for line in text.split("\n")):
        return text
    functions = re.split(r"(?m)^(?= *def )", text)
    return "".join(_fit_function(part, columns) for part in functions)


def _fit_function(text: str, columns: int) -> str:
    if all(len(line) <= columns for line in text.split("\n")):
        return text
    closed = [_close_up(line) for line in _joined(text.split("\n"), columns)]
    found = rows("\n".join(closed))
    edge = comment_column(found, columns)
    return "\n".join(line for row in found for line in _lines_of(row, edge, columns))


def _joined(lines: Sequence[str], columns: int) -> list[str]:
    """`lines` with the calls and signatures that were broken already, and have to be broken again,
    each on one line."""
    out: list[str] = []
    at = 0
    while at < len(lines):
        end = at + 1
        if lines[at].endswith("," if lines[at].lstrip().startswith("def ") else "("):
            ends = (k for k, line in enumerate(lines[end:], end + 1) if line.endswith((")", "):")))
            end = next(ends, end)
        call = lines[at:end]
        wide = end > at + 1 and max(map(len, call)) > columns
        gap = " " if call[0].endswith(",") else ""
        out += [call[0] + gap + " ".join(line.strip() for line in call[1:])] if wide else call
        at = end
    return out


def _close_up(line: str) -> str:
    """`line` without the padding between its words; what stands in strings has none."""
    code, mark, comment = line.partition("  # ")
    return _PADDING.sub(" ", code) + mark + comment if '"' not in code.split(" = ")[0] else line


def rows(text: str) -> list[Row]:
    """The lines of a piece of Python with their comments and places to break."""
    found = [Row(line) for line in text.split("\n")]
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (line, column), (end_line, _) = token.start, token.end
        if line > len(found):
            break  # the end's own tokens
        row = found[line - 1]
        if token.type == tokenize.COMMENT and row.code[:column].strip():
            row.comment, row.code = token.string, row.code[:column].rstrip()
        elif token.type == tokenize.STRING and end_line > line:
            for at in range(line - 1, end_line):
                found[at].words = True
        elif token.string in ("(", "[", "{"):
            depth += 1
            row.breaks.append((token.end[1], depth + LAST_RESORT))
        elif token.string in (")", "]", "}"):
            depth -= 1
        elif token.string == "," or (token.string == "=" and token.line[column - 1:column] == " "):
            row.breaks.append((token.end[1], depth))
        elif _may_start_a_line(token):
            row.breaks.append((column, depth))
    return found


def _may_start_a_line(token: tokenize.TokenInfo) -> bool:
    """Whether a line may be broken before `token`: an operator with spaces around, a word between
    two values, or the next piece of a string."""
    before, after = token.line[:token.start[1]], token.line[token.end[1]:]
    if not before.strip() or not before.endswith(" "):
        return False
    operator = token.type == tokenize.OP and token.string not in "=@"
    spaced = after.startswith(" ") and (operator or token.string in ("if", "else", "and", "or"))
    return spaced or token.type == tokenize.STRING


def comment_column(found: Iterable[Row], columns: int) -> int:
    """Where trailing comments stand: behind the longest code whose comment fits beside it."""
    return max((len(row.code) + 2 for row in found if row.comment
                and len(row.code) + 2 + len(row.comment) <= columns), default=0)


def _lines_of(row: Row, edge: int, columns: int) -> list[str]:
    if row.words or (not row.code.strip().strip("#") and not row.comment):
        return hang_lines(row.code, columns).split("\n")
    pad = row.code[:len(row.code) - len(row.code.lstrip())]
    if row.code.lstrip().startswith("#"):
        return _comment_lines(row.code.strip(), pad, columns)
    if not row.comment:
        return broken(row.code, row.breaks, columns)
    for column in (edge, len(row.code) + 2):
        line = f"{row.code.ljust(column)}{row.comment}"
        if len(row.code) + 2 <= column and len(line) <= columns:
            return [line]
    return [*_comment_lines(row.comment, pad, columns), *broken(row.code, row.breaks, columns)]


def _comment_lines(comment: str, pad: str, columns: int) -> list[str]:
    return hang(comment, columns, pad, "# ").split("\n")


def broken(code: str, breaks: Sequence[tuple[int, int]], columns: int) -> list[str]:
    """`code` over several lines: broken where the fewest brackets are open, in the second half of
    a line where there is such a place."""
    pad = code[:len(code) - len(code.lstrip())]
    lines: list[str] = []
    start, indent = 0, ""
    while len(indent) + len(code) - start > columns:
        room = start + columns - len(indent) - 2
        places = [b for b in breaks if start < b[0] <= room and code[b[0]:].strip()
                  and code[start:b[0]].strip()]
        if not places:
            break
        late = [b for b in places if b[0] - start >= (room - start) // 2]
        at, depth = min(late or places, key=lambda b: (b[1], -b[0]))
        lines.append(indent + code[start:at].rstrip() + ("" if depth else " \\"))
        start = at + len(code[at:]) - len(code[at:].lstrip())
        indent = pad + (HANG if not code.startswith(f"{pad}def ") else 2 * HANG)
    return [*lines, indent + code[start:]]
