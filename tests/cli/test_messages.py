"""Mistakes on the command line and in the user's file: one message each, status 2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import dlc
from dlc.cli import main

FILES = {
    "syntax.py": "import dlc\nx = (1,\n",
    "raises.py": "import dlc\n\n\ndef f():\n    return {}['key']\n\n\nf()\n",
    "exits.py": "raise SystemExit(3)\n",
    "library.py": "import json\n\njson.loads('{')\n",
    "empty.py": "x = 1\n",
    "binary.py": "\0\0\n",
    "two.py": '''import dlc
from dlc import f32, nn, optim

make = dlc.task(data="xor", optimizer=optim.sgd(0.1), batch=4)


def step(x: f32["batch", 2], y: f32["batch", 1]):
    return dlc.loss(nn.mse(nn.dense(1)(x), y))


one = make(step)
other = make(step)
''',
    "shapes.py": '''import dlc
from dlc import f32, nn, optim


@dlc.task(data="xor", optimizer=optim.sgd(0.1), batch=4)
def shapes(x: f32["batch", 2], y: f32["batch", 1]):
    return dlc.loss(nn.mse(nn.dense(3)(x), y))
''',
    "own.py": '''import dlc
from dlc import f32, nn, optim


@dlc.task(data="xor", optimizer=optim.sgd(0.1), batch=4)
def own(x: f32["batch", 2], y: f32["batch", 1]):
    raise ValueError("out of ideas")
''',
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with FILES, which is the current one."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path


@pytest.mark.parametrize(("command", "parts"), [
    ("trian lenet", ["unknown command 'trian' (did you mean train", "bench"]),
    ("train", ["FILE"]),
    ("train lenett", ["no bundled model 'lenett' (did you mean lenet", "xor"]),
    ("train nofile.py", ["there is no file 'nofile.py'"]),
    ("train emty.py", ["did you mean empty.py"]),
    ("train .", ["is a folder"]),
    ("train xor --epoch 3", ["unknown option '--epoch' (did you mean --epochs"]),
    ("train xor --epochs 0", ["--epochs: 0 is invalid; it takes a whole number from 1"]),
    ("train xor --seed -1", ["--seed"]),
    ("train xor --seed 4294967296", ["--seed", "from 0 to 4294967295"]),
    ("train xor --threads 0", ["--threads: 0 is invalid"]),
    ("train xor --target gpu", ["unknown target 'gpu'", "targets are cpu"]),
    ("train xor --set lr", ["--set lr is invalid; it takes KEY=VALUE"]),
    ("train xor --set rate=1", ["xor has no option 'rate'", "lr"]),
    ("train xor --set lr=fast", ["lr=fast is invalid"]),
    ("train xor --set data=digit", ["digit", "did you mean 'digits'"]),
    ("train xor --set monitor=acuracy", ["acuracy"]),
    ("train xor --set data=linear", ["x"]),
    ("train xor --set data=", ["names no data"]),
    ("train xor --set data=?test=0", ["no such file"]),
    ("train xor --set data=~nosuch/x", ["~nosuch/x: the home folder is not known"]),
    ("train ~nosuch/x.py", ["~nosuch/x.py: the home folder is not known"]),
    ("train \x1b[2Jforged", [r"\x1b[2Jforged"]),
    ("train \x1b[2Jforged.py", [r"\x1b[2Jforged.py"]),
    ("show \x1b[2Jforged.onnx", [r"\x1b[2Jforged.onnx"]),
    ("train xor --set data=\x1b[2Jforged", [r"\x1b[2Jforged"]),
    ("train xor --out empty.py/\x1b[2Jforged", [r"\x1b[2Jforged"]),
    ("export xor -o x.onnx --weights \x1b[2Jforged", [r"\x1b[2Jforged: there is no such run"]),
    ("export xor -o x.onnx --weights pipe", ["pipe: is not a regular file"]),
    ("export xor -o x.onnx --weights /dev/zero", ["/dev/zero: is not a regular file"]),
    ("export xor -o x.onnx --weights ~nosuch/x", ["~nosuch/x: the home folder is not known"]),
    ("train xor --out empty.py", ["--out empty.py"]),
    ("train syntax.py", ["syntax.py:2: SyntaxError: '(' was never closed", "x = (1,"]),
    ("train raises.py", ["raises.py:5: KeyError: 'key'", "return {}['key']", "^^^"]),
    ("train exits.py", ["exits.py:1: SystemExit: 3"]),
    ("train library.py", ["library.py:3: JSONDecodeError", "json.loads('{')"]),
    ("train empty.py", ["empty.py defines no task", "@dlc.task"]),
    ("train binary.py", ["binary.py"]),
    ("train two.py", ["two.py defines the tasks one, other", "two.py:one"]),
    ("train two.py:three", ["two.py has no task 'three'", "one, other"]),
    ("train shapes.py", ["shapes.py:7", "batch=4", "^"]),
    ("train own.py", ["own.py:7: ValueError: out of ideas", 'raise ValueError("out of ideas")']),
    ("show xor --after fuze", ["unknown pass 'fuze' (did you mean fuse", "input"]),
    ("show xor --kernel", ["unknown option '--kernel' (did you mean --kernels"]),
    ("ops matmull", ["unknown operator 'matmull' (did you mean matmul"]),
    ("passes csee", ["unknown pass 'csee' (did you mean cse"]),
    ("bench xorr", ["no bundled model 'xorr' (did you mean xor"]),
    ("bench xor --against tensorflow", ["tensorflow", "jax, onnx, torch"]),
    ("bench xor --dtype f8", ["f8", "f32"]),
    ("bench xor --html no_such/out.html", ["--html no_such/out.html: there is no folder"]),
    ("bench xor --json .", ["--json .: that is a folder"]),
    ("bench xor --threads 200", ["200"]),
])
def test_one_message_and_status_2(command: str, parts: list[str],
                                  capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    output, errors = capsys.readouterr()
    assert errors.startswith("dlc: ") and "Traceback" not in errors
    assert errors.count("dlc: ") == 1 and len(errors.splitlines()) <= 4
    for part in parts:
        assert part in errors, errors
    assert "loss" not in output
    assert all(line.isprintable() for line in errors.splitlines())


def test_bundled_models_are_not_hidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "lenet").mkdir()
    (folder / "xor").write_text("not Python")
    for name in ("lenet", "xor"):
        assert main(["show", name, "--after", "input"]) == 0
        assert f"{name}: batch" in capsys.readouterr().out
    assert main(["show", "./lenet"]) == 2
    assert "lenet is a folder" in capsys.readouterr().err


def test_names_of_metrics_can_be_printed() -> None:
    for name in ("", "\x1b[2J", "a\nb", "x" * 101):
        with pytest.raises(dlc.DlcError, match="can't be the name of a metric"):
            dlc.loss(0.0, **{name: 0.0})


def test_an_unknown_switch_is_told(monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DLC_DEBUGG", "1")
    assert main(["models"]) == 2
    assert "DLC_DEBUGG" in capsys.readouterr().err


def test_one_of_several_tasks_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "two.py:other", "--after", "input"]) == 0
    assert "def train(" in capsys.readouterr().out


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["--version"], ["train", "--help"], []):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    output = capsys.readouterr().out
    assert "bench-worker" not in output
    for word in ("dlc 0.", "--resume", "train", "passes"):
        assert word in output
