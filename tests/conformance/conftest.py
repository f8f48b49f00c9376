"""Conformance tests import the peers: collected only when asked for, their figures shown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cut
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
PEERLESS = {"test_exhaustive_f32.py", "test_page.py", "test_cut.py", "test_onnx_referee.py",
            "test_nnsmith_fresh.py"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files that need PyTorch and JAX alone unless `-m conformance` chooses them."""
    chosen = config.getoption("markexpr") == "conformance"
    if chosen or collection_path.name in PEERLESS or not collection_path.name.startswith("test_"):
        return None
    return True


@pytest.fixture
def tally(record_property: Callable[[str, Any], None]) -> Callable[[str], cut.Tally]:
    """`tally(suite)`: counts of this test for the table of suites."""
    return lambda suite: cut.Tally(suite, record_property)


def tallies(reporter: pytest.TerminalReporter) -> Iterator[tuple[dict[str, Any], bool]]:
    """The counts of every test, and whether it failed."""
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            for key, value in report.user_properties:
                if key == "tally":
                    yield value, outcome == "failed"


def reasons(reporter: pytest.TerminalReporter) -> dict[tuple[str, str], int]:
    """How many cases are left out, by suite and reason."""
    found: dict[tuple[str, str], int] = {}
    for tally, _ in tallies(reporter):
        for reason, count in tally["excluded"].items():
            at = tally["suite"], reason
            found[at] = found.get(at, 0) + count
    return found


def counts(reporter: pytest.TerminalReporter) -> dict[str, list[int]]:
    """Cases passed, excluded and wrong by suite."""
    found: dict[str, list[int]] = {}
    for tally, failed in tallies(reporter):
        row = found.setdefault(tally["suite"], [0, 0, 0])
        row[0] += tally["passed"]
        row[1] += sum(tally["excluded"].values())
        row[2] += failed
    return found


def seeds(reporter: pytest.TerminalReporter) -> dict[str, str]:
    """What random cases were drawn from, by suite."""
    return {t["suite"]: t["drawn"] for t, _ in tallies(reporter) if t["drawn"]}


COUNTS = re.compile(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d-]+) \|$", re.M)
REASONS = re.compile(r"^\| (.+?) \| ([\d,]+) \| (\D.*?) \|$", re.M)
SEEDS = re.compile(r"^\| ([^|]+?) \| (seeds [^|]+?) \|$", re.M)


def table(page: str, found: dict[str, list[int]], why: dict[tuple[str, str], int],
          drawn: dict[str, str]) -> str:
    """The counts, reasons and seeds as tables of docs/conformance.md; suites that did not run keep
    their rows."""
    day = datetime.date.today().isoformat()
    rows = {row[0]: tuple(row[1:]) for row in COUNTS.findall(page)}
    rows.update({suite: (*(f"{n:,}" for n in row), day) for suite, row in found.items()})
    left = [row for row in REASONS.findall(page) if row[0] in rows and row[0] not in found]
    left += [(suite, f"{count:,}", reason) for (suite, reason), count in why.items()]
    kept = {suite: text for suite, text in SEEDS.findall(page) if suite not in found}
    return "\n".join([
        "| suite | passed | excluded | wrong | full run |", "|---|---:|---:|---:|---|",
        *(f"| {' | '.join((suite, *rows[suite]))} |" for suite in sorted(rows)), "",
        "| suite | left out | reason |", "|---|---:|---|",
        *(f"| {' | '.join(row)} |" for row in sorted(left)), "",
        "| random cases | drawn from |", "|---|---|",
        *(f"| {suite} | {text} |" for suite, text in sorted({**kept, **drawn}.items()))])


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter,
                            config: pytest.Config) -> None:
    """Print what the conformance tests measured: counts, errors, seeds; write the table if asked.
    """
    reports = [report for report in terminalreporter.stats.get("passed", [])
               if "tests/conformance" in report.nodeid]
    lines = [line for report in reports for line in report.capstdout.splitlines()]
    found = counts(terminalreporter)
    if found:
        share = "everything" if cut.FULL else f"the cut of seed {cut.SEED} (CONFORMANCE_SEED)"
        lines += [f"{share}: passed / excluded / wrong"]
        lines += [f"{suite}: {p:,} / {e:,} / {w:,}" for suite, (p, e, w) in sorted(found.items())]
        lines += [f"{suite}: {count:,} left out: {reason}"
                  for (suite, reason), count in sorted(reasons(terminalreporter).items())]
        lines += [f"{suite}: {text}" for suite, text in seeds(terminalreporter).items()]
    if lines:
        terminalreporter.section("what conformance measured")
        for line in lines:
            terminalreporter.write_line(line)
    if found and config.getoption("--conformance-table"):
        page = PAGE.read_text()
        content = table(page, found, reasons(terminalreporter), seeds(terminalreporter))
        PAGE.write_text(replaced(page, "suites", content))
