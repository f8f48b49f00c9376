"""docs/conformance.md lists operators and exclusions as the adapters declare them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.adapters import TABLE
from tests.conformance.adapters.differences import DIFFERENCES
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def operators() -> str:
    """Every operator, wrapped as one paragraph."""
    lines, line = [], f"{len(TABLE)} operators:"
    for name in sorted(TABLE):
        if len(line) + len(name) > 114:
            lines.append(line)
            line = ""
        line = f"{line} `{name}`".lstrip()
    return "\n".join([*lines, line])


def samples() -> str:
    """A row for each reason why samples are left out."""
    reasons: dict[str, list[str]] = {}
    for name, adapter in TABLE.items():
        for reason in (*adapter.excludes, adapter.refuses):
            if reason:
                reasons.setdefault(reason, []).append(f"`{name}`")
    rows = [f"| {', '.join(names)} | {reason} |" for reason, names in reasons.items()]
    return "\n".join(["| operators | reason |", "|---|---|", *rows])


def differences() -> str:
    """A row for each reason why dlc takes what PyTorch refuses."""
    reasons: dict[str, list[str]] = {}
    for case, reason in DIFFERENCES.items():
        reasons.setdefault(reason, []).append(f"`{case}`")
    rows = [f"| {', '.join(cases)} | {reason} |" for reason, cases in reasons.items()]
    return "\n".join(["| error inputs | reason |", "|---|---|", *rows])


def test_page_lists_what_is_compared(request: pytest.FixtureRequest) -> None:
    """The generated parts of the page are current; --update-golden writes them."""
    text = PAGE.read_text()
    for part, content in (("operators", operators()), ("samples", samples()),
                          ("differences", differences())):
        text = replaced(text, part, content)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
