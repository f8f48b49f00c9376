"""vmap of every operator over each of its operands equals one example after the other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dlc.derive.batching import VMAP
from dlc.ir.graph import Build, Graph, Kind, building, make
from dlc.ops import tuples
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import run
from dlc.reference.verify import verify
from tests.ops.sampled import SAMPLES, Sample, graph_of, inputs_for

EXAMPLES = 3


def mappings(count: int) -> Iterator[tuple[bool, ...]]:
    """Which of `count` operands are mapped: each alone, the others alone, and all."""
    for i in range(count):
        yield tuple(j == i for j in range(count))
    if count > 1:
        yield (True,) * count
    for i in range(count) if count > 2 else ():
        yield tuple(j != i for j in range(count))


def examples_of(sample: Sample, mapped: tuple[bool, ...]) -> list[np.ndarray]:
    """The sample's operands, those mapped as three examples: itself, shuffled, reversed."""
    rng = np.random.default_rng(0)
    return [np.stack([a, rng.permutation(a.ravel()).reshape(a.shape), a.ravel()[::-1].reshape(
        a.shape)]) if m else a for a, m in zip(sample.arrays, mapped, strict=True)]


def mapped_graph(body: Graph, arrays: list[np.ndarray], mapped: tuple[bool, ...]) -> Graph:
    with building(Build()):
        inputs = inputs_for(arrays)
        node = make(VMAP, inputs, body=body, mapped=mapped, size=EXAMPLES)
        results = tuple(tuples.item(node, i) for i in range(len(body.outputs)))
        return Graph("mapped", inputs, results)


@pytest.mark.swept(3)
@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_all_examples_at_once_equal_one_after_the_other(sample: Sample) -> None:
    for mapped in mappings(len(sample.arrays)):
        arrays = examples_of(sample, mapped)
        graph = mapped_graph(graph_of(sample), arrays, mapped)
        expanded = differentiate(graph)
        verify(expanded)
        assert not any(n.op is VMAP for n in expanded.nodes())
        for one, all_ in zip(run(graph, arrays), run(expanded, arrays), strict=True):
            np.testing.assert_allclose(all_, one, rtol=2e-6, atol=1e-6, err_msg=f"mapped={mapped}")


@pytest.mark.parametrize("sample", [next(s for s in SAMPLES if s.op is op) for op in dict.fromkeys(
    s.op for s in SAMPLES if s.op.kind is not Kind.ELEMENTWISE)], ids=str)
def test_no_examples(sample: Sample) -> None:
    """A vmap over nothing has results of the right shapes."""
    mapped = (True,) * len(sample.arrays)
    arrays = [np.zeros((0, *a.shape), a.dtype) for a in sample.arrays]
    body = graph_of(sample)
    with building(Build()):
        inputs = inputs_for(arrays)
        node = make(VMAP, inputs, body=body, mapped=mapped, size=0)
        results = tuple(tuples.item(node, i) for i in range(len(body.outputs)))
    expanded = differentiate(Graph("mapped", inputs, results))
    verify(expanded)
    for value, o in zip(run(expanded, arrays), body.outputs, strict=True):
        assert value.shape == (0, *o.shape)
