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
from tests.conformance.onnx_cases import Case, cases, difference, listed, other_cases
from tests.conformance.together import Entry, computed, given
from tests.onnx.test_export import batch_of

pytestmark = pytest.mark.conformance
LEAST = 1200  # of 1,371 must pass
TAKEN = [c for c in cases() if not c.excluded]


def test_nodes_evaluated(tally: Callable[[str], cut.Tally]) -> None:
    """Every case through dlc.evaluate: dtype and shape exact, rtol 1e-3, atol 1e-7."""
    evaluated(those("onnx", cases()), tally("ONNX nodes"))


def test_nodes_of_other_dtypes_evaluated(tally: Callable[[str], cut.Tally]) -> None:
    """f64 and integers of other widths likewise, quantized operators among them; f16 and bf16
    within two of their last places."""
    evaluated(those("onnx dtypes", other_cases()), tally("ONNX nodes of other dtypes"))


def those(suite: str, found: Sequence[Case]) -> list[Case]:
    """The cases of this run."""
    names = set(cut.chosen(suite, [c.name for c in found]))
    return [c for c in found if c.name in names]


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


def test_nodes_compiled(tally: Callable[[str], cut.Tally]) -> None:
    """The same through passes, kernels and threads, all models of a part in one program."""
    compiled(those("onnx", cases()), tally("ONNX nodes"))


def test_nodes_of_other_dtypes_compiled(tally: Callable[[str], cut.Tally]) -> None:
    compiled(those("onnx dtypes", other_cases()), tally("ONNX nodes of other dtypes"))


def compiled(chosen: Sequence[Case], count: cut.Tally) -> None:
    entries, expected = [], {}
    for case in chosen:
        if case.excluded:
            count.leave_out(case.excluded)
            continue
        for number, (arrays, wanted) in enumerate(case.sets):
            model, name = case.model(arrays), f"{case.name} {number}"
            values = {w: arrays[n] for w, n in model.arguments.items()}
            graph = model.graph()
            entries.append(Entry(name, graph, given(graph, {**model.parameters, **values})))
            expected[name] = case, wanted
    wrong: dict[str, str] = {}
    for name, found in computed(entries).items():
        case, wanted = expected[name]
        told = f"{name}: {found!r}" if isinstance(found, Exception) else difference(
            case, list(found.values())[:len(wanted)], wanted)
        wrong[case.name] = wrong.get(case.name, "") + told
    for told in wrong.values():
        count.fail() if told else count.add()
    assert not any(wrong.values()), "\n".join(filter(None, wrong.values()))


# These draw random numbers to predict, or predict nothing.
NOT_EXPORTED = {"ngram", "denoising", "vae", "rbm", "rbm_persistent", "hopfield", "hopfield_full"}


@pytest.mark.sliced
@pytest.mark.parametrize("name", [name for name in bundled_models() if name not in NOT_EXPORTED])
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
