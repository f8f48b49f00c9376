"""Says after the run which planted faults it took, and how to take others."""

from __future__ import annotations

import pytest

from tests.faults.selection import chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, if faults were planted at all."""
    if "faults" in str(terminalreporter.config.option.markexpr).replace("not faults", ""):
        terminalreporter.write_line(f"faults: {chosen()[1]}")
