"""dlc check: a program agrees with NumPy on its data; a planted fault is named with its line."""

from __future__ import annotations

import pytest

import dlc.passes
from dlc.cli import main
from dlc.ir.graph import Build, Graph, building
from dlc.passes import PIPELINE
from dlc.reference.rewrite import Grade, RuleSet, keeps, rewrite, rule


@keeps(Grade.EXACT)
def drop_the_sign(graph: Graph) -> Graph:
    with building(Build()):
        return rewrite(graph, RuleSet([rule("sub(a, b) -> add(a, b)")]))


def test_a_program_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "xor"]) == 0
    told = capsys.readouterr().out
    assert "train: 7 passes agree with NumPy" in told and "everything agrees" in told
    assert "train: 9 launches" in told or "launches agree with NumPy" in told


def test_a_planted_pass_is_named(capsys: pytest.CaptureFixture[str],
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlc.passes, "PIPELINE", (PIPELINE[0], drop_the_sign, *PIPELINE[1:]))
    assert main(["check", "xor"]) == 2
    told = capsys.readouterr().err
    assert "models/xor.py:" in told and "pass drop_the_sign changed the meaning" in told
