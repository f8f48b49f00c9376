"""Loop nests: every element is written once, whatever the chunks; columns, rows, one flat loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.limits import DEFAULT
from dlc.backend.cpu.prelude import prelude_text
from dlc.backend.emit.work import Work
from dlc.backend.ir import Alloc
from dlc.backend.ir.printer import kernel_of
from dlc.backend.ir.walks import flattened, tiles_of
from dlc.backend.lower import lower
from dlc.backend.nest.analysis import analyse
from dlc.compiler import instruction_set
from dlc.derive import higher
from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import Type
from dlc.ops.convert import broadcast_to
from dlc.passes import run_pipeline
from dlc.passes.fuse.components import components
from dlc.runtime.reference.interpret import NUMPY, kernel_function
from tests.conformance.cut import swept
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program
from tests.regressions.test_backend import check, graph_of, ramp


class Counted(np.ndarray[Any, Any]):
    """A flat buffer that counts the writes of each element and refuses any outside."""

    writes: Any

    def __setitem__(self, key: Any, value: Any) -> None:
        assert 0 <= key < len(self), f"write at {key} of {len(self)}"
        self.writes[key] += 1
        super().__setitem__(key, value)


def counted(type_: Type) -> Counted:
    buffer = np.zeros(type_.size, NUMPY[type_.dtype.name]).view(Counted)
    buffer.writes = np.zeros(type_.size, np.int64)
    return buffer


def bodies(graph: Graph) -> list[Graph]:
    return [n.attrs["body"] for n in graph.nodes() if n.op is higher.FUSED]


def works_of(body: Graph) -> list[Work]:
    return [w for low in lower(body, ISAS[instruction_set()], {}, {}) for stage in low.stages
            for w in stage if not tiles_of(w.kernel.body)]


def writes(body: Graph) -> dict[Node, Any]:
    """How often each element of each output is written, all chunks together."""
    found: dict[Node, Any] = {}
    for work in works_of(body):
        buffers = [counted(o.type) if isinstance(o, Node) else None for o in work.operands]
        if any(b is None for b in buffers):
            continue  # kernels with workspaces are tested with the contractions
        run = kernel_function(kernel_of(work.kernel), prelude_text())
        with np.errstate(all="ignore"):
            for chunk in range(work.chunks):
                run(*buffers, chunk)
        for operand, buffer in zip(work.operands, buffers, strict=True):
            if any(operand is o for o in body.outputs) and buffer is not None:
                found[operand] = found.get(operand, 0) + buffer.writes
    return found


def optimized(types: Sequence[Type], function: Callable[..., Any]) -> Graph:
    return run_pipeline(graph_of(types, function))[-1].graph


@pytest.mark.parametrize("seed", swept("written once", 6, 80))
def test_every_element_is_written_once(seed: int) -> None:
    maker = Maker(Seeded(np.random.default_rng(seed)), largest=800)
    for body in bodies(run_pipeline(program(maker, 10))[-1].graph):
        kinds = {n.op.kind for n in body.nodes()}
        again = kinds & {Kind.SCATTER, Kind.ROUTINE}  # zeros or a first guess come before
        parts = Kind.CONTRACT in kinds  # residues between these elements are made by tiles
        for node, count in writes(body).items():
            assert again or np.all(count == 1) or (parts and np.all(count <= 1)), (node, count)


ONE, EACH, CHUNKS = DEFAULT.one_chunk, DEFAULT.chunk_elements, DEFAULT.loop_chunks


@pytest.mark.parametrize("n,chunks", [(1, 1), (ONE, 1), (ONE + 1, CHUNKS), (EACH, CHUNKS),
                                      (CHUNKS * EACH, CHUNKS), (CHUNKS * EACH + 7, CHUNKS + 1)])
def test_one_flat_loop_is_cut_into_chunks(n: int, chunks: int) -> None:
    (body,) = bodies(optimized([f32[n]], lambda x: x * 2.0 + 1.0))
    (work,) = works_of(body)
    assert work.chunks == chunks
    assert all(np.all(c == 1) for c in writes(body).values())


@pytest.mark.parametrize("rows,cols", [(3, 1), (7, 127), (5, DEFAULT.column),
                                       (5, DEFAULT.column + 1), (3, 300)])
def test_sums_down_the_columns_keep_columns_as_vectors(rows: int, cols: int) -> None:
    graph = graph_of([f32[rows, cols]], lambda x: x.sum(0))
    for body in bodies(run_pipeline(graph)[-1].graph):
        assert all(np.all(c == 1) for c in writes(body).values())
    check(graph, ramp(f32[rows, cols]))


@pytest.mark.parametrize("cols", [127, 128, 129, 300])
@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_normalizing_over_rows_in_column_mode(cols: int, device: str) -> None:
    """Two reductions in turn and a store, all under the columns' loop."""
    def f(x: Node) -> Node:
        top = x.max(0, keepdims=True)
        low = (x - top).min(0, keepdims=True)
        return x - top - broadcast_to(low, x.shape)

    check(graph_of([f32[6, cols]], f), ramp(f32[6, cols]), device=device)


@pytest.mark.swept(3)
@pytest.mark.parametrize("shape,axes", [((40, 300), (1,)), ((40, 300), (0,)), ((5, 6, 7), (1,)),
                                        ((5, 6, 7), (0, 2)), ((4, 3, 5, 6), (0, 2, 3)),
                                        ((1, 50), (0,)), ((50, 1), (1,)), ((130, 2), (0, 1))])
@pytest.mark.parametrize("device", ["interpret", "cpu"])
def test_reductions_over_any_axes(shape: Any, axes: Any, device: str) -> None:
    def f(x: Node) -> tuple[Node, ...]:
        return (x.sum(axes), x.max(axes), x.argmax(axes), x.min(axes), x.argmin(axes),
                x - broadcast_to(x.max(axes, keepdims=True), x.shape))

    check(graph_of([f32[shape]], f), ramp(f32[shape]), device=device)


def test_statistics_of_an_image_batch_in_one_kernel() -> None:
    """Mean and variance over batch and positions: channels are the parallel loop."""
    def f(x: Node) -> tuple[Node, ...]:
        mean = x.mean((0, 2), keepdims=True)
        centred = x - mean
        return centred * dlc.rsqrt((centred * centred).mean((0, 2), keepdims=True) + 1.0), mean

    (body,) = bodies(optimized([f32[4, 40, 9]], f))
    (part,) = components(body)
    nest = analyse(part, DEFAULT)
    assert [nest.sizes[c] for c in nest.parallel] == [40]
    assert [i.layer for i in nest.items if i.reduces] == [0, 1]
    assert all(np.all(c == 1) for c in writes(body).values())


def test_nan_and_infinity_in_reductions() -> None:
    x = np.array([[1, np.nan, 3], [np.inf, 2, -np.inf], [np.nan, np.inf, np.nan]], np.float32)

    def f(x: Node) -> tuple[Node, ...]:
        return (x.max(1), x.min(1), x.argmax(1), x.argmin(1), x.max(0), x.argmax(0), x.sum(0),
                dlc.logsumexp(x, 1))

    for device in ("interpret", "cpu"):
        check(graph_of([f32[3, 3]], f), x, device=device)


def test_sums_of_no_elements_are_zero() -> None:
    check(graph_of([f32[3, 0]], lambda x: (x.sum(1), dlc.prod(x, 1), dlc.logsumexp(x, 1))),
          np.zeros((3, 0), np.float32))


def test_a_sum_that_all_of_its_row_reads_is_taken_once_a_row() -> None:
    """The gradient of softmax: (g - sum(g * y)) * y, where g * y comes from another launch."""
    def slope(g: Node, y: Node, product: Node) -> Node:
        return (g - dlc.sum(product, axis=-1, keepdims=True)) * y

    (body,) = bodies(run_pipeline(graph_of([f32[64, 4, 32]] * 3, slope))[-1].graph)
    (work,) = works_of(body)
    loops = [line.strip() for line in kernel_of(work.kernel).text.splitlines() if "for " in line]
    assert [line.split(" in ")[0] for line in loops] == ["for i", "for r", "for r2"], loops


@pytest.mark.parametrize("rows,width", [(60, DEFAULT.column), (70, 1000)])
def test_long_sums_down_the_columns_walk_whole_rows(rows: int, width: int) -> None:
    """A block of columns is as wide as a chunk is to be small, or, where parts are the chunks, as
    memory is best read: by pages."""
    assert (rows * 1000 >= DEFAULT.in_parts) == (width == 1000)
    (body,) = bodies(optimized([f32[rows, 1000]], lambda x: x.sum(0)))
    first, *_ = works_of(body)
    sizes = {s.size for s in flattened(first.kernel.body) if isinstance(s, Alloc)}
    assert sizes == {width} and first.chunks > 1
