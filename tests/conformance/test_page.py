"""docs/conformance.md lists operators and exclusions as the adapters declare them, and results.json
as tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import results
from tests.conformance.adapters import TABLE
from tests.conformance.adapters.differences import DIFFERENCES
from tests.conformance.adapters.random import RANDOM
from tests.documents import replaced

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"
TRAINING = Path(__file__).parent / "training_operators.txt"


def operators() -> str:
    """Every operator, wrapped as one paragraph."""
    names = sorted([*TABLE, *RANDOM])
    lines, line = [], f"{len(names)} operators:"
    for name in names:
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


def compared() -> str:
    """How many of the training operators are compared."""
    return f"{len(training_operators())} of {len(training_operators())} are compared."


def test_every_training_operator_is_compared() -> None:
    """Each name of the list has an adapter: with its values, or its distributions."""
    names = training_operators()
    assert len(set(names)) == len(names)
    assert set(names) <= {*TABLE, *RANDOM}
    assert not set(TABLE) & set(RANDOM)


def test_page_lists_what_is_compared(request: pytest.FixtureRequest) -> None:
    """The generated parts of the page are current; --update-golden writes them. After a change to
    the compiler the counts of earlier runs are stale, and the page says so."""
    text = PAGE.read_text()
    for part, content in (("suites", results.table(results.read())),
                          ("operators", operators()), ("samples", samples()),
                          ("differences", differences()), ("training", compared())):
        text = replaced(text, part, content)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "pytest tests/conformance/test_page.py --update-golden"
