"""`dlc tune`: what is tried, the journal, the table; nothing is trained here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn, optim
from dlc.cli import main
from dlc.cli.arguments import UsageError
from dlc.cli.tune import best_command, ranked
from dlc.cli.tune_report import COLUMNS, page, table
from dlc.cli.tune_space import Range, Space, listed, read_space
from dlc.cli.tune_trials import Journal, Trial, collect, jobs
from dlc.cli.tune_worker import fold_of
from dlc.runtime.data import load_dataset
from tests.report.test_page import check


@dlc.task(data="linear", optimizer=optim.adam(1e-3), batch=40, monitor="loss")
def line(x: f32["batch", 8], y: f32["batch", 1], width: int = 4, slope: float = 0.1,
         deep: bool = False) -> dlc.Loss:
    hidden = nn.leaky_relu(nn.dense(width, name="hidden")(x), slope)
    return dlc.loss(nn.mse(nn.dense(1, name="out")(hidden), y))


def test_a_grid_combines_all_values() -> None:
    space = read_space(line, ["width=2,3", "optimizer=adam(1e-3),momentum(0.1, weight_decay=1e-4)"],
                       [], 0)
    assert list(space.trials(7)) == [
        {"width": w, "optimizer": o} for w in ("2", "3")
        for o in ("adam(1e-3)", "momentum(0.1, weight_decay=1e-4)")]


def test_commas_within_brackets_divide_nothing() -> None:
    assert listed("a(1, 2),b, c([3,4],5),") == ["a(1, 2)", "b", "c([3,4],5)"]


def test_draws_depend_on_seed_key_and_number_alone() -> None:
    space = read_space(line, ["width=2,3"], ["lr=1e-4:1e-1", "slope=0:0.5"], 5)
    few, many = list(space.trials(2)), list(space.trials(9))
    assert many[:len(few)] == few and len(many) == 18
    assert len({trial["lr"] for trial in many}) == 18
    other = Space(space.grids, space.ranges, 6)
    assert list(other.trials(2)) != few
    alone = read_space(line, ["width=2,3"], ["lr=1e-4:1e-1"], 5)
    assert [t["lr"] for t in alone.trials(2)] == [t["lr"] for t in few]


@pytest.mark.parametrize(("text", "log"), [
    ("lr=1e-4:1e-1", True), ("lr=1e-4:1e-1:linear", False), ("slope=0.001:0.5", False),
    ("slope=0.001:0.5:log", True)])
def test_rates_are_drawn_log_uniformly(text: str, log: bool) -> None:
    """Kolmogorov-Smirnov: the largest distance of 400 uniform numbers from their distribution is
    above 1.95 / sqrt(400) once in a thousand seeds."""
    space = read_space(line, [], [text], 1)
    range_ = space.ranges[0]
    values = np.array([float(next(iter(t.values()))) for t in space.trials(400)])
    assert range_.log == log
    assert range_.low <= values.min() and values.max() <= range_.high
    part = (np.log(values / range_.low) / np.log(range_.high / range_.low) if log else
            (values - range_.low) / (range_.high - range_.low))
    distance = np.abs(np.sort(part) - (np.arange(400) + 0.5) / 400).max()
    assert distance < 1.95 / 20


def test_whole_options_have_whole_values_up_to_both_ends() -> None:
    space = read_space(line, [], ["width=2:5"], 0)
    counts = np.bincount([int(t["width"]) for t in space.trials(400)], minlength=6)
    assert counts[:2].sum() == 0 and counts.sum() == 400
    # four standard deviations of a share of 400 draws
    assert np.abs(counts[2:] / 400 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 400)
    assert [Range("w", 3, 300, True, True).draw(p) for p in (0.0, 1 - 2.0 ** -53)] == ["3", "300"]


def test_a_drawn_number_is_what_its_text_says() -> None:
    range_ = Range("lr", 0.12345678, 0.12345679, False, False)
    assert float(range_.draw(0.999)) == 0.12345679, "not rounded out of the range"
    assert Range("lr", 1e-4, 1.0, True, False).draw(1 / 3) == "0.002154"


@pytest.mark.parametrize(("grid", "random", "words"), [
    ([], [], "nothing to search.*width"),
    (["widht=3"], [], "no option 'widht'.*width"),
    ([], ["widht=3:4"], "no option 'widht'.*width"),
    (["width=3", "width=4"], [], "searched already"),
    (["lr=0.1"], ["lr=0.1:1"], "searched already"),
    (["data=xor"], [], "same for all trials"),
    (["width=a,3"], [], "width is a whole number"),
    (["optimizer=adma(1)"], [], "adma"),
    (["width"], [], "takes KEY=A,B,C"),
    ([], ["lr=1"], "two numbers"),
    ([], ["lr=1:0.1"], "the first the smaller"),
    ([], ["lr=0:1"], "begins above 0"),
    ([], ["lr=-2:-1:log"], r"e.g. lr=1e-5:1, or -2:-1:linear"),
    ([], ["lr=1:2:lgo"], "no scale.*log"),
    ([], ["optimizer=1:2"], "is no number"),
    ([], ["deep=0:1"], "is no number"),
    ([], ["width=1:2.5"], "whole number"),
    ([], ["batch=0:4"], "batch is a whole number from 1"),
])
def test_what_does_not_fit_is_refused_before_anything_compiles(
        grid: list[str], random: list[str], words: str) -> None:
    with pytest.raises((UsageError, DlcError), match=f"(?s){words}"):
        read_space(line, grid, random, 0)


@pytest.mark.parametrize(("words", "named"), [
    (["--grid", "width=3,4", "--set", "width=5"], "width is searched, and fixed by width=5"),
    (["--random", "batch=8:16", "--batch", "4"], "batch is searched, and fixed by batch=4")])
def test_what_is_searched_is_not_fixed_too(words: list[str], named: str, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    source = ("import dlc\nfrom dlc import f32, nn, optim\n@dlc.task(data=\"linear\", "
              "optimizer=optim.sgd(0.1))\ndef wide(x: f32[\"batch\", 8], y: f32[\"batch\", 1], "
              "width: int = 4):\n    return dlc.loss(nn.mse(nn.dense(1)(nn.dense(width)(x)), y))\n")
    Path("wide.py").write_text(source)
    assert main(["tune", "wide.py", *words]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("folds", [1, 4])
def test_folds_divide_the_training_data_alone(folds: int) -> None:
    whole = load_dataset("linear")
    assert whole.test is not None
    parts = [fold_of(line, k + 1, folds) for k in range(folds)]
    trained = {row.tobytes() for row in whole.train["x"]}
    tested = {row.tobytes() for row in whole.test["x"]}
    held: list[bytes] = []
    for part in parts:
        assert part.test is not None
        rows = [row.tobytes() for row in part.test["x"]]
        assert set(rows).isdisjoint(row.tobytes() for row in part.train["x"])
        assert part.samples + part.test_samples == 800
        held += rows
    assert set(held) <= trained and not set(held) & tested
    assert len(set(held)) == (160 if folds == 1 else 800)


def record(trial: int, fold: int, **found: Any) -> dict[str, Any]:
    return {"trial": trial, "fold": fold, "settings": {}, **found}


def test_the_journal_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    first = Journal(path, {"task": "a", "folds": 2})
    first.add(record(0, 1, score=1.0))
    first.add(record(0, 2, score=2.0))
    first.close()
    whole = path.read_text()
    for cut in range(len(whole.splitlines()[0]) + 1, len(whole) + 1):
        path.write_text(whole[:cut])
        again = Journal(path, {"task": "a", "folds": 2})
        complete = whole[:cut].count("\n") - 1
        assert len(again.records) == complete
        left = jobs(collect([{}, {}], again.records), 2)
        assert len(left) == 4 - complete
        again.add(record(1, 1, score=3.0))
        again.close()
        assert [json.loads(x) for x in path.read_text().splitlines()][-1]["score"] == 3.0
        assert len(Journal(path, {"task": "a", "folds": 2}).records) == complete + 1


def test_another_search_is_refused_with_the_first_difference(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    Journal(path, {"task": "a", "search": ["lr=0.1,0.2"]}).close()
    with pytest.raises(UsageError, match=r"its search is lr=0\.1,0\.2, now lr=0\.3.*--out"
                       .replace(".*", "(?s:.*)")):
        Journal(path, {"task": "a", "search": ["lr=0.3"]})
    path.write_text("something else\n")
    with pytest.raises(UsageError, match="no journal"):
        Journal(path, {"task": "a"})


def trials_of(scores: list[list[float] | str]) -> list[Trial]:
    found = []
    for k, folds in enumerate(scores):
        long = "momentum(0.1, weight_decay=0.0001)" * 2
        trial = Trial(k, {"lr": f"0.{k + 1}", "optimizer": long})
        if isinstance(folds, str):
            trial.folds[1] = record(k, 1, failed=folds)
        else:
            trial.folds |= {f + 1: record(k, f + 1, score=s) for f, s in enumerate(folds)}
        found.append(trial)
    return found


def test_the_best_is_first_and_failures_are_none() -> None:
    trials = trials_of([[1.0, 2.0], "the loss is nan<", [0.5, 1.5], [1.2, 0.8],
                        [float("nan"), 1.0]])
    assert [t.number for t in ranked(trials, False)] == [2, 3, 0]
    assert [t.number for t in ranked(trials, True)] == [0, 2, 3]
    lines = table(ranked(trials, False), "loss", False, 2)
    assert max(map(len, lines)) <= COLUMNS and "1 ±0.71" in lines[2] and "…" in lines[2]
    html = page(line, Space({"lr": ("0.1",), "optimizer": ("a",)}, ()), trials, False, "dlc <x>")
    check(html)
    assert "nan&lt;" in html and "dlc &lt;x&gt;" in html
    check(page(line, Space({"lr": ("0.1",)}, ()), trials[1:2], False, ""))


def test_the_best_is_told_as_a_command_line() -> None:
    from dlc.cli.arguments import parse

    options = parse(["tune", "my file.py", "--epochs", "3", "--set", "patience=2", "--seed", "7"])
    command = best_command(trials_of([[1.0]]), False, options)
    assert command.startswith("dlc train 'my file.py' --set epochs=3 --set patience=2 "
                              "--set lr=0.1 --set 'optimizer=momentum(")
    assert command.endswith("--seed 7")
    assert best_command(trials_of(["bad"]), False, options) == ""
