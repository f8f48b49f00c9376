"""The cut of a suite: of the asked size, another one each day, with all that failed before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import cut

NAMES = [f"case{i}" for i in range(100)]


def test_cut_is_small_and_follows_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "FULL", False)
    drawn = []
    for seed in (1, 1, 2):
        monkeypatch.setattr(cut, "SEED", seed)
        drawn.append(cut.chosen("suite", NAMES, 10))
    assert [len(d) for d in drawn] == [10, 10, 10]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == [n for n in NAMES if n in drawn[0]]


def test_full_run_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut, "FULL", True)
    assert cut.chosen("suite", NAMES, 10) == NAMES


def test_what_failed_before_is_always_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cut, "FULL", False)
    monkeypatch.setattr(cut, "BEFORE", tmp_path)
    (tmp_path / "suite.txt").write_text("# once wrong\ncase7\ncase93\n")
    for seed in range(5):
        monkeypatch.setattr(cut, "SEED", seed)
        assert {"case7", "case93"} <= set(cut.chosen("suite", NAMES, 10))
    (tmp_path / "suite.txt").write_text("gone\n")
    with pytest.raises(KeyError, match="gone"):
        cut.chosen("suite", NAMES, 10)
