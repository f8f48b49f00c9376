"""What conformance runs found: results.json, the journal of a run, the tables of the page.

A row of results.json is what one part of a suite gave on one instruction set ("" for what the
evaluator computes): counts, the commit and the day, and a digest of the code that decides such
results. A row is stale when that digest is no longer the one of the working tree: comments,
docstrings, imports and the file that a function stands in do not count.
"""

from __future__ import annotations

import ast
import datetime
import hashlib
import io
import json
import subprocess
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from tests.conformance.cut import PARTS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
JOURNAL = ROOT / ".conformance" / "journal.jsonl"
# What decides the numbers of a compiled program; of the runtime what generates and runs code. The
# evaluator's are decided by the language, without passes and kernels.
LANGUAGE = ("dlc/*.py", *(f"dlc/{room}/**/*.py" for room in (
    "ir", "ops", "derive", "reference", "lang", "random", "linalg", "optim", "nn", "task", "onnx")))
COMPILER = (*LANGUAGE, "dlc/passes/**/*.py", "dlc/backend/**/*.py", "runtime/compile/*.py",
            "runtime/cpu/*.py", "runtime/train/alternation.py")
# The suites of a full run, evaluated and on these instruction sets.
SUITES = ("JAX harnesses", "NNSmith, fresh", "NNSmith, fresh, all dtypes", "NNSmith, frozen",
          "ONNX nodes", "ONNX nodes of other dtypes", "equivalent rewrites", "torch OpInfo",
          "torch OpInfo, narrow integers", "torch OpInfo, training",
          "torch OpInfo, tail batches", "ONNX nodes, training")
COMPILED_ONLY = {"equivalent rewrites", "torch OpInfo, training", "torch OpInfo, tail batches",
                 "ONNX nodes, training"}
SETS = ("", "avx2", "avx512", "scalar")
Row = dict[str, Any]


@cache
def digest(isa: str) -> str:
    """Of the code that decides results on `isa`; "" is the evaluator."""
    found = sorted(text for path in sources(isa) for text in statements(path.read_text()))
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:12]


@cache  # a file is part of several digests
def statements(source: str) -> tuple[str, ...]:
    """The functions, classes and values of a module without what computes nothing. Text, because
    a dump of the syntax tree is another one in each version of Python."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or is_text(node):
            for row in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[row] = ""
    return tuple(filter(None, (code_of(lines, node) for node in tree.body)))


def is_text(node: ast.AST) -> TypeGuard[ast.Expr]:
    """Whether a statement is a docstring, or a text beside a name that documents it."""
    return (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str))


def code_of(lines: Sequence[str], node: ast.stmt) -> str:
    """The lines of a statement, decorators included, that are not empty."""
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
    kept = (line.rstrip() for line in lines[first - 1:node.end_lineno])
    return "\n".join(filter(None, kept))


def sources(isa: str) -> list[Path]:
    """The files whose change makes results stale."""
    paths = {p for pattern in (COMPILER if isa else LANGUAGE) for p in ROOT.glob(pattern)}
    return sorted(paths)


def stale(row: Row) -> bool:
    """Whether a source has changed since the row ran."""
    return bool(row["sources"] != digest(row["isa"]))


def commit() -> str:
    """The commit that is checked out, "" outside of a repository."""
    told = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, text=True,
                          capture_output=True, check=False)
    return told.stdout.strip()


def read() -> list[Row]:
    """The rows of results.json."""
    return list(json.loads(RESULTS.read_text())) if RESULTS.exists() else []


def write(rows: Iterable[Row]) -> None:
    """One row a line, in an order of their own."""
    lines = [json.dumps(row, sort_keys=True) for row in sorted(rows, key=place)]
    RESULTS.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def place(row: Row) -> tuple[str, str, int]:
    """What a row is about: a later run replaces it."""
    return row["suite"], row["isa"], row["part"]


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """`old` with `new` in the place of what they repeat."""
    return list({place(row): row for row in (*old, *new)}.values())


def journal() -> list[Row]:
    """The last line about each test of each part that ran at the present sources, by instruction
    set."""
    lines = JOURNAL.read_text().splitlines() if JOURNAL.exists() else []
    found: dict[tuple[str, str, int], Row] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # the run was killed as it wrote
            continue
        if not stale(row):
            found[row["test"], row["isa"], row["part"]] = row
    return list(found.values())


def note(test: str, isa: str, part: int, failed: bool, tallies: Sequence[Row]) -> None:
    """Add a finished test to the journal."""
    JOURNAL.parent.mkdir(exist_ok=True)
    row = {"test": test, "isa": isa, "part": part, "failed": failed, "tallies": list(tallies),
           "sources": digest(isa), "commit": commit(),
           "date": datetime.date.today().isoformat()}
    with JOURNAL.open("a") as file:
        file.write(json.dumps(row) + "\n")


def rows_of(part: int, isa: str, lines: Iterable[Row]) -> list[Row]:
    """The rows that a part's tests of one instruction set sum up to."""
    found: dict[str, Row] = {}
    for line in lines:
        if (line["part"], line["isa"]) != (part, isa):
            continue
        for tally in line["tallies"]:
            row = found.setdefault(tally["suite"], {
                "suite": tally["suite"], "isa": isa, "part": part, "passed": 0, "wrong": 0,
                "excluded": {}, "drawn": "", **{k: line[k] for k in ("sources", "commit", "date")}})
            row["passed"] += tally["passed"]
            row["wrong"] += tally["wrong"] or int(line["failed"])
            row["drawn"] = tally["drawn"] or row["drawn"]
            row["excluded"] = summed([row["excluded"], tally["excluded"]])
    return list(found.values())


def summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts by reason, added up."""
    found: dict[str, int] = {}
    for each in counts:
        for reason, number in each.items():
            found[reason] = found.get(reason, 0) + number
    return found


def table(rows: Sequence[Row]) -> str:
    """The counts, reasons and seeds as tables of docs/conformance.md; what has not run says so."""
    groups: dict[tuple[str, str], list[Row]] = {
        (suite, isa): [] for suite in SUITES for isa in SETS if isa or suite not in COMPILED_ONLY}
    for row in sorted(rows, key=place):
        groups.setdefault((row["suite"], row["isa"]), []).append(row)
    groups = dict(sorted(groups.items()))
    return "\n".join([
        "| suite | how | passed | excluded | wrong | parts run | last | stale |",
        "|---|---|---:|---:|---:|---:|---|---:|",
        *(counted(suite, isa, group) for (suite, isa), group in groups.items()), "",
        "| suite | how | left out | reason |", "|---|---|---:|---|",
        *(f"| {suite} | {how(isa)} | {number:,} | {reason} |"
          for (suite, isa), group in groups.items()
          for reason, number in sorted(summed(r["excluded"] for r in group).items())), "",
        "| random cases | part | drawn from |", "|---|---:|---|",
        *(f"| {r['suite']} | {r['part'] + 1} | {r['drawn']} |"
          for group in groups.values() for r in group if r["drawn"])])


def counted(suite: str, isa: str, group: Sequence[Row]) -> str:
    """One line of the first table."""
    if not group:
        return f"| {suite} | {how(isa)} | | | | 0 of {PARTS} | not run | |"
    passed, wrong = (sum(row[key] for row in group) for key in ("passed", "wrong"))
    excluded = sum(sum(row["excluded"].values()) for row in group)
    old = sum(map(stale, group))
    last = max(row["date"] for row in group)
    return (f"| {suite} | {how(isa)} | {passed:,} | {excluded:,} | {wrong:,} | "
            f"{len(group)} of {PARTS} | {last} | {f'{old} of {len(group)}' if old else ''} |")


def how(isa: str) -> str:
    """What computed the results."""
    return f"compiled, {isa}" if isa else "evaluated"
