"""`dlc show`: the table of a step's launches, their bodies one by one, and what they are called."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dlc as language
from dlc import models
from dlc.cli import main
from dlc.cli.show_step import FUSED, fitted, functions, rows
from dlc.cli.source import load_task
from dlc.program import Entry
from tests.networks import SHOWN

LOOPS = '''
import dlc
from dlc import f32, i32, nn, optim

@dlc.task(data="rows", optimizer=optim.sgd(0.1), batch=8)
def reader(x: f32["batch", 20, 6], label: i32["batch"]):
    logits = nn.dense(3, name="out")(nn.lstm(5, returns="last", name="lstm")(x))
    half, _ = dlc.while_loop(lambda x: dlc.sum(x) > 1e-5, lambda x: x * 0.5, logits, bound=30)
    either = dlc.cond(dlc.sum(half) > 0, lambda x: x * dlc.sum(x), lambda x: x, logits)
    return dlc.loss(nn.cross_entropy(logits + either, label), prediction=logits)
'''


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["show", *arguments]) == 0
    return capsys.readouterr().out


def check_names(entry: Entry) -> None:
    """Each launch's row names the function whose group it is, which serves the same lines."""
    bodies = functions(entry.graph)
    named = [row for row in rows(entry) if row.launch]
    assert [row.launch for row in named] == list(entry.flat)
    assert [row.number for row in named] == list(range(1, len(entry.flat) + 1))
    for row in named:
        assert row.launch is not None
        text = bodies[FUSED + row.text]
        assert re.fullmatch(f"{row.launch.name}[0-9]*", row.text)
        for line in row.launch.lines:
            file, _, number = line.rpartition(":")
            assert re.search(rf"# {re.escape(file)}:[0-9, ]*\b{number}\b", text), (row.text, line)


@pytest.mark.parametrize("model", SHOWN)
def test_rows_are_named_after_their_bodies(model: str) -> None:
    for entry in language.compile(load_task(model)).program.entries.values():
        check_names(entry)


def test_rows_of_loops_and_branches(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a body's launches run in another order than the operators were written in."""
    monkeypatch.chdir(tmp_path)
    Path("reader.py").write_text(LOOPS)
    entry = language.compile(load_task("reader.py")).program.entries["train"]
    check_names(entry)
    text = shown(capsys, "reader.py", "--summary")
    assert re.search(r"^ +scan step in range\(20\):  reader\.py:7$", text, re.M)
    assert re.search(r"^ +\d+ {3,}\w+ +reader\.py:7", text, re.M), "launches of loops are indented"
    assert re.search(r"^ +if \w+: ", text, re.M) and re.search(r"^ +else:", text, re.M)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("model", SHOWN)
def test_the_step_comes_first(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry = language.compile(load_task(model)).program.entries["train"]
    whole, summary = shown(capsys, model), shown(capsys, model, "--summary")
    table, bodies = whole.split("\n\ndef ", 1)
    found = re.findall(r"^ *(\d+) (\w+) +\S+:\d", table, re.M)
    assert [int(number) for number, _ in found] == list(range(1, len(entry.flat) + 1))
    assert f"{len(entry.flat)} launches a step" in table
    assert max(map(len, table.splitlines())) <= 80
    assert "def " not in summary and table.rstrip() in summary
    assert whole.splitlines()[-1] == summary.splitlines()[-1]
    for name in (name for _, name in found):
        assert f"def {FUSED}{name}(" in f"def {bodies}"


def test_one_body(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "lenet", "--body", "conv_tanh2")
    assert text == shown(capsys, "lenet", "--body", "fused_conv_tanh2")
    assert re.findall(r"^def (\w+)", text, re.M) == ["fused_conv_tanh2"]
    lines = Path(models.__file__).with_name("lenet.py").read_text().splitlines()
    (line,) = (at for at, code in enumerate(lines, 1) if "nn.conv(16, 5)" in code)
    assert text.count(f"models/lenet.py:{line}") >= 5
    assert re.findall(r"^def (\w+)", shown(capsys, "lenet", "--body", "train"), re.M) == ["train"]
    text = shown(capsys, "lenet", "--after", "fuse", "--body", "matmul")
    assert re.findall(r"^def (\w+)", text, re.M) == ["fused_matmul"] and "@ 0x" not in text


def test_the_kernels_of_one_body(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "lenet", "--kernels", "--body", "conv_tanh2")
    assert re.findall(r"^── 5/\d+ (\S+)", text, re.M) == ["conv_tanh2"]
    assert "def fused_conv_tanh" in text


@pytest.mark.parametrize("also", [[], ["--kernels"], ["--after", "fuse"]])
def test_a_body_that_is_not_there(also: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "lenet", "--body", "conv_tan2", *also]) == 2
    told = capsys.readouterr().err
    assert "no body is called 'conv_tan2' (did you mean conv_tanh2" in told
    assert "--summary" in told


def test_lines_that_do_not_fit() -> None:
    lines = ("models/net.py:10", "models/net.py:12", "models/net.py:9")
    assert fitted(lines, 30) == "models/net.py:10, 12, 9"
    assert fitted(lines, 22) == "models/net.py:10 +2"
    assert fitted(lines, 16) == "…models/net.py:10"[-16:].replace("m", "…", 1)
    assert fitted((), 16) == ""
