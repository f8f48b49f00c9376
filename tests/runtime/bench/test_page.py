"""The benchmark's page and picture: bars of the systems' times, every text escaped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlc.runtime.bench import page
from dlc.runtime.bench.systems import BenchError

MACHINE = {"cpu": "A <b>CPU</b>", "threads": 2, "cores": 4, "isa": "avx2", "peak_gflops": 90.0,
           "bandwidth_gbs": 20.5, "torch": "2.13.0", "jax": ""}


def row(model: str, system: str, step_ms: float, batch: int = 0) -> dict[str, Any]:
    return {"model": model, "system": system, "work": "predict" if batch else "train",
            "batch": batch or 128, "step_ms": step_ms, "gflops": None}


REPORT = {
    "machine": MACHINE, "missing": {"jax (lstm)": "no <jax> here"}, "geometric_mean": 2.0,
    "ratios": {"lenet": 2.0}, "rows": [
        row("lenet", "dlc", 1.5), row("lenet", "torch-eager", 6.0), row("lenet", "jax", 3.0),
        row("lenet", "dlc", 0.1, 1), row("lenet", "onnxruntime", 0.05, 1)]}


def test_bars_are_shares_of_the_slowest_beside_dlcs_time() -> None:
    found = page.groups(REPORT)
    assert list(found) == ["lenet", "lenet, batch 1"]
    assert found["lenet"] == [page.Bar("dlc", 0.25, "1.5 ms"),
                              page.Bar("torch-eager", 1.0, "6 ms, 4.00 x dlc"),
                              page.Bar("jax", 0.5, "3 ms, 2.00 x dlc")]
    assert [bar.share for bar in found["lenet, batch 1"]] == [1.0, 0.5]


def test_the_page_has_every_figure_and_escapes_every_text(tmp_path: Path) -> None:
    page.write_html(tmp_path / "out.html", REPORT)
    text = (tmp_path / "out.html").read_text()
    assert text.count("<rect ") == len(REPORT["rows"])
    assert "lenet: best peer / dlc = 2.00" in text and "Geometric mean" in text
    assert "A &lt;b&gt;CPU&lt;/b&gt;, 2 of 4 cores, held to avx2" in text
    assert "no &lt;jax&gt; here" in text and "torch 2.13.0" in text and "<b>CPU" not in text
    assert text.count("<tr>") == len(REPORT["rows"]) + 1
    assert [p.name for p in tmp_path.iterdir()] == ["out.html"]


def test_the_picture_has_a_bar_of_each_systems_length(tmp_path: Path) -> None:
    page.write_png(tmp_path / "out.png", REPORT)
    pixels = np.asarray(Image.open(tmp_path / "out.png"))
    for system, wide in (("torch-eager", 1.0), ("jax", 0.5), ("onnxruntime", 0.5)):
        colour = np.array([int(page.PAINTS[system][k:k + 2], 16) for k in (1, 3, 5)])
        columns = np.flatnonzero((pixels == colour).all(2).any(0))
        room = page.ZOOM * (page.WIDTH - page.NAMES - page.VALUES)
        assert abs(columns[-1] - columns[0] - wide * room) <= 1


def test_without_pillow_a_picture_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BenchError, match=r"--png needs Pillow: pip install 'dlc\[images\]'"):
        page.check_pictures()
