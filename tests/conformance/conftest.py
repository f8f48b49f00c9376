"""Conformance tests import the peers: collected only when asked for, their figures shown."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import cut
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
PEERLESS = {"test_exhaustive_f32.py", "test_page.py", "test_cut.py"}


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


def reasons(reporter: pytest.TerminalReporter) -> dict[tuple[str, str], int]:
    """How many cases are left out, by suite and reason."""
    found: dict[tuple[str, str], int] = {}
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            for key, value in report.user_properties:
                if key == "tally":
                    for reason, count in value["excluded"].items():
                        at = value["suite"], reason
                        found[at] = found.get(at, 0) + count
    return found


def counts(reporter: pytest.TerminalReporter) -> dict[str, list[int]]:
    """Cases passed, excluded and wrong by suite."""
    found: dict[str, list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            for key, value in report.user_properties:
                if key == "tally":
                    row = found.setdefault(value["suite"], [0, 0, 0])
                    row[0] += value["passed"]
                    row[1] += sum(value["excluded"].values())
                    row[2] += outcome == "failed"
    return found


COUNTS = re.compile(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d-]+) \|$", re.M)
REASONS = re.compile(r"^\| (.+?) \| ([\d,]+) \| (\D.*?) \|$", re.M)


def table(page: str, found: dict[str, list[int]],
          why: dict[tuple[str, str], int]) -> str:
    """The counts and reasons as tables of docs/conformance.md; suites that did not run keep their
    rows."""
    day = datetime.date.today().isoformat()
    rows = {row[0]: tuple(row[1:]) for row in COUNTS.findall(page)}
    rows.update({suite: (*(f"{n:,}" for n in row), day) for suite, row in found.items()})
    left = [row for row in REASONS.findall(page) if row[0] in rows and row[0] not in found]
    left += [(suite, f"{count:,}", reason) for (suite, reason), count in why.items()]
    return "\n".join([
        "| suite | passed | excluded | wrong | full run |", "|---|---:|---:|---:|---|",
        *(f"| {' | '.join((suite, *rows[suite]))} |" for suite in sorted(rows)), "",
        "| suite | left out | reason |", "|---|---:|---|",
        *(f"| {' | '.join(row)} |" for row in sorted(left))])


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
    if lines:
        terminalreporter.section("what conformance measured")
        for line in lines:
            terminalreporter.write_line(line)
    if found and config.getoption("--conformance-table"):
        page = PAGE.read_text()
        PAGE.write_text(replaced(page, "suites", table(page, found, reasons(terminalreporter))))
