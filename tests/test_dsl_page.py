"""docs/dsl.md: its code runs from top to bottom in one namespace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dlc
from dlc import f32, nn
from dlc.init import initial_values

PAGE = Path(__file__).resolve().parent.parent / "docs" / "dsl.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def test_the_code_runs(tmp_path: Path) -> None:
    text = PAGE.read_text()
    blocks = [(text[:m.start(1)].count("\n"), m.group(1)) for m in BLOCK.finditer(text)]
    assert len(blocks) >= 10
    space: dict[str, Any] = {"__name__": "page"}
    for line, block in blocks:
        # the page's own lines, so that a failure and every location name them
        exec(compile("\n" * line + block, str(PAGE), "exec"), space)
    net = nn.chain(space["centred"], space["scaled"])
    graph = dlc.trace(net, f32[4, 3], training=True)
    assert "centred1.mean" in graph.updates
    signed = dlc.task(optimizer=space["signed"], batch=8)(space["siamese"].evaluate)
    values = signed.initial_values(signed.graphs())
    assert "signed.m/dense1.weight" in values


def test_every_name_on_the_page_exists() -> None:
    text = PAGE.read_text()
    listed = re.findall(r"`dlc.init` has `(.*?)`", text, re.S)[0]
    assert all(hasattr(dlc.init, name) for name in listed.split())
    assert initial_values((), 0) == {}
