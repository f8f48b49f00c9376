"""docs/layers.md names everything that dlc.nn has, and nothing else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from dlc import nn

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layers.md"


def test_the_page_names_all_of_nn() -> None:
    text = re.sub(r"```.*?```", "", PAGE.read_text(), flags=re.S)
    named = {w for w in re.findall(r"`(\w+)`", text) if w not in ("returns",)}
    assert named == set(nn.__all__)


def test_everything_tells_what_it_is() -> None:
    for name in nn.__all__:
        assert (inspect.getdoc(getattr(nn, name)) or "").strip(), name
