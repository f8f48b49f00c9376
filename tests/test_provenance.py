"""Every node of every bundled network serves lines of its file, in one of three parts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from dlc.errors import Part, part_of
from dlc.ir.graph import Graph, Kind, Node
from dlc.passes import run_pipeline
from dlc.task.task import Task
from tests.documents import ROOT

MODULES = sorted(path.stem for path in (ROOT / "models").glob("*.py") if path.stem != "__init__")
BATCH = 4


def inside(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the graphs within it."""
    for node in graph.nodes():
        yield node
        for value in node.attrs.values():
            if isinstance(value, Graph):
                yield from inside(value)


def tasks_of(module: str) -> list[Task]:
    found = vars(import_module(f"dlc.models.{module}")).values()
    return list({id(t): t for t in found if isinstance(t, Task)}.values())


@pytest.mark.swept(6, keep=("lenet", "gan", "rnn", "gpt"))
@pytest.mark.parametrize("module", MODULES)
def test_every_node_serves_a_line(module: str) -> None:
    """As written and after the last pass, with gradients and updates."""
    for task in tasks_of(module):
        for entry, graph in task.graphs(BATCH).items():
            records = run_pipeline(graph)
            for record in (records[0], records[-1]):
                without = [n for n in inside(record.graph) if not n.locs]
                assert not without, (task.name, entry, record.name)


@pytest.mark.parametrize("module", ["lenet", "vae", "mlp"])
def test_parts_of_a_training_step(module: str) -> None:
    """Gradients are backward, new values of parameters are the optimizer's, the rest forward, and
    no node is of an earlier part than what it alone reads."""
    (task,) = tasks_of(module)
    graph = run_pipeline(task.graphs(BATCH)["train"])[-2].graph
    outputs = dict(zip(graph.output_names, graph.outputs, strict=True))
    params = {i.attrs["label"] for i in graph.inputs if i.attrs["role"] == "param"}
    new = [name for name, old in graph.updates.items() if old in params]
    assert len(new) == len(params)
    assert {part_of(outputs[name].locs) for name in new} == {Part.OPTIMIZER}
    assert part_of(outputs["loss"].locs) is Part.FORWARD
    assert {part_of(n.locs) for n in graph.nodes()} == set(Part)
    for node in graph.nodes():
        if node.op.kind is Kind.CONTRACT and node.name.startswith("d_"):
            assert part_of(node.locs) is Part.BACKWARD, node


def test_an_inference_has_one_part() -> None:
    (task,) = tasks_of("lenet")
    graph = run_pipeline(task.graphs(BATCH)["eval"])[-1].graph
    assert {part_of(n.locs) for n in inside(graph)} == {Part.FORWARD}
