"""docs/conformance.md lists operators and exclusions as the adapters declare them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.adapters import TABLE
from tests.conformance.adapters.differences import DIFFERENCES, LEFT_OUT
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
TRAINING = Path(__file__).parent / "training_operators.txt"


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


def training_operators() -> list[str]:
    """The names that matter to training, as the file lists them."""
    lines = TRAINING.read_text().splitlines()
    return [name for line in lines if not line.startswith("#") for name in line.split()]


def left_out() -> str:
    """How many of the training operators are compared, and a row for each reason of the others."""
    names = training_operators()
    reasons: dict[str, list[str]] = {}
    for name, reason in LEFT_OUT.items():
        reasons.setdefault(reason, []).append(f"`{name}`")
    rows = [f"| {', '.join(missing)} | {reason} |" for reason, missing in reasons.items()]
    count = f"{len(names) - len(LEFT_OUT)} of {len(names)} are compared. The others:"
    return "\n".join([count, "", "| operators | reason |", "|---|---|", *rows])


def test_training_operators_are_compared_or_left_out_with_a_reason() -> None:
    """Each name of the list has an adapter or a row, never both; at least 300 an adapter."""
    names = training_operators()
    assert len(set(names)) == len(names)
    assert set(names) - set(TABLE) == set(LEFT_OUT)
    assert len(set(names) & set(TABLE)) >= 300


def test_page_lists_what_is_compared(request: pytest.FixtureRequest) -> None:
    """The generated parts of the page are current; --update-golden writes them."""
    text = PAGE.read_text()
    for part, content in (("operators", operators()), ("samples", samples()),
                          ("differences", differences()), ("left out", left_out())):
        text = replaced(text, part, content)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text
