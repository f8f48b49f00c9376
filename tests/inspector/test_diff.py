"""Two programs side by side: what changed, whether they mean the same, and limits that fail."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dlc.cli import main
from dlc.inspector.diff import LimitError, broken, differences
from dlc.inspector.record import Inspection
from dlc.inspector.saved import FormatError, read
from tests.inspector.programs import inspection

NET = '''import dlc
from dlc import f32, nn, optim

net = nn.chain(nn.dense({width}), {act}, nn.dense(1))

@dlc.task(data="xor", optimizer=optim.sgd(0.1), batch=4)
def small(x: f32["batch", 2], y: f32["batch", 1]) -> dlc.Loss:
    return dlc.loss(((net(x) - y) ** 2).mean())
'''


def test_nothing_changed() -> None:
    (found,) = differences(inspection("normalized"), inspection("normalized"))
    assert not (found.lines or found.came or found.went or found.operators)
    assert all(c.ratio == 1 for c in found.totals)
    assert broken("peak_bytes > 1.0x", [found]) == []
    assert broken("launches >= 1", [found]) != []


def test_two_targets(capsys: pytest.CaptureFixture[str]) -> None:
    """A for one, B for the other: both compute the same."""
    assert main(["diff", "xor", "xor", "--target", "cpu,cuda", "--fail-if", "nodes != 1x"]) == 0
    told = capsys.readouterr().out
    assert "A is xor (cpu), B is xor (cuda)" in told and "computes the same" in told
    assert main(["diff", "xor", "xor", "--target", "cpu,cuda,cpu"]) == 2


def test_an_estimate_is_what_the_ceilings_allow() -> None:
    """A machine that computes for nothing takes as long as it moves bytes, and the reverse."""
    plain = inspection("normalized")
    for slow, total in (("bytes", "bytes"), ("flops", "flops")):
        machine = {"flops": 1e30, "bytes": 1e30} | {slow: 1.0}
        (found,) = differences(plain, plain, machine)
        known = {c.name: c.after for c in found.totals}
        assert known["estimate"] == known[total]
        assert broken("estimate > 0.9x", [found])


def test_limits_that_cannot_be_read() -> None:
    found = differences(inspection("normalized"), inspection("normalized"))
    for limit, words in [("", "it takes METRIC"), ("peak > 1x", "metrics are peak_bytes"),
                         ("flops ~ 2", "it takes"), ("flops > 1.2.3", "it takes"),
                         ("seconds > 2x", "--profile"), ("estimate > 2x", "--estimate")]:
        with pytest.raises(LimitError, match=words):
            broken(limit, found)


def test_json_comes_back_as_it_was() -> None:
    found = inspection("normalized")
    again = read(json.dumps(found.as_json()))
    assert isinstance(again, Inspection)
    assert replace(again, entries=()) == replace(found, entries=())
    assert [e.launches for e in again.entries] == [e.launches for e in found.entries]
    (change,) = differences(found, again)
    assert not change.lines and not change.came


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 1}', '{"format": 99}', "[" * 10000])
def test_damaged_json(text: str) -> None:
    with pytest.raises(FormatError):
        read(text)


def run_diff(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = main(["diff", *arguments])
    told = capsys.readouterr()
    return status, told.out + told.err


def test_a_wider_layer_is_found_at_its_line(tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """Its line, though another was added above it; the limit fails the run."""
    a, b = tmp_path / "a", tmp_path / "b"
    for folder, text in ((a, NET.format(width=8, act="dlc.tanh")),
                         (b, "# moved\n" + NET.format(width=64, act="dlc.tanh"))):
        folder.mkdir()
        (folder / "net.py").write_text(text)
    status, told = run_diff(capsys, str(a / "net.py"), str(b / "net.py"), "--fail-if",
                            "flops > 2x", "--fail-if", "launches > 1000")
    assert status == 1
    assert "net.py:5 [forward] net = nn.chain(nn.dense(8), dlc.tanh, nn.dense(1))  ->  net" in told
    assert "over the limit: train: flops > 2x" in told and "launches > 1000" not in told
    assert "not the same: inputs or outputs have other names or types" in told


def test_meaning_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                             monkeypatch: pytest.MonkeyPatch) -> None:
    """An activation that was exchanged; the file of a revision; a file against itself."""
    file = tmp_path / "net.py"
    file.write_text(NET.format(width=8, act="dlc.tanh"))
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["add", "net.py"], ["-c", "user.email=a@b", "-c",
                    "user.name=a", "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    status, told = run_diff(capsys, "net.py@HEAD", "net.py")
    assert status == 0 and "train: computes the same on random inputs" in told
    file.write_text(NET.format(width=8, act="dlc.sin"))
    status, told = run_diff(capsys, "net.py@HEAD", "net.py")
    assert status == 0 and "train: not the same" in told
    assert "operators: " in told and "sin 0 -> 1" in told
    status, told = run_diff(capsys, "net.py@nowhere", "net.py")
    assert status == 2 and "git has no such revision" in told


def test_a_revision_with_what_its_file_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """The file is as it was, and so is the module beside it: only that one has changed since."""
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "sizes.py").write_text("WIDTH = 8\n")
    (tmp_path / "net.py").write_text("from part.sizes import WIDTH\n" + NET.format(
        width="WIDTH", act="dlc.tanh"))
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["add", "."], ["-c", "user.email=a@b", "-c", "user.name=a",
                                                   "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    status, told = run_diff(capsys, "net.py:small@HEAD", "net.py")
    assert status == 0 and "train: computes the same on random inputs" in told
    (tmp_path / "part" / "sizes.py").write_text("WIDTH = 64\n")
    status, told = run_diff(capsys, "net.py@HEAD", "net.py", "--fail-if", "flops > 2x")
    assert status == 1 and "over the limit: train: flops > 2x" in told
    for name, words in (("none.py@HEAD", "git has no such revision of the file"),
                        ("no/net.py@HEAD", "there is no folder 'no'")):
        status, told = run_diff(capsys, name, "net.py")
        assert status == 2 and words in told


def test_saved_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "a.json"
    saved.write_text(json.dumps(inspection("normalized").as_json()))
    status, told = run_diff(capsys, str(saved), str(saved))
    assert status == 0 and "a saved program has no values" in told
    saved.write_text("{}")
    status, told = run_diff(capsys, str(saved), str(saved))
    assert status == 2 and "dlc show FILE --json writes such a file" in told
