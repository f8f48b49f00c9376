"""The ONNX package's own node tests through the importer, and exported models in onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import dlc
from dlc.cli.source import bundled_models, load_task
from dlc.ir.graph import Graph
from dlc.reference.text import print_graph
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


def without_export(task: dlc.Task) -> str:
    """Why a task has no prediction as an ONNX file; "" where it has one."""
    graph = task.graphs(2, ("eval",))["eval"]
    if "prediction" not in graph.output_names:
        return "predicts nothing"
    said = graph.outputs[graph.output_names.index("prediction")]
    text = print_graph(Graph("said", graph.inputs, (said,)))  # bodies of loops are in it
    return "draws random numbers to predict" if "= random_bits(" in text else ""


def test_most_bundled_models_are_exported() -> None:
    """Eighteen of 83 draw or predict nothing in November 2026: a rule that left out more than
    it means to would show."""
    left = {n: why for n in bundled_models() if (why := without_export(load_task(n)))}
    assert {"gan", "vae", "denoising", "ngram", "rbm"} <= set(left)
    assert len(left) <= 0.25 * len(bundled_models()), left


@pytest.mark.sliced
@pytest.mark.parametrize("name", bundled_models())
@pytest.mark.parametrize("opset", [17, 21])
def test_exported_models_in_onnxruntime(name: str, opset: int, tmp_path: Path,
                                        tally: Callable[[str], cut.Tally]) -> None:
    """What every bundled model predicts, at several batches of one file: rtol 1e-4."""
    onnxruntime.set_default_logger_severity(3)
    task, path, count = load_task(name), tmp_path / "model.onnx", tally("ONNX export")
    if reason := without_export(task):
        count.leave_out(reason)
        return
    dlc.onnx.export(task, path, opset=opset)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in (1, 5, 32):
        graph, values = batch_of(task, size)
        given = {i.name: values[i.name] for i in session.get_inputs()}
        expected = dlc.evaluate(graph, **values)["prediction"]
        np.testing.assert_allclose(session.run(None, given)[0], expected, rtol=1e-4, atol=1e-6)
    count.add()
