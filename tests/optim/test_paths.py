"""The pictures of docs/optimizers.md: drawn in short, and those that are committed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from dlc import optim
from tests.optim import paths

SVG = "{http://www.w3.org/2000/svg}"


def told(picture: Path) -> tuple[list[str], list[str]]:
    """(the names of the panels, their paths)."""
    root = ElementTree.parse(picture).getroot()
    return ([t.text or "" for t in root.iter(f"{SVG}text") if t.get("class") == "name"],
            [p.get("d") or "" for p in root.iter(f"{SVG}path") if p.get("class") == "path"])


@pytest.mark.swept(len(paths.SURFACES))
@pytest.mark.parametrize("name", [*reversed(paths.SURFACES)])  # the quadratic is compiled below too
def test_the_command_draws_every_surface(name: str, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of every optimizer; the committed picture has the same panels, and begins there."""
    monkeypatch.setattr(sys, "argv", ["paths", "--out", str(tmp_path), "--steps", "2", name])
    paths.main()
    short, whole = told(tmp_path / f"{name}.svg"), told(paths.OUT / f"{name}.svg")
    assert short[0] == whole[0] == list(paths.SURFACES[name].rates)
    for rule, begun, ended in zip(short[0], short[1], whole[1], strict=True):
        assert re.match(r"M[\d.]+ [\d.]+L", begun), rule
        assert len(ended) > len(begun) and begun.split("L")[:2] == ended.split("L")[:2], rule
    assert (paths.OUT / f"{name}.svg").stat().st_size < 100_000


def test_all_optimizers_are_drawn() -> None:
    """But for AdamW, which is Adam where nothing decays."""
    for surface in paths.SURFACES.values():
        assert sorted(surface.rates) == sorted(set(optim.NAMES) - {"adamw"})


def test_descent_on_the_quadratic_is_its_formula() -> None:
    surface = paths.SURFACES["quadratic"]
    found = paths.paths(surface, 5)["sgd"]
    rate = surface.rates["sgd"]
    wanted = [np.array(surface.start) * np.array([1 - rate, 1 - 50 * rate]) ** k for k in range(6)]
    np.testing.assert_allclose(found, wanted, rtol=1e-13)
    assert paths.steps_needed(surface, found) is None
    assert paths.steps_needed(surface, np.array([[4.0, 0], [2, 0], [0.01, 0], [0, 0]])) == 2
