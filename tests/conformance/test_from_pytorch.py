"""docs/from-pytorch.md: PyTorch's halves run, and what both halves compute is the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc.runtime.data import load_dataset
from tests.documents import ROOT, blocks

pytestmark = pytest.mark.conformance
PAGE = ROOT / "docs" / "from-pytorch.md"
SECTIONS = ("A model", "Training it", "A schedule, clipping, a look at each step",
            "Predicting, without gradients", "Saving and loading", "Freezing and fine-tuning",
            "Gradients, and one of your own", "A sequence", "Data")


def halves(note: str) -> list[Any]:
    return [b for b in blocks(PAGE.read_text()) if b.language == "python" and b.note == note]


def run(found: list[Any], space: dict[str, Any]) -> dict[str, Any]:
    for block in found:
        exec(compile("\n" * (block.line - 1) + block.text, str(PAGE), "exec"), space)
    return space


def test_every_section_has_both_halves() -> None:
    titles = re.findall(r"^## \d\. (.*)$", PAGE.read_text(), re.M)
    assert tuple(titles) == SECTIONS
    parts = re.split(r"^## \d\. ", PAGE.read_text(), flags=re.M)[1:]
    for part in parts:
        notes = [b.note for b in blocks(part) if b.language == "python"]
        assert notes[:2] == ["torch", ""], part[:40]


# what PyTorch imports on its first Hessian warns of itself
@pytest.mark.sliced
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_pytorchs_halves_run_and_agree(tmp_path: Path) -> None:
    """Models have as many parameters, derivatives and recurrences the same numbers."""
    torch.manual_seed(0)
    digits = load_dataset("digits8").train
    train_set = [(torch.tensor(x), int(y)) for x, y in zip(
        digits["image"][:256], digits["label"][:256], strict=True)]
    theirs = run(halves("torch"), {"train_set": train_set, "folder": tmp_path, "__name__": "page"})
    ours = run(halves(""), {"__name__": "page"})

    inputs = ours["trained"].network.graph(8).inputs
    assert sum(p.numel() for p in theirs["model"].parameters()) == sum(
        n.type.size for n in inputs if n.attrs["role"] == "param")
    assert theirs["answers"].shape == ours["answers"].shape == (5,)
    assert len(theirs["seen"]) == 2 * 4 and len(ours["seen"]) == 2 * 23
    for name in ("slope", "curve", "steps"):
        np.testing.assert_allclose(np.asarray(theirs[name]), ours[name], rtol=1e-6)
    point = ours["point"]
    np.testing.assert_array_equal(theirs["straight"](torch.tensor(point)).detach().numpy(),
                                  dlc.evaluate(ours["straight"], point))
    words = np.zeros((2, 7), np.int32)
    scores = dlc.evaluate(ours["reader"], words)
    assert theirs["Reader"]()(torch.tensor(words)).shape == scores.shape
