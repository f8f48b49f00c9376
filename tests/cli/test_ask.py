"""`dlc predict`, `evaluate` and `sample`: what trained networks say."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli import main
from dlc.runtime.data import load_dataset
from tests.cli.command import write_noisy

TEXT = '''import dlc
from dlc import i32, nn, optim

net = nn.chain(nn.embedding(3, 4), nn.dense(3))
OPTIONS = dict(data="abc.txt?length=6", optimizer=optim.adam(0.1), batch=16)


@dlc.task(epochs=12, **OPTIONS)
def letters(x: i32["batch", 6], y: i32["batch", 6]):
    return dlc.loss(nn.cross_entropy(net(x).reshape(-1, 3), y.reshape(-1)), prediction=net(x))


@dlc.task(epochs=1, **OPTIONS)
def ahead(x: i32["batch", 6], y: i32["batch", 6]):
    scores = net(x)
    scores = scores + scores.mean(1, keepdims=True)
    return dlc.loss(nn.cross_entropy(scores, y), prediction=scores)
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with noisy.py, its points and what two epochs left."""
    folder = tmp_path_factory.mktemp("ask")
    write_noisy(folder, 101)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "noisy.py", "--epochs", "2"]) == 0
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch,
         capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(trained)
    capsys.readouterr()
    return trained


def arrays(file: str) -> dict[str, Any]:
    """The arrays of an .npz file, which is closed."""
    with np.load(file) as found:
        return dict(found)


def test_evaluate_gives_the_numbers_that_training_gave(here: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    """The same rows in the same batches through the same kernels: the same digits."""
    assert main(["train", "noisy.py", "--epochs", "2", "--out", "again", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["evaluate", "noisy.py", "--weights", "again/last.safetensors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"model": "noisy", "data": "points.npz", "rows": 21, "metrics": {
        "loss": told["test_loss"], **told["metrics"]}}


def test_evaluate_on_other_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All rows of a file that does not divide itself; fewer rows than a batch."""
    rows = arrays("points.npz")
    np.savez("few.npz", x=rows["x"][:5], y=rows["y"][:5])
    assert main(["evaluate", "noisy.py", "--weights", "runs/noisy", "--data", "few.npz"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "noisy on few.npz, 5 rows" and "accuracy" in said[1]


def test_predict_writes_what_the_network_says(here: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    """Into each kind of file, and as a table on standard output; no label is needed."""
    x = arrays("points.npz")["x"]
    np.save("new.npy", x)
    np.savetxt("new.csv", x, delimiter=",")
    expected = dlc.load("runs/noisy").predict(x)
    asked = ["predict", "noisy.py", "--weights", "runs/noisy", "--data"]
    assert main([*asked, "points.npz", "-o", "a.npy"]) == 0
    assert main([*asked, "new.npy", "-o", "b.npz"]) == 0
    assert "b.npz: 101 rows of prediction float32[3]" in capsys.readouterr().out
    assert main([*asked, "new.csv?target=none"]) == 0
    np.testing.assert_array_equal(np.load("a.npy"), expected)
    np.testing.assert_array_equal(arrays("b.npz")["prediction"], expected)
    head, *table = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert head == ["class", "prediction_0", "prediction_1", "prediction_2"]
    assert [int(row[0]) for row in table] == expected.argmax(1).tolist()
    np.testing.assert_array_equal(np.array([r[1:] for r in table], np.float32), expected)


def test_predict_other_values(here: Path) -> None:
    asked = ["predict", "noisy.py", "--weights", "runs/noisy", "--data", "points.npz"]
    assert main([*asked, "--outputs", "relu1,logits", "-o", "c.npz"]) == 0
    found = arrays("c.npz")
    assert found["relu1"].shape == (101, 24) and found["relu1"].min() == 0


def test_data_that_divide_themselves_give_their_test_part(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "xor", "--epochs", "1", "--out", "xor"]) == 0
    assert main(["predict", "xor", "--weights", "xor", "--data", "xor", "-o", "p.csv"]) == 0
    head, *rows = Path("p.csv").read_text().splitlines()
    found = dlc.load("xor").predict((load_dataset("xor").test or {})["x"])
    assert head == "prediction" and [np.float32(r) for r in rows] == found[:, 0].tolist()


def test_a_table_without_a_target_is_all_features(here: Path) -> None:
    x, asked = arrays("points.npz")["x"], ["predict", "noisy.py", "--weights", "runs/noisy"]
    for name, table in (("features", x), ("target", np.c_[x, x[:, :1]])):
        np.savetxt(f"{name}.csv", table, delimiter=",")
        assert main([*asked, "--data", f"{name}.csv", "-o", f"{name}.npy"]) == 0
    np.testing.assert_array_equal(np.load("features.npy"), np.load("target.npy"))
    np.testing.assert_array_equal(np.load("features.npy"), dlc.load("runs/noisy").predict(x))


@pytest.mark.parametrize(("arguments", "message"), [
    (["--data", "points.npz", "-o", "a.txt"], "the kind of file is not known"),
    (["--data", "points.npz", "--outputs", "a,b"], "2 values need a .npz file"),
    (["--data", "points.npz", "--outputs", ","], "names no value"),
    (["--data", "points.npz", "--outputs", "logit"], "did you mean logits?"),
    (["--data", "nowhere.npz"], "nowhere.npz"),
    (["--data", "new.csv"], "6 values a sample"),
])
def test_what_does_not_fit(arguments: list[str], message: str, here: Path,
                           capsys: pytest.CaptureFixture[str]) -> None:
    np.savetxt("new.csv", arrays("points.npz")["x"][:, :7], delimiter=",")
    assert main(["predict", "noisy.py", "--weights", "runs/noisy", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_weights_that_do_not_fit(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "mlp", "--weights", "runs/noisy"]) == 2
    assert "the model needs" in capsys.readouterr().err
    assert main(["evaluate", "noisy.py", "--weights", "."]) == 2
    assert "has no checkpoint" in capsys.readouterr().err
    assert main(["evaluate", "noisy.py", "--weights", "runs/mine"]) == 2
    assert "there is no such run or checkpoint; there are runs/noisy" in capsys.readouterr().err
    assert main(["evaluate", "noisy.py", "--weights", "nowhere/mine"]) == 2
    assert "what `dlc train` leaves in runs/NAME" in capsys.readouterr().err
    assert main(["sample", "noisy.py", "--weights", "runs/noisy"]) == 2
    assert "noisy is not a text model: it takes x: f32[8]" in capsys.readouterr().err


def test_sample_goes_on_as_the_text_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    """After abcabc... the likeliest letter is the next one, also beyond the window of 6."""
    monkeypatch.chdir(tmp_path)
    Path("text.py").write_text(TEXT)
    Path("abc.txt").write_text("abc" * 300)
    assert main(["train", "text.py:letters", "--out", "run"]) == 0
    capsys.readouterr()
    asked = ["sample", "text.py:letters", "--weights", "run"]
    assert main([*asked, "--prompt", "ca", "--length", "10", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == "cabcabcabcab\n"
    for seed in ("1", "1", "2"):
        assert main([*asked, "--length", "40", "--temperature", "20", "--seed", seed]) == 0
    one, two, other = capsys.readouterr().out.split()
    assert one == two != other and set(one) == set("abc")
    assert main([*asked, "--prompt", "xyz"]) == 2
    assert "does not know 'x'" in capsys.readouterr().err
    assert main(["train", "text.py:ahead", "--out", "two"]) == 0
    assert main(["sample", "text.py:ahead", "--weights", "two", "--prompt", "ab"]) == 2
    assert "looks ahead" in capsys.readouterr().err
