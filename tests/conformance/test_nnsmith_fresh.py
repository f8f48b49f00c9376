"""How fresh NNSmith models come about: pinned, once, and with a row where they cannot."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.conformance import nnsmith_fresh
from tests.conformance.nnsmith_fresh import Missing, environment, run


def test_every_requirement_is_pinned() -> None:
    lines = nnsmith_fresh.REQUIREMENTS.read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert "nnsmith==0.1.0" in packages
    assert all(line.count("==") == 1 for line in packages)


def test_a_command_that_fails_says_which_step(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Missing, match="the step failed"):
        run("the step", 60, log, sys.executable, "-c", "import sys; sys.exit('no such thing')")
    assert log.read_text() == "no such thing\n"
    with pytest.raises(Missing, match=r"the step took more than 0\.1 s"):
        run("the step", 0.1, log, sys.executable, "-c", "import time; time.sleep(60)")
    with pytest.raises(Missing, match="the step failed"):
        run("the step", 60, log, tmp_path / "missing")


def test_an_environment_is_made_once_and_again_for_other_versions(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps: list[str] = []

    def noted(what: str, _seconds: float, _log: Path, *_command: Any) -> None:
        steps.append(what)
        (tmp_path / "venv" / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "venv" / "bin" / "python").touch()

    monkeypatch.setattr(nnsmith_fresh, "run", noted)
    pins = tmp_path / "pins.txt"
    for text, made in (("a==1\n", 2), ("a==1\n", 2), ("a==2\n", 4)):
        pins.write_text(text)
        assert environment(tmp_path, pins) == tmp_path / "venv" / "bin" / "python"
        assert len(steps) == made


def test_without_an_environment_there_is_a_line_and_a_row(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """For each batch; and no model of an earlier run is left to be counted."""
    def offline(_folder: Path) -> NoReturn:
        raise Missing("installing NNSmith failed")

    models = tmp_path / "part7" / "models"
    models.mkdir(parents=True)
    (models / "7.onnx").touch()
    monkeypatch.setattr(nnsmith_fresh, "environment", offline)
    monkeypatch.setattr(sys, "argv", ["nnsmith_fresh.py", str(tmp_path), "7"])
    nnsmith_fresh.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "no fresh NNSmith models: installing NNSmith failed"] * len(nnsmith_fresh.BATCHES)
    for name, (count, _) in nnsmith_fresh.BATCHES.items():
        assert [path.name for path in (tmp_path / "part7" / name).iterdir()] == ["account.json"]
        account = json.loads((tmp_path / "part7" / name / "account.json").read_text())
        assert account == {"asked": count,
                           "missing": "no fresh models: installing NNSmith failed"}


def test_batches_start_at_one_seed_with_their_own_dtypes(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    def made(_what: str, _seconds: float, _log: Path, *command: Any) -> None:
        words = dict(zip(command[3::2], command[4::2], strict=True))
        first = int(words["--seed"])
        assert len(words["--dtypes"].split(",")) in (3, 7)
        (command[2] / "account.json").write_text(json.dumps(
            {"asked": int(words["--count"]), "first": first, "last": first + 5, "left_out": {}}))

    monkeypatch.setattr(nnsmith_fresh, "environment", lambda _folder: tmp_path / "python")
    monkeypatch.setattr(nnsmith_fresh, "run", made)
    monkeypatch.setenv("NNSMITH_SEED", "1234")
    monkeypatch.setattr(sys, "argv", ["nnsmith_fresh.py", str(tmp_path), "7"])
    nnsmith_fresh.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(nnsmith_fresh.BATCHES)
    assert all("seeds 1234 to 1239 (NNSMITH_SEED=1234" in line for line in lines)
    nnsmith_fresh.main()  # a shard that goes on keeps its models
    assert not capsys.readouterr().out
    monkeypatch.setattr(nnsmith_fresh, "digest", lambda _isa: "other sources")
    nnsmith_fresh.main()
    assert len(capsys.readouterr().out.splitlines()) == len(nnsmith_fresh.BATCHES)
