"""Conformance tests import the peers: collected only when asked for, their figures shown."""

from __future__ import annotations

from pathlib import Path

import pytest

PEERLESS = {"test_exhaustive_f32.py", "test_page.py"}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files that need PyTorch and JAX alone unless `-m conformance` chooses them."""
    chosen = config.getoption("markexpr") == "conformance"
    if chosen or collection_path.name in PEERLESS or not collection_path.name.startswith("test_"):
        return None
    return True


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the passed conformance tests measured: counts, errors, seeds."""
    reports = [report for report in terminalreporter.stats.get("passed", [])
               if "tests/conformance" in report.nodeid]
    lines = [line for report in reports for line in report.capstdout.splitlines()]
    counts = [n for report in reports for key, n in report.user_properties if key == "samples"]
    if counts:
        lines.append(f"{sum(counts)} OpInfo samples of {len(counts)} operators, values and "
                     "gradients: 0 wrong")
    if lines:
        terminalreporter.section("what conformance measured")
        for line in lines:
            terminalreporter.write_line(line)
