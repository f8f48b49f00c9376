"""CSV and TSV tables: numeric features x, one target column y or label."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, check_arrays, hold_out
from dlc.runtime.data.textfile import read_text

MAX_CELL = 4096
GROWS = 40  # every cell is a text of Python's
WHOLE = re.compile(r"-?[0-9]{1,9}")
NO_TARGET = "none"
DELIMITERS = (",", "\t", ";")


@dataclass(frozen=True)
class Table:
    """Cells as text, with the line each row began on (1 is the first line of the file)."""

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def place(self, row: int, column: int) -> str:
        return f"line {self.lines[row]}, column {column + 1} ({self.names[column]})"


def is_number(cell: str) -> bool:
    """Whether a cell is a number as CSV files write them; 1_000 and empty are not."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def read_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) for every row that is not blank; DataError for broken quoting."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True,
                        skipinitialspace=True)
    line = 1
    old = csv.field_size_limit(MAX_CELL)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, f"line {line}", f"is not CSV ({error})",
                        "cells between delimiters, quoted with double quotes") from None
    finally:
        csv.field_size_limit(old)


def read_table(path: Path, intake: Intake) -> Table:
    """The cells of a CSV or TSV file.

    The delimiter is the one of comma, tab, semicolon that the first line holds most of. The first
    row is a header when a cell of it is not a number and the same column's cell below is one, or
    when none of its cells is a number. Raises DataError for an empty file, ragged rows and
    column names that occur twice.
    """
    text = read_text(path, intake, GROWS)
    first = text.split("\n", 1)[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, cells in read_rows(path, text, delimiter):
        if rows and len(cells) != len(rows[0]):
            raise DataError(path, f"line {line}", f"{len(cells)} cells, but line {lines[0]} has "
                            f"{len(rows[0])}", "every row has the same number of cells")
        rows.append(cells)
        lines.append(line)
    if not rows:
        raise DataError(path, "", "holds no row", "a row for every sample")
    names = tuple(str(i) for i in range(len(rows[0])))
    if is_header(rows):
        names = tuple(rows.pop(0))
        del lines[0]
        if len(set(names)) < len(names):
            raise DataError(path, "line 1", "two columns have the same name", "distinct names")
    if not rows:
        raise DataError(path, "", "holds a header and no row", "a row for every sample")
    return Table(path, names, rows, lines)


def is_header(rows: list[list[str]]) -> bool:
    first = rows[0]
    if not any(is_number(cell) for cell in first):
        return True
    below = rows[1] if len(rows) > 1 else first
    return any(not is_number(a) and a and is_number(b) for a, b in zip(first, below, strict=True))


def column_index(table: Table, target: str) -> int:
    """The column that `target` names: a name of the header, or a number (negative from the end)."""
    if target in table.names:
        return table.names.index(target)
    count = len(table.names)
    if WHOLE.fullmatch(target) and -count <= int(target) < count:
        return int(target) % count
    raise DataError(table.path, f"target={target}", "there is no such column",
                    f"one of {', '.join(table.names[:20])}, a number from {-count} to "
                    f"{count - 1}, or none")


def parse_columns(table: Table, columns: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """f32[n, columns]; DataError with line and column for a cell that is not a number of f32."""
    values = np.empty((len(table.rows), len(columns)), np.float64)
    for i, row in enumerate(table.rows):
        for j, column in enumerate(columns):
            if not is_number(row[column]):
                raise bad_cell(table, i, column, "is not a number")
            values[i, j] = float(row[column])
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        i, j = map(int, np.argwhere(~np.isfinite(found))[0])
        raise bad_cell(table, i, columns[j], "is beyond f32" if np.isfinite(values[i, j]) else
                       "is not finite")
    return found


def bad_cell(table: Table, row: int, column: int, problem: str) -> DataError:
    """What is wrong with a cell, at its line and column."""
    cell = table.rows[row][column]
    return DataError(table.path, table.place(row, column),
                     f"{cell[:40]!r} {problem}" if cell else "the cell is empty",
                     "a finite number in every cell; target=NAME for a column of words")


def parse_target(table: Table, column: int) -> tuple[Arrays, tuple[str, ...]]:
    """The target: field y (f32[n]) of numbers, or field label (i32[n]) and classes of words."""
    cells = [row[column] for row in table.rows]
    if any(is_number(cell) for cell in cells):
        return {"y": parse_columns(table, [column])[:, 0].copy()}, ()
    if "" in cells:
        raise DataError(table.path, table.place(cells.index(""), column), "the cell is empty",
                        "a class name in every row")
    classes, ids = np.unique(np.array(cells), return_inverse=True)
    return {"label": ids.astype(np.int32)}, tuple(str(c) for c in classes)


def load_csv(path: Path, target: str, test: float, intake: Intake) -> Dataset:
    """Field x (f32[n, features]) of all other columns and that of column `target`.

    A target of words becomes field label, i32 indices into the sorted words (`classes`); one of
    numbers becomes field y. With "none" every column is a feature, unless one is called so. The
    fraction `test` of the rows is held out.
    """
    table = read_table(path, intake)
    if target == NO_TARGET and target not in table.names:
        every = {"x": parse_columns(table, range(len(table.names)))}
        train, held = hold_out(every, test, path)
        return Dataset(path.name, train, held, source=str(path))
    if len(table.names) < 2:
        raise DataError(path, "line 1", "has one column",
                        "at least one feature and a target, between commas")
    last = column_index(table, target)
    features = [c for c in range(len(table.names)) if c != last]
    x = parse_columns(table, features)
    field, classes = parse_target(table, last)
    arrays = {"x": x, **field}
    check_arrays(path, arrays, "train")
    train, held = hold_out(arrays, test, path)
    return Dataset(path.name, train, held, classes, source=str(path))
