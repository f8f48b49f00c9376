"""`dlc train` on the example tasks: each report shows what its task is about, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.command import dlc
from tests.report.corpus import write_corpus
from tests.report.test_page import check

HERE = Path(__file__).resolve().parent
COMMON = ["Curves", "The compiled step", "Configuration"]
# task: (its parts, its kind, words that stand in it)
SHOWN = {
    "is_round": (["Yes or no", "Confusion matrix", "Samples", "Inside", "First layer"],
                 "Yes-or-no classifier", ["area under the ROC", "AUC 0.", "of 360 right", "gᵀHg"]),
    "autoencoder": (["Reconstructions", "Codes", "First layer"], "Autoencoder",
                    ["variance kept", "2 values", "Colours are classes"]),
    "gan": (["Samples", "First layer"], "Generator",
            ["Phase judge", "Phase generator", "judge loss",
             "Beside the nearest training samples"]),
    "writer": (["Text", "Surprise"], "Text model",
               ["bits per character", "temperature 0.8", "guessing: 6.58"]),
}


@pytest.mark.swept(4)
@pytest.mark.slow
@pytest.mark.parametrize("task", SHOWN)
def test_a_report_shows_what_its_task_is_about(task: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "pydoc.txt", (int,))
    more = ["--inspect"] if task == "is_round" else []
    run = dlc("train", str(HERE / f"{task}.py"), "--epochs", "1", "--seed", "3", "--out", "run",
              *more, at=tmp_path)
    assert run.returncode == 0, run.stderr
    html = (tmp_path / "run" / "report.html").read_text()
    checker = check(html)
    parts, kind, words = SHOWN[task]
    assert re.findall(r"<h2>(.*?)</h2>", html) == [COMMON[0], *parts, *COMMON[1:]]
    texts = " ".join(" ".join(checker.texts).split())
    assert f"{kind} {task} " in texts
    for word in (*words, f"{task}.py --epochs 1 --seed 3", "adam, learning rate"):
        assert word in texts, word
    assert not re.search(r"\bnan\b|\bNone\b", texts.partition("Configuration")[0])
