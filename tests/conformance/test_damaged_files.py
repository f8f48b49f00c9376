"""Damaged files, 10,000 a day: of every format that dlc reads, and ONNX's own test models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import cut
from tests.conformance.onnx_cases import loaded
from tests.damaged.run import read_damaged

pytestmark = pytest.mark.conformance
TRIES, LARGEST = 10_000, 20_000  # LARGEST: bytes of a model


@pytest.mark.slow
@pytest.mark.parametrize("part", ["files", "models"])
def test_damaged_files(part: str, tmp_path: Path, tally: Callable[[str], cut.Tally]) -> None:
    """One DlcError or success, nothing else, within 5 s of processor time and 500 MB each."""
    count = tally(f"damaged files: {part}")
    models = node_models(tmp_path) if part == "models" else None
    counts = read_damaged(cut.SEED, 0, TRIES // 2, models)
    count.add(sum(counts.values()))
    print(f"damaged files, {part}: seed {cut.SEED}, {counts}")
    assert counts["refused"] > TRIES // 8 and counts["taken"] > TRIES // 100


def node_models(folder: Path) -> Path:
    """The ONNX package's node tests as files."""
    for case in loaded():
        content = case.model.SerializeToString()
        if len(content) <= LARGEST:
            (folder / f"{case.name}.onnx").write_bytes(content)
    return folder
