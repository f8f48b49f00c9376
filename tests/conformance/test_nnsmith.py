"""NNSmith's random models against what PyTorch computed; optimized against unoptimized.

The frozen corpus lies in tests/conformance/nnsmith; NNSMITH_FOLDER names a folder of fresh models
(nnsmith_generate.py makes them).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.passes import PIPELINE, run_pipeline
from tests.conformance import cut
from tests.conformance.onnx_cases import bundled, listed

pytestmark = pytest.mark.conformance
FROZEN = Path(__file__).parent / "nnsmith"
FOLDER = Path(os.environ.get("NNSMITH_FOLDER", FROZEN))
# Seed -> why its oracle is none.
LEFT_OUT = {"1085": "compares equal numbers, of which PyTorch's interpolation rounds one up"}
NAMES = [path.stem for path in sorted(FOLDER.glob("*.onnx")) if path.stem not in LEFT_OUT]
PARTS, BUNDLE, BUNDLES = 10, 30, 2
# Between f32 on two systems, over a dozen operators: of each value, and of the array's largest.
RELATIVE, OF_LARGEST = 1e-3, 1e-4


@cache
def model(name: str) -> dlc.onnx.Model:
    return dlc.onnx.load(FOLDER / f"{name}.onnx")


@cache
def arrays(name: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(inputs by argument, PyTorch's outputs by name)."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        given = {word: stored[f"i_{n}"] for word, n in model(name).arguments.items()}
        return given, {n: stored[f"o_{n}"] for n in model(name).outputs}


def wrong(name: str, found: list[np.ndarray], expected: list[np.ndarray]) -> str:
    """What differs; "" when nothing does. Infinities and NaN must stand at the same places."""
    for output, a, b in zip(model(name).outputs, found, expected, strict=True):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{name} {output}: {a.dtype}{a.shape}, not {b.dtype}{b.shape}"
        finite = np.isfinite(b)
        edge = OF_LARGEST * max(1.0, float(np.abs(b[finite]).max(initial=0)))
        exact = b.dtype.kind != "f"
        room = 0.0 if exact else edge
        if not np.allclose(a, b, 0.0 if exact else RELATIVE, room, equal_nan=True):
            return f"{name} {output}:\n{a}\nis not\n{b}"
    return ""


@pytest.mark.parametrize("part", range(PARTS))
def test_values(part: int, tally: Callable[[str], cut.Tally]) -> None:
    """Unoptimized in NumPy, and the graph after all passes in NumPy, against the oracle."""
    count, bad = tally("NNSmith, evaluated"), []
    for name in NAMES[part::PARTS]:
        given, expected = arrays(name)
        values = {**model(name).parameters, **given}
        graph = model(name).graph()
        passed = run_pipeline(graph, None, PIPELINE)[-1].graph
        for each in (graph, passed):
            named = {n.attrs["label"]: values[n.attrs["label"]] for n in each.inputs}
            found = listed(dlc.evaluate(each, **named))[:len(expected)]
            bad.append(wrong(name, found, list(expected.values())))
        count.add()
    assert not any(bad), "\n".join(filter(None, bad))


def groups() -> list[list[str]]:
    """Models that share a program: all of them, or the cut of the day."""
    names = cut.chosen("nnsmith", NAMES, BUNDLE * BUNDLES) if FOLDER == FROZEN else NAMES
    number = max(1, round(len(names) / BUNDLE))
    return [names[i::number] for i in range(number)]


@pytest.mark.parametrize("names", groups(), ids=lambda names: f"{names[0]}-and-{len(names) - 1}")
def test_kernels(names: list[str], tally: Callable[[str], cut.Tally]) -> None:
    """Through passes and kernels, many models in one program, against the oracle."""
    count = tally("NNSmith, compiled")
    given = [a for name in names for a in arrays(name)[0].values()]
    with dlc.compile(bundled([model(name) for name in names])).load(threads=1) as program:
        found = listed(program(*given))
    bad = []
    for name in names:
        expected = list(arrays(name)[1].values())
        bad.append(wrong(name, found[:len(expected)], expected))
        del found[:len(expected)]
    assert not any(bad), "\n".join(filter(None, bad))
    count.add(len(names))


def test_the_corpus_is_whole(tally: Callable[[str], cut.Tally]) -> None:
    for reason in LEFT_OUT.values():
        tally("NNSmith, evaluated").leave_out(reason)
    assert len(NAMES) >= (300 if FOLDER == FROZEN else 1)
