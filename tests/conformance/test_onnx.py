"""The ONNX package's own node tests through the importer, and exported models in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import dlc
from dlc.cli.source import bundled_models, load_task
from tests.conformance import cut
from tests.conformance.onnx_cases import Case, bundled, cases, difference, listed, other_cases
from tests.onnx.test_export import batch_of

pytestmark = pytest.mark.conformance
LEAST = 1200  # of 1,371 must pass
BUNDLE, BUNDLES = 60, 3  # models in a program; programs in the cut of the day
PARTS = 8
TAKEN = [c for c in cases() if not c.excluded]
OTHERS = [c for c in other_cases() if not c.excluded]


@pytest.mark.parametrize("part", range(PARTS))
def test_nodes_evaluated(part: int, tally: Callable[[str], cut.Tally]) -> None:
    """Every case through dlc.evaluate: dtype and shape exact, rtol 1e-3, atol 1e-7."""
    evaluated(cases()[part::PARTS], tally("ONNX nodes, evaluated"))


def test_nodes_of_other_dtypes_evaluated(tally: Callable[[str], cut.Tally]) -> None:
    """f64 and integers of other widths likewise, quantized operators among them; f16 and bf16
    within two of their last places."""
    evaluated(other_cases(), tally("ONNX nodes of other dtypes, evaluated"))


def evaluated(chosen: Sequence[Case], count: cut.Tally) -> None:
    wrong = []
    for case in chosen:
        if case.excluded:
            count.leave_out(case.excluded)
            continue
        for arrays, expected in case.sets:
            model = case.model(arrays)
            given = {w: arrays[n] for w, n in model.arguments.items()}
            wrong.append(difference(case, listed(dlc.evaluate(model, **given)), expected))
        count.add()
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_enough_nodes_are_taken() -> None:
    """The exclusions are few, and each is still needed."""
    reasons: dict[str, int] = {}
    for case in cases():
        if case.excluded:
            reasons[case.excluded] = reasons.get(case.excluded, 0) + 1
    print(f"ONNX nodes: {len(TAKEN):,} of {len(cases()):,} taken")
    for reason, count in reasons.items():
        print(f"ONNX nodes left out: {count} because {reason}")
    assert len(TAKEN) >= LEAST


def groups(draw: str, taken: Sequence[Case]) -> list[list[str]]:
    """The names of cases that share a program: all of them, or the cut of the day."""
    names = cut.chosen(draw, [c.name for c in taken], BUNDLE * BUNDLES)
    return [names[i::max(1, len(names) // BUNDLE)] for i in range(max(1, len(names) // BUNDLE))]


def named(names: list[str]) -> str:
    return f"{names[0]}-and-{len(names) - 1}"


@pytest.mark.parametrize("names", groups("onnx", TAKEN), ids=named)
def test_nodes_compiled(names: list[str], tally: Callable[[str], cut.Tally]) -> None:
    """The same through passes and kernels, many models in one program."""
    compiled([c for c in TAKEN if c.name in names], tally("ONNX nodes, compiled"))


@pytest.mark.parametrize("names", groups("onnx dtypes", OTHERS), ids=named)
def test_nodes_of_other_dtypes_compiled(names: list[str],
                                        tally: Callable[[str], cut.Tally]) -> None:
    compiled([c for c in OTHERS if c.name in names], tally("ONNX nodes of other dtypes, compiled"))


def compiled(chosen: Sequence[Case], count: cut.Tally) -> None:
    models = [c.model(c.sets[0][0]) for c in chosen]
    arrays = [c.sets[0][0][n] for c, m in zip(chosen, models, strict=True) for n in m.inputs]
    with dlc.compile(bundled(models)).load(threads=1) as program:
        found = listed(program(*arrays))
    wrong = []
    for case in chosen:
        expected = case.sets[0][1]
        wrong.append(difference(case, found[:len(expected)], expected))
        del found[:len(expected)]
    assert not any(wrong), "\n".join(filter(None, wrong))
    count.add(len(chosen))


@pytest.mark.parametrize("name", bundled_models())
@pytest.mark.parametrize("opset", [17, 21])
def test_exported_models_in_onnxruntime(name: str, opset: int, tmp_path: Path,
                                        tally: Callable[[str], cut.Tally]) -> None:
    """What every bundled model predicts, at several batches of one file: rtol 1e-4."""
    onnxruntime.set_default_logger_severity(3)
    task, path = load_task(name), tmp_path / "model.onnx"
    dlc.onnx.export(task, path, opset=opset)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, 5, 32):
        graph, values = batch_of(task, size)
        given = {i.name: values[i.name] for i in session.get_inputs()}
        expected = dlc.evaluate(graph, **values)["prediction"]
        np.testing.assert_allclose(session.run(None, given)[0], expected, rtol=1e-4, atol=1e-6)
    tally("ONNX export").add()
