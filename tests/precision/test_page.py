"""docs/precision.md: its table of operators is written from their records."""

from __future__ import annotations

import re

import pytest

from dlc.ir.graph import Kind
from dlc.ir.registry import REGISTRY
from tests.documents import ROOT

PAGE = ROOT / "docs" / "precision.md"
WORDS = {"low": "in bf16 or f16", "follow": "in the dtype of what it is given", "full": "in f32"}
OMITTED = (Kind.LEAF, Kind.HIGHER, Kind.ITEM)  # no arithmetic of their own


def table() -> str:
    rows = ["| computes | operators |", "|---|---|"]
    for word, meaning in WORDS.items():
        names = sorted(name for name, op in REGISTRY.items()
                       if op.precision == word and op.kind not in OMITTED and not op.functions)
        rows.append(f"| {meaning} | {' '.join(f'`{name}`' for name in names)} |")
    return "\n".join(rows) + "\n"


def test_table_of_operators(request: pytest.FixtureRequest) -> None:
    text = PAGE.read_text()
    wanted = re.sub(r"(?<=<!-- precision -->\n)(\|.*\n)*", lambda _: table(), text)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(wanted)
        return
    assert text == wanted
