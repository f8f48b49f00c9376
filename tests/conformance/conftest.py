"""Conformance tests import the peers: collected only when asked for, their figures shown."""

from __future__ import annotations

import datetime
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


def table(found: dict[str, list[int]]) -> str:
    """The counts as the table of docs/conformance.md."""
    rows = [f"| {suite} | {passed:,} | {excluded:,} | {wrong:,} |"
            for suite, (passed, excluded, wrong) in sorted(found.items())]
    day = datetime.date.today().isoformat()
    return "\n".join(["| suite | passed | excluded | wrong |", "|---|---:|---:|---:|", *rows, "",
                      f"`make conformance-full`, {day}."])


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
    if lines:
        terminalreporter.section("what conformance measured")
        for line in lines:
            terminalreporter.write_line(line)
    if found and config.getoption("--conformance-table"):
        PAGE.write_text(replaced(PAGE.read_text(), "suites", table(found)))
