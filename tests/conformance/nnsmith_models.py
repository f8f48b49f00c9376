"""NNSmith's generated models as cases: three corpora, what PyTorch computed, and who is right.

The frozen corpus lies in tests/conformance/nnsmith. The fresh ones are made by nnsmith_fresh.py for
every full run; NNSMITH_FOLDER names another folder of models to run in their place.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import dlc
from tests.conformance import cut
from tests.conformance.onnx_referee import judged, several
from tests.conformance.together import Entry, given

FROZEN = Path(__file__).parent / "nnsmith"
FRESH = Path(__file__).resolve().parents[2] / ".nnsmith"
SUITES = "NNSmith, frozen", "NNSmith, fresh", "NNSmith, fresh, all dtypes"
# Between f32 on two systems, over a dozen operators: of each value, and of the array's largest.
RELATIVE, OF_LARGEST = 1e-3, 1e-4
ROUNDED = "a result hangs on how f32 rounds: the standard's evaluator, rounding at random, varies"
ANOTHER = "PyTorch computes other than the exported file, the standard's evaluator what dlc does"


@dataclass(frozen=True)
class Case:
    """A generated model with its inputs and PyTorch's outputs."""

    suite: str
    folder: Path
    name: str

    @property
    def proto(self) -> onnx.ModelProto:
        return onnx.load(self.folder / f"{self.name}.onnx")

    @cached_property
    def model(self) -> dlc.onnx.Model:
        return dlc.onnx.load(self.folder / f"{self.name}.onnx")

    @cached_property
    def entry(self) -> Entry:
        """The model's graph, with its weights and its inputs."""
        inputs = {word: self._stored[f"i_{n}"] for word, n in self.model.arguments.items()}
        graph = self.model.graph()
        return Entry(self.name, graph, given(graph, {**self.model.parameters, **inputs}))

    @cached_property
    def expected(self) -> list[np.ndarray]:
        """PyTorch's outputs, in the dtypes that the file declares.

        The exporter drops f64 that PyTorch promotes to: there the file says f32.
        """
        kinds = {v.name: v.type.tensor_type.elem_type for v in self.proto.graph.output}
        return [self._stored[f"o_{n}"].astype(onnx.helper.tensor_dtype_to_np_dtype(kinds[n]))
                for n in self.model.outputs]

    @cached_property
    def runs(self) -> list[np.ndarray]:
        """The outputs of the standard's evaluator, rounding at random."""
        names = [v.name for v in self.proto.graph.input]
        return several(self.proto, {n: self._stored[f"i_{n}"] for n in names})

    def compared(self, found: list[np.ndarray]) -> tuple[str, str]:
        """(what is wrong, why PyTorch cannot judge here): both "" where dlc and PyTorch agree."""
        reason = ""
        for place, (name, a, b) in enumerate(
                zip(self.model.outputs, found, self.expected, strict=True)):
            if (a.dtype, a.shape) != (b.dtype, b.shape):
                return f"{self.name} {name}: {a.dtype}{a.shape}, not {b.dtype}{b.shape}", ""
            differ = ~np.isclose(a, b, *tolerance(b), equal_nan=True)
            if differ.any():
                verdict = judged(self.runs[place], a, *tolerance(self.runs[place][0]))
                if not verdict.right.all():
                    return f"{self.name} {name}:\n{a}\nis not\n{b}", ""
                reason = ROUNDED if (differ & ~verdict.determined).any() else reason or ANOTHER
        return "", reason

    @cached_property
    def _stored(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{self.name}.npz", allow_pickle=False) as stored:
            return dict(stored)


def tolerance(expected: np.ndarray) -> tuple[float, float]:
    """(of each element, absolute): floats only; integers and bools are exact."""
    if expected.dtype.kind != "f":
        return 0.0, 0.0
    finite = expected[np.isfinite(expected)]
    return RELATIVE, OF_LARGEST * max(1.0, float(np.abs(finite).max(initial=0)))


def account(folder: Path) -> dict[str, Any]:
    """What nnsmith_generate.py noted beside its models; {} where nothing is."""
    path = folder / "account.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def fresh_folders() -> dict[str, Path]:
    """Where fresh models lie, by suite: in a full run, or where NNSMITH_FOLDER names them."""
    if named := os.environ.get("NNSMITH_FOLDER", ""):
        return {SUITES[1]: Path(named)}
    parts = [FRESH / f"part{part + 1}" for part in sorted(cut.RUNNING)] if cut.FULL else []
    return {suite: folder / name for folder in parts
            for suite, name in ((SUITES[1], "models"), (SUITES[2], "dtypes"))
            if (folder / name / "account.json").exists()}


def corpus(suite: str, folder: Path) -> list[Case]:
    """The models of a folder, by seed."""
    return [Case(suite, folder, path.stem) for path in sorted(folder.glob("*.onnx"))]


def cases() -> list[Case]:
    """The cases of this run: its part of the frozen corpus, and the fresh models made for it."""
    frozen = corpus(SUITES[0], FROZEN)
    names = set(cut.chosen("nnsmith", [case.name for case in frozen]))
    fresh = [case for suite, folder in fresh_folders().items() for case in corpus(suite, folder)]
    return [*(case for case in frozen if case.name in names), *fresh]
